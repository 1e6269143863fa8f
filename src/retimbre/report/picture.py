"""Spectrograms as small PNG pictures, with colours whose lightness grows evenly.

Axes used in this file:
    mels    from low at the bottom to high at the top
    frames  from left to right
"""

import base64
import struct
import zlib
from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8

N_COLOURS = 256
# From OKLab to linear sRGB, by way of cone responses (https://bottosson.github.io/posts/oklab/).
OKLAB_TO_CONES = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


@lru_cache(maxsize=1)
def loudness_colours() -> UInt8[np.ndarray, "256 3"]:
    """Dark violet for silence, over red, to light yellow for the loudest."""
    position = np.linspace(0, 1, N_COLOURS)
    lightness = 0.14 + 0.82 * position
    hue = np.radians(290 + 180 * position)  # violet, red, orange, yellow
    chroma = 0.17 * np.sin(np.pi * (0.12 + 0.76 * position))
    return _to_rgb(lightness, chroma, hue)


@lru_cache(maxsize=1)
def difference_colours() -> UInt8[np.ndarray, "256 3"]:
    """Blue for too little, near white for equal, red for too much."""
    position = np.linspace(-1, 1, N_COLOURS)
    lightness = 0.96 - 0.52 * np.abs(position)
    hue = np.radians(np.where(position < 0, 255, 28))
    return _to_rgb(lightness, 0.16 * np.abs(position), hue)


def spectrogram_uri(spec: Float[np.ndarray, "mels frames"], *, low: float, high: float) -> str:
    """A picture of a log spectrogram as a data URI; `low` is the darkest, `high` the lightest."""
    return _png_uri(_to_indices(spec, low, high), loudness_colours())


def difference_uri(difference: Float[np.ndarray, "mels frames"], *, most: float) -> str:
    """A picture of candidate - reference as a data URI; colours are full at plus or minus `most`."""
    return _png_uri(_to_indices(difference, -most, most), difference_colours())


def _to_indices(
    values: Float[np.ndarray, "mels frames"], low: float, high: float
) -> UInt8[np.ndarray, "mels frames"]:
    share = (values - low) / max(high - low, 1e-12)
    return np.asarray(np.clip(np.rint(share * (N_COLOURS - 1)), 0, N_COLOURS - 1), dtype=np.uint8)[::-1]


def _to_rgb(
    lightness: Float[np.ndarray, "256"], chroma: Float[np.ndarray, "256"], hue: Float[np.ndarray, "256"]
) -> UInt8[np.ndarray, "256 3"]:
    oklab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    linear = np.clip((oklab @ OKLAB_TO_CONES.T) ** 3 @ CONES_TO_RGB.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * encoded), dtype=np.uint8)


def _png_uri(indices: UInt8[np.ndarray, "rows columns"], colours: UInt8[np.ndarray, "256 3"]) -> str:
    picture = base64.b64encode(_png(indices, colours)).decode("ascii")
    return f"data:image/png;base64,{picture}"


def _png(indices: UInt8[np.ndarray, "rows columns"], colours: UInt8[np.ndarray, "256 3"]) -> bytes:
    """An indexed PNG file (https://www.w3.org/TR/png-3/)."""
    n_rows, n_columns = indices.shape
    header = struct.pack(">IIBBBBB", n_columns, n_rows, 8, 3, 0, 0, 0)  # 8 bits, palette, not interlaced
    unfiltered = np.pad(indices, ((0, 0), (1, 0)))  # each row begins with the number of its filter: none
    chunks = (
        (b"IHDR", header),
        (b"PLTE", colours.tobytes()),
        (b"IDAT", zlib.compress(unfiltered.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
