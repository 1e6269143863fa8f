"""A stored spec as sound: what a vocoder makes of it, whoever wrote it."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.files import save_audio
from retimbre.checkpoint.read import read_tensor
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.everyvoice import vocode
from retimbre.pipelines.fit import vocoder_in
from retimbre.pipelines.synthesis import best_device

SPEC_FOLDERS = ("spec", "synthesized_spec")
MARKS_OF_MATERIAL = ("prepared.json", ".config-lock", "stats.json")


def synthesize_spec(
    spec_path: Path,
    model: Path,
    output: Path | None = None,
    *,
    device: str = "auto",
    is_time_oriented: bool | None = None,
    listener: Listener | None = None,
) -> Path:
    """Write the sound of one spec of any of the shapes [K, T], [T, K] and [1, K, T].

    Args:
        output: None: `sound_path(spec_path)`, which the listener is told.
        is_time_oriented: Do frames come first? None finds out; a square spec then has its bands first.
    """
    loaded = load_model(model, device=best_device(device))
    vocoder_in(loaded)
    if output is None:
        output = sound_path(spec_path)
        (listener or Silent()).say("Sound", f"{output} (--output FILE chooses another place)")
    if output.is_dir():
        raise DataError(f"{output} is a folder", expected="the name of a file to write")
    audio = vocode(spec_in(spec_path, loaded, is_time_oriented=is_time_oriented), loaded)
    output.parent.mkdir(parents=True, exist_ok=True)
    save_audio(output, audio)
    return output


def sound_path(spec_path: Path) -> Path:
    """Beside the spec as `<name>.wav`, as EveryVoice writes it; but never among training material.

    A sound that lies in a prepared folder would be taken for a recording there, so it goes to the folder
    where the command was called.
    """
    beside = spec_path.with_name(f"{spec_path.name}.wav")
    here = spec_path.resolve()
    for folder in here.parents:
        is_material = any((folder / mark).is_file() for mark in MARKS_OF_MATERIAL)
        if is_material and here.relative_to(folder).parts[0] in SPEC_FOLDERS:
            return Path(beside.name)
    return beside


def spec_in(
    path: Path, vocoder: Loaded, *, is_time_oriented: bool | None = None
) -> Float[Tensor, "mels frames"]:
    """The spec in a file, bands first.

    Raises:
        DataError: if it does not fit the vocoder, or holds numbers that are not finite.
    """
    spec, n_mels = read_tensor(path).float(), vocoder.description.mel.n_mels
    while spec.ndim > 2 and spec.shape[0] == 1:
        spec = spec[0]
    is_turned = bool(is_time_oriented)
    if is_time_oriented is None and spec.ndim == 2:
        is_turned = spec.shape[0] != n_mels
    if spec.ndim != 2 or 0 in spec.shape or spec.shape[1 if is_turned else 0] != n_mels:
        raise DataError(
            f"{path} is no spec for {vocoder.path.name}",
            expected=f"frames × {n_mels} bands" if is_time_oriented else f"{n_mels} bands × frames",
            found=" × ".join(map(str, spec.shape)) or "one number",
            do=None if is_time_oriented is None else "leave out --time-oriented and --no-time-oriented",
        )
    if not spec.isfinite().all():
        raise DataError(f"{path} holds numbers that are NaN or infinite", do="produce it again")
    return spec.T.contiguous() if is_turned else spec
