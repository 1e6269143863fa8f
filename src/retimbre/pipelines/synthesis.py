"""Texts, lists or recordings' texts in; sounds and specs on disk out."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from retimbre.audio.files import save_audio
from retimbre.checkpoint.read import read_tensor
from retimbre.checkpoint.write import write_torch_tensor
from retimbre.data.manifest import read_filelist
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, StagesDoNotFit, TextError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.everyvoice import SpokenText, speak_spec, vocode
from retimbre.pipelines.fit import require_fit
from retimbre.pipelines.teacher_forcing import teacher_forced_specs

OUTPUT_TYPES = ("wav", "spec")
LONGEST_NAME = 20


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `retimbre synthesize from-text` was asked for."""

    texts: tuple[str, ...] = ()
    filelist: Path | None = None
    output_types: tuple[str, ...] = ("wav",)
    output_dir: Path | None = None
    vocoder: Path | None = None
    teacher_forcing: Path | None = None
    speaker: str | None = None
    language: str | None = None
    duration_control: float = 1.0
    batch_size: int = 4
    device: str = "auto"


def synthesize_texts(
    checkpoint: Path, request: Request, *, listener: Listener | None = None
) -> Iterator[Path]:
    """Write what was asked for; the path of each file as it is written."""
    listener = listener or Silent()
    unknown = [kind for kind in request.output_types if kind not in OUTPUT_TYPES]
    if unknown:
        raise DataError(f"there is no output type '{unknown[0]}'", expected=" or ".join(OUTPUT_TYPES))
    utterances = _utterances(request)
    device = best_device(request.device)
    text_to_spec = load_model(checkpoint, device=device)
    vocoder = _vocoder(request, text_to_spec, device)
    folder = request.output_dir or request.teacher_forcing or Path("synthesis_output")
    if request.teacher_forcing is not None:
        store = Store(request.teacher_forcing)
        specs = teacher_forced_specs(
            utterances, store, text_to_spec, batch_size=request.batch_size, listener=listener
        )
    else:
        specs = _free(utterances, request, text_to_spec, listener)
    for utterance, spec in specs:
        yield from _written(utterance, spec, folder, text_to_spec, vocoder, request)


def synthesize_spec(spec_path: Path, model: Path, output: Path, *, device: str = "auto") -> Path:
    """One stored spec as sound."""
    loaded = load_model(model, device=best_device(device))
    if loaded.stage != "spec-to-wav":
        raise StagesDoNotFit(
            f"{model.name} is no vocoder", expected="a spec-to-wav checkpoint", found=loaded.stage
        )
    spec, n_mels = read_tensor(spec_path).float().squeeze(), loaded.description.mel.n_mels
    if spec.ndim != 2 or n_mels not in spec.shape:
        found = " × ".join(map(str, spec.shape))
        raise DataError(
            f"{spec_path} is no spec for {model.name}", expected=f"{n_mels} bands × frames", found=found
        )
    save_audio(output, vocode(spec if spec.shape[0] == n_mels else spec.T, loaded))
    return output


def best_device(name: str) -> str:
    """The device that `auto` means here."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _utterances(request: Request) -> list[Utterance]:
    names = {"speaker": request.speaker or "default", "language": request.language or "default"}
    if request.texts:
        return [Utterance(basename=name_of(text), text=text, **names) for text in request.texts]
    if request.filelist is None:
        raise TextError("there is nothing to speak", do="give -t 'a text', or --filelist FILE")
    if request.teacher_forcing is None and not _is_list_with_names(request.filelist):
        lines = [line.strip() for line in request.filelist.read_text(encoding="utf-8").splitlines()]
        return [Utterance(basename=name_of(line), text=line, **names) for line in lines if line]
    return read_filelist(request.filelist)


def _is_list_with_names(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return "|" in file.readline()


def name_of(text: str) -> str:
    """A file name for a text: its first characters, and a digest where it is longer (as EveryVoice does)."""
    slug = re.sub(r"[\W_]+", "-", text.lower()).strip("-") or "text"
    if len(slug) <= LONGEST_NAME:
        return slug
    return f"{slug[:LONGEST_NAME]}-{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]}"


def _vocoder(request: Request, text_to_spec: Loaded, device: str) -> Loaded | None:
    if request.vocoder is not None:
        vocoder = load_model(request.vocoder, device=device)
        require_fit(text_to_spec, vocoder)
        return vocoder
    if "wav" in request.output_types:
        raise DataError(
            "sound needs a vocoder", do="give --vocoder-path FILE, or write specs only with -O spec"
        )
    return None


def _free(
    utterances: list[Utterance], request: Request, loaded: Loaded, listener: Listener
) -> Iterator[tuple[Utterance, torch.Tensor]]:
    for n_done, utterance in enumerate(utterances, start=1):
        spoken: SpokenText = speak_spec(
            utterance.text,
            loaded,
            speaker=request.speaker,
            language=request.language,
            pace=1.0 / request.duration_control,
        )
        yield utterance, spoken.spec
        listener.progress("Speaking", n_done, len(utterances))


def _written(
    utterance: Utterance,
    spec: torch.Tensor,
    folder: Path,
    text_to_spec: Loaded,
    vocoder: Loaded | None,
    request: Request,
) -> Iterator[Path]:
    mel = text_to_spec.description.mel
    if "spec" in request.output_types:
        path = Store(folder).produced_spec_path(utterance, mel)
        write_torch_tensor(path, spec)
        yield path
    if "wav" in request.output_types and vocoder is not None:
        steps = f"ckpt={text_to_spec.description.step}--v_ckpt={vocoder.description.step}"
        path = folder / "wav" / f"{utterance.stem}--{steps}--pred.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_audio(path, vocode(spec, vocoder))
        yield path
