"""Lists of utterances: EveryVoice's psv, LJSpeech's metadata.csv, and the other forms of `list_forms`."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from retimbre.data.list_forms import KNOWN_COLUMNS, PSV, TEXT_COLUMNS, Format, Row, rows_of
from retimbre.data.utterance import Utterance
from retimbre.data.writing import write_text
from retimbre.errors import DataError, TextError
from retimbre.text.arpabet import phones_of_arpabet

__all__ = ["PSV", "SOUND_ENDINGS", "Format", "read_filelist", "read_utf8", "without_ending", "write_filelist"]

SOUND_ENDINGS = (".wav", ".flac", ".ogg", ".mp3")
WRITTEN_COLUMNS = KNOWN_COLUMNS - {"arpabet"}  # what it says is written as phones
SHOW_AT_MOST = 3


def read_filelist(path: Path, *, format: Format | None = None) -> list[Utterance]:  # noqa: A002
    """The utterances of a list, in its order.

    Args:
        format: Its form; None finds out. `text`, which every list could be, is never found out.

    Raises:
        DataError: if the list is missing, empty, not UTF-8, lacks columns, or names an utterance twice.
    """
    path = Path(path)
    rows = rows_of(path, read_utf8(path), format)
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
    others = {name for cells in foreign.values() for name in cells}
    others |= {"label"} if any(utterance.label for utterance in utterances) else set()
    columns = _in_everyvoice_order(others, has_phones)
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
        label = {"label": utterance.label} if utterance.label else {}
        writer.writerow(cells | phones | foreign.get(utterance.stem, {}) | label)
    write_text(path, out.getvalue())


def read_utf8(path: Path) -> str:
    """The text of a list; DataError if it is missing or not UTF-8."""
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


def _utterance(path: Path, row: Row) -> Utterance:
    cells = {name: cell.strip() for name, cell in row.cells.items()}
    text = next((cells[name] for name in TEXT_COLUMNS if cells.get(name)), "")
    try:
        phones = cells.get("phones") or phones_of_arpabet(cells.get("arpabet", "")) or None
        if not text and phones is None:
            raise DataError("a recording has no text", expected="what is spoken", found="nothing")
        return Utterance(
            basename=without_ending(cells["basename"]),
            text=text,
            phones=phones,
            speaker=cells.get("speaker") or "default",
            language=cells.get("language") or "default",
            label=cells.get("label", ""),
        )
    except (DataError, TextError) as error:
        raise DataError(
            f"{path}, line {row.line}: {error.what}", expected=error.expected, found=error.found, do=error.do
        ) from error


def without_ending(basename: str) -> str:
    """The name of a recording without the ending of a sound file, and without a `./` before it."""
    basename = basename.removeprefix("./")
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
        rows = rows_of(path, read_utf8(path), "psv")
        there = {(old := _utterance(path, row)).stem: (old, row.cells) for row in rows}
    except DataError:
        return {}  # what lies there is no list that could be kept
    kept = {}
    for utterance in utterances:
        if utterance.stem not in there:
            continue
        old, cells = there[utterance.stem]
        if old == utterance:
            kept[utterance.stem] = {name: c for name, c in cells.items() if name not in WRITTEN_COLUMNS}
    return kept


def _in_everyvoice_order(foreign: set[str], has_phones: bool) -> list[str]:
    first = ["basename", "language", "speaker", "characters"]
    first += ["character_tokens"] if "character_tokens" in foreign else []
    first += ["phones"] if has_phones else []
    first += ["phone_tokens"] if "phone_tokens" in foreign else []
    return first + sorted(foreign - set(first))
