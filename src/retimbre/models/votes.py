"""Sizes by majority, so that one damaged tensor neither hides nor blames the others.

A size that is read from a single tensor makes all the others look wrong where that one is. Here every tensor
that has the size as an axis says what it is, and the most common answer holds. Where as many tensors say one
thing as another, the file contradicts itself, and all of them are named.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from retimbre.errors import CheckpointError
from retimbre.models.family import Shapes

N_ABSENT = 3  # that a message names


def vote(shapes: Shapes, what: str, claims: Mapping[str, int], *, is_odd: bool = False) -> int:
    """The most common length of the named axes.

    Args:
        shapes: Names and shapes of the tensors.
        what: The size, for the message.
        claims: Name of a tensor -> which of its axes has this size; absent tensors do not vote, nor do those
            without such an axis.
        is_odd: Only odd lengths vote, as of a kernel that keeps the number of frames.

    Raises:
        CheckpointError: No tensor votes, or as many for one length as for another.
    """
    said = {
        name: shapes[name][axis]
        for name, axis in claims.items()
        if name in shapes and -len(shapes[name]) <= axis < len(shapes[name])
    }
    votes = Counter(length for length in said.values() if length % 2 or not is_odd)
    if not votes:
        raise _nobody_tells(shapes, what, claims)
    (winner, n_votes), *others = votes.most_common(2)
    if others and others[0][1] == n_votes:
        absent = [f"'{name}'" for name in claims if name not in shapes]
        raise CheckpointError(
            f"tensors contradict each other about {what}",
            expected="one length",
            found=", ".join(f"{length} by '{name}'" for name, length in said.items())
            + (f"; no {', '.join(absent[:N_ABSENT])}" if absent else ""),
            do="ask for the whole file",
        )
    return winner


def count(shapes: Shapes, templates: Iterable[str]) -> int:
    """How many numbered parts there are: the highest number + 1; 0 where no name fits.

    Args:
        shapes: Names and shapes of the tensors.
        templates: Names with one `{}` for the number, such as `gpt.h.{}.ln_1.weight`. The most common answer
            holds; of equally common ones that of the first template. Templates that no name fits do not vote.

    Raises:
        CheckpointError: There are fewer tensors than parts.
    """
    highest = {template: _highest(shapes, template) for template in templates}
    votes = Counter(number + 1 for number in highest.values() if number >= 0)
    if not votes:
        return 0
    winner = votes.most_common(1)[0][0]
    if winner > len(shapes):
        template = next(template for template, number in highest.items() if number + 1 == winner)
        raise CheckpointError(
            f"parts are missing before '{template.format(winner - 1)}'",
            expected=f"'{template.format(0)}' to '{template.format(winner - 1)}'",
            found=f"{len(shapes)} tensors in all",
            do="ask for the whole file",
        )
    return winner


def _highest(shapes: Shapes, template: str) -> int:
    before, after = template.split("{}")
    pattern = re.compile(f"{re.escape(before)}([0-9]{{1,9}}){re.escape(after)}")
    return max((int(match[1]) for name in shapes if (match := pattern.fullmatch(name))), default=-1)


def _nobody_tells(shapes: Shapes, what: str, claims: Mapping[str, int]) -> CheckpointError:
    present = [f"'{name}' of shape {shapes[name]}" for name in claims if name in shapes]
    expected = " or ".join(f"'{name}' with at least {_axes(axis)}" for name, axis in claims.items())
    return CheckpointError(
        f"no tensor tells {what}",
        expected=expected,
        found=", ".join(present) or "none of them",
        do="ask for the whole file",
    )


def _axes(axis: int) -> str:
    n_axes = axis + 1 if axis >= 0 else -axis
    return f"{n_axes} axis" if n_axes == 1 else f"{n_axes} axes"
