"""A vocoder as the original HiFi-GAN keeps it: `g_…`, `do_…` and `config.json` in one folder.

Source: the public code of jik876/hifi-gan, `train.py` and `models.py`.
"""

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from retimbre.audio.mel import spec_type
from retimbre.checkpoint.keys import below_prefix, folded, older_weight_norm
from retimbre.checkpoint.shapes import shapes_of
from retimbre.checkpoint.write import owned, write_json, write_torch
from retimbre.errors import CheckpointError
from retimbre.models.complete import empty_network
from retimbre.models.explain import Explained
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import discriminator_config_from
from retimbre.models.kept import hifigan_config

CONFIG = "config.json"
PUBLISHED: dict[str, Any] = {  # what only its training reads, as published
    "num_gpus": 0, "batch_size": 16, "learning_rate": 2e-4, "adam_b1": 0.8, "adam_b2": 0.99,
    "lr_decay": 0.999, "seed": 1234, "segment_size": 8192, "num_freq": 1025, "fmax_for_loss": None,
    "num_workers": 4,
    "dist_config": {"dist_backend": "nccl", "dist_url": "tcp://localhost:54321", "world_size": 1},
}  # fmt: skip


def hifigan_names(found: Explained) -> tuple[str, str, str]:
    """What the files of one step are called: generator, discriminators, configuration."""
    step = f"{found.description.step:08d}"
    return f"g_{step}", f"do_{step}", CONFIG


def write_hifigan(
    found: Explained, folder: Path, *, generator_only: bool = False, is_folded: bool = False
) -> list[Path]:
    """Write the files of one step; the discriminators only where there are any.

    Args:
        generator_only: Without discriminators: to speak with, not to train on.
        is_folded: Plain weights instead of lengths and directions: likewise.

    Raises:
        CheckpointError: the original knows no such vocoder.
    """
    config = cast(GeneratorConfig, found.config)
    if config.is_istft:
        raise CheckpointError(
            f"the original HiFi-GAN knows no vocoder like {found.contents.path.name}",
            expected="a waveform made by a convolution",
            found=f"an inverse STFT of {config.istft_n_fft_samples} samples",
        )
    generator, judges, beside = (folder / name for name in hifigan_names(found))
    named = folded(found.weights()) if is_folded else older_weight_norm(found.weights())
    told, judged = config_json(found), {} if is_folded or generator_only else found.discriminators()
    write_torch(generator, {"generator": owned(named)})
    if judged:
        write_torch(judges, _training_state(found, judged, told))
    write_json(beside, told)
    return [generator, *([judges] if judged else []), beside]


def config_json(found: Explained) -> dict[str, Any]:
    """The configuration in the words of the original; what a file of its own said otherwise stays."""
    mel, config, kept = found.description.mel, cast(GeneratorConfig, found.config), hifigan_config(found)
    reads_all = mel.high_hz == mel.sample_rate_hz / 2 and kept.get("fmax", 0) is None
    return PUBLISHED | kept | {
        "resblock": config.resblock,
        "upsample_rates": list(config.upsample_rates),
        "upsample_kernel_sizes": list(config.upsample_kernels),
        "upsample_initial_channel": config.initial_channels,
        "resblock_kernel_sizes": list(config.resblock_kernels),
        "resblock_dilation_sizes": [list(dilations) for dilations in config.resblock_dilations],
        "num_mels": mel.n_mels,
        "n_fft": mel.n_fft_samples,
        "hop_size": mel.hop_samples,
        "win_size": mel.window_samples,
        "sampling_rate": mel.sample_rate_hz,
        "fmin": _shortest(mel.low_hz),
        "fmax": None if reads_all else _shortest(mel.high_hz),
    }  # fmt: skip


def _shortest(hz: float) -> int | float:
    return int(hz) if hz == int(hz) else hz


def hears_otherwise(found: Explained) -> str | None:
    """A warning where the original's own front end would not give the spectrogram that this vocoder reads."""
    kind = spec_type(found.description.mel)
    if kind == "mel-hifigan":
        return None
    return (
        f"this vocoder reads a spectrogram of the kind {kind}; that of the original HiFi-GAN's own code is "
        "another one, for instance half a hop late: give it ours"
    )


def _training_state(found: Explained, judges: dict[str, Tensor], told: dict[str, Any]) -> dict[str, Any]:
    """Both optimisers begin anew: their states are not carried over."""
    older = older_weight_norm(judges)
    sizes = discriminator_config_from(shapes_of(judges), found.description.sizes).config
    return {
        "mpd": owned(below_prefix(older, "mpd.")),
        "msd": owned(below_prefix(older, "msd.")),
        "optim_g": _fresh(empty_network(found.family.build, found.config), told),
        "optim_d": _fresh(empty_network(Discriminators, sizes), told),
        "steps": found.description.step,
        "epoch": 0,
    }


def _fresh(network: nn.Module, told: dict[str, Any]) -> dict[str, Any]:
    """The state of an AdamW that has made no step, for as many parameters as the network has.

    Written out, as torch loads a second's work of modules before it makes an optimiser.
    """
    rate, betas = told["learning_rate"], [told["adam_b1"], told["adam_b2"]]
    if not all(isinstance(number, int | float) for number in (rate, *betas)):
        raise CheckpointError(
            f"the {CONFIG} of the source makes no sense",
            expected="numbers as learning_rate, adam_b1 and adam_b2",
            found=f"{rate}, {betas[0]}, {betas[1]}",
            do="correct it, or move it away",
        )
    group = {
        "lr": rate, "betas": betas, "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False, "foreach": None,
        "maximize": False, "capturable": False, "initial_lr": rate,  # its scheduler asks for the last
        "params": list(range(len(list(network.parameters())))),
    }  # fmt: skip
    return {"state": {}, "param_groups": [group]}
