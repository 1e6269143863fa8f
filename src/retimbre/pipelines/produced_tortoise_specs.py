"""What the diffusion stage really produces of an utterance, as long as its recording: what a vocoder hears.

From the latents at the true codes, by the sampler that speaks, from noise of its own for each utterance. The
voice is heard from other recordings, as in use.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retimbre.checkpoint.digest import sha256_of
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.data.writing import write_text
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.tortoise_ar.sampling import generator_of
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.pipelines.teacher_forced_latents import (
    Clips,
    Latent,
    Latents,
    One,
    Spoken,
    Voices,
    voice_choice,
)
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import spec_of_latents
from retimbre.pipelines.tortoise_target import Spec, mel_error, recorded_frames, target_spec
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL

FORM = 1  # of this file: another number where the same network and latents would give another spec


@dataclass(frozen=True, kw_only=True)
class Production:
    """How specs are produced.

    Args:
        codes_to_spec: SHA-256 of the diffusion stage.
        text_to_codes: Of the stage whose latents it is given.
        settings: Sampler, steps, guidance and scale of the noise.
        seed: Of the noise.
    """

    codes_to_spec: str
    text_to_codes: str
    settings: Settings
    seed: int

    def facts(self) -> dict[str, Any]:
        """Plain values for JSON."""
        chosen = self.settings
        return {
            "form": FORM,
            "codes_to_spec": self.codes_to_spec,
            "text_to_codes": self.text_to_codes,
            "sampler": chosen.sampler,
            "n_steps": chosen.n_steps,
            "guidance": chosen.guidance,
            "noise_scale": chosen.noise_scale,
            "seed": self.seed,
        }


def produced_spec(
    diffusion: DiffusionDecoder,
    latents: Latent,
    clips: Clips,
    *,
    settings: Settings,
    generator: torch.Generator,
) -> Spec:
    """What speaking makes of latents: log-mels, as many frames as the codes are long.

    Args:
        diffusion: In evaluation mode.
        clips: From which its voice is heard.
        generator: On the CPU; all noise comes from it.
    """
    device = next(diffusion.parameters()).device
    with torch.no_grad():
        voice = diffusion.voice(clips.to(device).unsqueeze(0))[0]
    return spec_of_latents(
        diffusion, latents.unsqueeze(0), voice, settings=settings, generator=generator, watch=_nobody
    )


def write_produced_tortoise_specs(
    encoded: Sequence[One],
    store: Store,
    diffusion: DiffusionDecoder,
    *,
    latents: Latents[One],
    voices: Voices[One],
    production: Production,
    listener: Listener | None = None,
) -> int:
    """Write what is missing, or was made from anything else, where a vocoder's training looks for it.

    A spec has as many frames as whole hops fit into its recording (`recorded_frames`): frame k goes with
    samples 256 * k to 256 * (k + 1) of the recording at 24,000 Hz. Beside it stands what it was made from.

    Returns:
        How many were made.
    """
    listener = listener or Silent()
    diffusion.eval()
    mel, n_made = spec_of(diffusion.config), 0
    for number, one in enumerate(sorted(encoded, key=lambda one: len(one.codes)), start=1):
        name = one.utterance.stem
        clips = voices.for_diffusion(one, voice_choice(latents.seed, one.utterance))
        read = latents.of(one)
        facts = production.facts() | {"source": _source(read, clips)}
        path = store.produced_spec_path(one.utterance, mel)
        if not _is_same(path, facts):
            spec = produced_spec(
                diffusion,
                read,
                clips,
                settings=production.settings,
                generator=generator_of(production.seed, name, "produced"),
            )
            store.write_produced_spec(one.utterance, spec[:, : recorded_frames(one.n_samples, mel)], mel)
            write_text(_beside(path), json.dumps({**facts, "content": sha256_of(path)}, indent=2) + "\n")
            n_made += 1
        listener.progress("Produced specs", number, len(encoded))
    listener.say("Produced specs", f"{n_made} made, {len(encoded) - n_made} there already")
    return n_made


def spec_errors(
    encoded: Sequence[Spoken], store: Store, diffusion: DiffusionDecoder
) -> dict[Utterance, float]:
    """How far the produced spec of each utterance is from that of its recording: mean log-mel difference."""
    mel = spec_of(diffusion.config)
    found = {}
    for one in encoded:
        target = target_spec(store.load_audio(one.utterance, AUTO_MEL).samples, len(one.codes), mel)
        produced = store.load_produced_spec(one.utterance, mel)
        found[one.utterance] = mel_error(produced, target, one.n_samples, mel)
    return found


def _source(latents: Latent, clips: Clips) -> str:
    digest = hashlib.sha256()
    for tensor in (latents.float(), clips.float()):
        digest.update(f"{tuple(tensor.shape)}".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _is_same(path: Path, facts: Mapping[str, Any]) -> bool:
    """Is a spec there, whole, and made from just this?"""
    if not path.is_file() or not _beside(path).is_file():
        return False
    try:
        found = json.loads(_beside(path).read_text(encoding="utf-8"))
    except ValueError:
        return False
    return bool(found == {**facts, "content": sha256_of(path)})


def _nobody(done: int, total: int) -> None:
    """Watches."""
