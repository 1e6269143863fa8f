"""CLVP's sizes from names and shapes; TorToiSe's names are ours, but for a level that some files lack."""

import re
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
from retimbre.models.tortoise_clvp.config import ClvpConfig
from retimbre.models.votes import vote

LEVEL = "wrap."
NOT_WRAPPED = re.compile(
    r"((?:text|speech)_transformer\.transformer\.attn_layers\.layers\.\d+\.1\.)(?!wrap\.)"
)
OLDER = re.compile(r"(text|speech)_transformer\.layers\.layers\..*")  # without rotary positions
PROJECTIONS = {"to_text_latent.weight": 0, "to_speech_latent.weight": 0}
ENCODERS = {f"{side}_transformer.transformer.norm.weight": 0 for side in ("text", "speech")}
UNKNOWABLE = (
    "text_seq_len: rotary positions have no last one",
    "speech_seq_len: likewise",
)


def fits(shapes: Shapes) -> bool:
    """Two of: the table of the text, its projection, its encoder."""
    named = [name in shapes for name in ("text_emb.weight", "to_text_latent.weight")]
    return sum((*named, any(name.startswith("text_transformer.") for name in shapes))) >= 2


def take(ledger: Ledger) -> None:
    """Names as in `clvp2.pth`: layers one level down, inside a wrapper."""
    ledger.rename_all(
        lambda name: NOT_WRAPPED.sub(rf"\1{LEVEL}", name),
        "saved from a network without the wrapper that the released file's layers are in",
    )


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """Sizes from shapes (ours); the heads as told, or by TorToiSe's rule."""
    _require_rotary(shapes)
    told = Told(known)
    text, speech = _Side(shapes, "text"), _Side(shapes, "speech")
    try:
        config = ClvpConfig(
            n_symbols=vote(shapes, "the number of text symbols", {"text_emb.weight": 0}),
            n_codes=vote(shapes, "the number of codes", {"speech_emb.weight": 0}),
            text_dim=text.dim,
            n_text_layers=text.n_layers,
            n_text_heads=text.heads(told),
            text_attention_dim=text.attention_dim,
            speech_dim=speech.dim,
            n_speech_layers=speech.n_layers,
            n_speech_heads=speech.heads(told),
            speech_attention_dim=speech.attention_dim,
            latent_dim=_latent_dim(shapes),
        )
    except ValueError as error:
        raise CheckpointError("the sizes of a CLVP contradict each other", found=str(error)) from error
    return Inferred(config=config, assumed=tuple(told.assumed), unknowable=UNKNOWABLE)


def _latent_dim(shapes: Shapes) -> int:
    """Of both projections; where they disagree, that one is right which is as wide as the encoders."""
    agreed = {shapes[name][0] for name in PROJECTIONS if shapes.get(name)}
    claims = PROJECTIONS if len(agreed) == 1 else PROJECTIONS | ENCODERS
    return vote(shapes, "the width of the latents", claims)


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under TorToiSe's names: the same."""
    return dict(tensors)


def reference_kwargs(config: ClvpConfig) -> dict[str, Any]:
    """Arguments of TorToiSe's `CLVP`; lengths that no tensor tells are those of the released file."""
    return {
        "dim_text": config.text_dim,
        "dim_speech": config.speech_dim,
        "dim_latent": config.latent_dim,
        "num_text_tokens": config.n_symbols,
        "text_enc_depth": config.n_text_layers,
        "text_seq_len": 350,
        "text_heads": config.n_text_heads,
        "num_speech_tokens": config.n_codes,
        "speech_enc_depth": config.n_speech_layers,
        "speech_heads": config.n_speech_heads,
        "speech_seq_len": 430,
        "use_xformers": True,
    }


class _Side:
    """The encoder of text or of codes, as far as shapes tell."""

    def __init__(self, shapes: Shapes, side: str) -> None:
        self._side = side
        encoder = f"{side}_transformer.transformer"
        self.n_layers = n_layers_of(shapes, encoder, level=LEVEL)
        self.norms = dim_claims(encoder, self.n_layers)
        tables = {f"{side}_emb.weight": 1, f"to_{side}_latent.weight": 1}
        self.dim = vote(shapes, f"the width of the {side} encoder", self.norms | tables)
        claims = attention_claims(encoder, self.n_layers, level=LEVEL)
        self.attention_dim = attention_dim_of(shapes, f"the width of the {side} attention", claims)

    def heads(self, told: Told) -> int:
        name, field = f"{self._side}_heads", f"n_{self._side}_heads"
        return heads_of(told, name, field=field, attention_dim=self.attention_dim)


def _require_rotary(shapes: Shapes) -> None:
    older = next((name for name in shapes if OLDER.fullmatch(name)), None)
    if older and not any(".attn_layers." in name for name in shapes):
        raise CheckpointError(
            "this CLVP has the older transformer (use_xformers False), which is not supported",
            expected="layers named text_transformer.transformer.attn_layers.layers.0.…",
            found=f"'{older}'",
            do="take clvp2.pth",
        )
