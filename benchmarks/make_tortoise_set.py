"""Write a complete set of TorToiSe's files with random weights, at the released sizes: 4 GB.

    python benchmarks/make_tortoise_set.py FOLDER           # for benchmarks/bench_tortoise.py
    python benchmarks/make_tortoise_set.py FOLDER --tiny    # a few MB, to try things

What it speaks is noise. But every stage works as hard as with the released weights, and sentences end: after
about four seconds the stop becomes as likely as all other codes together.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import Contents
from retimbre.checkpoint.write import write_torch
from retimbre.errors import RetimbreError
from retimbre.models.explain import explain
from retimbre.models.family import Family
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_clvp import TORTOISE_CLVP
from retimbre.models.tortoise_clvp.config import ClvpConfig
from retimbre.models.tortoise_diffusion import TORTOISE_DIFFUSION
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_hifigan import TORTOISE_HIFIGAN
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.tortoise_random_latent import TORTOISE_RANDOM_LATENT
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig
from retimbre.models.univnet import UNIVNET
from retimbre.models.univnet.config import UnivNetConfig
from retimbre.pipelines.tortoise_files import tortoise_checkpoint

SPREAD = 2.0  # of the scores of codes, as after training: a few of them are likely, most are not
TEMPERATURE, TOP_K = 0.8, 50  # with which TorToiSe chooses among them
START_OF_CLOCK = -0.5  # beside other channels of 0.02
URGE = 22.0  # to stop: how much the clock says in the end
RELEASED_CODES, TINY_CODES = 90, 12  # spoken before the stop is as likely as everything else

Part = tuple[Family, Any]
RELEASED: Mapping[str, Part] = {
    "autoregressive": (TORTOISE_AR, UnifiedVoiceConfig()),
    "diffusion_decoder": (TORTOISE_DIFFUSION, DiffusionConfig()),
    "clvp2": (TORTOISE_CLVP, ClvpConfig()),
    "vocoder": (UNIVNET, UnivNetConfig()),
    "rlg_auto": (TORTOISE_RANDOM_LATENT, RandomLatentConfig()),
    "rlg_diffuser": (TORTOISE_RANDOM_LATENT, RandomLatentConfig(dim=2048)),
    "dvae": (TORTOISE_DVAE, DvaeConfig()),
    "hifidecoder": (TORTOISE_HIFIGAN, LatentDecoderConfig()),
}
N_TINY_CODES = 256  # the codes of silence and of an end, which TorToiSe knows by number, are among them
TINY: Mapping[str, Part] = {
    "autoregressive": (
        TORTOISE_AR,
        UnifiedVoiceConfig(
            n_layers=2, dim=128, n_heads=2, n_codes=N_TINY_CODES + 2,
            start_code=N_TINY_CODES, stop_code=N_TINY_CODES + 1,
        ),
    ),
    "diffusion_decoder": (
        TORTOISE_DIFFUSION,
        DiffusionConfig(dim=32, n_layers=1, n_heads=2, latent_dim=128, n_codes=N_TINY_CODES + 1),
    ),
    "clvp2": (
        TORTOISE_CLVP,
        ClvpConfig(
            n_codes=N_TINY_CODES, text_dim=64, n_text_layers=1, n_text_heads=1, text_attention_dim=64,
            speech_dim=64, n_speech_layers=1, n_speech_heads=1, speech_attention_dim=64, latent_dim=64,
        ),
    ),
    "vocoder": (UNIVNET, UnivNetConfig(noise_dim=8, dim=4)),
    "rlg_auto": (TORTOISE_RANDOM_LATENT, RandomLatentConfig(dim=128)),
    "rlg_diffuser": (TORTOISE_RANDOM_LATENT, RandomLatentConfig(dim=64)),
    "dvae": (TORTOISE_DVAE, DvaeConfig(n_codes=N_TINY_CODES, codebook_dim=8, dim=8, n_resblocks=1)),
    "hifidecoder": (
        TORTOISE_HIFIGAN, LatentDecoderConfig(latent_dim=128, conditioning_dim=128, initial_channels=16)
    ),
}  # fmt: skip


def main() -> None:
    """Write the files, one after another: no more than one network is in memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="is made where there is none")
    parser.add_argument("--tiny", action="store_true", help="small networks")
    parser.add_argument("--seed", type=int, default=0, help="other weights (default %(default)s)")
    given = parser.parse_args()
    for path in write_set(given.folder, is_tiny=given.tiny, seed=given.seed):
        print(f"{path}: {path.stat().st_size / 1e6:,.1f} MB", flush=True)


def write_set(folder: Path, *, is_tiny: bool = False, seed: int = 0) -> list[Path]:
    """The set in `folder`, with the released names and formats."""
    n_codes = TINY_CODES if is_tiny else RELEASED_CODES
    paths = []
    for number, (name, (family, config)) in enumerate((TINY if is_tiny else RELEASED).items()):
        torch.manual_seed(1000 * seed + number)
        network = random_network(family, config)
        if isinstance(network, UnifiedVoice):
            let_it_stop(network, after_codes=n_codes)
        paths.append(write_released(folder / f"{name}.pth", family, network))
    return paths


@torch.no_grad()
def random_network(family: Family, config: Any) -> nn.Module:  # noqa: ANN401 - the config of any family
    """New weights, in which every one has a say: those that training begins at zero are drawn, too."""
    network = family.build(config)
    for tensor in network.parameters():
        if tensor.ndim > 1 and not tensor.any():
            tensor.normal_(std=tensor[0].numel() ** -0.5)
    return network


@torch.no_grad()
def let_it_stop(network: UnifiedVoice, *, after_codes: int) -> None:
    """Make the first channel a clock that only the places of codes set, and let the stop listen to it."""
    network.mel_embedding.weight[:, 0] = 0.0
    for layer in network.gpt.h:
        for projection in (layer.attn.c_proj, layer.mlp.c_proj):
            projection.weight[:, 0] = 0.0
    places = network.mel_pos_embedding.emb.weight
    places[:, 0] = START_OF_CLOCK * (1 - torch.arange(len(places)) / after_codes)

    head, stop = network.mel_head, network.config.stop_code
    head.weight.normal_(std=SPREAD * network.config.dim**-0.5)
    head.weight[:, 0], head.weight[stop] = 0.0, 0.0
    head.weight[stop, 0] = URGE
    likely = (SPREAD * torch.randn(network.config.n_codes)).topk(TOP_K).values
    head.bias.zero_()
    head.bias[stop] = TEMPERATURE * (likely / TEMPERATURE).logsumexp(0)


def write_released(path: Path, family: Family, network: nn.Module) -> Path:
    """The file as TorToiSe has it: with the masks of older transformers, or below its key."""
    tensors = LazyTensors.in_memory(family.theirs(network.state_dict()))
    found = explain(Contents(path=path, container="torch-zip", tensors=tensors))
    write_torch(path, tortoise_checkpoint(found, has_masks=family is TORTOISE_AR))
    return path


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")
