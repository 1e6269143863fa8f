"""Texts, lists or recordings' texts in; sounds, specs and times on disk out."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.audio.files import load_audio
from retimbre.audio.mel import log_mel
from retimbre.data.adopted import Adopted
from retimbre.data.coverage import read_utterance
from retimbre.data.manifest import read_filelist
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import CheckpointError, RunError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.fastspeech2.batch import collate
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.fit import require_fit, text_to_spec_in
from retimbre.pipelines.lines import Line, lines_of, require_names_differ
from retimbre.pipelines.outputs import Outputs, Result
from retimbre.pipelines.pieces import piece_of, pieces_of
from retimbre.pipelines.request import Request
from retimbre.pipelines.speaking import speak_pieces
from retimbre.pipelines.teacher_forcing import name_in_list, teacher_forced_specs, training_item
from retimbre.pipelines.timing import Times, times_of


def synthesize_texts(
    checkpoint: Path, request: Request, *, listener: Listener | None = None
) -> Iterator[Path]:
    """Write what was asked for; the path of each file as it is written."""
    listener = listener or Silent()
    device = best_device(request.device)
    text_to_spec = load_model(checkpoint, device=device)
    text_to_spec_in(text_to_spec)
    outputs = Outputs(
        folder=request.output_dir or request.teacher_forcing or Path("synthesis_output"),
        request=request,
        text_to_spec=text_to_spec,
        vocoder=_vocoder(request, text_to_spec, device),
    )
    speak = _free if request.teacher_forcing is None else _forced
    for result in speak(request, text_to_spec, listener):
        yield from outputs.write(result)


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


def style_of(recording: Path, loaded: Loaded) -> Float[Tensor, "mels frames"]:
    """The spec of a recording whose style a text-to-spec model is to follow.

    Raises:
        CheckpointError: if the model has no style tokens.
    """
    if text_to_spec_in(loaded).config.style is None:
        raise CheckpointError(
            f"{loaded.path.name}: this model has no style tokens",
            expected="one that was trained with use_global_style_token_module",
            do="leave out --style-reference",
        )
    mel = loaded.description.mel
    return log_mel(load_audio(recording, sample_rate_hz=mel.sample_rate_hz).samples, mel)


def _vocoder(request: Request, text_to_spec: Loaded, device: str) -> Loaded | None:
    if request.vocoder is None:
        return None
    vocoder = load_model(request.vocoder, device=device)
    require_fit(text_to_spec, vocoder)
    return vocoder


def _free(request: Request, loaded: Loaded, listener: Listener) -> Iterator[Result]:
    """Each text as the model speaks it; all of them are read before the first one is spoken."""
    lines = lines_of(request, loaded.description)
    style = style_of(request.style_reference, loaded) if request.style_reference else None
    texts = [
        pieces_of(
            line.text,
            loaded,
            language=_named_language(line, request, loaded),
            form=line.form,
            splitting=request.splitting(loaded.description.splitting),
        )
        for line in lines
    ]
    for n_done, (line, pieces) in enumerate(zip(lines, texts, strict=True), start=1):
        said = speak_pieces(
            pieces,
            loaded,
            speaker=request.speaker or name_in_list(line.utterance.speaker, loaded.description.speakers),
            language=_named_language(line, request, loaded),
            controls=line.controls,
            style=style,
        )
        yield Result(utterance=line.utterance, spec=said.spec, times=said.times)
        listener.progress("Speaking", n_done, len(lines))


def _named_language(line: Line, request: Request, loaded: Loaded) -> str | None:
    return request.language or name_in_list(line.utterance.language, loaded.description.languages)


def _forced(request: Request, loaded: Loaded, listener: Listener) -> Iterator[Result]:
    """Each text as long as its recording; nothing is ever split, for the recording is not."""
    utterances = _recorded(request, loaded)
    require_names_differ(utterances, request)
    with tempfile.TemporaryDirectory() as temporary:
        store = _features(request, utterances, loaded, Path(temporary))
        produced = teacher_forced_specs(
            utterances,
            store,
            loaded,
            style=style_of(request.style_reference, loaded) if request.style_reference else None,
            batch_size=request.batch_size,
            listener=listener,
        )
        for utterance, spec in produced:
            times = _times_of_recording(utterance, store, loaded) if request.needs_times else None
            yield Result(utterance=utterance, spec=spec, times=times)


def _features(request: Request, utterances: list[Utterance], loaded: Loaded, temporary: Path) -> Store:
    """Those in the folder of teacher forcing; where EveryVoice made it, ours of its audio."""
    folder, mel = request.teacher_forcing or Path(), loaded.description.mel
    adopted = Adopted(folder)
    if adopted.lacks_our_features(utterances, mel):
        return adopted.features_in(temporary, utterances, mel)
    return Store(folder)


def _recorded(request: Request, loaded: Loaded) -> list[Utterance]:
    """The utterances of a list, under the names that their recordings have; or texts under their own."""
    if request.texts or request.filelist is None:
        return [line.utterance for line in lines_of(request, loaded.description)]
    return read_filelist(request.filelist)


def _times_of_recording(utterance: Utterance, store: Store, loaded: Loaded) -> Times:
    """By the durations that were forced: those of the alignment, not the predicted ones."""
    model, reading = text_to_spec_in(loaded), loaded.description.reading
    item = training_item(utterance, store, loaded)
    batch = collate([item], pad_spec=loaded.description.mel.silence)
    timing = model.align(batch.to(next(model.parameters()).device))
    piece = piece_of(
        utterance.text or utterance.phones or "",
        read_utterance(utterance, reading),
        loaded,
        read_word=lambda word: reading.of(word, language=utterance.language),
    )
    return times_of(piece, timing.durations[0].cpu())
