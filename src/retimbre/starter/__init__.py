"""The bundled starter voice and its speech pack: data, and one file that finds them."""
