"""Who wrote a file with weights, and what the plain values in it or beside it say about its model.

Retimbre             a description as JSON in the head of the file
EveryVoice           `hyper_parameters`: config, stats, speakers, languages, from 1.3 on the symbols
original HiFi-GAN    nothing in the file; a config.json beside it
"""

# ruff: noqa: ANN401 (a file may hold anything in any place)

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.mel import MelSpec, everyvoice_mel, hifigan_original, mel_librosa
from retimbre.checkpoint.read import Contents
from retimbre.data.stats import Stats
from retimbre.errors import CheckpointError, DataError, MissingExtra, TextError
from retimbre.models.assumptions import Assumption, sentence
from retimbre.models.description import Description
from retimbre.models.family import Family
from retimbre.models.fastspeech2.from_shapes import SYMBOLS
from retimbre.models.realized_symbols import (
    FIRST_WITH_THESE_FEATURES,
    NEWEST,
    Version,
    punctuation_in,
    realized_symbols,
    silence_in,
    version_of,
)
from retimbre.text.features import symbol_features
from retimbre.text.normalise import CLEANERS, DOTTED, TextRules
from retimbre.text.phones import languages_with_phones
from retimbre.text.reading import SpecialRules
from retimbre.text.split import Boundaries, Splitting

METADATA_KEY = "retimbre"
ORIGINAL_HIFIGAN = "original HiFi-GAN"
FEATURES_LEVEL = "phonological_features"  # EveryVoice's word for it
MAX_CONFIG_BYTES = 1 << 20
CONFIG_NAMES = {  # config.json of the original HiFi-GAN -> ours
    "sampling_rate": "sample_rate_hz", "n_fft": "n_fft_samples", "win_size": "window_samples",
    "hop_size": "hop_samples", "num_mels": "n_mels", "fmin": "low_hz", "fmax": "high_hz",
}  # fmt: skip
AUDIO_NAMES = {  # EveryVoice's preprocessing.audio -> ours; two had other names until late 2023
    "input_sampling_rate": "sample_rate_hz", "n_fft": "n_fft_samples", "fft_window_size": "window_samples",
    "fft_window_frames": "window_samples", "fft_hop_size": "hop_samples", "fft_hop_frames": "hop_samples",
    "n_mels": "n_mels", "f_min": "low_hz", "f_max": "high_hz",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What is known of a model besides its tensors.

    Args:
        written_by: For people, for instance "EveryVoice (FastSpeech2 1.3)".
        known: What the family's `config_from` may look into.
        facts: Fields of a Description, as far as they are known.
        assumed: Sentences about what is not.
        own: The whole description, in a file of ours.
        symbol_features: What a model of phonological features reads of each symbol.
    """

    written_by: str
    known: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    assumed: tuple[Assumption, ...] = ()
    own: Description | None = None
    symbol_features: Float[Tensor, "symbols features"] | None = None


def origin_of(contents: Contents, family: Family) -> Origin:
    """Who wrote the file, and what it tells; `family` is what its tensors are."""
    if METADATA_KEY in contents.metadata:
        return _retimbre(contents.metadata[METADATA_KEY])
    hyper_parameters = contents.values.get("hyper_parameters")
    if isinstance(hyper_parameters, Mapping) and isinstance(hyper_parameters.get("config"), Mapping):
        return _everyvoice(contents, hyper_parameters)
    if family.name == "hifigan":
        return _original_hifigan(contents)
    step = re.match(r"(\d+)_", contents.path.name)  # DL-Art-School: 500_gpt.pth
    facts = {"step": int(step[1]) if step else 0, "lineage": {"written_by": family.tool}}
    return Origin(written_by=family.tool, facts=facts)


def _retimbre(text: str) -> Origin:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("the description in the file is damaged", found=str(error)[:120]) from error
    own = Description.from_dict(_mapping(values))
    return Origin(written_by="Retimbre", known=own.sizes, own=own)


# ---- EveryVoice ------------------------------------------------------------------------------------------


def _everyvoice(contents: Contents, known: Mapping[str, Any]) -> Origin:
    config = known["config"]
    info = _mapping(contents.values.get("model_info"))
    assumed: list[Assumption] = []
    audio = _mapping(_mapping(config.get("preprocessing")).get("audio"))
    mel = _everyvoice_mel(audio, assumed)
    out_hz = audio.get("output_sampling_rate", mel.sample_rate_hz)
    facts: dict[str, Any] = {
        "spectrogram": mel,
        "output_sample_rate_hz": None if out_hz == mel.sample_rate_hz else out_hz,
        "step": _count(contents.values.get("global_step")),
        "lineage": {"written_by": "EveryVoice", "contact": dict(_mapping(config.get("contact")))},
    }
    features = None
    if isinstance(config.get("text"), Mapping):
        rules, version = _rules(config["text"], assumed), version_of(info)
        declared = _mapping(config["text"].get("symbols"))
        facts |= _everyvoice_text(known, rules, assumed)
        table = None if _level(known) == FEATURES_LEVEL else contents.tensors.get(SYMBOLS)
        symbols = realized_symbols(
            known, declared, rules, version=version, n_rows=None if table is None else len(table)
        )
        facts["symbols"] = symbols
        features = _features(known, declared, symbols, version)
        if version > NEWEST:
            text = f"that nothing important changed up to model version {info['version']}"
            assumed.append(sentence("model version", text))
    written_by = (
        f"EveryVoice ({info['name']} {info.get('version', '1.0')})" if "name" in info else "EveryVoice"
    )
    return Origin(
        written_by=written_by, known=known, facts=facts, assumed=tuple(assumed), symbol_features=features
    )


def _everyvoice_mel(audio: Mapping[str, Any], assumed: list[Assumption]) -> MelSpec:
    sizes = {ours: audio[theirs] for theirs, ours in AUDIO_NAMES.items() if theirs in audio}
    kind = str(audio.get("spec_type", "mel-librosa"))
    usual = {"mel-librosa": mel_librosa(), "mel": everyvoice_mel()}.get(kind)
    if usual is None:
        raise CheckpointError(
            "this kind of spectrogram is not supported", expected="mel-librosa or mel", found=kind[:40]
        )
    mel = _mel_with(usual, sizes)
    if missing := sorted(set(AUDIO_NAMES.values()) - sizes.keys()):
        assumed.append(sentence("mel", f"the spectrogram's {', '.join(missing)}: {_short(mel)}"))
    return mel


def _everyvoice_text(known: Mapping[str, Any], rules: TextRules, assumed: list[Assumption]) -> dict[str, Any]:
    text = _mapping(_mapping(known.get("config")).get("text"))
    stats, languages = known.get("stats"), _names(known.get("lang2id"))
    reads_letters = _level(known) == "characters"
    return {
        "text_level": "characters" if reads_letters else "phones",
        "text_rules": rules,
        "special_rules": _special_rules(text, assumed),
        "splitting": _splitting(text),
        "g2p": {} if reads_letters else _engines(known, languages, assumed),
        "speakers": _names(known.get("speaker2id")),
        "languages": languages,
        "stats": _stats(stats, assumed) if isinstance(stats, Mapping) else None,
    }


def _engines(
    known: Mapping[str, Any], languages: tuple[str, ...], assumed: list[Assumption]
) -> dict[str, str]:
    """As in EveryVoice, letters become phones by the rules of their own language, where there are any."""
    custom = _mapping(_mapping(_mapping(known.get("config")).get("text")).get("g2p_engines"))
    if own := [language for language in languages if language in custom]:
        text = f"texts in {', '.join(own)} come as phones: the trainer's own code made them"
        assumed.append(sentence("g2p_engines", text))
    try:
        spoken = languages_with_phones()
    except MissingExtra:
        return {}
    return {language: language for language in languages if language in spoken and language not in own}


def _level(known: Mapping[str, Any]) -> str:
    model = _mapping(_mapping(known.get("config")).get("model"))
    return str(model.get("target_text_representation_level", "characters"))


def _rules(text: Mapping[str, Any], assumed: list[Assumption]) -> TextRules:
    try:
        return TextRules(
            to_replace=dict(text.get("to_replace") or {}),
            cleaners=_cleaners(text.get("cleaners") or (), assumed),
        )
    except (TextError, TypeError, ValueError) as error:
        raise CheckpointError("the text rules in the file make no sense", found=str(error)) from error


def _special_rules(text: Mapping[str, Any], assumed: list[Assumption]) -> SpecialRules:
    try:
        return SpecialRules(
            language_cleaners=_cleaners_by_name(text.get("language_cleaners"), assumed),
            language_to_replace=_replacements_by_name(text.get("language_to_replace")),
            dataset_cleaners=_cleaners_by_name(text.get("dataset_cleaners"), assumed),
            dataset_to_replace=_replacements_by_name(text.get("dataset_to_replace")),
        )
    except (TextError, TypeError, ValueError) as error:
        raise CheckpointError("the text rules in the file make no sense", found=str(error)) from error


def _cleaners_by_name(named: Any, assumed: list[Assumption]) -> dict[str, tuple[str, ...]]:
    return {str(name): _cleaners(cleaners, assumed) for name, cleaners in dict(named or {}).items()}


def _replacements_by_name(named: Any) -> dict[str, dict[str, str]]:
    return {str(name): dict(replacements) for name, replacements in dict(named or {}).items()}


def _cleaners(names: Iterable[Any], assumed: list[Assumption]) -> tuple[str, ...]:
    named = [str(name).removeprefix(DOTTED) for name in names]
    if unknown := [name for name in named if name not in CLEANERS]:
        text = f"text without the cleaners {', '.join(unknown)}, which are the trainer's own code"
        assumed.append(sentence("cleaners", text))
    return tuple(name for name in named if name in CLEANERS)


def _splitting(text: Mapping[str, Any]) -> Splitting:
    """Files from before EveryVoice 0.4 say nothing of it: then as it does today."""
    usual = Boundaries()
    boundaries = {
        str(language): Boundaries(
            strong=str(signs.get("strong", usual.strong)), weak=str(signs.get("weak", usual.weak))
        )
        for language, signs in _mapping(text.get("boundaries")).items()
        if isinstance(signs, Mapping)
    }
    return Splitting(is_on=text.get("split_text") is not False, boundaries=boundaries)


def _features(
    known: Mapping[str, Any], declared: Mapping[str, Any], symbols: tuple[str, ...], version: Version
) -> Float[Tensor, "symbols features"] | None:
    """What a model of phonological features reads of each symbol."""
    if _level(known) != FEATURES_LEVEL:
        return None
    if version < FIRST_WITH_THESE_FEATURES:
        raise CheckpointError(
            "phonological features meant something else when this model was trained",
            expected="a FastSpeech2 of EveryVoice 0.3 or newer (model version 1.2)",
            found=f"model version {'.'.join(map(str, version))}",
            do="train it again, or take a model of characters or phones",
        )
    try:
        return symbol_features(
            symbols, punctuation=punctuation_in(declared, version), silence=silence_in(declared)
        )
    except TypeError as error:
        raise CheckpointError("the symbols in the file make no sense", found=str(error)[:200]) from error


def _stats(stats: Mapping[str, Any], assumed: list[Assumption]) -> Stats | None:
    # A checkpoint leaves out how many utterances were measured.
    entries = {
        name: {"sample_size": 0, **entry} for name, entry in stats.items() if isinstance(entry, Mapping)
    }
    try:
        return Stats.from_dict(entries)
    except (DataError, KeyError, TypeError, ValueError):
        text = "no statistics of pitch and energy: those in the file are incomplete"
        assumed.append(sentence("stats", text))
        return None


def _names(rows: Any) -> tuple[str, ...]:
    """Names in the order of their rows."""
    if not isinstance(rows, Mapping) or not rows:
        return ("default",)
    return tuple(str(name) for name in sorted(rows, key=lambda name: _count(rows[name])))


# ---- the original HiFi-GAN -------------------------------------------------------------------------------


def _original_hifigan(contents: Contents) -> Origin:
    config = config_beside(contents.path)
    sizes = {ours: config[theirs] for theirs, ours in CONFIG_NAMES.items() if config.get(theirs) is not None}
    if config and "high_hz" not in sizes and "sample_rate_hz" in sizes:
        sizes["high_hz"] = sizes["sample_rate_hz"] / 2  # fmax null: all of it
    facts: dict[str, Any] = {"step": _step(contents), "lineage": {"written_by": ORIGINAL_HIFIGAN}}
    if "sample_rate_hz" in sizes and "hop_samples" in sizes:
        facts["spectrogram"] = _mel_with(hifigan_original(), sizes)
    return Origin(written_by=ORIGINAL_HIFIGAN, known=config, facts=facts)


def assumed_mel(*, n_mels: int | None, hop_samples: int | None) -> tuple[MelSpec, Assumption]:
    """The usual spectrogram of vocoders without a configuration, and a sentence that says so."""
    sizes: dict[str, Any] = {"n_mels": n_mels} if n_mels else {}
    if hop_samples and hop_samples != 256:
        sizes |= {
            "hop_samples": hop_samples,
            "n_fft_samples": 4 * hop_samples,
            "window_samples": 4 * hop_samples,
        }
    mel = _mel_with(hifigan_original(), sizes)
    text = f"the original HiFi-GAN's spectrogram, {_short(mel)}: no config.json lies beside the file"
    return mel, sentence("mel", text)


def companion_of(path: Path) -> Path | None:
    """The file with the discriminators that the original HiFi-GAN writes beside its generator `g_…`."""
    companion = path.with_name("do_" + path.name.removeprefix("g_"))
    return companion if path.name.startswith("g_") and companion.is_file() else None


def config_beside(path: Path) -> dict[str, Any]:
    """The config.json that the original HiFi-GAN writes beside a generator at `path`; {} without one."""
    path = path.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise CheckpointError(f"{path} is too large for a configuration")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read", found=str(error)[:120], do="repair it or move it away"
        ) from error
    return config if isinstance(config, dict) else {}


def _step(contents: Contents) -> int:
    in_name = re.fullmatch(r"(?:g|do)_(\d+)", contents.path.name)
    return _count(contents.values.get("steps", int(in_name[1]) if in_name else 0))


# ---- both ------------------------------------------------------------------------------------------------


def _mel_with(usual: MelSpec, sizes: Mapping[str, Any]) -> MelSpec:
    """`usual` with other sizes; a file may hold text where a number belongs."""
    try:
        return MelSpec.from_dict({**usual.to_dict(), **sizes})
    except DataError as error:
        raise CheckpointError(
            "the spectrogram in the configuration makes no sense", found=error.found
        ) from error


def _short(mel: MelSpec) -> str:
    return (
        f"{mel.sample_rate_hz:,} Hz, {mel.n_fft_samples}/{mel.hop_samples}, "
        f"{mel.n_mels} bands to {mel.high_hz:,.0f} Hz"
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
