"""What a text-to-codes network sounds like on the way: sentences spoken with the other files of its set.

A validation text, and a sentence that the base can say, both with the voice that is learnt. At the beginning
the base itself says them: what is gained, and what is forgotten, can be heard beside it.

Axes used in this file:
    symbols  of a text
    clips    recordings of a voice
    mels     bands of their spectrograms: auto_mels and diffusion_mels, as each network hears them
    frames   of their spectrograms, likewise
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.jobs.listener import Listener
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_ar.sampling import generator_of
from retimbre.models.tortoise_ar.speech_codes import settled
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.univnet.model import UnivNet
from retimbre.pipelines.fit import network_in
from retimbre.pipelines.produced_tortoise_specs import produced_spec
from retimbre.pipelines.tortoise_roles import PARTS, Role
from retimbre.pipelines.tortoise_set import parts_in
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import Seeds, latents_of, sound_of
from retimbre.pipelines.tortoise_voice_specs import keep_voice_specs
from retimbre.recipe.recipe import Recipe
from retimbre.training.tortoise_ar_checks import spoken
from retimbre.training.tortoise_forgetting import Text
from retimbre.training.tortoise_material import TortoiseMaterial
from retimbre.training.tortoise_voices import TrainingVoices

SETTINGS = Settings(n_drawn=1, sampler="dpm++2m", n_steps=10)  # quick: it lets hear, and decides nothing
MOST_CODES = 250  # 11.6 s
SAMPLE_RATE_HZ = 24_000
SPEAKERS: tuple[Role, ...] = ("codes-to-spec", "spec-to-wav")
N_HEARD = 8  # recordings among which those are that the voice is heard from


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A sentence, and recordings of the voice that says it.

    Args:
        name: Of its file.
        for_auto: As the autoregressive network hears the voice.
        for_diffusion: As the diffusion decoder does.
    """

    name: str
    symbols: Int[Tensor, "symbols"]
    for_auto: Float[Tensor, "clips auto_mels auto_frames"]
    for_diffusion: Float[Tensor, "clips diffusion_mels diffusion_frames"]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Speaks some lines whenever it is asked to; the other networks are in memory only then.

    Args:
        codes_to_spec: A diffusion decoder's file.
        spec_to_wav: A UnivNet's.
        every_steps: So often.
        seed: Of all that is drawn: only the weights make the difference.
    """

    codes_to_spec: Path
    spec_to_wav: Path
    lines: Sequence[Line]
    every_steps: int
    seed: int
    settings: Settings = SETTINGS

    def at(self, step: int, ar: UnifiedVoice) -> dict[str, tuple[Tensor, int]]:
        """Name -> samples and their rate; nothing where it is not the time.

        Args:
            ar: In evaluation mode.
        """
        if step % self.every_steps:
            return {}
        device = ar.text_embedding.weight.device
        made = load_model(self.codes_to_spec, device=device)
        decoder = network_in(made, DiffusionDecoder, "codes-to-spec")
        vocoder = network_in(load_model(self.spec_to_wav, device=device), UnivNet, "spec-to-wav")
        return {
            f"speech/{line.name}": (self._sound(line, ar, decoder, vocoder), SAMPLE_RATE_HZ)
            for line in self.lines
        }

    @torch.no_grad()
    def _sound(
        self, line: Line, ar: UnifiedVoice, decoder: DiffusionDecoder, vocoder: UnivNet
    ) -> Float[Tensor, "samples"]:
        device = ar.text_embedding.weight.device
        voice = ar.conditioning_latent(line.for_auto.unsqueeze(0).to(device))
        said = spoken(
            ar, voice, line.symbols, self.settings, Seeds(seed=self.seed), max_codes=MOST_CODES
        ).unsqueeze(0)
        codes = settled(said, ar.config.stop_code, said.shape[1])[0]
        latents = latents_of(ar, voice[0], line.symbols, codes)[0]
        spec = produced_spec(
            decoder,
            latents,
            line.for_diffusion,
            settings=self.settings,
            generator=generator_of(self.seed, line.name, "spec"),
        )
        return sound_of(vocoder, spec, generator_of(self.seed, line.name, "sound"))


def samples_of(
    recipe: Recipe, material: TortoiseMaterial, listener: Listener, *, base_text: Text | None
) -> Samples | None:
    """What a run of text-to-codes lets hear, where the folder of the set has the files that speak.

    Args:
        base_text: A sentence that the base can say; None: it knows none of ours.
    """
    folder = recipe.tortoise.models or (recipe.base.parent if recipe.base else None)
    if not recipe.training.samples or folder is None or not folder.is_dir():
        return None
    found = parts_in([folder], roles=SPEAKERS)[0]
    if missing := [PARTS[role].name for role in SPEAKERS if role not in found]:
        listener.say("Samples", f"none: there is no {' and no '.join(missing)} in {folder}")
        return None
    first = material.validation[0]
    speaker = first.utterance.speaker
    heard = [one for one in material.training if one.utterance.speaker == speaker][:N_HEARD]
    keep_voice_specs([one.utterance for one in heard], material.store, has_diffusion=True)
    voices = TrainingVoices(material.store, heard, n_clips=min(recipe.tortoise.n_clips, len(heard)))
    seed = recipe.training.seed
    clips = (
        voices.for_auto(first, np.random.default_rng(seed)),
        voices.for_diffusion(first, np.random.default_rng(seed)),  # of the same recordings
    )
    texts = {first.utterance.basename.replace("/", "-"): first.symbols}
    texts |= {} if base_text is None else {"base-sentence": base_text}
    validations = max(1, recipe.training.steps // recipe.training.validate_every_steps)
    stride = max(1, validations // recipe.training.samples)
    listener.say("Samples", f"spoken {min(validations, recipe.training.samples)} times: samples/ of the run")
    return Samples(
        codes_to_spec=found["codes-to-spec"].path,
        spec_to_wav=found["spec-to-wav"].path,
        lines=[
            Line(name=name, symbols=symbols, for_auto=clips[0], for_diffusion=clips[1])
            for name, symbols in texts.items()
        ],
        every_steps=stride * recipe.training.validate_every_steps,
        seed=seed,
    )
