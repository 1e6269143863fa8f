"""What became of each line of a DL-Art-School YAML, in sentences."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from retimbre.recipe.dlas_data import AS_DLAS
from retimbre.recipe.dlas_file import DlasFile

CORRECTED = (
    "training computes what speaking computes (tortoise.trains_as: inference): a voice is one averaged "
    "vector with the residual of tortoise-tts (DL-Art-School's is another), and the stop is learnt where the "
    "recording ends (there after all its padding); -c tortoise.trains_as=dlas trains as DL-Art-School does"
)
AS_THERE = (
    "training computes what DL-Art-School computes (tortoise.trains_as: dlas), which is not what speaking "
    "does: a voice has another residual, and the stop comes after the padding"
)
UNTRIMMED = "recordings are taken as they are, nothing is trimmed (-c data.trims_silence=true trims)"


def notes_of(
    file: DlasFile, values: Mapping[str, Any], overridden: Sequence[str], trains_as: str
) -> tuple[str, ...]:
    """Where results go, what is computed, then every line of the file; reasons are told once."""
    place = f"results go to {values['runs']}/{values['name']}; nothing of DL-Art-School's is changed"
    general = (place, AS_THERE if trains_as == AS_DLAS else CORRECTED, UNTRIMMED)
    single, grouped = [], dict[tuple[str, str], list[str]]()
    for key in file.leaves():
        fate = file.fates[key]
        if fate.kind in ("honoured", "changed"):
            told = _told(fate.text, file.get(key), values, overridden)
            single.append(f"{_lines(file, [key])}, {fate.kind}: {key}: {file.get(key)} -> {told}")
        else:
            grouped.setdefault((fate.kind, fate.text), []).append(key)
    for (kind, text), keys in grouped.items():
        reason = f" ({text})" if text else ""
        single.append(f"{_lines(file, keys)}, {kind}{reason}: {_together(keys)}")
    return (*general, *single)


def _told(text: str, given: object, values: Mapping[str, Any], overridden: Sequence[str]) -> str:
    """What a value became: by which word, and as what where it is another one."""
    ours, _, rest = text.partition(" ")
    ours = ours.rstrip(",;:.")
    if ours in overridden:
        return f"-c {ours} says otherwise"
    value: Any = values
    for name in ours.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if value is None or (rest and not rest.startswith("(")) or value == given:
        return text
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(filter(None, (ours, shown, rest)))


def _lines(file: DlasFile, keys: Iterable[str]) -> str:
    """Their numbers, neighbours together."""
    found = sorted({line for key in keys if (line := file.line(key)) is not None})
    if not found:
        return "command line"
    starts = [found[0], *(b for a, b in pairwise(found) if b > a + 1)]
    ends = [*(a for a, b in pairwise(found) if b > a + 1), found[-1]]
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
    return f"line{'s' if len(found) > 1 else ''} {', '.join(shown)}"


def _together(keys: Iterable[str]) -> str:
    """Keys of one section behind its name."""
    sections: dict[str, list[str]] = {}
    for key in keys:
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(name)
    groups = ((name, ", ".join(words)) for name, words in sections.items())
    return "; ".join(f"{name}: {words}" if name else words for name, words in groups)
