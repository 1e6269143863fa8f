"""Options of `retimbre synthesize from-text` that are for a TorToiSe set, and what becomes of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from retimbre.cli import places
from retimbre.cli.arguments import ADAPTER_FORM
from retimbre.errors import DataError, RetimbreError

PANEL = "For a TorToiSe set"
OF_SETTINGS = (  # names of parameters, as in `Settings` and `Sampling`
    "n_drawn",
    "n_steps",
    "sampler",
    "guidance",
    "noise_scale",
    "temperature",
    "top_p",
    "top_k",
    "repetition_penalty",
    "typical_mass",
    "max_codes",
    "precision",
)
MEANT = {  # for a TorToiSe set alone, likewise; other options are for both
    **{name: "--" + name.replace("_", "-") for name in OF_SETTINGS},
    "n_drawn": "--draw",
    "n_steps": "--steps",
    "noise_scale": "--noise",
    "voice": "--voice",
    "preset": "--preset",
    "seed": "--seed",
    "n_best": "--candidates",
    "decoder": "--decoder",
    "voice_seed": "--voice-seed",
    "voice_folder": "--voice-folder",
    "save_voice": "--save-voice",
    "others": "--with",
    "assume": "--assume",
    "adapters": "--adapter",
}
NOT_MEANT = {  # for a TorToiSe set: the option, by the name of the parameter
    "text_representation": "--text-representation",
    "vocoder": "--vocoder-path",
    "teacher_forcing": "--teacher-forcing-directory",
    "speaker": "--speaker",
    "style_reference": "--style-reference",
    "duration_control": "--duration-control",
    "pitch_control": "--pitch-control",
    "energy_control": "--energy-control",
    "config": "--config",
}


def _option(*names: str, help_text: str, **more: Any) -> Any:  # noqa: ANN401 (whatever typer makes)
    return typer.Option(*names, help=help_text, rich_help_panel=PANEL, **more)


VOICE = Annotated[
    str | None,
    _option(
        "--voice",
        help_text="A folder of recordings, a saved voice, a name below MODELS/voices, a&b, or random.  "
        "[default: random]",
    ),
]
PRESET = Annotated[
    Literal["single_sample", "ultra_fast", "very_fast", "fast", "standard", "high_quality"] | None,
    _option("--preset", help_text="How much work a sentence is worth.  [default: standard]"),
]
SEED = Annotated[
    int | None, _option("--seed", min=0, help_text="The same seed, the same sound.  [default: any]")
]
N_BEST = Annotated[
    int | None, _option("--candidates", min=1, help_text="Write the best K, with their scores.  [default: 1]")
]
N_DRAWN = Annotated[
    int | None, _option("--draw", min=1, help_text="Candidates to choose from.  [default: the preset's]")
]
N_STEPS = Annotated[
    int | None,
    _option("--steps", min=1, max=4000, help_text="Of diffusion.  [default: the preset's]"),
]
SAMPLER = Annotated[
    Literal["ddpm", "ddim", "dpm++2m"] | None,
    _option("--sampler", help_text="Of diffusion; the last two need fewer steps.  [default: the preset's]"),
]
GUIDANCE = Annotated[
    float | None,
    _option("--guidance", min=0, help_text="Of diffusion; 0: none, twice as fast.  [default: the preset's]"),
]
NOISE = Annotated[
    float | None,
    _option("--noise", min=0, help_text="How strong the noise is that a spec is found in.  [default: 1]"),
]
TEMPERATURE = Annotated[
    float | None, _option("--temperature", help_text="Above 0; more is more varied.  [default: 0.8]")
]
TOP_P = Annotated[
    float | None,
    _option("--top-p", help_text="The likeliest codes that have this share of it all.  [default: 0.8]"),
]
TOP_K = Annotated[
    int | None, _option("--top-k", min=1, help_text="At most so many of the likeliest codes.  [default: 50]")
]
REPETITION_PENALTY = Annotated[
    float | None, _option("--repetition-penalty", help_text="1: none.  [default: 2]")
]
TYPICAL_MASS = Annotated[
    float | None,
    _option("--typical-mass", help_text="Typical sampling, from 0 to 1, often 0.9.  [default: none]"),
]
MAX_CODES = Annotated[
    int | None,
    _option("--max-codes", min=1, help_text="Of a sentence; one is 46 ms long.  [default: 500]"),
]
PRECISION = Annotated[
    Literal["float32", "bfloat16", "int8"] | None,
    _option("--precision", help_text="Of the weights; smaller is faster.  [default: float32]"),
]
DECODER = Annotated[
    Literal["diffusion", "hifigan"] | None,
    _option("--decoder", help_text="hifigan needs hifidecoder.pth, and no diffusion.  [default: diffusion]"),
]
VOICE_SEED = Annotated[
    int | None,
    _option(
        "--voice-seed",
        min=0,
        help_text="Another random voice; or other six seconds of long recordings.  [default: 0]",
    ),
]
VOICE_FOLDER = Annotated[
    list[Path] | None,
    _option(
        "--voice-folder", parser=places.folder, help_text="Where voices have names, too; may be repeated."
    ),
]
SAVE_VOICE = Annotated[
    Path | None,
    _option("--save-voice", help_text="Write the voice to FILE (.safetensors; .pth for tortoise-tts)."),
]
WITH = Annotated[
    list[Path] | None,
    _option(
        "--with",
        parser=places.file,
        help_text="A file in place of the one in MODELS, such as a tuned autoregressive.pth; repeatable.",
    ),
]
ADAPTER = Annotated[
    list[str] | None,
    _option(
        "--adapter",
        metavar=ADAPTER_FORM,
        help_text="What training.lora wrote, over its base in MODELS; repeatable.  [default strength: 1]",
    ),
]
ASSUME = Annotated[
    list[str] | None,
    _option("--assume", metavar="NAME=VALUE", help_text="What 'retimbre inspect' had to assume."),
]


def is_set(models: Path) -> bool:
    """A folder, or a file of TorToiSe's first stage?"""
    from retimbre.models.identify import identify

    return models.is_dir() or identify(models, is_hashed=False).stage == "text-to-codes"


def require_meant(values: Mapping[str, Any], *, is_tortoise: bool) -> None:
    """Raise RetimbreError if an option is given that says nothing to these models."""
    here, there = ("a TorToiSe set", "a text-to-spec checkpoint")[:: 1 if is_tortoise else -1]
    others = NOT_MEANT if is_tortoise else MEANT
    given = [option for name, option in others.items() if values[name] not in (None, 1.0, [])]
    if given:
        raise RetimbreError(
            f"{given[0]} says nothing to these models",
            expected=there,
            found=f"{values['checkpoint']}, {here}",
            do=f"leave out {given[0]}",
        )


def speak(values: Mapping[str, Any]) -> Iterator[Path]:
    """Speak with a set; the path of each file as it is whole."""
    from retimbre.cli.arguments import adapters_in, assumed_values
    from retimbre.cli.console import Console
    from retimbre.pipelines.tortoise_settings import settings_from
    from retimbre.pipelines.tortoise_speaker import VoiceChoice
    from retimbre.pipelines.tortoise_speech import SpeechRequest, speak_texts

    models: Path = values["checkpoint"]
    changes = {name: values[name] for name in (*OF_SETTINGS, "batch_size")}
    if kinds := [kind for kind in values["output_type"] or () if kind != "wav"]:
        raise DataError(f"a TorToiSe set writes no {kinds[0]}", expected="wav", do="leave out --output-type")
    request = SpeechRequest(
        texts=tuple(values["texts"] or ()),
        filelist=values["filelist"],
        who=VoiceChoice(
            voice=values["voice"] or "random",
            seed=values["voice_seed"] or 0,
            folders=tuple(values["voice_folder"] or ()),
            decoder=values["decoder"],
            device=values["device"],
        ),
        settings=settings_from(values["preset"] or "standard", **changes),
        seed=values["seed"],
        n_best=values["n_best"] or 1,
        language=values["language"] or "en",
        splits=values["split_text"] is not False,
        output_dir=values["output_dir"] or Path("synthesis_output"),
        is_simply_named=values["simple_filenames"],
        save_voice=values["save_voice"],
        assume=assumed_values(values["assume"] or ()),
        adapters=adapters_in(values["adapters"] or ()),
    )
    named = [models] if models.is_dir() else [models.parent, models]
    return speak_texts([*named, *(values["others"] or ())], request, listener=Console())
