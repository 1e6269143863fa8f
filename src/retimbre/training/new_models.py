"""What a recipe without a base describes: a network's sizes, and how it reads texts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from retimbre.errors import RecipeError
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.config import (
    ConformerSizes,
    FastSpeech2Config,
    Level,
    PredictorSizes,
    StyleSizes,
)
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.fastspeech2.symbols import FeatureInput
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.load import Loaded
from retimbre.recipe.read import sizes_from_recipe
from retimbre.recipe.recipe import DurationPredictor, Recipe, SpecToWavModel, Text, TextToSpecModel
from retimbre.text.features import N_FEATURES, symbol_features
from retimbre.text.normalise import TextRules
from retimbre.text.phones import languages_with_phones
from retimbre.text.reading import SpecialRules
from retimbre.text.split import Boundaries, Splitting
from retimbre.text.symbols import PAD, PUNCTUATION, SymbolTable, everyvoice_symbols
from retimbre.training.material import Material

OWN = "own"  # text.g2p: the rules of each language that has some
UNTOLD = ("default",)  # the one speaker or language of a network that tells none apart


def new_text_to_spec(recipe: Recipe, material: Material) -> tuple[FastSpeech2Config, Description]:
    """The sizes and the description of a fastspeech2 that is trained from scratch."""
    text, utterances = recipe.text, material.utterances
    rules, special = _rules(recipe)
    sizes = recipe.text_to_spec
    has_phones = _has_phones(text, sizes)
    languages = _names(utterance.language for utterance in utterances)
    speakers = _names(utterance.speaker for utterance in utterances)
    symbols = _symbols(text, rules, has_phones=has_phones)
    with sizes_from_recipe("text_to_spec"):
        config = replace(
            text_to_spec_config(sizes, material, n_symbols=len(symbols)),
            n_speakers=len(speakers) if sizes.has_speakers else None,
            n_languages=len(languages) if sizes.has_languages else None,
        )
    tells_languages = sizes.has_languages or len(languages) > 1  # each may have rules of its own
    description = Description(
        family="fastspeech2",
        sizes=sizes_of(config),
        spectrogram=material.mel,
        symbols=symbols,
        text_level="phones" if has_phones else "characters",
        text_rules=rules,
        special_rules=special,
        splitting=_splitting(text),
        g2p=_engines(text, languages),
        speakers=speakers if sizes.has_speakers else UNTOLD,
        languages=languages if tells_languages else UNTOLD,
    )
    return config, description


def begun_text_to_spec(recipe: Recipe, material: Material) -> Loaded:
    """A fastspeech2 that has learnt nothing yet; one that reads features knows those of its symbols."""
    config, description = new_text_to_spec(recipe, material)
    model, text = FastSpeech2(config), recipe.text
    if isinstance(model.text_input_layer, FeatureInput):
        features = symbol_features(description.symbols, punctuation=_punctuation(text), silence=text.silence)
        model.text_input_layer.features.copy_(features)
    return Loaded(model=model, description=description, path=recipe.runs, stage="text-to-spec")


def text_to_spec_config(sizes: TextToSpecModel, material: Material, *, n_symbols: int) -> FastSpeech2Config:
    """The network of a recipe, apart from what its lists say of speakers and languages."""
    encoder = ConformerSizes(
        n_layers=sizes.n_layers,
        n_heads=sizes.n_heads,
        dim=sizes.dim,
        feedforward_dim=sizes.feedforward_dim,
        kernel=sizes.kernel,
        dropout=sizes.dropout,
    )
    given = {name: value for name, value in sizes.decoder.model_dump().items() if value is not None}
    pitch, energy = material.stats.pitch, material.stats.energy
    return FastSpeech2Config(
        n_symbols=n_symbols,
        n_features=N_FEATURES if sizes.reads_features else None,
        n_mels=material.mel.n_mels,
        encoder=encoder,
        decoder=replace(encoder, **given),
        duration=_predictor(sizes.duration, sizes.dim),
        pitch=_predictor(sizes.pitch, sizes.dim),
        energy=_predictor(sizes.energy, sizes.dim),
        pitch_level=Level(sizes.pitch.level or sizes.level),
        energy_level=Level(sizes.energy.level or sizes.level),
        n_pitch_bins=sizes.pitch.n_bins,
        n_energy_bins=sizes.energy.n_bins,
        pitch_range=(pitch.norm_min, pitch.norm_max),
        energy_range=(energy.norm_min, energy.norm_max),
        learns_alignment=sizes.learns_alignment,
        postnet_dim=sizes.postnet_dim if sizes.has_postnet else None,
        style=StyleSizes() if sizes.has_style_tokens else None,
        silence=material.mel.silence,
    )


def new_generator(recipe: Recipe, material: Material) -> tuple[GeneratorConfig, Description]:
    """The sizes and the description of a hifigan that is trained from scratch."""
    with sizes_from_recipe("spec_to_wav"):
        config = _generator_config(recipe.spec_to_wav, material)
    return config, Description(
        family="hifigan",
        sizes=sizes_of(config),
        spectrogram=material.mel,
        output_sample_rate_hz=material.output_sample_rate_hz,
    )


def _generator_config(sizes: SpecToWavModel, material: Material) -> GeneratorConfig:
    hop, upsampled = material.output_mel.hop_samples, math.prod(sizes.upsample_rates)
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


def _predictor(given: DurationPredictor, dim: int) -> PredictorSizes:
    return PredictorSizes(
        n_layers=given.n_layers,
        dim=dim,
        kernel=given.kernel,
        is_depthwise=given.is_depthwise,
        dropout=given.dropout,
    )


def _rules(recipe: Recipe) -> tuple[TextRules, SpecialRules]:
    """The common rules, and those of languages and data sets; where there is one set, its own are common."""
    text, data = recipe.text, recipe.data
    common = TextRules(cleaners=text.cleaners, to_replace=dict(text.to_replace))
    special = SpecialRules(
        language_cleaners=text.language_cleaners,
        language_to_replace=text.language_to_replace,
        dataset_cleaners=text.dataset_cleaners,
        dataset_to_replace=text.dataset_to_replace,
    )
    if data.more:
        return common, special
    # A text that is spoken belongs to no data set: with one of them, all are read as its texts were.
    has_cleaners, has_replacements = (
        data.label in text.dataset_cleaners,
        data.label in text.dataset_to_replace,
    )
    of_languages = SpecialRules(
        language_cleaners={} if has_cleaners else text.language_cleaners,
        language_to_replace={} if has_replacements else text.language_to_replace,
    )
    common = TextRules(
        cleaners=text.dataset_cleaners.get(data.label, text.cleaners),
        to_replace=text.dataset_to_replace.get(data.label, text.to_replace),
    )
    return common, of_languages


def _has_phones(text: Text, sizes: TextToSpecModel) -> bool:
    has_phones = bool(text.phones) if text.level is None else text.level == "phones"
    if sizes.reads_features and not has_phones:
        raise RecipeError(
            "text_to_spec.reads_features is only for phones: letters have no features",
            expected="text.phones, or text.level: phones",
            found="characters",
            do="list the phones under 'text.phones', or write 'reads_features: false'",
        )
    return has_phones


def _punctuation(text: Text) -> Mapping[str, Sequence[str]]:
    return {**PUNCTUATION, **{str(kind): marks for kind, marks in text.punctuation.items()}}


def _splitting(text: Text) -> Splitting:
    boundaries = {
        language: Boundaries(strong=signs.strong, weak=signs.weak)
        for language, signs in text.boundaries.items()
    }
    return Splitting(is_on=text.split_text, boundaries=boundaries)


def _symbols(text: Text, rules: TextRules, *, has_phones: bool) -> tuple[str, ...]:
    if not text.symbols:
        return everyvoice_symbols(
            characters=() if has_phones else tuple(text.characters),
            phones=text.phones,
            punctuation=_punctuation(text),
            silence=text.silence,
            rules=rules,
        ).symbols
    if text.symbols[0] != PAD:
        raise RecipeError(
            "text.symbols does not begin with padding",
            expected="the row 0, which is never spoken, as '\\x80'",
            found=repr(text.symbols[0]),
            do='write "\\x80" before the others, in double quotes',
        )
    return SymbolTable(text.symbols).symbols


def _engines(text: Text, languages: Sequence[str]) -> dict[str, str]:
    if text.g2p != OWN:
        return {"default": text.g2p} if text.g2p else {}
    known = set(languages_with_phones())
    return {language: language for language in languages if language in known}


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """In the order of their rows: sorted, as EveryVoice's are."""
    return tuple(sorted(set(names)))
