"""Where a recipe says something else than its base is: told in one line, because the base counts."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from retimbre.audio.mel import MelSpec, spec_type
from retimbre.jobs.listener import Listener
from retimbre.models.fastspeech2.config import FastSpeech2Config
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.load import Loaded
from retimbre.pipelines.fit import text_to_spec_in, vocoder_in
from retimbre.recipe.recipe import Recipe

SHOWN = 5  # of the keys that differ


def tell_differences(recipe: Recipe, base: Loaded, listener: Listener) -> None:
    """Name each size that the recipe gives and that the base has otherwise."""
    found = list(_differences(recipe, base))
    if found:
        shown = ", ".join(f"{key} {theirs} (the recipe: {ours})" for key, ours, theirs in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        listener.say("The base counts", f"{shown}{more}")


def _differences(recipe: Recipe, base: Loaded) -> Iterator[tuple[str, Any, Any]]:
    mel = base.description.mel
    yield from _compared("spectrogram", recipe.spectrogram, _spectrogram(mel))
    if recipe.stage == "text-to-spec":
        config = text_to_spec_in(base).config
        yield from _compared("text_to_spec", recipe.text_to_spec, _text_to_spec(config))
        return
    sizes = _spec_to_wav(vocoder_in(base).config)
    sizes["output_sample_rate_hz"] = base.description.output_rate_hz
    yield from _compared("spec_to_wav", recipe.spec_to_wav, sizes)
    if base.discriminators:
        periods = base.description.sizes.get("periods")
        yield from _compared("discriminators", recipe.discriminators, {"periods": periods})


def _compared(prefix: str, section: BaseModel, theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Of the keys that the recipe gives, those that differ."""
    for name in type(section).model_fields:
        if name not in section.model_fields_set or theirs.get(name) is None:
            continue
        ours, key = getattr(section, name), f"{prefix}.{name}"
        if isinstance(ours, BaseModel):
            yield from _compared(key, ours, theirs[name])
        elif ours is not None and _plain(ours) != _plain(theirs[name]):
            yield key, _plain(ours), _plain(theirs[name])


def _plain(value: Any) -> Any:  # noqa: ANN401
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _spectrogram(mel: MelSpec) -> dict[str, Any]:
    preset = {"mel-hifigan": "hifigan"}.get(spec_type(mel), spec_type(mel))
    return {**mel.to_dict(), "preset": preset}


def _text_to_spec(config: FastSpeech2Config) -> dict[str, Any]:
    """The sizes of a network in the words of a recipe, which most of its fields are called by, too."""
    return {
        **asdict(config.encoder),
        "level": str(config.pitch_level),
        "has_postnet": config.postnet_dim is not None,
        "postnet_dim": config.postnet_dim,
        "learns_alignment": config.learns_alignment,
        "has_speakers": config.n_speakers is not None,
        "has_languages": config.n_languages is not None,
        "has_style_tokens": config.style is not None,
        "reads_features": config.n_features is not None,
        "decoder": asdict(config.decoder),
        "duration": asdict(config.duration),
        "pitch": asdict(config.pitch) | {"n_bins": config.n_pitch_bins, "level": str(config.pitch_level)},
        "energy": asdict(config.energy) | {"n_bins": config.n_energy_bins, "level": str(config.energy_level)},
    }


def _spec_to_wav(config: GeneratorConfig) -> dict[str, Any]:
    return {**asdict(config), "is_istft": config.is_istft}
