"""A model as a checkpoint of EveryVoice 0.5: the same top level, names and plain values.

A file that came from EveryVoice keeps what that wrote about it, also on its way through our own format. For
any other model the values are made of its Description. Optimisers are never carried over: EveryVoice begins
with new ones, from the weights in the file.
"""

from collections import OrderedDict
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any, cast

from retimbre.audio.mel import spec_type
from retimbre.checkpoint.write import owned
from retimbre.data.stats import Stat, Stats
from retimbre.models.description import Description
from retimbre.models.explain import Explained
from retimbre.models.fastspeech2.config import FastSpeech2Config
from retimbre.models.hifigan.from_shapes import istft_window
from retimbre.models.kept import everyvoice_values
from retimbre.models.realized_symbols import version_of
from retimbre.pipelines.everyvoice_limits import discriminators_for_everyvoice, require_known_to_everyvoice
from retimbre.text.normalise import DOTTED
from retimbre.text.symbols import PAD, PUNCTUATION, SILENCE, TAGS

LIGHTNING = "2.6.1"  # EveryVoice 0.5.0 asks every file which version of Lightning wrote it
NOBODY = {"contact_name": "unknown", "contact_email": "unknown@example.org"}  # EveryVoice demands somebody
SEGMENT_FRAMES = 32
DATASET = "retimbre"  # a label that EveryVoice puts before the names of lists of symbols
TEXT_TO_SPEC = {"name": "FastSpeech2", "version": "1.3"}
VOCODER = {"name": "HiFiGAN", "version": "1.0"}
GENERATOR = {"name": "HiFiGANGenerator", "version": "1.0"}
CONFIG_VERSION = "1.0"
OWN_ROWS = frozenset((PAD, " ", *SILENCE, *TAGS, *(sign for signs in PUNCTUATION.values() for sign in signs)))


def everyvoice_checkpoint(
    found: Explained, *, generator_only: bool = False, takes_shifted: bool = False
) -> dict[str, Any]:
    """The top level of the file.

    Args:
        found: A text-to-spec model, or a vocoder.
        generator_only: A vocoder to speak with, as `everyvoice export spec-to-wav` writes it.
        takes_shifted: Let a spectrogram pass whose frames lie half a hop later than EveryVoice's.

    Raises:
        CheckpointError: EveryVoice knows no such model, or a vocoder has no discriminators to train with.
    """
    require_known_to_everyvoice(found, takes_shifted=takes_shifted)
    kept, is_vocoder, is_whole = everyvoice_values(found), found.family.name == "hifigan", not generator_only
    judges, sizes = discriminators_for_everyvoice(found) if is_vocoder and is_whole else ({}, {})
    fixed = istft_window(found.config) if judges else {}
    return {
        "epoch": kept.get("epoch", 0),
        "global_step": found.description.step,
        "pytorch-lightning_version": kept.get("pytorch-lightning_version", LIGHTNING),
        "state_dict": OrderedDict(found.family.theirs(owned(found.weights() | judges)) | fixed),
        **(_untouched_training() if is_whole else {}),
        "hparams_name": kept.get("hparams_name", "kwargs"),
        "hyper_parameters": _kept(found, kept) or _made(found, sizes),
        "model_info": _info(is_vocoder, generator_only, kept),
    }


def _info(is_vocoder: bool, generator_only: bool, kept: Mapping[str, Any]) -> dict[str, str]:
    if is_vocoder:
        return dict(GENERATOR if generator_only else VOCODER)
    info = kept.get("model_info")
    is_newer = isinstance(info, Mapping) and version_of(info) > version_of(TEXT_TO_SPEC)
    return dict(info if is_newer and info else TEXT_TO_SPEC)


def _kept(found: Explained, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What EveryVoice itself wrote, with the names that speakers have by now; {} where there is nothing."""
    given = kept.get("hyper_parameters")
    if not isinstance(given, Mapping) or found.family.name == "hifigan":
        return dict(given) if isinstance(given, Mapping) else {}
    rows = _rows(found.description.speakers)
    is_renamed = set(given.get("speaker2id") or rows) != set(rows)
    known = {name: value for name, value in given.items() if name != "realized_symbols"}
    return known | ({"speaker2id": rows} if is_renamed else {}) | _realized(found)


def _made(found: Explained, sizes: dict[str, Any]) -> dict[str, Any]:
    """What EveryVoice must know of a model that it has not trained.

    Args:
        sizes: Those of the discriminators.
    """
    described = found.description
    model = found.family.reference_kwargs(found.config) | sizes
    config: dict[str, Any] = {
        "VERSION": CONFIG_VERSION,
        "contact": _contact(described.lineage.get("contact")),
        "model": model,
        "preprocessing": {"dataset": DATASET, "audio": _audio(described)},
    }
    if found.family.name == "hifigan":
        return {"config": config}
    if found.config.n_features is None:
        model["target_text_representation_level"] = described.text_level
    return {
        "config": config | {"text": _text(described)},
        "stats": _stats(described.stats),
        "lang2id": _rows(described.languages),
        "speaker2id": _rows(described.speakers),
    } | _realized(found)


def _realized(found: Explained) -> dict[str, list[str]]:
    """The symbols of the rows; EveryVoice 0.5.0 cannot open a model of features that names them."""
    has_rows = cast(FastSpeech2Config, found.config).n_features is None
    return {"realized_symbols": list(found.description.symbols)} if has_rows else {}


def _rows(names: tuple[str, ...]) -> dict[str, int]:
    return {name: row for row, name in enumerate(names)}


def _text(described: Description) -> dict[str, Any]:
    rules, special = described.text_rules, described.special_rules
    level = "characters" if described.text_level == "characters" else "phones"
    return {
        # The order is that of `realized_symbols`; EveryVoice adds its own rows to what is declared here.
        "symbols": {f"{DATASET}_{level}": [symbol for symbol in described.symbols if symbol not in OWN_ROWS]},
        "to_replace": dict(rules.to_replace),
        "cleaners": _dotted(rules.cleaners),
        "language_to_replace": {name: dict(pairs) for name, pairs in special.language_to_replace.items()},
        "dataset_to_replace": {name: dict(pairs) for name, pairs in special.dataset_to_replace.items()},
        "language_cleaners": {name: _dotted(own) for name, own in special.language_cleaners.items()},
        "dataset_cleaners": {name: _dotted(own) for name, own in special.dataset_cleaners.items()},
        "split_text": described.splitting.is_on,
        "boundaries": described.splitting.to_dict()["boundaries"],
    }


def _dotted(cleaners: tuple[str, ...]) -> list[str]:
    return [DOTTED + cleaner for cleaner in cleaners]


def _stats(stats: Stats | None) -> dict[str, Any]:
    """EveryVoice demands those of pitch and energy; without those of lengths it cuts long texts as usual."""
    nothing = {"min": 0.0, "max": 1.0, "std": 1.0, "mean": 0.0, "norm_min": 0.0, "norm_max": 1.0}
    known = {
        "pitch": stats and stats.pitch,
        "energy": stats and stats.energy,
        "character_length": stats and stats.character_length,
        "phone_length": stats and stats.phone_length,
    }
    told = {name: _stat(stat) if stat else None for name, stat in known.items()}
    usual = {name: told[name] or nothing for name in ("pitch", "energy")}
    return {**told, **usual, "arpabet_length": None}


def _stat(stat: Stat) -> dict[str, float]:
    return {
        "min": stat.min,
        "max": stat.max,
        "std": stat.std,
        "mean": stat.mean,
        "norm_min": stat.norm_min,
        "norm_max": stat.norm_max,
    }


def _contact(known: object) -> dict[str, str]:
    """Who answers for a voice, from EveryVoice's two words or from a recipe's one, as in `Ann <ann@…>`."""
    if isinstance(known, Mapping) and known:
        return {str(word): str(value) for word, value in known.items()}
    name, address = parseaddr(known) if isinstance(known, str) else ("", "")
    if "@" not in address:
        name, address = (str(known) if known else ""), ""
    told = {"contact_name": name, "contact_email": address}
    return NOBODY | {word: value for word, value in told.items() if value}


def _audio(described: Description) -> dict[str, Any]:
    mel = described.mel
    return {
        "input_sampling_rate": mel.sample_rate_hz,
        "output_sampling_rate": described.output_rate_hz,
        "alignment_sampling_rate": mel.sample_rate_hz,
        "n_fft": mel.n_fft_samples,
        "fft_window_size": mel.window_samples,
        "fft_hop_size": mel.hop_samples,
        "f_min": int(mel.low_hz),
        "f_max": int(mel.high_hz),
        "n_mels": mel.n_mels,
        "spec_type": "mel" if spec_type(mel) == "mel" else "mel-librosa",
        "vocoder_segment_size": SEGMENT_FRAMES * described.output_mel.hop_samples,
    }


def _untouched_training() -> dict[str, Any]:
    """A training before its first step: nothing is counted, and no optimiser remembers anything."""
    return {"loops": _untouched_loops(), "callbacks": {}, "optimizer_states": [], "lr_schedulers": []}


def _untouched_loops() -> dict[str, Any]:
    """What Lightning counts."""
    done = {"ready": 0, "completed": 0}
    begun = {**done, "started": 0}
    all_of_it = {**begun, "processed": 0}
    batches = {**_both(all_of_it), "is_last_batch": False}
    evaluation = {"state_dict": {}, "batch_progress": batches}
    optimiser = {"optimizer": {"step": _both(done), "zero_grad": _both(begun)}}
    fit = {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": 0},
        "epoch_loop.batch_progress": batches,
        "epoch_loop.scheduler_progress": _both(done),
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": optimiser,
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": _both(done),
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": batches,
        "epoch_progress": _both(all_of_it),
    }
    predict = {"state_dict": {}, "batch_progress": _both(all_of_it)}
    return {"fit_loop": fit, "validate_loop": evaluation, "test_loop": evaluation, "predict_loop": predict}


def _both(counts: Mapping[str, int]) -> dict[str, Any]:
    return {"total": dict(counts), "current": dict(counts)}
