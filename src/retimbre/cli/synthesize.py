"""`retimbre synthesize`: speak, or write what a stage really produces."""

from pathlib import Path
from typing import Annotated

import typer

CHECKPOINT = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A checkpoint.")]


def from_text(
    checkpoint: CHECKPOINT,
    texts: Annotated[
        list[str] | None, typer.Option("--text", "-t", help="What to say; may be repeated.")
    ] = None,
    filelist: Annotated[
        Path | None,
        typer.Option(
            "--filelist", "-f", exists=True, dir_okay=False, help="psv, metadata.csv, or one text a line."
        ),
    ] = None,
    output_type: Annotated[
        list[str] | None,
        typer.Option("--output-type", "-O", help="wav or spec; may be repeated.  [default: wav]"),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-o",
            help="Where results go.  [default: synthesis_output; with teacher forcing, its folder]",
        ),
    ] = None,
    vocoder: Annotated[
        Path | None,
        typer.Option("--vocoder-path", "-v", exists=True, dir_okay=False, help="spec-to-wav checkpoint."),
    ] = None,
    teacher_forcing: Annotated[
        Path | None,
        typer.Option(
            "--teacher-forcing-directory",
            "-T",
            "--teacher-forcing-folder",
            exists=True,
            file_okay=False,
            help="Preprocessed folder: specs as long as its recordings.",
        ),
    ] = None,
    speaker: Annotated[str | None, typer.Option("--speaker", "-s", help="[default: the first]")] = None,
    language: Annotated[str | None, typer.Option("--language", "-l", help="[default: the first]")] = None,
    duration_control: Annotated[
        float, typer.Option("--duration-control", "-D", min=0.1, max=10, help="1.5: half as long again.")
    ] = 1.0,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="Results do not depend on it.")
    ] = 4,
    device: Annotated[str, typer.Option("--accelerator", "-a", help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Speak texts, or write the specs that CHECKPOINT really produces for recordings (teacher forcing)."""
    from retimbre.cli.console import Console
    from retimbre.pipelines.synthesis import Request, synthesize_texts

    request = Request(
        texts=tuple(texts or ()),
        filelist=filelist,
        output_types=tuple(output_type or ("wav",)),
        output_dir=output_dir,
        vocoder=vocoder,
        teacher_forcing=teacher_forcing,
        speaker=speaker,
        language=language,
        duration_control=duration_control,
        batch_size=batch_size,
        device=device,
    )
    for path in synthesize_texts(checkpoint, request, listener=Console()):
        typer.echo(path)


def from_spec(
    spec: Annotated[
        Path, typer.Option("--input", "-i", exists=True, dir_okay=False, help="A spec in a file.")
    ],
    model: Annotated[
        Path, typer.Option("--model", "-m", exists=True, dir_okay=False, help="spec-to-wav checkpoint.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="[default: the input's name with .wav, in this folder]"),
    ] = None,
    device: Annotated[str, typer.Option("--accelerator", "-a", help="auto, cpu, cuda, mps.")] = "auto",
) -> None:
    """Turn one spec into sound."""
    from retimbre.pipelines.synthesis import synthesize_spec

    typer.echo(synthesize_spec(spec, model, output or Path(f"{spec.name}.wav"), device=device))
