"""Sizes of TorToiSe's autoregressive network from names and shapes; what its files hold besides.

Our names are those of the released file, so that nothing is renamed.
"""

import json
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.stable_embedding import fold_norm
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import OPTION, Told
from retimbre.models.family import Inferred, Shapes
from retimbre.models.tortoise_ar.config import RESIDUALS, Residual, UnifiedVoiceConfig
from retimbre.models.tortoise_ar.variants import HEADS, kwargs_of
from retimbre.models.votes import count, vote

MARKS = (
    "conditioning_encoder.init.weight",
    "text_pos_embedding.emb.weight",
    "mel_pos_embedding.emb.weight",
    "text_head.weight",
    "mel_head.weight",
    "gpt.ln_f.weight",
)
OF_XTTS = ("conditioning_perceiver.", "prompt_embedding.", "prompt_pos_embedding.")
SYMBOLS, CODES = "text_embedding.weight", "mel_embedding.weight"
SYMBOL_POSITIONS, CODE_POSITIONS = "text_pos_embedding.emb.weight", "mel_pos_embedding.emb.weight"
TABLES = (SYMBOLS, CODES, SYMBOL_POSITIONS, CODE_POSITIONS)
SOLO = ("mel_solo_embedding", "text_solo_embedding")
MASK = r"gpt\.h\.[0-9]+\.attn\.bias"

LAYER = ("ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight",
         "attn.c_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias",
         "mlp.c_proj.weight", "mlp.c_proj.bias")  # fmt: skip
READER = ("norm.weight", "norm.bias", "qkv.weight", "qkv.bias", "proj_out.weight", "proj_out.bias")
DIM = {
    "gpt.ln_f.weight": 0,
    "gpt.ln_f.bias": 0,
    "final_norm.weight": 0,
    "final_norm.bias": 0,
    "text_head.weight": 1,
    "mel_head.weight": 1,
    "conditioning_encoder.init.weight": 0,
    "conditioning_encoder.init.bias": 0,
    **dict.fromkeys(TABLES, 1),
}
N_SYMBOLS = {SYMBOLS: 0, "text_head.weight": 0, "text_head.bias": 0}
N_CODES = {CODES: 0, "mel_head.weight": 0, "mel_head.bias": 0}

LARGEST = 1 << 20  # of any number that is stated
UNKNOWABLE = (
    "max_mel_tokens and max_conditioning_inputs one by one: only their sum is a size",
    "types against number_text_tokens: only their product is a size",
    "checkpointing: it changes what training keeps in memory, not the network",
    "residual form of the conditioning encoder (x + h or norm(x) + h)",
)


def fits(shapes: Shapes) -> bool:
    """Is it TorToiSe's autoregressive network? That of XTTS has nearly the same tensors, and more."""
    return sum(mark in shapes for mark in MARKS) > len(MARKS) // 2 and not any(
        name.startswith(OF_XTTS) for name in shapes
    )


def take(ledger: Ledger) -> None:
    """Leave out what no network needs, and fold the norms of embeddings into their tables.

    Raises:
        CheckpointError: The network reads spectrograms in place of codes, a mask contradicts the positions,
            or a norm does not fit its table.
    """
    if encoder := ledger.names(r"mel_embedding\.encoder\..*"):
        raise CheckpointError(
            "this network reads spectrograms in place of codes, which is not supported",
            expected=f"a table of codes, '{CODES}'",
            found=f"'{encoder[0]}' (use_mel_codes_as_input was False)",
            do="use a network that was trained on codes, as the released one was",
        )
    ledger.drop(r"inference_model\..*", "copies that tortoise-tts keeps for decoding")
    ledger.drop(r"gpt\.wte\.weight", f"copy of {CODES}, kept by tortoise-tts for decoding")
    _require_masks_fit(ledger)
    ledger.drop(MASK, "causal mask buffer of older transformers")
    ledger.drop(r"gpt\.h\.[0-9]+\.attn\.masked_bias", "mask value buffer of older transformers")
    for variant, (head, _) in HEADS.items():
        why = f"third head of {variant}; neither inference nor fine-tuning uses it"
        ledger.drop(rf"{head}\.(weight|bias)", why)
    for table in TABLES:
        fold_norm(ledger, table)


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """Every size; what no tensor tells from `known`, or by the rule that the released network follows.

    Raises:
        CheckpointError: Tensors are missing or contradict each other, or `known` makes no sense.
    """
    stated = _Stated(known)
    dim = vote(shapes, "the width", DIM)
    sizes: dict[str, Any] = {
        "n_layers": count(shapes, [f"gpt.h.{{}}.{part}" for part in LAYER]),
        "dim": dim,
        "n_heads": _heads(stated, dim),
        "n_conditioning_layers": count(shapes, [f"conditioning_encoder.attn.{{}}.{part}" for part in READER]),
        "n_symbols": (n_symbols := vote(shapes, "the number of text symbols", N_SYMBOLS)),
        "n_codes": (n_codes := vote(shapes, "the number of codes", N_CODES)),
        "n_symbol_positions": vote(shapes, "the longest text", {SYMBOL_POSITIONS: 0}),
        "n_code_positions": vote(shapes, "the most codes", {CODE_POSITIONS: 0}),
        "has_solo_embeddings": any(name in shapes for name in SOLO),
        **_conventions(stated, n_symbols, n_codes),
    }
    try:
        config = UnifiedVoiceConfig(**sizes, residual=stated.residual(), dropout=stated.dropout())
    except ValueError as error:
        raise CheckpointError(
            "no network has the sizes that these tensors and options give", found=str(error)
        ) from error
    return Inferred(config=config, assumed=tuple(stated.told.assumed), unknowable=UNKNOWABLE)


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under TorToiSe's names, which are the same."""
    return dict(tensors)


def reference_kwargs(config: UnifiedVoiceConfig) -> dict[str, Any]:
    """The arguments with which tortoise-tts 3.0.0 builds this network; `kwargs_of` knows DL-Art-School's."""
    return kwargs_of(config)


class _Stated:
    """What no tensor tells: stated by the user or by our own description, or else assumed; never nonsense."""

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.known = known
        self.told = Told(known)

    def whole(self, name: str, field: str, usual: int, because: str, *, least: int = 0) -> int:
        value = self.told.value(name, field=field, usual=usual, because=because)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST:
            raise _nonsense(name, value, f"a whole number from {least} to {LARGEST:,}")
        return value

    def residual(self) -> Residual:
        because = "as TorToiSe speaks; DL-Art-School has trained with norm(x) + h since June 2022"
        value = self.told.value("residual", field="residual", usual=RESIDUALS[0], because=because)
        if value not in RESIDUALS:
            raise _nonsense("residual", value, " or ".join(RESIDUALS))
        return RESIDUALS[RESIDUALS.index(value)]

    def dropout(self) -> float:
        """No assumption: the weights do not depend on it, and every network of this kind has the same."""
        value = self.known.get("dropout", UnifiedVoiceConfig.dropout)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
            raise _nonsense("dropout", value, "a number from 0 to below 1")
        return float(value)


def _nonsense(name: str, value: object, expected: str) -> CheckpointError:
    found = json.dumps(value, default=str)[:80]
    return CheckpointError(
        f"{name} cannot be {found}", expected=expected, do=f"state another value: {OPTION} {name}=…"
    )


def _heads(stated: _Stated, dim: int) -> int:
    if dim % 64 == 0:
        usual, because = max(1, dim // 64), "width / 64, as in the released network"
    else:
        divisors = [n for n in range(1, min(dim, 1 << 12) + 1) if dim % n == 0]
        usual = min(divisors, key=lambda n: abs(n - dim / 64), default=1)
        because = f"a guess: the rule, width / 64, gives no whole number for a width of {dim}"
    heads = stated.whole("heads", "n_heads", usual, because, least=1)
    if dim % heads:
        raise _nonsense("heads", heads, f"a number that divides the width, {dim}")
    return heads


def _conventions(stated: _Stated, n_symbols: int, n_codes: int) -> dict[str, int]:
    """Which rows are start and stop, and the numbers that only a sum or a product shows."""
    of_all = "as in every released network"
    return {
        "start_symbol": stated.whole(
            "start_text_token", "start_symbol", n_symbols - 1, "the last row of the text symbols"
        ),
        "stop_symbol": stated.whole("stop_text_token", "stop_symbol", 0, of_all),
        "start_code": stated.whole(
            "start_mel_token", "start_code", n_codes - 2, "the last row but one of the codes"
        ),
        "stop_code": stated.whole("stop_mel_token", "stop_code", n_codes - 1, "the last row of the codes"),
        "samples_per_code": stated.whole("mel_length_compression", "samples_per_code", 1024, of_all, least=1),
        "n_text_types": stated.whole("types", "n_text_types", 1, of_all, least=1),
        "n_reserved_positions": stated.whole(
            "max_conditioning_inputs", "n_reserved_positions", 2, "as in the released network"
        ),
    }


def _require_masks_fit(ledger: Ledger) -> None:
    """A mask is as large as all positions together, so it shows where one of them was cut or lengthened."""
    shapes = {name: tuple(ledger.tensors[name].shape) for name in ledger.names(MASK)}
    tables = [
        tuple(ledger.tensors[name].shape) for name in (CODE_POSITIONS, SYMBOL_POSITIONS) if name in ledger
    ]
    if not shapes or len(tables) < 2 or not all(tables):
        return
    side = sum(shape[0] for shape in tables)
    wrong = [name for name, shape in shapes.items() if shape != (1, 1, side, side)]
    if wrong:
        raise CheckpointError(
            f"the mask '{ledger.source(wrong[0])}' contradicts the tables of positions",
            expected=f"{side} × {side}: as many as '{ledger.source(CODE_POSITIONS)}' and "
            f"'{ledger.source(SYMBOL_POSITIONS)}' have rows, {tables[0][0]} and {tables[1][0]}",
            found=f"shape {shapes[wrong[0]]}",
            do="take the file as its trainer wrote it: one of the three was changed",
        )
