"""The forms that a list of utterances may have, each as rows of named cells with the line they stand in.

psv, tsv, csv   columns with a first line that names them; tsv and csv also without it: basename, text
                (csv: with ',' or ';'; quotes around cells are taken off, unless they belong to the texts)
ljspeech        id|text|normalised, without a first line that names them; also DL-Art-School's path|text, in
                which a recording is named as it is seen from the list: wavs/name.wav
festival        ( id "text" )
text            one text per line; its number is its name
texts           as psv, but what is to be spoken needs no basename
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from retimbre.errors import DataError

Format = Literal["psv", "tsv", "csv", "festival", "text", "texts", "ljspeech"]

TEXT_COLUMNS = ("characters", "text")  # EveryVoice's word, and the one that people expect
PHONE_COLUMNS = ("phones", "arpabet")
KNOWN_COLUMNS = {"basename", "language", "speaker", *TEXT_COLUMNS, *PHONE_COLUMNS}
PSV: Mapping[str, Any] = {"delimiter": "|", "quoting": csv.QUOTE_NONE, "escapechar": "\\"}
TSV: Mapping[str, Any] = {**PSV, "delimiter": "\t"}
CSV: Mapping[str, Any] = {"delimiter": ",", "quotechar": '"', "escapechar": "\\", "strict": True}
DIALECTS: Mapping[str, Mapping[str, Any]] = {"psv": PSV, "texts": PSV, "tsv": TSV, "csv": CSV}
FESTIVAL = re.compile(r'\(\s*(?P<basename>[^\s"()]+)\s+"(?P<text>(?:[^"\\]|\\.)*)"\s*\)')
NAMELESS = ("basename", "characters", "its normalised text")  # columns of a list that does not name them
NUMBER_DIGITS = 5  # of a line in a plain text: names sort as the lines do


class Row(NamedTuple):
    """One line of a list, before anybody has asked whether it makes sense."""

    line: int
    cells: dict[str, str]


def rows_of(path: Path, content: str, format: Format | None) -> list[Row]:  # noqa: A002
    """The rows of a list; None finds out which form it has.

    Raises:
        DataError: with the line, where one does not have that form.
    """
    form = format or format_of(path, content)
    if form == "festival":
        return _festival_rows(path, content)
    if form == "ljspeech":
        return _ljspeech_rows(path, content)
    if form == "text":
        return _text_rows(path, content)
    return _column_rows(path, content, form)


def format_of(path: Path, content: str) -> Format:
    """The form that the first line shows; never `text`, which every line could be."""
    first = _first_line(content)
    if FESTIVAL.fullmatch(first.strip()):
        return "festival"
    if _is_header(first.split("|")):
        return "psv"
    if _is_header(first.split("\t")):
        return "tsv"
    if _is_header(first.split(",")) or _is_header(first.split(";")):
        return "csv"
    if "|" not in first and "\t" in first:
        return "tsv"
    if "|" not in first and "," in first and path.suffix.lower() == ".csv":
        return "csv"
    return "ljspeech"


def _first_line(content: str) -> str:
    return next((line for line in content.splitlines() if line.strip()), "")


def _is_header(cells: Sequence[str]) -> bool:
    columns = {name.strip() for name in cells}
    # One known word may be the text of a recording; two are a header.
    return "basename" in columns or len(columns & KNOWN_COLUMNS) > 1


def _column_rows(path: Path, content: str, form: str) -> list[Row]:
    """The rows; a csv list whose quotes are no quotes around cells is read as EveryVoice reads every one."""
    if form != "csv":
        return _rows_in(path, content, form, DIALECTS[form])
    delimiter = ";" if _is_header(_first_line(content).split(";")) else ","
    try:
        return _rows_in(path, content, form, {**CSV, "delimiter": delimiter})
    except DataError as error:
        try:
            return _rows_in(path, content, form, {**PSV, "delimiter": delimiter})
        except DataError:
            raise error from None


def _rows_in(path: Path, content: str, form: str, dialect: Mapping[str, Any]) -> list[Row]:
    reader = csv.reader(io.StringIO(content, newline=""), **dialect)
    rows: list[Row] = []
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            if header is None:
                header = [name.strip() for name in cells]
                if form in ("psv", "texts") or _is_header(cells):
                    _require_header(path, header, form)
                    continue
                _require_columns(path, reader.line_num, len(cells), {2, 3}, form)
                header = list(NAMELESS[: len(cells)])
            _require_columns(path, reader.line_num, len(cells), {len(header)}, form)
            rows.append(Row(reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num} cannot be read",
            found=str(error),
            do='write \\" for a quote inside a text' if form == "csv" else None,
        ) from error
    return [_spoken(row) for row in rows] if header == list(NAMELESS) else rows


def _spoken(row: Row) -> Row:
    """Of two texts without names the last is what is spoken, as in LJSpeech's lists."""
    cells = dict(row.cells)
    normalised = cells.pop(NAMELESS[2]).strip()
    return Row(row.line, cells | {"characters": normalised or cells["characters"]})


def _require_header(path: Path, header: list[str], form: str) -> None:
    mark = DIALECTS[form]["delimiter"]
    has_text = any(name in header for name in (*TEXT_COLUMNS, *PHONE_COLUMNS))
    if ("basename" not in header and form != "texts") or not has_text:
        raise DataError(
            f"{path} lacks a column",
            expected="'basename' and one of 'characters', 'phones' in its first line",
            found=" | ".join(header),
            do=f"write a first line such as {mark.join(('basename', 'language', 'speaker', 'characters'))}",
        )
    if len(set(header)) < len(header):
        raise DataError(f"{path} has a column twice", found=" | ".join(header))


def _ljspeech_rows(path: Path, content: str) -> list[Row]:
    rows = []
    reader = csv.reader(io.StringIO(content, newline=""), **PSV)
    try:
        for cells in reader:
            if not cells:
                continue
            _require_columns(path, reader.line_num, len(cells), {2, 3}, "ljspeech")
            text = cells[2].strip() if len(cells) == 3 else ""
            rows.append(Row(reader.line_num, {"basename": cells[0], "characters": text or cells[1]}))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num} cannot be read", found=str(error)) from error
    return rows


def _festival_rows(path: Path, content: str) -> list[Row]:
    rows = []
    for number, line in enumerate(io.StringIO(content), start=1):
        if not line.strip():
            continue
        found = FESTIVAL.fullmatch(line.strip())
        if found is None:
            raise DataError(
                f"{path}, line {number} cannot be read",
                expected='( id "text" )',
                found=line.strip()[:80],
                do='write \\" for a quote inside a text',
            )
        text = re.sub(r"\\(.)", r"\1", found["text"])
        rows.append(Row(number, {"basename": found["basename"], "characters": text}))
    return rows


def _text_rows(path: Path, content: str) -> list[Row]:
    return [
        Row(number, {"basename": f"{path.stem}-{number:0{NUMBER_DIGITS}}", "characters": line.strip()})
        for number, line in enumerate(io.StringIO(content), start=1)
        if line.strip()
    ]


def _require_columns(path: Path, line: int, found: int, expected: set[int], form: str) -> None:
    if found in expected:
        return
    mark = DIALECTS.get(form, PSV)["delimiter"]
    shown = "tabs" if mark == "\t" else f"'{mark}'"
    hints = {
        "csv": "put a text with ',' in it into quotes",
        "tsv": "take tabs out of the texts",
    }
    raise DataError(
        f"{path}, line {line} cannot be read",
        expected=f"{' or '.join(map(str, sorted(expected)))} columns with {shown} between them",
        found=str(found),
        do=hints.get(form, "write \\| for a '|' inside a text (psv), or take it out (metadata.csv)"),
    )
