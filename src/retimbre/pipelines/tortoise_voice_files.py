"""A voice as a file: ours, or the pair of latents that tortoise-tts keeps in a .pth.

Ours is a safetensors file of `autoregressive` and `diffusion`; its head says what the voice came from, and
the SHA-256 of its numbers.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.read import Contents, read
from retimbre.checkpoint.write import owned, write_safetensors, write_torch
from retimbre.errors import CheckpointError
from retimbre.models.identify import identify
from retimbre.models.other_files import AUTO, DIFFUSION, VOICE_KEY, retimbre_voice, tortoise_voice
from retimbre.pipelines.tortoise_voices import TortoiseVoice

ENDING, THEIR_ENDING = ".safetensors", ".pth"


def voice_from_file(path: Path | str) -> TortoiseVoice:
    """A saved voice; its name is that of the file.

    Raises:
        CheckpointError: if the file is none, is damaged, or holds numbers that are not finite.
    """
    path = Path(path)
    contents = read(path)
    try:
        if retimbre_voice(contents):
            return _ours(contents)
        if tortoise_voice(contents):
            auto, diffusion = (_latent(contents.tensors[place][0], place) for place in ("0", "1"))
            source = {"file": {"sha256": sha256_of(path)}}
            return TortoiseVoice(name=path.stem, auto=auto, diffusion=diffusion, source=source)
    except CheckpointError as error:
        raise error.of(path) from error
    report = identify(path)
    raise CheckpointError(
        f"{path} is no voice",
        expected="two latents, as tortoise-tts or Retimbre saves them",
        found=report.family or report.recognised or "something else",
        do="give a saved voice, a recording, or a folder of recordings",
    )


def save_voice(voice: TortoiseVoice, path: Path | str) -> Path:
    """Write a voice to `path`: for tortoise-tts if that ends in .pth, or else as .safetensors.

    Raises:
        CheckpointError: if it cannot be written, or lacks the latent for diffusion that tortoise-tts needs.
    """
    path = Path(path)
    if path.suffix == THEIR_ENDING:
        write_torch(path, tuple(latent[None] for latent in _pair(voice, path)))
        return path
    path = path if path.suffix == ENDING else path.with_name(path.name + ENDING)
    latents = {AUTO: voice.auto, DIFFUSION: voice.diffusion}
    tensors = {name: latent for name, latent in latents.items() if latent is not None}
    head = {"source": dict(voice.source), "sha256": _digest(tensors.values())}
    write_safetensors(path, tensors, {"format": "pt", VOICE_KEY: json.dumps(head, allow_nan=False)})
    return path


def _pair(voice: TortoiseVoice, path: Path) -> tuple[Tensor, ...]:
    if voice.diffusion is None:
        raise CheckpointError(
            f"the voice '{voice.name}' cannot be written to {path}",
            expected="a latent for diffusion too, which tortoise-tts reads",
            found="one for the autoregressive network only",
            do="write it as .safetensors, or make it again with a diffusion network",
        )
    return tuple(owned({AUTO: voice.auto, DIFFUSION: voice.diffusion}).values())


def _ours(contents: Contents) -> TortoiseVoice:
    latents = {name: _latent(contents.tensors[name], name) for name in contents.tensors}
    head = _head(contents.metadata[VOICE_KEY])
    if head.get("sha256") != _digest(latents.values()):
        raise CheckpointError(
            "the numbers of this voice have changed since it was written", do="make it again"
        )
    return TortoiseVoice(
        name=contents.path.stem,
        auto=latents[AUTO],
        diffusion=latents.get(DIFFUSION),
        source=head["source"],
    )


def _head(text: str) -> Mapping[str, Any]:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("what the file says of the voice is damaged", found=str(error)[:120]) from error
    if not isinstance(head, dict) or not isinstance(head.get("source"), dict):
        raise CheckpointError("what the file says of the voice is damaged", expected="where it comes from")
    return head


def _latent(stored: Tensor, name: str) -> Float[Tensor, "numbers"]:
    latent = stored.float().clone()  # the file may be replaced while the voice is in use
    if not latent.isfinite().all():
        raise CheckpointError(
            f"the latent {name} of this voice cannot be used",
            expected="finite numbers",
            found=f"{int((~latent.isfinite()).sum())} that are NaN or infinite",
            do="make the voice again",
        )
    return latent


def _digest(latents: Iterable[Tensor]) -> str:
    """Of the numbers, latent by latent."""
    digest = hashlib.sha256()
    for latent in latents:
        digest.update(latent.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
