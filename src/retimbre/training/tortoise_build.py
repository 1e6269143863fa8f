"""TorToiSe's stages: recipe -> material -> plan -> job. What speaks later is what is computed here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from retimbre.checkpoint.digests import Digests
from retimbre.jobs.listener import Listener
from retimbre.models.description import Description
from retimbre.models.identify import identify
from retimbre.models.load import Loaded, load_model
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.pipelines.fit import Network, network_in
from retimbre.pipelines.produced_tortoise_specs import Production, write_produced_tortoise_specs
from retimbre.pipelines.teacher_forced_latents import Makers, StoredLatents, write_latents
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_speaker import DIGESTS
from retimbre.pipelines.tortoise_voice_cache import user_cache_folder
from retimbre.recipe.recipe import Recipe
from retimbre.recipe.training import LossWeights, Optimiser, Training
from retimbre.training.build_dvae import wav_to_codes_from
from retimbre.training.build_univnet import univnet_from
from retimbre.training.job import Job
from retimbre.training.learner import learner_of
from retimbre.training.lineage import lineage
from retimbre.training.possible import require_possible
from retimbre.training.tortoise_ar import text_to_codes_job
from retimbre.training.tortoise_diffusion import codes_to_spec_job
from retimbre.training.tortoise_facts import device_facts, facts_of, layers_recomputed
from retimbre.training.tortoise_forgetting import base_texts
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial, prepare_tortoise
from retimbre.training.tortoise_plan import plan_tortoise
from retimbre.training.tortoise_samples import samples_of
from retimbre.training.tortoise_training_files import files_of
from retimbre.training.tortoise_voices import TrainingVoices

STAGES = ("text-to-codes", "codes-to-spec", "wav-to-codes")
VOCODER = "univnet"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a job is built on."""

    recipe: Recipe
    material: TortoiseMaterial
    base: Loaded | None
    listener: Listener
    device: str


def is_tortoise(recipe: Recipe) -> bool:
    """Is one of TorToiSe's stages trained? Of vocoders, the base tells."""
    if recipe.stage in STAGES:
        return True
    if recipe.stage != "spec-to-wav" or recipe.base is None or not recipe.base.is_file():
        return False
    return identify(recipe.base, is_hashed=False).family == VOCODER


def tortoise_job(
    recipe: Recipe,
    base: Loaded | None,
    *,
    listener: Listener,
    device: str = "cpu",
    stored: Training | None = None,
) -> tuple[Recipe, Job]:
    """The recipe with everything that it leaves open decided, and its stage with its data.

    Args:
        stored: The section that an interrupted run was begun with: it is not planned anew.
    """
    require_possible(recipe, base)
    files = files_of(recipe, digests=Digests(user_cache_folder().parent / DIGESTS))
    material = prepare_tortoise(recipe, files=files, listener=listener, device=device)
    if stored is not None:
        training = with_stored_plan(recipe.training, stored)
    else:
        plan = plan_tortoise(
            recipe.training, facts_of(recipe, material, base, device_facts(device, recipe.training, base))
        )
        for choice in plan.choices:
            listener.say("Plan", f"{choice.choice} {choice.value}: {choice.reason}")
        training = plan.training
    recipe = recipe.model_copy(update={"training": training})
    torch.manual_seed(training.seed)
    ground = Ground(recipe=recipe, material=material, base=base, listener=listener, device=device)
    return recipe, BUILD[recipe.stage](ground)


def with_stored_plan(asked: Training, stored: Training) -> Training:
    """What a run was begun with, wherever the recipe leaves it open: a resumed run is not planned anew."""
    nested = {
        "optimiser": asked.optimiser.model_copy(update=_left_open(asked.optimiser, stored.optimiser)),
        "loss": asked.loss.model_copy(update=_left_open(asked.loss, stored.loss)),
    }
    return asked.model_copy(update=_left_open(asked, stored) | nested)


def _left_open(
    asked: Training | Optimiser | LossWeights, stored: Training | Optimiser | LossWeights
) -> dict[str, object]:
    names = type(asked).model_fields
    return {name: getattr(stored, name) for name in names if name not in asked.model_fields_set}


def voices_of(ground: Ground, *, as_speaking: bool = False) -> TrainingVoices:
    """From whom voices are heard; `as_speaking`: as inference hears them, however the stage is trained."""
    section = ground.recipe.tortoise
    if as_speaking:
        section = section.model_copy(update={"trains_as": "inference"})
    return TrainingVoices.of(ground.material, section)


def latents_for(ground: Ground, ar: Loaded, utterances: Sequence[Encoded] | None = None) -> StoredLatents:
    """What an autoregressive network thinks at the true codes of utterances (of all), in the store."""
    files, material = ground.material.files, ground.material
    makers = Makers(
        text_to_codes=files.sha256("text-to-codes"),
        dvae=material.dvae_sha256,
        seed=ground.recipe.data.seed,
    )
    return write_latents(
        every_utterance(material) if utterances is None else utterances,
        material.store,
        network_in(ar, UnifiedVoice, "text-to-codes"),
        voices=voices_of(ground, as_speaking=True),
        makers=makers,
        listener=ground.listener,
    )


def every_utterance(material: TortoiseMaterial) -> tuple[Encoded, ...]:
    """All that can be used, each once."""
    return tuple(dict.fromkeys((*material.training, *material.validation, *material.held_out)))


def sampling_of(recipe: Recipe) -> Settings:
    """How specs are produced that a vocoder is matched to, or a decoder is judged by."""
    return Settings(sampler="dpm++2m", n_steps=recipe.tortoise.sampled_steps)


def _text_to_codes(ground: Ground) -> Job:
    recipe, material, network = ground.recipe, ground.material, _network(ground, UnifiedVoice)
    settings = recipe.training
    learner = learner_of(network.train(), _described(ground), settings)
    texts = base_texts(material.files.vocabulary)
    if settings.lora is not None and settings.precision == "bf16-mixed":
        network.gpt.keep_reduced(torch.bfloat16)  # adapters alone are kept; over the base's own weights
    network.gpt.n_recomputed = layers_recomputed(
        recipe, material, learner, device_facts(ground.device, settings, ground.base)
    )
    ground.listener.say(
        "Validation",
        "speaks some of the texts code by code; before the first step the base speaks as well, which takes "
        "minutes at the released size on a processor",
    )
    return text_to_codes_job(
        learner,
        settings,
        training=material.training,
        validation=material.validation[: settings.validate_at_most],
        voices=voices_of(ground),
        validation_voices=voices_of(ground, as_speaking=True),
        trains_as=recipe.tortoise.trains_as,
        base_texts=texts,
        samples=samples_of(recipe, material, ground.listener, base_text=texts[0] if texts else None),
    )


def _codes_to_spec(ground: Ground) -> Job:
    material, network = ground.material, _network(ground, DiffusionDecoder)
    path = material.files.paths["text-to-codes"]
    ground.listener.say("Latents", f"of {path.name}: the decoder is matched to it")
    latents = latents_for(ground, load_model(path, device=ground.device))
    settings = ground.recipe.training
    learner = learner_of(network.train(), _described(ground), settings)
    return codes_to_spec_job(
        learner,
        settings,
        training=material.training,
        validation=material.validation[: settings.validate_at_most],
        store=material.store,
        latents=latents,
        voices=voices_of(ground, as_speaking=True),
    )


def _wav_to_codes(ground: Ground) -> Job:
    return wav_to_codes_from(ground.recipe, ground.material, ground.base, ground.listener)


def _spec_to_wav(ground: Ground) -> Job:
    if ground.recipe.training.spec_source == "produced":
        produce_specs(ground)
    return univnet_from(ground.recipe, ground.material, ground.base, ground.listener)


def produce_specs(ground: Ground, utterances: Sequence[Encoded] | None = None) -> None:
    """What the diffusion stage makes of utterances (of all), in the store: what a vocoder is matched to."""
    material = ground.material
    paths = material.files.paths
    ground.listener.say("Specs", f"of {paths['codes-to-spec'].name}: the vocoder is matched to it")
    utterances = every_utterance(material) if utterances is None else utterances
    latents = latents_for(ground, load_model(paths["text-to-codes"], device=ground.device), utterances)
    diffusion = load_model(paths["codes-to-spec"], device=ground.device)
    write_produced_tortoise_specs(
        utterances,
        material.store,
        network_in(diffusion, DiffusionDecoder, "codes-to-spec"),
        latents=latents,
        voices=voices_of(ground, as_speaking=True),
        production=Production(
            codes_to_spec=material.files.sha256("codes-to-spec"),
            text_to_codes=material.files.sha256("text-to-codes"),
            settings=sampling_of(ground.recipe),
            seed=ground.recipe.data.seed,
        ),
        listener=ground.listener,
    )


def _network(ground: Ground, kind: type[Network]) -> Network:
    assert ground.base is not None  # looked at before anything was prepared
    return network_in(ground.base, kind, ground.recipe.stage)


def _described(ground: Ground) -> Description:
    """The base's description, with where the new network comes from."""
    assert ground.base is not None
    before = ground.base.description
    described = lineage(ground.recipe, ground.material, before.lineage)
    beside = ground.material.files.beside(ground.recipe.stage)
    return replace(before, lineage={**described, "learnt_with": beside}, step=0)


BUILD: Mapping[str, Callable[[Ground], Job]] = {
    "text-to-codes": _text_to_codes,
    "codes-to-spec": _codes_to_spec,
    "wav-to-codes": _wav_to_codes,
    "spec-to-wav": _spec_to_wav,
}
