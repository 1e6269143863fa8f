"""Sizes of a generator of random latents from names and shapes; its author's words <-> ours.

Our names are TorToiSe's.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import Told
from retimbre.models.family import Inferred, Shapes
from retimbre.models.tortoise_random_latent.config import N_SCALED, RandomLatentConfig
from retimbre.models.votes import vote

NAMES = tuple(f"layers.{layer}.{end}" for layer in range(1 + N_SCALED) for end in ("weight", "bias"))
LARGEST_SCALE = 1000
N_STRANGE = 2  # names that may be missing, and as many that may be there besides: damage, not another family


def fits(shapes: Shapes) -> bool:
    """Are these six numbered layers, all square and of one width, and hardly anything else?

    The names are common ones, so nearly all twelve must be there and nearly nothing beside them.
    """
    present = [name for name in NAMES if name in shapes]
    if len(NAMES) - len(present) > N_STRANGE or len(shapes) - len(present) > N_STRANGE:
        return False
    widths = Counter(shapes[name][0] for name in present if _is_square(name, shapes[name]))
    return len(present) - max(widths.values(), default=0) <= N_STRANGE


def take(ledger: Ledger) -> None:
    """Bring the tensors of a file under our names, which are the file's: nothing is to be done."""


def config_from(shapes: Shapes, known: Mapping[str, Any]) -> Inferred:
    """The width from the shapes, by majority; the scale of the weights from `known`, or assumed."""
    told = Told(known)
    scale = told.value(
        "lr_mul", field="rate_scale", usual=0.1, because="fixed in TorToiSe's class, as in all known files"
    )
    if type(scale) not in (int, float) or not 0 < scale <= LARGEST_SCALE:
        raise CheckpointError(
            "the lr_mul stated for this generator of voices makes no sense",
            expected=f"a number above 0, at most {LARGEST_SCALE:,}",
            found=repr(scale),
            do="leave '--assume lr_mul=…' away, or give another value",
        )
    dim = vote(shapes, "dim", dict.fromkeys(NAMES, 0))
    if not dim:
        raise CheckpointError(
            "the layers of this generator of voices are empty", found=f"'{NAMES[0]}' of 0 rows"
        )
    return Inferred(config=RandomLatentConfig(dim=dim, rate_scale=float(scale)), assumed=tuple(told.assumed))


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under TorToiSe's names, which are the same."""
    return dict(tensors)


def reference_kwargs(config: RandomLatentConfig) -> dict[str, Any]:
    """Arguments of `RandomLatentConverter`; its scale of 0.1 is none of them."""
    return {"channels": config.dim}


def _is_square(name: str, shape: tuple[int, ...]) -> bool:
    n_axes = 2 if name.endswith("weight") else 1
    return len(shape) == n_axes and len(set(shape)) == 1
