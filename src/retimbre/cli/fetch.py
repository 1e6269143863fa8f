"""`retimbre fetch`: get the files that others have released, and compare them with their checksums."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from retimbre.checkpoint.released import Released


def fetch(
    collection: Annotated[
        str | None, typer.Argument(metavar="NAME", help="tortoise or hifigan; --list shows what is in them.")
    ] = None,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Only these files of it, as in --list.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the files.  [default: models/NAME]")
    ] = None,
    revision: Annotated[
        str | None, typer.Option("--revision", help="A commit, branch or tag instead of the known one.")
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="Print what there is, and fetch nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Fetch released checkpoints from the Hugging Face hub into a folder. Nothing in them is opened."""
    from retimbre.checkpoint.released import RELEASED, chosen
    from retimbre.errors import FetchError

    if collection is None and not only_list:
        known = ", ".join(dict.fromkeys(file.collection for file in RELEASED))
        raise FetchError("say what to fetch", expected=known, do="as in: retimbre fetch tortoise dvae")
    files = chosen(collection, names or ()) if collection else RELEASED
    if only_list:
        typer.echo(_table_as_json(files) if as_json else _table(files))
        return
    folder = output or Path("models", files[0].collection)
    _fetch_all(files, folder, revision, as_json)


def _fetch_all(files: "tuple[Released, ...]", folder: Path, revision: str | None, as_json: bool) -> None:
    from retimbre.checkpoint.fetching import fetch as fetch_one
    from retimbre.cli.console import Console

    console, done = Console(), []
    for file in files:

        def progress(there: int, whole: int | None, label: str = file.local_name) -> None:
            if whole:
                console.progress("Fetch", -(-there // 1000), -(-whole // 1000), f"kB  {label}")

        fetched = fetch_one(file, folder, revision=revision, on_progress=progress)
        done.append(fetched.to_dict())
        if not as_json:
            typer.echo(fetched.to_text())
    if as_json:
        typer.echo(json.dumps(done, indent=2, ensure_ascii=False))


def _table(files: "tuple[Released, ...]") -> str:
    head = ("name", "file", "size", "checksum", "licence", "what")
    rows = [
        (
            file.collection,
            file.name,
            file.size or "?",
            "known" if file.sha256 else "-",
            file.licence,
            file.what,
        )
        for file in files
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def _table_as_json(files: "tuple[Released, ...]") -> str:
    from dataclasses import asdict

    return json.dumps([asdict(file) for file in files], indent=2, ensure_ascii=False)
