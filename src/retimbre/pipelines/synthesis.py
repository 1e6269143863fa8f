"""Texts, lists or recordings' texts in; sounds and specs on disk out."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from retimbre.audio.files import save_audio
from retimbre.checkpoint.read import read_tensor
from retimbre.checkpoint.write import write_torch_tensor
from retimbre.data.manifest import read_filelist
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, RunError, TextError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.everyvoice import encode, ids_of, speak_ids, vocode
from retimbre.pipelines.fit import require_fit, text_to_spec_in, vocoder_in
from retimbre.pipelines.teacher_forcing import name_in_list, teacher_forced_specs

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
    device = best_device(request.device)
    text_to_spec = load_model(checkpoint, device=device)
    text_to_spec_in(text_to_spec)
    utterances = _utterances(request, text_to_spec)
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
    vocoder_in(loaded)
    if output.is_dir():
        raise DataError(f"{output} is a folder", expected="the name of a file to write")
    spec, n_mels = read_tensor(spec_path).float().squeeze(), loaded.description.mel.n_mels
    if spec.ndim != 2 or n_mels not in spec.shape or 0 in spec.shape:
        raise DataError(
            f"{spec_path} is no spec for {model.name}",
            expected=f"{n_mels} bands × frames",
            found=" × ".join(map(str, spec.shape)) or "one number",
        )
    if not spec.isfinite().all():
        raise DataError(f"{spec_path} holds numbers that are NaN or infinite", do="produce it again")
    output.parent.mkdir(parents=True, exist_ok=True)
    save_audio(output, vocode(spec if spec.shape[0] == n_mels else spec.T, loaded))
    return output


def best_device(name: str) -> str:
    """The device that `auto` means here, or the named one if it is there; `gpu` is any but the CPU."""
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    here = [device for device, is_here in has.items() if is_here]  # best first
    fitting = [d for d in here if name in ("auto", d) or (name == "gpu" and d != "cpu")]
    if not fitting:
        raise RunError(
            f"there is no device '{name}' here",
            expected=f"auto or {' or '.join(here)}",
            do="leave out --accelerator to take the best one",
        )
    return fitting[0]


def _utterances(request: Request, loaded: Loaded) -> list[Utterance]:
    if request.texts:
        return _named(request.texts, request, loaded)
    if request.filelist is None:
        raise TextError("there is nothing to speak", do="give -t 'a text', or --filelist FILE")
    lines = _lines(request.filelist)
    if request.teacher_forcing is None and "|" not in lines[0]:
        return _named(lines, request, loaded)
    return read_filelist(request.filelist)


def _lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8", found=str(error), do="save it as UTF-8") from error
    if not any(lines):
        raise DataError(f"{path} lists nothing", expected="one text or one utterance per line")
    return [line for line in lines if line]


def _named(texts: Iterable[str], request: Request, loaded: Loaded) -> list[Utterance]:
    """Texts as utterances; where two of them would share a name, a digest tells their files apart."""
    described = loaded.description
    different = list(dict.fromkeys(texts))
    names = [name_of(text) for text in different]
    n_of_name = Counter(name.casefold() for name in names)  # some file systems know no capitals
    return [
        Utterance(
            basename=name if n_of_name[name.casefold()] == 1 else f"{name}-{_digest(text)}",
            text=text,
            speaker=request.speaker or described.speakers[0],
            language=request.language or described.languages[0],
        )
        for name, text in zip(names, different, strict=True)
    ]


def name_of(text: str) -> str:
    """EveryVoice's file name for a text: its words, cut off and with a digest where they are long."""
    slug = re.sub(r"\W+", "-", text) or "text"
    return slug if len(slug) <= LONGEST_NAME else f"{slug[:LONGEST_NAME]}-{_digest(slug)}"


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]


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
    """Each text as the model speaks it; all of them are read before the first one is spoken."""
    described = loaded.description
    ids = [_ids_of(utterance, request, loaded) for utterance in utterances]
    for n_done, (utterance, symbols) in enumerate(zip(utterances, ids, strict=True), start=1):
        spoken = speak_ids(
            symbols,
            loaded,
            speaker=request.speaker or name_in_list(utterance.speaker, described.speakers),
            language=request.language or name_in_list(utterance.language, described.languages),
            pace=1.0 / request.duration_control,
        )
        yield utterance, spoken.spec
        listener.progress("Speaking", n_done, len(utterances))


def _ids_of(utterance: Utterance, request: Request, loaded: Loaded) -> tuple[int, ...]:
    """Phones from the list win over those that rules find."""
    described = loaded.description
    if described.text_level == "phones" and utterance.phones:
        return ids_of(described.reading.of_phones(utterance.phones), loaded)
    language = request.language or name_in_list(utterance.language, described.languages)
    return encode(utterance.text, loaded, language=language)


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
