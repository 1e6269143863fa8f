"""A recipe's network: from its base checkpoint, or new, together with its data as the network reads it."""

from dataclasses import replace

from torch import nn

from retimbre.checkpoint.fill import load_weights
from retimbre.data.coverage import guessed_words, read_utterance
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener
from retimbre.models.description import Description
from retimbre.models.hifigan.batch import VocoderItem
from retimbre.models.hifigan.config import DiscriminatorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import discriminator_config_from
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import Loaded
from retimbre.pipelines.everyvoice import ids_of
from retimbre.pipelines.fit import text_to_spec_in, vocoder_in
from retimbre.pipelines.teacher_forcing import require_known_symbols, training_item
from retimbre.recipe.recipe import Recipe
from retimbre.training.additions import refuse_additions, with_additions
from retimbre.training.everyvoice_state import beginning_of
from retimbre.training.fastspeech2 import text_to_spec_job
from retimbre.training.freezing import freeze
from retimbre.training.hifigan import spec_to_wav_job
from retimbre.training.job import Job
from retimbre.training.lineage import lineage
from retimbre.training.material import Material, without_long_texts
from retimbre.training.new_models import begun_text_to_spec, new_generator

SHOWN = 5  # guessed words


def text_to_spec_from(recipe: Recipe, material: Material, base: Loaded | None, listener: Listener) -> Job:
    """A fastspeech2 with its utterances, pitch and energy normalised by the speaker's own statistics."""
    added: tuple[str, ...] = ()
    if base is None:
        refuse_additions(recipe)
        loaded = begun_text_to_spec(recipe, material)
        require_known_symbols(material.utterances, loaded)
    else:
        loaded, added = with_additions(recipe, material.utterances, base, listener)
    model, description = text_to_spec_in(loaded), loaded.description
    _tell_guessed(material, description, listener)
    material = without_long_texts(material, recipe, loaded, listener)
    # Who goes on with a training goes on with its statistics: pitch and energy must mean what they meant.
    kept = description.stats if recipe.training.continues_base else None
    description = replace(
        description,
        stats=kept or material.stats,
        lineage=lineage(recipe, material, description.lineage, added=added),
        step=0,
    )
    loaded = replace(loaded, description=description)
    _require_durations_of_each_symbol(material, loaded)
    training = [training_item(u, material.store, loaded) for u in material.training]
    validation = {u.stem: training_item(u, material.store, loaded) for u in material.validation}
    _tell_frozen(freeze(model, recipe.training.frozen), listener)
    job = text_to_spec_job(
        model.train(), description, recipe.training, training=training, validation=validation
    )
    if not recipe.training.continues_base:
        return job
    return replace(job, beginning=beginning_of(recipe, {"model": model}, listener))


def spec_to_wav_from(recipe: Recipe, material: Material, base: Loaded | None, listener: Listener) -> Job:
    """A generator, its discriminators and utterances; specs are real ones, or produced ones for matching."""
    refuse_additions(recipe)
    generator, description = _generator(recipe, material, base)
    discriminators = _discriminators(recipe, base, listener)
    is_produced = recipe.training.spec_source == "produced"
    training = [vocoder_item(u, material, is_produced=is_produced) for u in material.training]
    validation = {u.stem: vocoder_item(u, material, is_produced=is_produced) for u in material.validation}
    parts = nn.ModuleDict({"generator": generator, "discriminators": discriminators})
    _tell_frozen(freeze(parts, _frozen(recipe, base, listener)), listener)
    description = replace(
        description, lineage=lineage(recipe, material, description.lineage), step=0, is_exported=False
    )
    job = spec_to_wav_job(
        generator.train(),
        discriminators.train(),
        description,
        recipe.training,
        training=training,
        validation=validation,
    )
    if not recipe.training.continues_base:
        return job
    return replace(job, beginning=beginning_of(recipe, job.objective.parts(), listener))


def vocoder_item(utterance: Utterance, material: Material, *, is_produced: bool) -> VocoderItem:
    """Recording and spec of one utterance; lengths were compared before."""
    store = material.store
    load = store.load_produced_spec if is_produced else store.load_spec
    samples = store.load_audio(utterance, material.output_mel).samples
    return VocoderItem(spec=load(utterance, material.mel), samples=samples)


def _generator(recipe: Recipe, material: Material, base: Loaded | None) -> tuple[Generator, Description]:
    if base is not None:
        return vocoder_in(base), base.description
    config, description = new_generator(recipe, material)
    return Generator(config), description


def _discriminators(recipe: Recipe, base: Loaded | None, listener: Listener) -> Discriminators:
    if base is not None and base.discriminators:
        shapes = {name: tuple(tensor.shape) for name, tensor in base.discriminators.items()}
        discriminators = Discriminators(discriminator_config_from(shapes, base.description.sizes).config)
        load_weights(discriminators, base.discriminators)
        return discriminators
    sizes = recipe.discriminators
    listener.say(
        "Discriminators",
        f"new ones: the generator waits {recipe.training.discriminators_first_steps:,} steps for them",
    )
    return Discriminators(
        DiscriminatorConfig(width=sizes.width, periods=sizes.periods, n_scales=sizes.n_scales)
    )


def _frozen(recipe: Recipe, base: Loaded | None, listener: Listener) -> tuple[str, ...]:
    """What is not to move; new discriminators know nothing yet, and must not stay so."""
    frozen = recipe.training.frozen
    if base is not None and base.discriminators:
        return frozen
    moving = tuple(name for name in frozen if name.startswith("discriminators"))
    if moving:
        listener.say(
            "Frozen",
            f"nothing of the discriminators: they are new and know nothing ({len(moving)} names are passed "
            "over)",
        )
    return tuple(name for name in frozen if name not in moving)


def _require_durations_of_each_symbol(material: Material, loaded: Loaded) -> None:
    """Given durations, where there are some, must be of the symbols that the model reads."""
    if text_to_spec_in(loaded).config.learns_alignment:
        return
    wrong: list[tuple[str, int, int]] = []
    for utterance in material.utterances:
        durations = material.store.load_durations(utterance)
        n_symbols = len(ids_of(read_utterance(utterance, loaded.description.reading), loaded))
        if durations is not None and len(durations) != n_symbols:
            wrong.append((utterance.basename, n_symbols, len(durations)))
    if wrong:
        name, n_symbols, n_durations = wrong[0]
        raise DataError(
            f"{len(wrong)} utterances have durations of other symbols",
            expected=f"{n_symbols} durations of {name}, one for each symbol",
            found=str(n_durations),
            do="measure them with the texts and symbols of this recipe",
        )


def _tell_guessed(material: Material, description: Description, listener: Listener) -> None:
    guessed = guessed_words(material.utterances, description.reading)
    if guessed:
        shown = ", ".join(f"{word} ({names[0]})" for word, names in list(guessed.items())[:SHOWN])
        more = f" and {len(guessed) - SHOWN} more" if len(guessed) > SHOWN else ""
        listener.say("Pronounced by rule", f"{shown}{more}: if one is wrong, give the list a column 'phones'")


def _tell_frozen(n_frozen: int, listener: Listener) -> None:
    if n_frozen:
        listener.say("Frozen", f"{n_frozen} tensors do not move")
