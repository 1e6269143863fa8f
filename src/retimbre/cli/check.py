"""`retimbre check`: recordings and texts looked at before anything is trained."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from retimbre.cli import places
from retimbre.cli.arguments import CONFIG, OVERRIDES, noted_recipe, require_one_device


def data(
    config: CONFIG,
    model: Annotated[
        Path | None,
        typer.Argument(
            parser=places.file,
            help="A text-to-spec checkpoint: what it lacks, and where it is worst.",
        ),
    ] = None,
    overrides: OVERRIDES = None,
    output_dir: Annotated[
        Path,
        typer.Option("--output-dir", "-o", file_okay=False, help="Where the results go."),
    ] = Path("checked_data"),
    filelist: Annotated[
        Path | None,
        typer.Option("--filelist", "-f", parser=places.file, help="A list instead of those of CONFIG."),
    ] = None,
    num_workers: Annotated[
        int | None, typer.Option("--num-workers", "-n", min=0, help="Processes.", show_default="all cores")
    ] = None,
    calculate_stats: Annotated[
        bool,
        typer.Option("--calculate-stats/--no-calculate-stats", help="Measure pitch and energy, too."),
    ] = True,
    clip_detection: Annotated[
        bool, typer.Option("--clip-detection/--no-clip-detection", help="Accepted; it is always looked for.")
    ] = True,
    objective_evaluation: Annotated[
        bool,
        typer.Option(
            "--objective-evaluation/--no-objective-evaluation", help="Accepted; nothing is estimated."
        ),
    ] = False,
    preprocessed: Annotated[
        Path | None,
        typer.Option(
            "--preprocessed-directory",
            "-p",
            parser=places.folder,
            help="Its prepared audio is what MODEL is judged on.",
            show_default="the recordings",
        ),
    ] = None,
    style_reference: Annotated[
        Path | None, typer.Option("--style-reference", "-S", help="Accepted; no style is needed.")
    ] = None,
    text_representation: Annotated[
        Literal["characters", "phones", "arpabet"],
        typer.Option(help="Accepted; the model says what it reads."),
    ] = "characters",
    device: Annotated[
        str, typer.Option("--accelerator", "-a", help="Accepted; nothing is computed on it.")
    ] = ("auto"),
    devices: Annotated[str, typer.Option("--devices", "-d", help="auto or 1.")] = "auto",
) -> None:
    """Look at every recording and text of CONFIG: what is missing, odd, or said twice."""
    from retimbre.cli.console import Console
    from retimbre.diagnose.datasets import check_data

    require_one_device(devices)
    console = Console()
    if objective_evaluation:
        console.say("Note", "--objective-evaluation: recordings are not rated by a network here")
    found = check_data(
        noted_recipe(config, overrides, console),
        model=model,
        filelist=filelist,
        preprocessed=preprocessed,
        folder=output_dir,
        has_prosody=calculate_stats,
        n_workers=num_workers or None,
        listener=console,
    )
    console.say("Written", " and ".join(str(path) for path in (found.path, found.scores) if path))
    typer.echo(found.to_text())


def text_config(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            exists=True,
            dir_okay=False,
            help="everyvoice-shared-text.yaml, or a model's file.",
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", parser=places.file, help="A checkpoint instead.")
    ] = None,
    text_file: Annotated[
        Path | None,
        typer.Option("--text-file", exists=True, dir_okay=False, help="One text per line."),
    ] = None,
    psv_file: Annotated[
        Path | None, typer.Option("--psv-file", exists=True, dir_okay=False, help="A list, of any form.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option("--language", "-l", help="Of a text file, and of a list that does not say it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Print each symbol of a text that a configuration or a model lacks, how often, and where."""
    from retimbre.diagnose.texts import check_text_config
    from retimbre.errors import RecipeError

    texts = text_file or psv_file
    if texts is None or (text_file and psv_file):
        raise RecipeError("one text is compared", expected="--text-file or --psv-file", do="give one of them")
    found = check_text_config(
        config=config, model=model, texts=texts, is_plain=text_file is not None, language=language
    )
    typer.echo(found.to_json() if as_json else found.to_text())
