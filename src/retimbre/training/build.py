"""A recipe's network: from its base checkpoint, or new, together with its data as the network reads it."""

import math
from dataclasses import replace

from torch import nn

from retimbre.checkpoint.fill import load_weights
from retimbre.data.coverage import guessed_words
from retimbre.data.utterance import Utterance
from retimbre.jobs.listener import Listener
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.config import (
    ConformerSizes,
    FastSpeech2Config,
    Level,
    PredictorSizes,
)
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.batch import VocoderItem
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import discriminator_config_from
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import Loaded
from retimbre.pipelines.fit import text_to_spec_in, vocoder_in
from retimbre.pipelines.teacher_forcing import require_known_symbols, training_item
from retimbre.recipe.read import sizes_from_recipe
from retimbre.recipe.recipe import Recipe, SpecToWavModel
from retimbre.text.normalise import TextRules
from retimbre.text.symbols import everyvoice_symbols
from retimbre.training.fastspeech2 import text_to_spec_job
from retimbre.training.freezing import freeze
from retimbre.training.hifigan import spec_to_wav_job
from retimbre.training.job import Job
from retimbre.training.lineage import lineage
from retimbre.training.material import Material, without_long_texts

SHOWN = 5  # guessed words


def text_to_spec_from(recipe: Recipe, material: Material, base: Loaded | None, listener: Listener) -> Job:
    """A fastspeech2 with its utterances, pitch and energy normalised by the speaker's own statistics."""
    if base is None:
        description = _new_text_to_spec(recipe, material)
        with sizes_from_recipe("text_to_spec"):
            model = FastSpeech2(_sized(recipe, material, len(description.symbols)))
        description = replace(description, sizes=sizes_of(model.config))
    else:
        model, description = text_to_spec_in(base), base.description
    loaded = Loaded(
        model=model, description=description, path=recipe.base or recipe.runs, stage="text-to-spec"
    )
    require_known_symbols(material.utterances, loaded)
    _tell_guessed(material, description, listener)
    material = without_long_texts(material, recipe, loaded, listener)
    description = replace(
        description, stats=material.stats, lineage=lineage(recipe, material, description.lineage), step=0
    )
    loaded = replace(loaded, description=description)
    training = [training_item(u, material.store, loaded) for u in material.training]
    validation = {u.stem: training_item(u, material.store, loaded) for u in material.validation}
    _tell_frozen(freeze(model, recipe.training.frozen), listener)
    return text_to_spec_job(
        model.train(), description, recipe.training, training=training, validation=validation
    )


def spec_to_wav_from(recipe: Recipe, material: Material, base: Loaded | None, listener: Listener) -> Job:
    """A generator, its discriminators and utterances; specs are real ones, or produced ones for matching."""
    generator, description = _generator(recipe, material, base)
    discriminators = _discriminators(recipe, base, listener)
    is_produced = recipe.training.spec_source == "produced"
    training = [vocoder_item(u, material, is_produced=is_produced) for u in material.training]
    validation = {u.stem: vocoder_item(u, material, is_produced=is_produced) for u in material.validation}
    parts = nn.ModuleDict({"generator": generator, "discriminators": discriminators})
    _tell_frozen(freeze(parts, recipe.training.frozen), listener)
    description = replace(
        description, lineage=lineage(recipe, material, description.lineage), step=0, is_exported=False
    )
    return spec_to_wav_job(
        generator.train(),
        discriminators.train(),
        description,
        recipe.training,
        training=training,
        validation=validation,
    )


def vocoder_item(utterance: Utterance, material: Material, *, is_produced: bool) -> VocoderItem:
    """Recording and spec of one utterance; lengths were compared before."""
    store = material.store
    load = store.load_produced_spec if is_produced else store.load_spec
    samples = store.load_audio(utterance, material.mel).samples
    return VocoderItem(spec=load(utterance, material.mel), samples=samples)


def _new_text_to_spec(recipe: Recipe, material: Material) -> Description:
    text = recipe.text
    rules = TextRules(cleaners=text.cleaners, to_replace=dict(text.to_replace))
    has_phones = bool(text.phones)
    table = everyvoice_symbols(
        characters=() if has_phones else tuple(text.characters), phones=text.phones, rules=rules
    )
    return Description(
        family="fastspeech2",
        sizes={},
        mel=material.mel,
        symbols=table.symbols,
        text_level="phones" if has_phones else "characters",
        text_rules=rules,
        g2p={"default": text.g2p} if text.g2p else {},
    )


def _sized(recipe: Recipe, material: Material, n_symbols: int) -> FastSpeech2Config:
    sizes = recipe.text_to_spec
    layers = ConformerSizes(
        n_layers=sizes.n_layers,
        n_heads=sizes.n_heads,
        dim=sizes.dim,
        feedforward_dim=sizes.feedforward_dim,
        dropout=sizes.dropout,
    )
    predictor = PredictorSizes(dim=sizes.dim)
    pitch, energy = material.stats.pitch, material.stats.energy
    return FastSpeech2Config(
        n_symbols=n_symbols,
        n_mels=material.mel.n_mels,
        encoder=layers,
        decoder=layers,
        duration=predictor,
        pitch=predictor,
        energy=predictor,
        pitch_level=Level(sizes.level),
        energy_level=Level(sizes.level),
        pitch_range=(pitch.norm_min, pitch.norm_max),
        energy_range=(energy.norm_min, energy.norm_max),
        postnet_dim=512 if sizes.has_postnet else None,
        silence=material.mel.silence,
    )


def _generator(recipe: Recipe, material: Material, base: Loaded | None) -> tuple[Generator, Description]:
    if base is not None:
        return vocoder_in(base), base.description
    with sizes_from_recipe("spec_to_wav"):
        config = _generator_config(recipe.spec_to_wav, material)
    return Generator(config), Description(family="hifigan", sizes=sizes_of(config), mel=material.mel)


def _generator_config(sizes: SpecToWavModel, material: Material) -> GeneratorConfig:
    hop, upsampled = material.mel.hop_samples, math.prod(sizes.upsample_rates)
    n_fft = 4 * hop // upsampled if sizes.is_istft else None
    config = GeneratorConfig(
        n_mels=material.mel.n_mels,
        resblock=sizes.resblock,
        upsample_rates=sizes.upsample_rates,
        upsample_kernels=sizes.upsample_kernels,
        initial_channels=sizes.initial_channels,
        resblock_kernels=sizes.resblock_kernels,
        resblock_dilations=sizes.resblock_dilations,
        istft_n_fft_samples=n_fft,
    )
    if config.hop_samples != hop:
        raise ValueError(
            f"upsample_rates {list(sizes.upsample_rates)} make {config.hop_samples} samples of a frame "
            f"that has {hop}"
        )
    return config


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


def _tell_guessed(material: Material, description: Description, listener: Listener) -> None:
    guessed = guessed_words(material.utterances, description.reading)
    if guessed:
        shown = ", ".join(f"{word} ({names[0]})" for word, names in list(guessed.items())[:SHOWN])
        more = f" and {len(guessed) - SHOWN} more" if len(guessed) > SHOWN else ""
        listener.say("Pronounced by rule", f"{shown}{more}: if one is wrong, give the list a column 'phones'")


def _tell_frozen(n_frozen: int, listener: Listener) -> None:
    if n_frozen:
        listener.say("Frozen", f"{n_frozen} tensors do not move")
