"""`fetched.json`: where each file of a folder was fetched from, and which hash it had."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from retimbre.checkpoint.write import write_json
from retimbre.errors import FetchError

NAME = "fetched.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of one fetched file."""

    repository: str
    path: str
    revision: str  # that was asked for
    commit: str | None  # that was found
    sha256: str
    size_bytes: int
    fetched_at: str  # ISO 8601, UTC
    licence: str


def read_record(folder: Path) -> dict[str, Entry]:
    """Entries by file name; empty where nothing was fetched.

    Raises:
        FetchError: if somebody has changed the file so that it cannot be read.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: _entry(values) for name, values in content.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FetchError(
            f"{path} cannot be read", found=str(error), do=f"remove it: rm {path}; files stay as they are"
        ) from error


def write_record(folder: Path, name: str, entry: Entry) -> Entry | None:
    """Note a file, and return what was noted of that name before."""
    record = read_record(folder)
    before = record.get(name)
    record[name] = entry
    write_json(folder / NAME, {each: asdict(record[each]) for each in sorted(record)})
    return before


def _entry(values: object) -> Entry:
    if not isinstance(values, dict):
        raise TypeError(f"an entry is {values!r}")
    entry = Entry(**values)
    for field in fields(entry):
        value = getattr(entry, field.name)
        expected = int if field.name == "size_bytes" else str
        if not isinstance(value, expected) and not (field.name == "commit" and value is None):
            raise TypeError(f"{field.name} is {value!r}")
    return entry
