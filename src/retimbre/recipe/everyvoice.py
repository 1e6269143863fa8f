"""A model's YAML or JSON of an EveryVoice project, understood as one of our recipes.

everyvoice_files.py     which files there are, merged; `-c` on top
everyvoice_schema.py    every key, its default, and where its value goes
everyvoice_names.py     dotted names and what they stand for; nothing is imported
everyvoice_data.py      recordings, split, folders      everyvoice_text.py      symbols and rules
everyvoice_training.py  steps, optimiser, losses        everyvoice_check.py     what contradicts itself
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from retimbre.recipe.everyvoice_check import require_text_to_spec, require_vocoder
from retimbre.recipe.everyvoice_data import (
    Lists,
    data_values,
    lists_of,
    note_of_place,
    place_values,
    steps_per_epoch,
)
from retimbre.recipe.everyvoice_files import SCHEMAS, Merged, kind_of, placed, read_project
from retimbre.recipe.everyvoice_names import ACTIVATIONS
from retimbre.recipe.everyvoice_schema import (
    Audio,
    Conformer,
    DurationPredictor,
    ProsodyPredictor,
    SpecToWav,
    SpecToWavModel,
    TextToSpec,
    TextToSpecModel,
)
from retimbre.recipe.everyvoice_text import FEATURES_LEVEL, text_values
from retimbre.recipe.everyvoice_training import (
    Pace,
    base_of,
    common_training,
    continues,
    spec_to_wav_training,
    text_to_spec_training,
)
from retimbre.recipe.mistakes import sentence
from retimbre.recipe.overrides import apply_override


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """What a recipe holds that says the same.

    Args:
        values: Its keys, every path absolute.
        overridden: Those that were given on the command line in our own words.
        notes: What means something else here, and each value without a counterpart.
    """

    values: dict[str, Any]
    overridden: tuple[str, ...]
    notes: tuple[str, ...]


def is_everyvoice(raw: Mapping[str, Any]) -> bool:
    """Are these the keys of one of EveryVoice's files, of any version?"""
    return kind_of(raw) is not None


def adopted(path: Path, overrides: Iterable[str] = ()) -> Adopted:
    """The recipe that the file of a model of an EveryVoice project amounts to. Nothing of it is changed.

    Args:
        overrides: `key=value` in EveryVoice's words, or in ours where EveryVoice has no such word.

    Raises:
        RecipeError: in one line, where a word is not known, values contradict each other, or cannot be had.
    """
    merged = read_project(path, overrides)
    model = SCHEMAS[merged.stage]
    try:
        config = model.model_validate(merged.values)
    except ValidationError as error:
        raise sentence(error, model=model, where=merged.where, overridden=merged.overridden) from error
    notes: list[str] = []
    values = (
        _text_to_spec(config, merged, notes)
        if isinstance(config, TextToSpec)
        else _spec_to_wav(config, merged, notes)
    )
    notes += _without_counterpart(config)
    folder = path.parent.resolve()
    own = [
        apply_override(values, one, place=lambda key, value: placed(key, value, folder))
        for one in merged.own_overrides
    ]
    notes.insert(0, note_of_place(values))
    return Adopted(values=values, overridden=tuple(own), notes=tuple(dict.fromkeys(notes)))


def _text_to_spec(config: TextToSpec, merged: Merged, notes: list[str]) -> dict[str, Any]:
    require_text_to_spec(config, merged, notes)
    lists = lists_of(config.training, merged, notes)
    pace = Pace(per_epoch=steps_per_epoch(config.preprocessing, config.training, lists, merged, notes))
    model, level = config.model, config.model.target_text_representation_level
    values = _common(config, lists, merged, notes)
    values["text"] = text_values(config.text, level, merged, notes)
    values["text_to_spec"] = _text_to_spec_sizes(model)
    values["training"] = (
        common_training(config.training, pace, merged, notes)
        | text_to_spec_training(config.training, model.variance_predictors, model.mel_loss, pace, notes)
        | {"continues_base": continues(config.training.optimizer, values["base"], notes)}
    )
    return values


def _spec_to_wav(config: SpecToWav, merged: Merged, notes: list[str]) -> dict[str, Any]:
    require_vocoder(config, merged)
    lists = lists_of(config.training, merged, notes)
    audio, model = config.preprocessing.audio, config.model
    ACTIVATIONS.meaning(model.activation_function, merged.where("model.activation_function"))
    pace = Pace(
        per_epoch=steps_per_epoch(config.preprocessing, config.training, lists, merged, notes),
        warmup=config.training.generator_warmup_steps,
        n_optimisers=2,
    )
    values = _common(config, lists, merged, notes)
    values["spec_to_wav"] = _spec_to_wav_sizes(model)
    if audio.output_sampling_rate != audio.input_sampling_rate:
        values["spec_to_wav"]["output_sample_rate_hz"] = audio.output_sampling_rate
    values["discriminators"] = {"periods": model.mpd_layers, "n_scales": model.msd_layers}
    values["training"] = (
        common_training(config.training, pace, merged, notes)
        | {"segment_frames": math.ceil(audio.vocoder_segment_size / audio.output_hop_size)}
        | spec_to_wav_training(
            config.training,
            n_periods=len(model.mpd_layers),
            n_scales=model.msd_layers,
            pace=pace,
            merged=merged,
            notes=notes,
        )
        | {"continues_base": _goes_on(config, values["base"], notes)}
    )
    return values


def _goes_on(config: SpecToWav, base: str | None, notes: list[str]) -> bool:
    training = config.training
    return continues(training.optimizer, base, notes, is_matching=training.finetune)


def _common(
    config: TextToSpec | SpecToWav, lists: Lists | None, merged: Merged, notes: list[str]
) -> dict[str, Any]:
    """What both stages have in common, but for training."""
    places = place_values(config.training, merged)
    contact = config.contact
    return {
        "stage": merged.stage,
        **places,
        "base": base_of(config.training, merged, notes),
        "contact": f"{contact.contact_name} <{contact.contact_email}>",
        "data": data_values(config.preprocessing, lists, Path(places["runs"]), merged, notes),
        "spectrogram": _spectrogram(config.preprocessing.audio),
    }


def _spectrogram(audio: Audio) -> dict[str, Any]:
    return {
        "preset": audio.spec_type,
        "sample_rate_hz": audio.input_sampling_rate,
        "n_fft_samples": audio.n_fft,
        "window_samples": audio.fft_window_size,
        "hop_samples": audio.fft_hop_size,
        "n_mels": audio.n_mels,
        "low_hz": audio.f_min,
        "high_hz": audio.f_max,
    }


def _text_to_spec_sizes(model: TextToSpecModel) -> dict[str, Any]:
    encoder, predictors = model.encoder, model.variance_predictors
    return {
        "dim": encoder.input_dim,
        **_layers(encoder),
        "decoder": _layers(model.decoder),
        "duration": _predictor(predictors.duration),
        "pitch": _prosody(predictors.pitch),
        "energy": _prosody(predictors.energy),
        "has_postnet": model.use_postnet,
        "learns_alignment": model.learn_alignment,
        "has_speakers": model.multispeaker,
        "has_languages": model.multilingual,
        "has_style_tokens": model.use_global_style_token_module,
        "reads_features": model.target_text_representation_level == FEATURES_LEVEL,
    }


def _layers(part: Conformer) -> dict[str, Any]:
    return {
        "n_layers": part.layers,
        "n_heads": part.heads,
        "feedforward_dim": part.feedforward_dim,
        "kernel": part.conv_kernel_size,
        "dropout": part.dropout,
    }


def _predictor(predictor: DurationPredictor) -> dict[str, Any]:
    return {
        "n_layers": predictor.n_layers,
        "kernel": predictor.kernel_size,
        "dropout": predictor.dropout,
        "is_depthwise": predictor.depthwise,
    }


def _prosody(predictor: ProsodyPredictor) -> dict[str, Any]:
    return _predictor(predictor) | {"n_bins": predictor.n_bins, "level": predictor.level}


def _spec_to_wav_sizes(model: SpecToWavModel) -> dict[str, Any]:
    return {
        "is_istft": model.istft_layer,
        "upsample_rates": model.upsample_rates,
        "upsample_kernels": model.upsample_kernel_sizes,
        "initial_channels": model.upsample_initial_channel,
        "resblock": model.resblock,
        "resblock_kernels": model.resblock_kernel_sizes,
        "resblock_dilations": model.resblock_dilation_sizes,
    }


def _without_counterpart(config: BaseModel) -> list[str]:
    """A sentence for each reason why values that stand in the files go nowhere."""
    by_reason: dict[str, list[str]] = {}
    for key, reason in _unused(config, ""):
        by_reason.setdefault(reason, []).append(key)
    return [f"{', '.join(dict.fromkeys(keys))}: {reason}" for reason, keys in by_reason.items()]


def _unused(section: BaseModel, prefix: str) -> Iterable[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        if name not in section.model_fields_set:
            continue
        value = getattr(section, name)
        extra = field.json_schema_extra
        if isinstance(extra, Mapping) and extra.get("unused"):
            if value not in (None, False, {}):
                yield f"{prefix}{name}", str(field.description)
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, BaseModel):
                yield from _unused(one, f"{prefix}{name}.")
