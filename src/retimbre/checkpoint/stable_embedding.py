"""Tables that bitsandbytes' StableEmbedding wrote: each row passes a layer norm before it is used."""

from torch import Tensor
from torch.nn import functional

from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import CheckpointError

WHY = "the norm of a bitsandbytes embedding, folded into its table: the outputs stay"
EPSILON = 1e-5


def fold_norm(ledger: Ledger, table: str) -> None:
    """Put the rows as they are after the norm in place of both; nothing happens where there is no norm.

    Args:
        ledger: Works on the `meta` device too.
        table: Name of the weight, such as `code_embedding.weight`.

    Raises:
        CheckpointError: A part of the norm is missing, or does not fit the table.
    """
    norms = [f"{table.removesuffix('weight')}norm.{part}" for part in ("weight", "bias")]
    if not any(name in ledger for name in norms):
        return
    for name in (table, *norms):
        if name not in ledger:
            raise CheckpointError(
                f"'{name}' is missing",
                expected="a table with a norm: rows, weight and bias",
                found="two of them",
            )
    rows, weight, bias = (ledger.tensors[name] for name in (table, *norms))
    # The norm speaks with two voices: where both contradict the rows, the rows are wrong.
    width = weight.shape[-1:] if weight.shape == bias.shape else rows.shape[-1:]
    for name, tensor, axes in ((table, rows, 2), (norms[0], weight, 1), (norms[1], bias, 1)):
        if not tensor.is_floating_point() or tensor.dim() != axes or tensor.shape[-1:] != width:
            raise CheckpointError(
                f"'{ledger.source(name)}' is no part of a table with a norm",
                expected=f"real numbers, {_axes(axes)}, the last one as long as a row",
                found=f"{tensor.dtype} of shape {tuple(tensor.shape)}",
                do="take the file as its trainer wrote it",
            )
    ledger.replace((table, *norms), {table: rows if rows.is_meta else _normed(rows, weight, bias)}, WHY)


def _normed(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    wide = functional.layer_norm(rows.float(), rows.shape[-1:], weight.float(), bias.float(), EPSILON)
    return wide.to(rows.dtype)


def _axes(n: int) -> str:
    return "one axis" if n == 1 else f"{n} axes"
