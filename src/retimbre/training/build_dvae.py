"""A recipe and its material -> a dVAE that learns: a new one as a whole, or the decoder of a known one."""

from dataclasses import replace

from retimbre.audio.mel import log_mel
from retimbre.errors import RecipeError
from retimbre.jobs.listener import Listener
from retimbre.models.description import Description, sizes_of
from retimbre.models.load import Loaded
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.tortoise_dvae.batch import DvaeItem, frames_per_code
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_dvae.from_shapes import mel
from retimbre.models.tortoise_dvae.model import DiscreteVAE
from retimbre.pipelines.fit import network_in
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.recipe.read import sizes_from_recipe
from retimbre.recipe.recipe import Recipe
from retimbre.training.additions import refuse_additions
from retimbre.training.freezing import freeze
from retimbre.training.job import Job
from retimbre.training.lineage import lineage
from retimbre.training.tortoise_dvae import Part, wav_to_codes_job
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial


def described_dvae(config: DvaeConfig) -> Description:
    """The description of a dVAE of these sizes that is trained from scratch; its `mel` is to be prepared."""
    return Description(family=TORTOISE_DVAE.name, sizes=sizes_of(config), spectrogram=mel(config))


def wav_to_codes_from(
    recipe: Recipe,
    material: TortoiseMaterial,
    base: Loaded | None,
    listener: Listener,
) -> Job:
    """A dVAE with its specs.

    Args:
        material: Recordings alone: no texts, no codes.

    Raises:
        RecipeError: if an encoder or a code book would change that other stages were trained with.
    """
    refuse_additions(recipe)
    require_possible_part(recipe)
    model, description = _new(recipe, listener) if base is None else _known(base)
    model.train()
    freeze(model, recipe.training.frozen)
    _tell_short_segments(recipe, model.config, listener)
    description = replace(
        description, lineage=lineage(recipe, material, description.lineage), step=0, is_exported=False
    )
    return wav_to_codes_job(
        model,
        description,
        recipe.training,
        training=[dvae_item(one, material) for one in material.training],
        validation={
            one.utterance.stem: dvae_item(one, material)
            for one in material.validation[: recipe.training.validate_at_most]
        },
        part=part_of(recipe),
    )


def dvae_item(encoded: Encoded, material: TortoiseMaterial) -> DvaeItem:
    """The spec of one utterance, divided by TorToiSe's norms."""
    return DvaeItem(spec=log_mel(material.store.load_audio(encoded.utterance, AUTO_MEL).samples, AUTO_MEL))


def part_of(recipe: Recipe) -> Part:
    """What learns: of a known network the decoder, of a new one all, unless the recipe says it."""
    return recipe.tortoise.part or ("decoder" if recipe.base else "all")


def require_possible_part(recipe: Recipe) -> None:
    """What is to learn must be able to, without harm to what was trained with it.

    Raises:
        RecipeError: if all of a known network is to learn, or the decoder of none.
    """
    if recipe.base is not None and part_of(recipe) == "all":
        raise RecipeError(
            f"{recipe.base.name} cannot be trained further as a whole: with another encoder or code book, "
            "its codes would mean something else to every stage that was trained on them "
            "(text-to-codes, ranking, and the diffusion decoder's branch for codes)",
            do="train its decoder alone (-c tortoise.part=decoder), or a new dVAE without 'base:', and then "
            "the other stages with it; an own run goes on by --resume with more training.steps",
        )
    if recipe.base is None and part_of(recipe) == "decoder":
        raise RecipeError(
            "tortoise.part is 'decoder', but there is no dVAE whose decoder could learn",
            do="name one (--base dvae.pth), or train a new one as a whole (-c tortoise.part=all)",
        )


def _new(recipe: Recipe, listener: Listener) -> tuple[DiscreteVAE, Description]:
    with sizes_from_recipe("tortoise.new_dvae"):
        config = DvaeConfig(**recipe.tortoise.new_dvae.model_dump())
    listener.say(
        "New codes",
        "the released autoregressive.pth and clvp2.pth do not fit them, nor does the branch for codes in "
        "diffusion_decoder.pth: those stages must be trained with this dVAE, too",
    )
    return DiscreteVAE(config), described_dvae(config)


def _known(base: Loaded) -> tuple[DiscreteVAE, Description]:
    return network_in(base, DiscreteVAE, "wav-to-codes"), base.description


def _tell_short_segments(recipe: Recipe, config: DvaeConfig, listener: Listener) -> None:
    """A code depends on frames far around it; in a short segment most of them are missing."""
    seen, given = frames_seen(config), recipe.training.segment_frames
    if given < 2 * seen:
        listener.say(
            "Segments",
            f"of {given} frames, but a code depends on {seen}: -c training.segment_frames={4 * seen} lets "
            "most of them be whole",
        )


def frames_seen(config: DvaeConfig) -> int:
    """From how many frames a code is made."""
    seen, step = 1, 1
    for _ in range(config.n_layers):
        seen += (config.kernel - 1) * step
        step *= config.stride
    return seen + config.n_resblocks * 4 * frames_per_code(config)
