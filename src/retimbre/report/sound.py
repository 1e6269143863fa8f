"""Audio in a report: lossless inside the page, and as WAV files beside it."""

import base64
import io
import re
from collections.abc import Iterable
from pathlib import Path

import soundfile
import torch

from retimbre.audio.waveform import Audio


def data_uri(audio: Audio) -> str:
    """The recording as a FLAC data URI.

    Lossless, because a listener who judges artefacts must not hear those of MP3 or Vorbis; about half of
    a WAV's size; and of the lossless formats the one that Safari, Chrome and Firefox all play.
    """
    levels = (audio.samples.detach().cpu().double() * 32768).round().clamp(-32768, 32767)
    file = io.BytesIO()
    soundfile.write(
        file, levels.to(torch.int16).numpy(), audio.sample_rate_hz, format="FLAC", subtype="PCM_16"
    )
    return "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def save_wav(audio: Audio, folder: Path, *, utterance: str, system: str) -> Path:
    """Write folder/audio/<utterance>/<system>.wav; both names are already safe."""
    path = folder / "audio" / utterance / f"{system}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.save(path)
    return path


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """A safe file name for each name: no separators, no leading dot, none twice even if case is ignored."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        if name in found:
            continue
        plain = re.sub(r"[^\w.-]+", "_", name).lstrip(".-")[:100] or "unnamed"
        candidate, n = plain, 2
        while candidate.lower() in taken:
            candidate, n = f"{plain}-{n}", n + 1
        taken.add(candidate.lower())
        found[name] = candidate
    return found
