"""What a request wants spoken, line by line: texts, a plain list, or a list with columns."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retimbre.data.list_forms import rows_of
from retimbre.data.manifest import read_filelist, read_utf8, without_ending
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.models.description import Description
from retimbre.models.fastspeech2.variance import Controls
from retimbre.pipelines.pieces import Form
from retimbre.pipelines.request import Request

LONGEST_NAME = 20
FORMS: dict[str, Form] = {  # of the columns with texts; a model of phones takes the later ones first
    "characters": "characters",
    "text": "characters",
    "arpabet": "arpabet",
    "phones": "phones",
}
CONTROL_COLUMNS = {"duration_control": "duration", "pitch_control": "pitch", "energy_control": "energy"}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One text to be spoken.

    Args:
        utterance: What its files are named after.
        form: What `text` is.
    """

    utterance: Utterance
    text: str
    form: Form
    controls: Controls


def lines_of(request: Request, described: Description) -> list[Line]:
    """Every text, each under a name of its own.

    Raises:
        DataError: if a list cannot be read, or if two texts would be written to one file.
    """
    if request.texts or request.filelist is None:
        rows: Sequence[dict[str, str]] = [{"": text} for text in request.texts]
    else:
        rows = _rows(request.filelist)
    lines = _named([_line(row, request, described) for row in rows])
    require_names_differ([line.utterance for line in lines], request)
    return lines


def require_names_differ(utterances: Sequence[Utterance], request: Request) -> None:
    """Raise DataError if files would overwrite each other."""
    is_simple = request.is_simply_named
    names = Counter(u.basename if is_simple else u.stem for u in utterances)
    if twice := [name for name, n in names.items() if n > 1]:
        raise DataError(
            f"{len(twice)} names are needed more than once, so files would overwrite each other",
            expected="every basename once" + ("" if is_simple else " for each speaker and language"),
            found=", ".join(twice[:3]),
            do="leave out --simple-filenames" if is_simple else "correct the list",
        )


def name_of(text: str) -> str:
    """EveryVoice's file name for a text: its words, cut off and with a digest where they are long."""
    slug = re.sub(r"\W+", "-", text) or "text"
    return slug if len(slug) <= LONGEST_NAME else f"{slug[:LONGEST_NAME]}-{_digest(slug)}"


def names_apart(texts: Iterable[str]) -> dict[str, str]:
    """File name -> text, each text once; where two would have one name, a digest tells them apart."""
    different = list(dict.fromkeys(text.strip() for text in texts))
    n_of_name = Counter(name_of(text).casefold() for text in different)  # some disks know no capitals

    def named(text: str) -> str:
        name = name_of(text)
        return name if n_of_name[name.casefold()] == 1 else f"{name}-{_digest(text)}"

    return {named(text): text for text in different}


def _rows(path: Path) -> Sequence[dict[str, str]]:
    """The lines of a list by their columns; a plain text has only one, without a name."""
    content = read_utf8(path)
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path} lists nothing", expected="one text or one utterance per line")
    if not any(name.strip() in FORMS for name in lines[0].split("|")):
        return [{"": line} for line in lines] if "|" not in lines[0] else _rows_without_header(path)
    rows = rows_of(path, content, "texts")
    if not rows:
        raise DataError(f"{path} lists nothing", expected="one utterance per line after the first")
    return [{name: cell.strip() for name, cell in row.cells.items()} for row in rows]


def _rows_without_header(path: Path) -> Sequence[dict[str, str]]:
    return [{"basename": u.basename, "characters": u.text} for u in read_filelist(path)]


def _line(row: dict[str, str], request: Request, described: Description) -> Line:
    text, form = (
        (row[""], request.text_representation or "characters")
        if "" in row
        else _text_in(row, request, described)
    )
    speaker, language = (row.get(name) or "default" for name in ("speaker", "language"))
    utterance = Utterance(
        basename=without_ending(row.get("basename") or "") or name_of(text.strip()),
        text=text.strip(),
        speaker=request.speaker or (described.speakers[0] if speaker == "default" else speaker),
        language=request.language or (described.languages[0] if language == "default" else language),
    )
    return Line(utterance=utterance, text=text.strip(), form=form, controls=_controls(row, request.controls))


def _text_in(row: dict[str, str], request: Request, described: Description) -> tuple[str, Form]:
    """The text of a line of columns; a model of phones takes phones where both are given."""
    asked = request.text_representation
    given = [name for name in FORMS if row.get(name)]
    fitting = [name for name in given if asked in (None, FORMS[name])]
    if not fitting:
        raise DataError(
            f"{request.filelist} has a line without {asked or 'a text'}",
            expected=f"a column '{asked or 'characters'}' with a text in every line",
            found=" | ".join(row),
        )
    name = fitting[-1] if described.text_level == "phones" else fitting[0]
    return row[name], FORMS[name]


def _controls(row: dict[str, str], default: Controls) -> Controls:
    """Those of the line, where it has columns for them, else those of the command."""
    found = {"duration": default.duration, "pitch": default.pitch, "energy": default.energy}
    for column, name in CONTROL_COLUMNS.items():
        if row.get(column):
            found[name] = _number(column, row[column])
    return Controls(**found)


def _number(column: str, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise DataError(f"the {column} '{cell}' makes no sense", expected="a number above 0, such as 1.2")
    return number


def _named(lines: Iterable[Line]) -> list[Line]:
    """Where texts would share a name that was made of their words, a digest tells their files apart."""
    different = list(dict.fromkeys(lines))
    n_of_name = Counter(line.utterance.stem.casefold() for line in different)  # some disks know no capitals

    def renamed(line: Line) -> Line:
        old = line.utterance
        is_own = old.basename == name_of(line.text)
        if not is_own or n_of_name[old.stem.casefold()] == 1:
            return line
        return replace(line, utterance=replace(old, basename=f"{old.basename}-{_digest(line.text)}"))

    return [renamed(line) for line in different]


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]
