"""Lists of utterances: EveryVoice's psv with a header line, and LJSpeech's metadata.csv."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from retimbre.data.utterance import Utterance
from retimbre.data.writing import write_text
from retimbre.errors import DataError

Format = Literal["psv", "ljspeech"]

TEXT_COLUMNS = ("characters", "text")  # EveryVoice's word, and the one that people expect
KNOWN_COLUMNS = {"basename", "language", "speaker", "phones", *TEXT_COLUMNS}
SOUND_ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
PSV: Mapping[str, Any] = {"delimiter": "|", "quoting": csv.QUOTE_NONE, "escapechar": "\\"}
SHOW_AT_MOST = 3


class Row(NamedTuple):
    """One line of a list, before anybody has asked whether it makes sense."""

    line: int
    cells: dict[str, str]


def read_filelist(path: Path, *, format: Format | None = None) -> list[Utterance]:  # noqa: A002
    """The utterances of a list, in its order.

    Args:
        format: `psv`: a header line names the columns. `ljspeech`: `id|text|normalised` without a header; the
            last column is what is spoken. None finds out.

    Raises:
        DataError: if the list is missing, empty, not UTF-8, lacks columns, or names an utterance twice.
    """
    content = _read_utf8(Path(path))
    first = content.partition("\n")[0].rstrip("\r")
    format = format or _format_of(first)  # noqa: A001
    rows = _psv_rows(path, content) if format == "psv" else _ljspeech_rows(path, content)
    if not rows:
        raise DataError(f"{path} lists nothing", expected="one utterance per line", found="no lines")
    utterances = [_utterance(path, row) for row in rows]
    _require_unique(path, rows, utterances)
    return utterances


def write_filelist(path: Path, utterances: Sequence[Utterance]) -> None:
    """Write a psv list in EveryVoice's column order.

    Columns of the file that we do not know (EveryVoice's tokens, for instance) stay with the utterances whose
    text is still the same: replacing a list must not take away what another program needs.
    """
    path = Path(path)
    foreign = _foreign_cells(path, utterances)
    has_phones = any(utterance.phones is not None for utterance in utterances)
    columns = _in_everyvoice_order({name for cells in foreign.values() for name in cells}, has_phones)
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n", **PSV)
    writer.writeheader()
    for utterance in utterances:
        cells = {
            "basename": utterance.basename,
            "language": utterance.language,
            "speaker": utterance.speaker,
            "characters": utterance.text,
        }
        phones = {"phones": utterance.phones or ""} if has_phones else {}
        writer.writerow(cells | phones | foreign.get(utterance.stem, {}))
    write_text(path, out.getvalue())


def _read_utf8(path: Path) -> str:
    if not path.is_file():
        raise DataError(
            f"{path} cannot be read",
            expected="a list of utterances",
            found="a folder" if path.is_dir() else "nothing of that name",
            do="give the metadata.csv or the psv list of the recordings",
        )
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8",
            expected="text in UTF-8",
            found=f"the byte {content[error.start]:#04x} in line {line}",
            do="save it as UTF-8",
        ) from error


def _format_of(first_line: str) -> Format:
    columns = {name.strip() for name in first_line.split("|")}
    # One known word may be the text of a recording; two are a header.
    return "psv" if "basename" in columns or len(columns & KNOWN_COLUMNS) > 1 else "ljspeech"


def _psv_rows(path: Path, content: str) -> list[Row]:
    reader = csv.reader(io.StringIO(content, newline=""), **PSV)
    rows: list[Row] = []
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cells):
                continue
            if header is None:
                header = _checked_header(path, [name.strip() for name in cells])
                continue
            _require_columns(path, reader.line_num, len(cells), {len(header)})
            rows.append(Row(reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num} cannot be read", found=str(error)) from error
    return rows


def _checked_header(path: Path, header: list[str]) -> list[str]:
    has_text = any(name in header for name in (*TEXT_COLUMNS, "phones"))
    if "basename" not in header or not has_text:
        raise DataError(
            f"{path} lacks a column",
            expected="'basename' and one of 'characters', 'phones' in its first line",
            found=" | ".join(header),
            do="write a first line such as basename|language|speaker|characters",
        )
    if len(set(header)) < len(header):
        raise DataError(f"{path} has a column twice", found=" | ".join(header))
    return header


def _ljspeech_rows(path: Path, content: str) -> list[Row]:
    rows = []
    for number, line in enumerate(io.StringIO(content), start=1):
        cells = line.rstrip("\r\n").split("|")
        if cells == [""]:
            continue
        _require_columns(path, number, len(cells), {2, 3})
        text = cells[2].strip() if len(cells) == 3 else ""
        rows.append(Row(number, {"basename": cells[0], "characters": text or cells[1]}))
    return rows


def _require_columns(path: Path, line: int, found: int, expected: set[int]) -> None:
    if found not in expected:
        raise DataError(
            f"{path}, line {line} cannot be read",
            expected=f"{' or '.join(map(str, sorted(expected)))} columns with '|' between them",
            found=str(found),
            do="write \\| for a '|' inside a text (psv), or take it out (metadata.csv)",
        )


def _utterance(path: Path, row: Row) -> Utterance:
    cells = {name: cell.strip() for name, cell in row.cells.items()}
    text = next((cells[name] for name in TEXT_COLUMNS if cells.get(name)), "")
    phones = cells.get("phones") or None
    try:
        if not text and phones is None:
            raise DataError("a recording has no text", expected="what is spoken", found="nothing")
        return Utterance(
            basename=_without_ending(cells["basename"]),
            text=text,
            phones=phones,
            speaker=cells.get("speaker") or "default",
            language=cells.get("language") or "default",
        )
    except DataError as error:
        raise DataError(
            f"{path}, line {row.line}: {error.what}", expected=error.expected, found=error.found, do=error.do
        ) from error


def _without_ending(basename: str) -> str:
    # Only endings of sound files: EveryVoice cuts whatever follows the last point, so 'no. 5' becomes 'no'.
    ending = next((e for e in SOUND_ENDINGS if basename.lower().endswith(e)), "")
    return basename[: len(basename) - len(ending)]


def _require_unique(path: Path, rows: list[Row], utterances: list[Utterance]) -> None:
    lines = defaultdict(list)
    for row, utterance in zip(rows, utterances, strict=True):
        lines[utterance.stem].append(row.line)
    twice = {stem: where for stem, where in lines.items() if len(where) > 1}
    if twice:
        shown = "; ".join(
            f"{stem} in lines {', '.join(map(str, where))}"
            for stem, where in list(twice.items())[:SHOW_AT_MOST]
        )
        raise DataError(
            f"{path} names {len(twice)} utterances more than once",
            expected="each basename once per speaker and language",
            found=shown,
            do="remove or rename the second ones",
        )


def _foreign_cells(path: Path, utterances: Iterable[Utterance]) -> dict[str, dict[str, str]]:
    """Unknown columns of the list at `path`, by stem, where text and phones are still the same."""
    if not path.is_file():
        return {}
    try:
        rows = _psv_rows(path, _read_utf8(path))
        there = {(old := _utterance(path, row)).stem: (old, row.cells) for row in rows}
    except DataError:
        return {}  # what lies there is no list that could be kept
    kept = {}
    for utterance in utterances:
        if utterance.stem not in there:
            continue
        old, cells = there[utterance.stem]
        if old == utterance:
            kept[utterance.stem] = {name: c for name, c in cells.items() if name not in KNOWN_COLUMNS}
    return kept


def _in_everyvoice_order(foreign: set[str], has_phones: bool) -> list[str]:
    first = ["basename", "language", "speaker", "characters"]
    first += ["character_tokens"] if "character_tokens" in foreign else []
    first += ["phones"] if has_phones else []
    first += ["phone_tokens"] if "phone_tokens" in foreign else []
    return first + sorted(foreign - set(first))
