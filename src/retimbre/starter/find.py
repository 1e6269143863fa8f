"""Where the bundled files lie: two checkpoints of the starter voice, and recordings of another speaker."""

from dataclasses import dataclass
from pathlib import Path

from retimbre.errors import CheckpointError, DataError

FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class SpeechPack:
    """Short recordings of one synthetic speaker with their texts: enough to try everything offline.

    Args:
        recordings: Folder of the sound files, each named after its id.
        filelist: One `id|text|normalised` per line, no header.
        held_out: Ids that training should not see, so that a report can judge with them.
    """

    recordings: Path
    filelist: Path
    held_out: tuple[str, ...]


def speech_pack() -> SpeechPack:
    """The bundled recordings; DataError when the installation lost them."""
    folder = FOLDER / "speech_pack"
    recordings, filelist, held_out = folder / "wavs", folder / "metadata.csv", folder / "held_out.txt"
    for path in (recordings, filelist, held_out):
        if not path.exists():
            raise DataError(
                "the bundled speech pack is incomplete",
                expected=str(path),
                found="no such file or folder",
                do="install Retimbre again",
            )
    names = held_out.read_text(encoding="utf-8").split()
    return SpeechPack(recordings=recordings, filelist=filelist, held_out=tuple(names))


def starter_text_to_spec() -> Path:
    """The starter voice's checkpoint from text to spec."""
    return _checkpoint("text_to_spec.safetensors")


def starter_spec_to_wav() -> Path:
    """The starter voice's vocoder, from spec to waveform, with its discriminators."""
    return _checkpoint("spec_to_wav.safetensors")


def _checkpoint(name: str) -> Path:
    path = FOLDER / name
    if not path.is_file():
        raise CheckpointError(
            "the starter voice is incomplete",
            expected=str(path),
            found="no such file",
            do="install Retimbre again, or train the starter voice in a checkout with 'make starter'",
        )
    return path
