"""A recipe and its material -> a UnivNet that learns, with its discriminators, on real or produced specs."""

from dataclasses import replace

from torch import nn

from retimbre.audio.mel import MelSpec, log_mel
from retimbre.audio.resample import sinc_resample
from retimbre.checkpoint.fill import load_weights
from retimbre.errors import RecipeError
from retimbre.jobs.listener import Listener
from retimbre.models.hifigan.batch import VocoderItem
from retimbre.models.load import Loaded
from retimbre.models.univnet.batch import item_of
from retimbre.models.univnet.config import JudgesConfig
from retimbre.models.univnet.discriminators import UnivNetJudges
from retimbre.models.univnet.from_shapes import judges_config_from
from retimbre.models.univnet.model import UnivNet
from retimbre.pipelines.fit import network_in
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.recipe.recipe import Recipe
from retimbre.training.freezing import freeze
from retimbre.training.job import Job
from retimbre.training.lineage import lineage
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial
from retimbre.training.univnet import univnet_job


def univnet_from(recipe: Recipe, material: TortoiseMaterial, base: Loaded | None, listener: Listener) -> Job:
    """A vocoder of TorToiSe with its utterances.

    Raises:
        RecipeError: there is no base: nobody needs a new UnivNet, and it takes weeks.
    """
    if base is None:
        raise RecipeError("a UnivNet is tuned, not trained anew", do="name its file (--base vocoder.pth)")
    generator = network_in(base, UnivNet, "spec-to-wav")
    is_produced = recipe.training.spec_source == "produced"
    mel, section = base.description.mel, recipe.training
    described = lineage(recipe, material, base.description.lineage)
    if is_produced:
        described["learnt_with"] = material.files.beside(recipe.stage)
    description = replace(base.description, lineage=described, step=0, is_exported=False)
    discriminators = _discriminators(recipe, base, listener)
    freeze(nn.ModuleDict({"generator": base.model, "discriminators": discriminators}), recipe.training.frozen)
    chosen = material.validation[: section.validate_at_most]
    return univnet_job(
        generator.train(),
        discriminators.train(),
        description,
        section,
        training=[sounding(one, material, mel, is_produced=is_produced) for one in material.training],
        validation={
            one.utterance.stem: sounding(one, material, mel, is_produced=is_produced) for one in chosen
        },
    )


def sounding(encoded: Encoded, material: TortoiseMaterial, mel: MelSpec, *, is_produced: bool) -> VocoderItem:
    """The recording of one utterance at the vocoder's rate, and its spec: the real one, or a produced one."""
    recorded = material.store.load_audio(encoded.utterance, AUTO_MEL)
    samples = sinc_resample(recorded, mel.sample_rate_hz).samples.clamp(-1.0, 1.0)
    produced, real = material.store.load_produced_spec, log_mel
    spec = produced(encoded.utterance, mel) if is_produced else real(samples, mel)
    return item_of(spec, samples, hop_samples=mel.hop_samples)


def _discriminators(recipe: Recipe, base: Loaded, listener: Listener) -> UnivNetJudges:
    if base.discriminators:
        shapes = {name: tuple(tensor.shape) for name, tensor in base.discriminators.items()}
        judges = UnivNetJudges(judges_config_from(shapes, base.description.sizes).config)
        load_weights(judges, base.discriminators)
        return judges
    listener.say(
        "Discriminators",
        f"new ones: the generator waits {recipe.training.discriminators_first_steps:,} steps for them",
    )
    sizes = recipe.discriminators
    return UnivNetJudges(JudgesConfig(width=sizes.width, periods=sizes.periods))
