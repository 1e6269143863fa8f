"""`retimbre g2p`: how texts are said, line by line."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def g2p(
    language: Annotated[str, typer.Argument(metavar="LANG_ID", help="Code of a language, such as eng.")],
    input_file: Annotated[
        Path | None, typer.Argument(help="Texts, one per line; - is stdin.", show_default="stdin")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", exists=True, dir_okay=False, help="everyvoice-shared-text.yaml: is read, nothing run."
        ),
    ] = None,
) -> None:
    """Print the phones of each line as a list of symbols."""
    from retimbre.recipe.shared_text import read_text_config
    from retimbre.text.phones import phones_of

    if config is not None:
        read_text_config(config).require_no_engine(language)
    phones_of("", language)  # before anybody types: is there such a language?
    is_stdin = input_file is None or str(input_file) == "-"
    for line in _lines(None if is_stdin else input_file):
        said = phones_of(line, language)
        typer.echo(list(said.symbols))
        if said.silent:
            typer.echo(f"nothing is said for {' '.join(said.silent)}", err=True)


def _lines(path: Path | None) -> list[str]:
    from retimbre.errors import TextError

    try:
        content = sys.stdin.buffer.read() if path is None else path.read_bytes()
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise TextError(f"{path or 'stdin'} is not UTF-8", found=str(error), do="save it as UTF-8") from error
