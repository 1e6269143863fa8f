"""A model as a checkpoint of EveryVoice 0.5: the same top level, names and plain values.

A file that came from EveryVoice keeps what that wrote about it, also on its way through our own format. For
any other model the values are made of its Description. Optimisers are never carried over: EveryVoice begins
with new ones, from the weights in the file.
"""

from collections.abc import Mapping
from email.utils import parseaddr
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from retimbre.audio.mel import spec_type
from retimbre.checkpoint.write import owned
from retimbre.data.stats import Stat, Stats
from retimbre.errors import CheckpointError
from retimbre.models.complete import network_outline
from retimbre.models.description import Description
from retimbre.models.explain import Explained
from retimbre.models.fastspeech2.config import FastSpeech2Config
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import istft_window
from retimbre.models.kept import kept_of
from retimbre.text.normalise import DOTTED
from retimbre.text.symbols import PAD, PUNCTUATION, SILENCE, TAGS

LIGHTNING = "2.6.1"  # EveryVoice 0.5.0 asks every file which version of Lightning wrote it
NOBODY = {"contact_name": "unknown", "contact_email": "unknown@example.org"}  # EveryVoice demands somebody
SEGMENT_FRAMES = 32
DATASET = "retimbre"  # a label that EveryVoice puts before the names of lists of symbols
TEXT_TO_SPEC = {"name": "FastSpeech2", "version": "1.3"}
VOCODER = {"name": "HiFiGAN", "version": "1.0"}
GENERATOR = {"name": "HiFiGANGenerator", "version": "1.0"}
GENERATOR_ALONE = "write the generator alone: --part generator"
CONFIG_VERSION = "1.0"
OWN_ROWS = frozenset((PAD, " ", *SILENCE, *TAGS, *(sign for signs in PUNCTUATION.values() for sign in signs)))


def everyvoice_checkpoint(found: Explained, *, generator_only: bool = False) -> dict[str, Any]:
    """The top level of the file.

    Args:
        found: A text-to-spec model, or a vocoder.
        generator_only: A vocoder to speak with, as `everyvoice export spec-to-wav` writes it.

    Raises:
        CheckpointError: EveryVoice knows no such model, or a vocoder has no discriminators to train with.
    """
    kept = kept_of(found.contents)
    tensors = owned(found.weights())
    is_vocoder = found.family.name == "hifigan"
    if is_vocoder and not generator_only:
        tensors |= owned(_judges(found))
    content: dict[str, Any] = {
        "epoch": kept.get("epoch", 0),
        "global_step": found.description.step,
        "pytorch-lightning_version": kept.get("pytorch-lightning_version", LIGHTNING),
        "hparams_name": kept.get("hparams_name", "kwargs"),
        "hyper_parameters": kept.get("hyper_parameters") or _hyper_parameters(found),
        "model_info": _info(is_vocoder, generator_only, kept),
        "state_dict": found.family.theirs(tensors),
    }
    if generator_only:
        return content
    if is_vocoder:
        content["state_dict"] |= istft_window(found.config)
    return content | {
        "loops": _untouched_loops(),
        "callbacks": {},
        "optimizer_states": [],
        "lr_schedulers": [],
    }


def _info(is_vocoder: bool, generator_only: bool, kept: Mapping[str, Any]) -> dict[str, str]:
    if is_vocoder:
        return dict(GENERATOR if generator_only else VOCODER)
    return dict(kept.get("model_info") or TEXT_TO_SPEC)


def _judges(found: Explained) -> dict[str, Tensor]:
    judges = found.discriminators()
    if not judges:
        raise CheckpointError(
            f"{found.contents.path.name} has no discriminators, and a full vocoder of EveryVoice has",
            expected="a full checkpoint",
            found="a generator alone",
            do=GENERATOR_ALONE,
        )
    outline = network_outline(Discriminators, DiscriminatorConfig(periods=_periods(found)))
    narrow = [
        name for name, tensor in judges.items() if name in outline and tensor.shape != outline[name].shape
    ]
    if narrow:
        raise CheckpointError(
            f"the discriminators of {found.contents.path.name} are narrower than EveryVoice's fixed ones",
            expected=f"{narrow[0]} of shape {tuple(outline[narrow[0]].shape)}",
            found=f"{tuple(judges[narrow[0]].shape)}",
            do=GENERATOR_ALONE,
        )
    return judges


def _periods(found: Explained) -> tuple[int, ...]:
    return tuple(found.description.sizes.get("periods") or DiscriminatorConfig.periods)


def _hyper_parameters(found: Explained) -> dict[str, Any]:
    """What EveryVoice must know of a model that it has not trained."""
    described = found.description
    config: dict[str, Any] = {
        "VERSION": CONFIG_VERSION,
        "contact": _contact(described.lineage.get("contact")),
        "model": found.family.reference_kwargs(found.config) | _beside(found),
        "preprocessing": {"dataset": DATASET, "audio": _audio(described)},
    }
    _require_possible(found.contents.path, found)
    if found.family.name == "hifigan":
        return {"config": config}
    return {
        "config": config | {"text": _text(described)},
        "stats": _stats(described.stats),
        "lang2id": _rows(described.languages),
        "speaker2id": _rows(described.speakers),
        "realized_symbols": list(described.symbols),
    }


def _beside(found: Explained) -> dict[str, Any]:
    """What the description knows better than the network."""
    if found.family.name == "hifigan":
        periods = found.description.sizes.get("periods")
        return {"mpd_layers": list(periods)} if periods else {}
    if cast(FastSpeech2Config, found.config).n_features is not None:
        return {}
    return {"target_text_representation_level": found.description.text_level}


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
    """EveryVoice demands them all; of the lengths of texts only its own training makes use."""
    nothing = {"min": 0.0, "max": 1.0, "std": 1.0, "mean": 0.0, "norm_min": 0.0, "norm_max": 1.0}
    lengths = dict.fromkeys(("character_length", "phone_length", "arpabet_length"), nothing)
    if stats is None:
        return {"pitch": nothing, "energy": nothing, **lengths}
    return {"pitch": _stat(stats.pitch), "energy": _stat(stats.energy), **lengths}


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
        "spec_type": spec_type(mel),
        "vocoder_segment_size": SEGMENT_FRAMES * described.output_mel.hop_samples,
    }


def _require_possible(path: Path, found: Explained) -> None:
    """Raise CheckpointError for a model that no configuration of EveryVoice describes."""
    mel = found.description.output_mel
    kind = spec_type(mel)
    reasons: dict[str, str | None] = {
        "a spectrogram of the kind mel-librosa or mel": None if kind in ("mel-librosa", "mel") else kind
    }
    if isinstance(found.config, GeneratorConfig):
        config = found.config
        pairs = list(zip(config.upsample_rates, config.upsample_kernels, strict=True))
        uneven = [f"{kernel} for {rate}" for rate, kernel in pairs if kernel % rate]
        reasons["kernels that are multiples of their rates"] = ", ".join(uneven) or None
        n_fft = config.istft_n_fft_samples
        usual = mel.n_fft_samples * config.istft_hop_samples // config.hop_samples
        reasons[f"an inverse STFT of {usual} samples"] = str(n_fft) if n_fft not in (None, usual) else None
    for expected, why in reasons.items():
        if why is not None:
            raise CheckpointError(
                f"EveryVoice knows no model like {path.name}",
                expected=expected,
                found=why,
                do="give an --output that ends in .safetensors, for Retimbre",
            )


def _untouched_loops() -> dict[str, Any]:
    """What Lightning counts, before the first step of a training."""
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
