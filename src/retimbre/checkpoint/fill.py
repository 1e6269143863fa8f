"""Put tensors into a model, strictly, naming what does not fit."""

from collections.abc import Mapping

from torch import Tensor, nn

from retimbre.errors import CheckpointError


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill every parameter and buffer of `model`, or raise naming what does not fit."""
    expected = model.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    unused = sorted(tensors.keys() - expected.keys())
    wrong = [
        f"{name}: model {tuple(expected[name].shape)}, file {tuple(tensors[name].shape)}"
        for name in sorted(expected.keys() & tensors.keys())
        if expected[name].shape != tensors[name].shape
    ]
    if missing or unused or wrong:
        raise CheckpointError(
            f"weights do not fit {type(model).__name__}",
            expected=f"{len(expected)} tensors as in the model",
            found=", ".join(
                (_some(missing, "missing"), _some(unused, "unused"), _some(wrong, "of another shape"))
            ),
            do="'retimbre inspect FILE' says which family a file belongs to",
        )
    model.load_state_dict(dict(tensors))


def _some(names: list[str], word: str) -> str:
    return f"{len(names)} {word}" + (
        f" ({', '.join(names[:3])}{', …' if names[3:] else ''})" if names else ""
    )
