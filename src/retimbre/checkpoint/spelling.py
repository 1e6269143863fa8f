"""What a file would call a tensor that it lacks: as it calls the others like it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

Run = tuple[str, ...]  # of the parts between the dots of a name

QUOTED = re.compile(r"'([^'\s]+\.[^'\s]+)((?: [+/] \d)?)'")


def spelled(ours: str, names: Mapping[str, str]) -> str:
    """The name in the file's own spelling.

    Args:
        ours: Our name for a tensor that is not there.
        names: Our name -> the file's, for those that are there.
    """
    prefix = _most_common(
        theirs.removesuffix(name) for name, theirs in names.items() if theirs.endswith(name)
    )
    differences = Counter(
        _difference(name.split("."), theirs.removeprefix(prefix).split(".")) for name, theirs in names.items()
    )
    parts = tuple(ours.split("."))
    rules = sorted(differences, key=lambda rule: (len(rule[0]), differences[rule]), reverse=True)
    for mine, their in rules:
        for at in range(len(parts) - len(mine), -1, -1):
            if mine and parts[at : at + len(mine)] == mine:
                return prefix + ".".join((*parts[:at], *their, *parts[at + len(mine) :]))
    return prefix + ours


def respelled(text: str, spelling: Callable[[str], str]) -> str:
    """A sentence with every quoted name of a tensor in the file's spelling."""
    return QUOTED.sub(lambda found: f"'{spelling(found[1])}{found[2]}'", text)


def _difference(mine: list[str], theirs: list[str]) -> tuple[Run, Run]:
    """What is left of two names without the parts that they begin and end with alike."""
    while mine and theirs and mine[0] == theirs[0]:
        mine, theirs = mine[1:], theirs[1:]
    while mine and theirs and mine[-1] == theirs[-1]:
        mine, theirs = mine[:-1], theirs[:-1]
    return tuple(mine), tuple(theirs)


def _most_common(texts: Iterable[str]) -> str:
    counted = Counter(texts).most_common(1)
    return counted[0][0] if counted else ""
