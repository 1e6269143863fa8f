"""The command line: registers the commands, and turns our errors into one line and exit code 1."""

import sys
from typing import Annotated, NoReturn

import typer

from retimbre import __version__
from retimbre.cli.inspect import inspect
from retimbre.cli.match import match
from retimbre.cli.preprocess import preprocess
from retimbre.cli.quickstart import quickstart
from retimbre.cli.synthesize import from_spec, from_text
from retimbre.cli.train import train
from retimbre.errors import RetimbreError

app = typer.Typer(
    help="Fine-tune text-to-speech checkpoints to a voice, and match the vocoder to the tuned model.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=True,
)
synthesize = typer.Typer(help="Speak, or write what a stage really produces.", no_args_is_help=True)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"retimbre {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-v", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before a command."""


app.command()(quickstart)
app.command()(preprocess)
app.command()(train)
app.add_typer(synthesize, name="synthesize")
synthesize.command("from-text")(from_text)
synthesize.command("from-spec")(from_spec)
app.command()(match)
app.command()(inspect)


def run() -> None:
    """Entry point of the `retimbre` program."""
    try:
        app()
    except RetimbreError as error:
        _fail(str(error))
    except OSError as error:  # what no layer below expected of the disk, a permission or a folder
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}. Check the path, its permissions and the space on the disk")
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> NoReturn:
    """One line on stderr, whatever a file name or a text in it holds, and exit code 1."""
    typer.secho(f"error: {' '.join(message.split())}", fg="red", err=True)
    raise SystemExit(1) from None
