"""Which tensors move: everything except those whose names begin with a frozen prefix."""

from collections.abc import Collection, Iterable

from torch import nn

from retimbre.errors import RecipeError


def freeze(module: nn.Module, prefixes: Iterable[str], *, key: str = "training.frozen") -> int:
    """Stop the parameters whose names begin with one of `prefixes`; how many were stopped.

    A prefix that fits no parameter is an error: it was meant to protect something.
    """
    require_beginnings([name for name, _ in module.named_parameters()], prefixes, key=key)
    stopped = 0
    for name, parameter in module.named_parameters():
        if any(name.startswith(prefix) for prefix in prefixes):
            parameter.requires_grad_(False)
            stopped += 1
    for part in module.modules():
        own = list(part.parameters(recurse=False))
        if isinstance(part, nn.BatchNorm1d) and own and not any(p.requires_grad for p in own):
            part.register_forward_pre_hook(_as_in_inference)
    return stopped


def require_beginnings(
    names: Collection[str], prefixes: Iterable[str], *, key: str = "training.frozen"
) -> None:
    """Raise RecipeError unless a tensor begins with each of `prefixes`."""
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            shown = ", ".join(sorted({name.split(".")[0] for name in names}))
            raise RecipeError(f"{key} names '{prefix}', but no tensor begins so", expected=f"one of {shown}")


def _as_in_inference(norm: nn.Module, arguments: tuple[object, ...]) -> None:
    """The running mean and variance of a frozen norm must not move either, and are what it works with."""
    norm.training = False
