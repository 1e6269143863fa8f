"""`retimbre synthesize`: speak, or write what a stage really produces."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from retimbre.cli import places, tortoise_options

MODELS = Annotated[
    Path,
    typer.Argument(
        parser=places.file_or_folder,
        metavar="MODELS",
        help="A text-to-spec checkpoint, or the folder of a TorToiSe set.",
    ),
]
ACCELERATOR = Annotated[str, typer.Option("--accelerator", "-a", help="auto, cpu, cuda, mps.")]


def _control(name: str, *letters: str, example: str) -> object:
    return typer.Option(f"--{name}-control", *letters, min=0.1, max=10, help=example)


def from_text(
    checkpoint: MODELS,
    texts: Annotated[
        list[str] | None, typer.Option("--text", "-t", help="What to say; may be repeated.")
    ] = None,
    filelist: Annotated[
        Path | None,
        typer.Option("--filelist", "-f", parser=places.file, help="psv, metadata.csv, or one text a line."),
    ] = None,
    text_representation: Annotated[
        Literal["characters", "phones", "arpabet"] | None,
        typer.Option(
            help="What the texts are.  [default: characters; phones of a list, if the model reads them]"
        ),
    ] = None,
    output_type: Annotated[
        list[str] | None,
        typer.Option(
            "--output-type",
            "-O",
            help="wav, spec, textgrid, readalong-xml or readalong-html; may be repeated.  [default: wav]",
        ),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            "--output-dir",
            "-o",
            parser=places.place,
            metavar="FOLDER",
            help="Where results go.  [default: synthesis_output; with teacher forcing, its folder]",
        ),
    ] = None,
    simple_filenames: Annotated[
        bool, typer.Option("--simple-filenames", help="Only basename and ending, as in LJ050-0269.wav.")
    ] = False,
    vocoder: Annotated[
        Path | None,
        typer.Option("--vocoder-path", "-v", parser=places.file, help="spec-to-wav checkpoint."),
    ] = None,
    teacher_forcing: Annotated[
        Path | None,
        typer.Option(
            "--teacher-forcing-directory",
            "-T",
            "--teacher-forcing-folder",
            parser=places.folder,
            help="Preprocessed folder: specs as long as its recordings.",
        ),
    ] = None,
    speaker: Annotated[str | None, typer.Option("--speaker", "-s", help="[default: the first]")] = None,
    language: Annotated[str | None, typer.Option("--language", "-l", help="[default: the first]")] = None,
    style_reference: Annotated[
        Path | None,
        typer.Option(
            "--style-reference",
            "-S",
            exists=True,
            dir_okay=False,
            help="A recording whose style is followed.",
        ),
    ] = None,
    duration_control: Annotated[float, _control("duration", "-D", example="1.5: half as long again.")] = 1.0,
    pitch_control: Annotated[float, _control("pitch", example="1.5: half as far again from the mean.")] = 1.0,
    energy_control: Annotated[float, _control("energy", example="Likewise for loudness.")] = 1.0,
    split_text: Annotated[
        bool | None,
        typer.Option(
            "--split-text/--no-split-text",
            help="Speak long texts in pieces.  [default: as the model was trained]",
        ),
    ] = None,
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config",
            "-c",
            "--config-args",
            help="text.split_text=false, or text.boundaries.LANGUAGE.strong='!?.' (or .weak).",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", "-b", min=1, help="Results do not depend on it.  [default: 4; 16 candidates]"
        ),
    ] = None,
    device: ACCELERATOR = "auto",
    devices: Annotated[str, typer.Option("--devices", "-d", help="Only one is used.")] = "auto",
    num_workers: Annotated[
        int, typer.Option("--num-workers", "-n", min=0, help="Accepted; there is nothing to load.")
    ] = 4,
    voice: tortoise_options.VOICE = None,
    preset: tortoise_options.PRESET = None,
    seed: tortoise_options.SEED = None,
    n_best: tortoise_options.N_BEST = None,
    n_drawn: tortoise_options.N_DRAWN = None,
    n_steps: tortoise_options.N_STEPS = None,
    sampler: tortoise_options.SAMPLER = None,
    guidance: tortoise_options.GUIDANCE = None,
    noise_scale: tortoise_options.NOISE = None,
    temperature: tortoise_options.TEMPERATURE = None,
    top_p: tortoise_options.TOP_P = None,
    top_k: tortoise_options.TOP_K = None,
    repetition_penalty: tortoise_options.REPETITION_PENALTY = None,
    typical_mass: tortoise_options.TYPICAL_MASS = None,
    max_codes: tortoise_options.MAX_CODES = None,
    precision: tortoise_options.PRECISION = None,
    decoder: tortoise_options.DECODER = None,
    voice_seed: tortoise_options.VOICE_SEED = None,
    voice_folder: tortoise_options.VOICE_FOLDER = None,
    save_voice: tortoise_options.SAVE_VOICE = None,
    others: tortoise_options.WITH = None,
    adapters: tortoise_options.ADAPTER = None,
    assume: tortoise_options.ASSUME = None,
) -> None:
    """Speak texts, or write the specs that MODELS really produce for recordings (teacher forcing)."""
    is_tortoise = tortoise_options.is_set(checkpoint)
    values = locals()
    tortoise_options.require_meant(values, is_tortoise=is_tortoise)
    if is_tortoise:
        for path in tortoise_options.speak(values):
            typer.echo(path)
        return
    from retimbre.cli.console import Console
    from retimbre.models.fastspeech2.variance import Controls
    from retimbre.pipelines.request import Request
    from retimbre.pipelines.synthesis import synthesize_texts

    listener = Console()
    if devices not in ("auto", "1"):
        listener.say("Devices", f"one is used, not {devices}")
    if texts and filelist:
        listener.say("Texts", f"those of --text are spoken, not {filelist}")
    request = Request(
        texts=tuple(texts or ()),
        filelist=filelist,
        text_representation=text_representation,
        split_overrides=tuple(config or ()),
        splits=split_text,
        output_types=tuple(output_type or ("wav",)),
        output_dir=output_dir,
        is_simply_named=simple_filenames,
        vocoder=vocoder,
        teacher_forcing=teacher_forcing,
        speaker=speaker,
        language=language,
        controls=Controls(duration=duration_control, pitch=pitch_control, energy=energy_control),
        style_reference=style_reference,
        batch_size=batch_size or Request.batch_size,
        device=device,
    )
    for path in synthesize_texts(checkpoint, request, listener=listener):
        typer.echo(path)


def from_spec(
    spec: Annotated[Path, typer.Option("--input", "-i", parser=places.file, help="A spec in a file.")],
    model: Annotated[Path, typer.Option("--model", "-m", parser=places.file, help="spec-to-wav checkpoint.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="[default: the input's name with .wav beside it; in this folder if training material is]",
        ),
    ] = None,
    is_time_oriented: Annotated[
        bool | None,
        typer.Option(
            "--time-oriented/--no-time-oriented", help="Do frames come first?  [default: as the shape says]"
        ),
    ] = None,
    device: ACCELERATOR = "auto",
) -> None:
    """Turn one spec into sound."""
    from retimbre.cli.console import Console
    from retimbre.pipelines.copy_synthesis import synthesize_spec

    path = synthesize_spec(
        spec, model, output, device=device, is_time_oriented=is_time_oriented, listener=Console()
    )
    typer.echo(path)
