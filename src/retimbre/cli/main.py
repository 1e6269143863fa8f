"""The command line: registers the commands, and turns our errors into one line and exit code 1."""

import sys
from typing import Annotated, NoReturn

import typer

from retimbre import __version__
from retimbre.cli import later
from retimbre.cli.check import data as check_data
from retimbre.cli.check import text_config as check_text_config
from retimbre.cli.checkpoint import inspect as inspect_checkpoint
from retimbre.cli.checkpoint import rename_speaker
from retimbre.cli.convert import convert
from retimbre.cli.export import spec_to_wav as export_spec_to_wav
from retimbre.cli.fetch import fetch
from retimbre.cli.g2p import g2p
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
    rich_markup_mode="markdown",  # in the other modes [default: …] would be taken for a colour
    add_completion=True,
)
synthesize = typer.Typer(help="Speak, or write what a stage really produces.", no_args_is_help=True)
export = typer.Typer(help="Write a checkpoint without what only its training needs.", no_args_is_help=True)
check = typer.Typer(help="Look at recordings and texts before anything is trained.", no_args_is_help=True)
checkpoint = typer.Typer(help="What is in a checkpoint, and its speakers' names.", no_args_is_help=True)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"retimbre {__version__}")
        raise typer.Exit
    return wanted


def _diagnostic(wanted: bool) -> bool:
    if wanted:
        from retimbre.cli.diagnostic import diagnosis

        typer.echo(diagnosis())
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-v", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    diagnostic: Annotated[
        bool,
        typer.Option(
            "--diagnostic",
            "-d",
            callback=_diagnostic,
            is_eager=True,
            help="Print versions of everything installed.",
        ),
    ] = False,
) -> None:
    """Options before a command."""


app.command()(quickstart)
app.command()(preprocess)
app.command()(train)
app.add_typer(synthesize, name="synthesize")
synthesize.command("from-text")(from_text)
synthesize.command("from-spec")(from_spec)
app.add_typer(export, name="export")
export.command("spec-to-wav")(export_spec_to_wav)
app.command()(match)
app.command()(inspect)
app.command()(convert)
app.command()(fetch)
app.add_typer(check, name="check")
check.command("data")(check_data)
check.command("text-config")(check_text_config)
app.add_typer(checkpoint, name="checkpoint")
checkpoint.command("inspect")(inspect_checkpoint)
checkpoint.command("rename-speaker")(rename_speaker)
app.command()(g2p)

# Earlier spellings of EveryVoice, and its commands that are not here: each works or says so in one line.
app.command("check-data", hidden=True)(check_data)
app.command("inspect-checkpoint", hidden=True)(inspect_checkpoint)
synthesize.command("spec-to-wav", hidden=True)(from_spec)
later.register(app, synthesize=synthesize, check=check)


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
