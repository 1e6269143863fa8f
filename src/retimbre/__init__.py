"""Retimbre: fine-tune text-to-speech checkpoints stage by stage, and match every stage to the one before it.

The names in `__all__` are public, everything else may change. They are loaded when they are first asked
for, so that `import retimbre` costs nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retimbre.audio.waveform import Audio
    from retimbre.models.identify import identify
    from retimbre.models.load import load_model
    from retimbre.pipelines.voice import load_voice

__version__ = "0.1.0"
__all__ = ["Audio", "__version__", "identify", "load_model", "load_voice"]


def __getattr__(name: str) -> object:
    """The public names, each imported when it is needed."""
    if name == "Audio":
        from retimbre.audio.waveform import Audio

        return Audio
    if name == "identify":
        from retimbre.models.identify import identify

        return identify
    if name == "load_model":
        from retimbre.models.load import load_model

        return load_model
    if name == "load_voice":
        from retimbre.pipelines.voice import load_voice

        return load_voice
    raise AttributeError(f"module 'retimbre' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
