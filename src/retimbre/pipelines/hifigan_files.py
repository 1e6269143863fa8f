"""A vocoder as the original HiFi-GAN keeps it: `g_…`, `do_…` and `config.json` in one folder.

Source: the public code of jik876/hifi-gan, `train.py` and `models.py`.
"""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from retimbre.audio.mel import spec_type
from retimbre.checkpoint.keys import below_prefix, folded, older_weight_norm
from retimbre.checkpoint.write import owned, write_json, write_torch
from retimbre.errors import CheckpointError
from retimbre.models.complete import empty_network, shapes_of
from retimbre.models.explain import Explained
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import discriminator_config_from

LEARNING_RATE, BETAS = 2e-4, (0.8, 0.99)  # of the published configurations
PUBLISHED: dict[str, Any] = {  # what only its training reads, as published
    "num_gpus": 0, "batch_size": 16, "learning_rate": LEARNING_RATE, "adam_b1": BETAS[0], "adam_b2": BETAS[1],
    "lr_decay": 0.999, "seed": 1234, "segment_size": 8192, "num_freq": 1025, "fmax_for_loss": None,
    "num_workers": 4,
    "dist_config": {"dist_backend": "nccl", "dist_url": "tcp://localhost:54321", "world_size": 1},
}  # fmt: skip


def write_hifigan(found: Explained, folder: Path, *, is_folded: bool = False) -> list[Path]:
    """Write the files of one step; the discriminators only where there are any.

    Args:
        is_folded: Plain weights instead of lengths and directions: to speak with, not to train on.

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
    step = f"{found.description.step:08d}"
    named = folded(found.weights()) if is_folded else older_weight_norm(found.weights())
    files = {folder / f"g_{step}": {"generator": owned(named)}}
    judges = {} if is_folded else found.discriminators()
    if judges:
        files[folder / f"do_{step}"] = _training_state(found, judges)
    for path, content in files.items():
        write_torch(path, content)
    write_json(folder / "config.json", config_json(found))
    return [*files, folder / "config.json"]


def config_json(found: Explained) -> dict[str, Any]:
    """The configuration in the words of the original."""
    mel, config = found.description.mel, cast(GeneratorConfig, found.config)
    return PUBLISHED | {
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
        "fmin": int(mel.low_hz),
        "fmax": int(mel.high_hz),
    }


def hears_otherwise(found: Explained) -> str | None:
    """A warning where the original's own front end would not give the spectrogram that this vocoder reads."""
    kind = spec_type(found.description.mel)
    if kind == "mel-hifigan":
        return None
    return (
        f"this vocoder reads a spectrogram of the kind {kind}; that of the original HiFi-GAN's own code is "
        "another one, for instance half a hop late: give it ours"
    )


def _training_state(found: Explained, judges: dict[str, Tensor]) -> dict[str, Any]:
    """Both optimisers begin anew: their states are not carried over."""
    older = older_weight_norm(judges)
    sizes = discriminator_config_from(shapes_of(judges), found.description.sizes).config
    return {
        "mpd": owned(below_prefix(older, "mpd.")),
        "msd": owned(below_prefix(older, "msd.")),
        "optim_g": _fresh(empty_network(found.family.build, found.config)),
        "optim_d": _fresh(empty_network(Discriminators, sizes)),
        "steps": found.description.step,
        "epoch": 0,
    }


def _fresh(network: nn.Module) -> dict[str, Any]:
    """The state of an AdamW that has made no step, for as many parameters as the network has."""
    parameters = [nn.Parameter(torch.empty(0)) for _ in network.parameters()]
    state = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=BETAS).state_dict()
    state["param_groups"][0]["initial_lr"] = LEARNING_RATE  # its scheduler asks for it
    return state
