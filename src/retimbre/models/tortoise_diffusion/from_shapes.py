"""The diffusion decoder's sizes from names and shapes. Our names are TorToiSe's own."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.stable_embedding import fold_norm
from retimbre.errors import CheckpointError
from retimbre.models.family import Inferred, Shapes
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.votes import count, vote

# DL-Art-School's decoder of music has the first two as well, but residual blocks where the third attends.
PARTS = ("conditioning_timestep_integrator.", "latent_conditioner.", "code_converter.2.qkv.")
CODES = "code_embedding.weight"
N_MELS = {"inp_block.weight": 1, "contextual_embedder.0.weight": 1, "mel_head.weight": 0, "mel_head.bias": 0}
DIM = {
    "unconditioned_embedding": 1,
    "inp_block.bias": 0,
    "time_embed.0.bias": 0,
    "code_norm.weight": 0,
    "integrating_conv.bias": 0,
    "out.0.weight": 0,
}
POSITIONS = "relative_pos_embeddings.relative_attention_bias.weight"
N_HEADS = {f"code_converter.{number}.{POSITIONS}": 1 for number in range(3)} | {
    f"contextual_embedder.{number}.{POSITIONS}": 1 for number in range(2, 7)
}
LAYERS = (
    "layers.{}.attn.norm.weight",
    "layers.{}.attn.qkv.weight",
    "layers.{}.attn.proj_out.weight",
    "layers.{}.resblk.in_layers.0.weight",
    "layers.{}.resblk.emb_layers.1.weight",
)
UNKNOWABLE = (
    "dropout",
    "layer_drop",
    "unconditioned_percentage",
    "use_fp16",
    "noise schedule (4000 steps, linear)",
)


def fits(shapes: Shapes) -> bool:
    """Are there parts that only this network has?"""
    return all(any(name.startswith(part) for name in shapes) for part in PARTS)


def take(ledger: Ledger) -> None:
    """TorToiSe and DL-Art-School write our names; a norm that the latter can give to the codes is folded."""
    fold_norm(ledger, CODES)


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as TorToiSe reads them: the same."""
    return dict(tensors)


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """Every size from the shapes; nothing that changes the output is left to `known`."""
    try:
        config = DiffusionConfig(
            n_mels=vote(shapes, "n_mels", N_MELS),
            dim=vote(shapes, "dim", DIM),
            n_layers=count(shapes, LAYERS),
            n_heads=vote(shapes, "n_heads", N_HEADS),
            latent_dim=vote(shapes, "latent_dim", {"latent_conditioner.0.weight": 1}),
            n_codes=vote(shapes, "n_codes", {CODES: 0}),
        )
    except ValueError as error:
        raise CheckpointError(
            "a diffusion decoder's sizes contradict each other",
            found=str(error),
            do="'retimbre inspect FILE' says what a file holds",
        ) from error
    return Inferred(config=config, unknowable=UNKNOWABLE)


def reference_kwargs(config: DiffusionConfig) -> dict[str, Any]:
    """With which arguments TorToiSe's `DiffusionTts` builds this network for inference."""
    return {
        "model_channels": config.dim,
        "num_layers": config.n_layers,
        "in_channels": config.n_mels,
        "in_latent_channels": config.latent_dim,
        "in_tokens": config.n_codes,
        "out_channels": config.n_outputs,
        "dropout": 0,
        "use_fp16": False,
        "num_heads": config.n_heads,
        "layer_drop": 0,
        "unconditioned_percentage": 0,
    }
