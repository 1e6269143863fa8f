"""Held-out utterances at their true codes: latents -> spec -> sound, from equal noise for every system."""

from collections.abc import Sequence

import torch

from retimbre.audio.waveform import Audio
from retimbre.jobs.listener import Listener
from retimbre.models.load import Loaded
from retimbre.models.tortoise_ar.sampling import generator_of
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.univnet.model import UnivNet
from retimbre.pipelines.delay import Delay, measure_delay
from retimbre.pipelines.fit import network_in
from retimbre.pipelines.produced_tortoise_specs import produced_spec
from retimbre.pipelines.teacher_forced_latents import Latents, voice_choice
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import sound_of
from retimbre.pipelines.tortoise_target import Spec
from retimbre.training.build_univnet import sounding
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial
from retimbre.training.tortoise_voices import TrainingVoices

MEASURED_FOR_DELAY = 6


def specs_of(
    utterances: Sequence[Encoded],
    decoder: Loaded,
    *,
    latents: Latents[Encoded],
    voices: TrainingVoices,
    settings: Settings,
    seed: int,
    listener: Listener,
) -> dict[str, Spec]:
    """Stem of each utterance -> what the decoder makes of its latents.

    Noise and recordings of the voice are those of `write_produced_tortoise_specs`: an utterance has the same
    ones in every system.

    Args:
        seed: Of the noise.
    """
    model = network_in(decoder, DiffusionDecoder, "codes-to-spec").eval()
    found = {}
    for number, one in enumerate(utterances, start=1):
        name = one.utterance.stem
        found[name] = produced_spec(
            model,
            latents.of(one),
            voices.for_diffusion(one, voice_choice(latents.seed, one.utterance)),
            settings=settings,
            generator=generator_of(seed, name, "produced"),
        )
        listener.progress("Specs", number, len(utterances))
    return found


def sound(spec: Spec, vocoder: Loaded, *, seed: int, name: str) -> Audio:
    """What a vocoder makes of a spec: an utterance has the same noise in every system."""
    samples = sound_of(network_in(vocoder, UnivNet, "spec-to-wav"), spec, generator_of(seed, name, "vocoder"))
    return Audio(samples=samples, sample_rate_hz=vocoder.description.mel.sample_rate_hz)


def recorded(one: Encoded, material: TortoiseMaterial, vocoder: Loaded) -> tuple[Audio, Spec]:
    """A recording at the vocoder's rate, and its real spec: as many whole frames of both."""
    mel = vocoder.description.mel
    item = sounding(one, material, mel, is_produced=False)
    return Audio(samples=item.samples, sample_rate_hz=mel.sample_rate_hz), item.spec


@torch.no_grad()
def delay_of(
    vocoder: Loaded, utterances: Sequence[Encoded], material: TortoiseMaterial, *, seed: int
) -> Delay:
    """How late a vocoder answers, measured on real specs of recordings that it was not trained on."""
    real, generated = [], []
    for one in utterances[:MEASURED_FOR_DELAY]:
        audio, spec = recorded(one, material, vocoder)
        real.append(audio.samples)
        generated.append(sound(spec, vocoder, seed=seed, name=one.utterance.stem).samples)
    return measure_delay(real, generated, largest_samples=2 * vocoder.description.mel.hop_samples)
