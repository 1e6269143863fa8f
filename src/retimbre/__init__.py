"""Fine-tune existing text-to-speech checkpoints to a voice, and match every stage to the one before."""

__version__ = "0.1.0"
