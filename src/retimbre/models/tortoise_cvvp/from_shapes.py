"""CVVP's sizes from names and shapes; TorToiSe's names are ours."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import Told
from retimbre.models.family import Inferred, Shapes
from retimbre.models.rotary_shapes import (
    attention_claims,
    attention_dim_of,
    dim_claims,
    heads_of,
    n_layers_of,
)
from retimbre.models.tortoise_cvvp.config import CvvpConfig
from retimbre.models.votes import vote

CODES = "speech_emb.emb.weight"
CONDITIONING, SPEECH = "conditioning_transformer.transformer", "speech_transformer.transformer"
LATENTS = ("to_conditioning_latent.weight", "to_speech_latent.weight")
UNKNOWABLE = (
    "dropout: it matters in training alone",
    "cond_mask_percentage: likewise",
    "speech_mask_percentage: likewise",
)


def fits(shapes: Shapes) -> bool:
    """Two of: the first layer that reads the recording, its encoder, its projection."""
    named = [name in shapes for name in ("cond_emb.0.weight", "to_conditioning_latent.weight")]
    return sum((*named, any(name.startswith("conditioning_transformer.") for name in shapes))) >= 2


def take(ledger: Ledger) -> None:
    """Every tensor already has its name."""


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """Sizes from shapes (ours); the heads as told, or by TorToiSe's rule."""
    _require_codes(shapes)
    told = Told(known)
    n_conditioning, n_speech = n_layers_of(shapes, CONDITIONING), n_layers_of(shapes, SPEECH)
    dim = vote(
        shapes,
        "the width of the encoders",
        dim_claims(CONDITIONING, n_conditioning) | dim_claims(SPEECH, n_speech) | {CODES: 1},
    )
    _require_plain_latents(shapes, dim)
    claims = attention_claims(CONDITIONING, n_conditioning) | attention_claims(SPEECH, n_speech)
    attention_dim = attention_dim_of(shapes, "the width of the attention", claims)
    try:
        config = CvvpConfig(
            dim=dim,
            n_heads=heads_of(
                told, "transformer_heads", field="n_heads", attention_dim=attention_dim, dim=dim
            ),
            attention_dim=attention_dim,
            n_conditioning_layers=n_conditioning,
            n_speech_layers=n_speech,
            n_codes=vote(shapes, "the number of codes", {CODES: 0}),
        )
    except ValueError as error:
        raise CheckpointError("the sizes of a CVVP contradict each other", found=str(error)) from error
    return Inferred(config=config, assumed=tuple(told.assumed), unknowable=UNKNOWABLE)


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under TorToiSe's names: the same."""
    return dict(tensors)


def reference_kwargs(config: CvvpConfig) -> dict[str, Any]:
    """Arguments of TorToiSe's `CVVP`, without what it does in training alone."""
    return {
        "model_dim": config.dim,
        "transformer_heads": config.n_heads,
        "dropout": 0,
        "conditioning_enc_depth": config.n_conditioning_layers,
        "cond_mask_percentage": 0,
        "mel_codes": config.n_codes,
        "speech_enc_depth": config.n_speech_layers,
        "speech_mask_percentage": 0,
        "latent_multiplier": 1,  # with another one TorToiSe's own network cannot run
    }


def _require_codes(shapes: Shapes) -> None:
    """An older CVVP compares two spectrograms: a convolution stands where the table of codes does."""
    if CODES not in shapes and len(shapes.get("speech_emb.weight", ())) == 3:
        raise CheckpointError(
            "this CVVP compares two spectrograms (mel_codes None), which is not supported",
            expected=f"a table of codes, '{CODES}'",
            found="the convolution 'speech_emb.weight'",
            do="take cvvp.pth",
        )


def _require_plain_latents(shapes: Shapes, dim: int) -> None:
    """A `latent_multiplier` makes both projections wider than what the recording's encoder gives."""
    wide = {shapes.get(name, ()) for name in LATENTS}
    (first, *_) = sorted(wide)
    if len(wide) == 1 and first[:1] == first[1:] and first and first[0] > dim:
        raise CheckpointError(
            f"this CVVP has a latent_multiplier of {first[0] / dim:g}",
            expected="1: with another one the recording's side cannot be computed",
            found=f"projections of {first[0]} channels for encoders of {dim}",
            do="take cvvp.pth",
        )
