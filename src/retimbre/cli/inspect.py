"""`retimbre inspect`: say what checkpoints are, without running anything in them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retimbre.cli import places
from retimbre.cli.arguments import assumed_values
from retimbre.errors import CheckpointError, RetimbreError, UnsafeCheckpoint

if TYPE_CHECKING:
    from retimbre.models.report import Report

N_COMPARED = 2


def inspect(
    files: Annotated[
        list[Path],
        typer.Argument(
            parser=places.file, metavar="FILE...", help="Checkpoints: .ckpt, .pth, .pt, .safetensors."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    is_deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Read all weights: hash, NaN, infinite and constant tensors, dead codes."
        ),
    ] = False,
    is_diff: Annotated[bool, typer.Option("--diff", help="Compare two files tensor by tensor.")] = False,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            "--assume", metavar="NAME=VALUE", help="Say what no tensor tells, instead of the usual value."
        ),
    ] = None,
    recording: Annotated[
        Path | None,
        typer.Option(
            "--probe",
            parser=places.file,
            metavar="RECORDING",
            help="Find out heads and residual by the loss on it.",
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="What is said in the recording of --probe.")
    ] = None,
) -> None:
    """Print what each FILE is, and what had to be assumed; of several, whether they work together."""
    stated = assumed_values(assume or [])
    if is_diff:
        _print_difference(files, as_json=as_json)
    elif recording:
        _print_probe(files, recording, text, stated, as_json=as_json)
    elif len(files) == 1:
        report = _report(files[0], stated, is_deep=is_deep)
        typer.echo(report.to_json() if as_json else report.to_text())
    else:
        _print_several(files, stated, is_deep=is_deep, as_json=as_json)


def _report(file: Path, stated: dict[str, Any], *, is_deep: bool) -> "Report":
    from retimbre.models.identify import identify, identify_deep  # torch loads here, not for --help

    return identify_deep(file, assume=stated) if is_deep else identify(file, assume=stated)


def _print_several(files: list[Path], stated: dict[str, Any], *, is_deep: bool, as_json: bool) -> None:
    """Each by itself, then the chain; a file that cannot be read does not hide the others."""
    from retimbre.pipelines.chain import chain_of

    reports: list[Report] = []
    errors: dict[str, str] = {}
    is_unsafe = False
    for file in files:
        try:
            reports.append(_report(file, stated, is_deep=is_deep))
        except CheckpointError as error:
            errors[str(file)] = str(error)
            is_unsafe = is_unsafe or isinstance(error, UnsafeCheckpoint)
    chain = chain_of(reports)
    if as_json:
        values = {
            "files": [report.to_dict() for report in reports],
            "errors": errors,
            "chain": chain.to_dict(),
        }
        typer.echo(json.dumps(values, indent=2))
    else:
        typer.echo(
            "\n\n".join([f"{report.path}\n{report.to_text()}" for report in reports] + [chain.to_text()])
        )
    for message in errors.values():
        typer.secho(f"error: {' '.join(message.split())}", fg="red", err=True)
    if is_unsafe or not reports:
        raise typer.Exit(1)


def _print_difference(files: list[Path], *, as_json: bool) -> None:
    from retimbre.models.compare import compare

    if len(files) != N_COMPARED:
        raise RetimbreError(
            "--diff compares two files", found=f"{len(files)}", do="retimbre inspect A B --diff"
        )
    found = compare(*files)
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())


def _print_probe(
    files: list[Path], recording: Path, text: str | None, stated: dict[str, Any], *, as_json: bool
) -> None:
    from retimbre.cli.console import Console
    from retimbre.pipelines.probe import probe

    if not text:
        raise RetimbreError("--probe needs what is said in the recording", do='add --text "…"')
    found = probe(files, recording, text, assume=stated, listener=Console())
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())
