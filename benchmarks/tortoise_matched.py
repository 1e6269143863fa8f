"""The diffusion phase of experiment_tortoise.py: does a decoder gain by the latents of the tuned stage?

Three decoders are given the same thing, the latents of the tuned autoregressive stage at the true codes of
held-out speech: one that learnt from that stage's latents of the other clips (`matched`), one that learnt as
long from the same clips and the base's latents (`control`), and one that has not heard the speaker (`base`).
"""

from pathlib import Path

import torch
from make_tortoise_set import write_released
from on_ljspeech import at_steps
from tortoise_phases import handed_on, speaker_in, trained
from tortoise_plan import DIFFUSION, ONCE_EACH, Plan, Tuning, write

from retimbre.jobs.listener import Silent
from retimbre.models.load import load_model, save_model
from retimbre.models.tortoise_ar.sampling import generator_of
from retimbre.models.tortoise_diffusion import TORTOISE_DIFFUSION
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.pipelines.produced_tortoise_specs import produced_spec
from retimbre.pipelines.teacher_forced_latents import FreshLatents, voice_choice
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_target import mel_error, target_spec
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial, prepare_tortoise
from retimbre.training.tortoise_training_files import files_of
from retimbre.training.tortoise_voices import TrainingVoices

SPOKEN_AS = Settings(sampler="dpm++2m", n_steps=20, guidance=0.0)
N_TIMES = 2  # each spec from noise of its own; the same noise for all three decoders
SEED = 1


def diffusion(plan: Plan) -> None:
    """The decoder of all voices, its tuned ones, and how far what they make is from the recordings."""
    if not plan.young_diffusion_file.is_file():
        recipe = plan.diffusion()
        if recipe.base is not None and not recipe.base.is_file():
            torch.manual_seed(recipe.training.seed)
            write_released(recipe.base, TORTOISE_DIFFUSION, DiffusionDecoder(DIFFUSION))
        handed_on(trained(recipe) / "model.safetensors", plan.young_diffusion_file)
    if not plan.diffusion_file.is_file():
        handed_on(trained(plan.diffusion_further()) / "model.safetensors", plan.diffusion_file)
    for tuning in ONCE_EACH:
        for to in ("tuned", "base"):
            path = plan.matched_file(tuning, to=to)
            if not path.is_file():
                newest = max(at_steps(trained(plan.matched(tuning, to=to)), "model").items())[1]
                save_model(path, newest.model, newest.description)
        measured = plan.measures(f"diffusion-seed-{tuning.seed}-fold-{tuning.fold}")
        if not measured.is_file():
            write(measured, errors_of(plan, tuning))


def errors_of(plan: Plan, tuning: Tuning) -> dict[str, dict[str, float]]:
    """Utterance -> the mel error of each decoder."""
    recipe = plan.matched(tuning, to="tuned")
    material = prepare_tortoise(recipe, files=files_of(recipe), listener=Silent())
    voices = TrainingVoices.of(material, recipe.tortoise)
    latents = FreshLatents(ar=speaker_in(plan.tuned_file(tuning)), voices=voices, seed=SEED)
    decoders = {
        "matched": decoder_in(plan.matched_file(tuning, to="tuned")),
        "control": decoder_in(plan.matched_file(tuning, to="base")),
        "base": decoder_in(plan.diffusion_file),
    }
    return {
        one.utterance.basename: {
            name: mean_error(decoder, one, material, voices, latents) for name, decoder in decoders.items()
        }
        for one in material.held_out
    }


def mean_error(
    decoder: DiffusionDecoder,
    one: Encoded,
    material: TortoiseMaterial,
    voices: TrainingVoices,
    latents: FreshLatents[Encoded],
) -> float:
    """Mean absolute difference of log-mels, over some beginnings of noise."""
    name, mel = one.utterance.basename, spec_of(decoder.config)
    samples = material.store.load_audio(one.utterance, AUTO_MEL).samples
    target = target_spec(samples, len(one.codes), mel)
    clips = voices.for_diffusion(one, voice_choice(SEED, one.utterance))
    read = latents.of(one)
    errors = []
    for time in range(N_TIMES):
        noise = generator_of(SEED, name, time)
        spec = produced_spec(decoder, read, clips, settings=SPOKEN_AS, generator=noise)
        errors.append(mel_error(spec, target, one.n_samples, mel))
    return sum(errors) / len(errors)


def decoder_in(path: Path) -> DiffusionDecoder:
    """The network of a file, ready to speak."""
    model = load_model(path).model.eval()
    assert isinstance(model, DiffusionDecoder)
    return model
