"""Recordings -> codes, through the dVAE, into the store, with the symbols of their texts beside them.

What lies there already and was made from the same is not made again: codes belong to one dVAE, one content of
the prepared recording and one front end, symbols to one tokenizer and one cleaned text.

Axes used in this file:
    samples  of a prepared recording
    mels     bands of its spec
    codes    of it
    symbols  of its text
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from retimbre.audio.mel import log_mel
from retimbre.data.store import Store
from retimbre.data.tensors import FeatureFile, read_tensors, write_tensors
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, StagesDoNotFit
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.load import load_model
from retimbre.models.tortoise_dvae.model import DiscreteVAE
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL

FRONT_END = 1  # another number where the same recording would become another spec
BATCH_S = 60.0  # of sound, padding included, that is encoded at once
DLAS_SAMPLES = 255_995  # DL-Art-School pads every recording to 11.6 s before it encodes it


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """An utterance with its text as the network reads it.

    Args:
        text: Cleaned.
        symbols: Rows of the vocabulary, without start, stop and the end that speaking adds.
    """

    utterance: Utterance
    text: str
    symbols: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CodesSource:
    """What codes and symbols are made with.

    Args:
        dvae: The file; read only where there is something to encode.
        padded_samples: Silence follows each recording up to this length, and is encoded, too; None: none.
    """

    dvae: Path
    dvae_sha256: str
    tokenizer_sha256: str
    padded_samples: int | None = None

    def path(self, utterance: Utterance, store: Store) -> Path:
        """Where they are kept; those of padded recordings lie apart."""
        return store.codes_path(utterance, kind="" if self.padded_samples is None else "padded")


@dataclass(frozen=True, kw_only=True, eq=False)
class Codes:
    """One utterance encoded.

    Args:
        n_samples: Of the prepared recording, without padding.
    """

    symbols: Int[Tensor, "symbols"]
    codes: Int[Tensor, "codes"]
    n_samples: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoding:
    """All of them, in the order in which they were asked for.

    Args:
        n_encoded: How many recordings were encoded now.
        n_read: How many texts became symbols now.
    """

    codes: tuple[Codes, ...]
    n_encoded: int
    n_read: int


def encode(
    spoken: Sequence[Spoken],
    store: Store,
    source: CodesSource,
    *,
    device: str | torch.device = "cpu",
    is_overwritten: bool = False,
    listener: Listener | None = None,
) -> Encoding:
    """Codes and symbols of prepared utterances, from the store where they are current.

    Args:
        is_overwritten: Make everything again.
        listener: Hears how far it is.

    Raises:
        DataError: a recording is not prepared.
        CheckpointError: the dVAE cannot be read.
        StagesDoNotFit: it reads another spectrogram than TorToiSe's.
    """
    found: dict[str, Codes] = {}
    stale, n_read = [], 0
    for one in spoken:
        task = _task(one, store, source)
        file = None if is_overwritten else _file(task.path)
        if file is None or not _is_from(file, task.codes_from):
            stale.append(task)
            continue
        codes = file.tensors["codes"]
        if not _is_from(file, task.symbols_from):
            task.write(codes)
            n_read += 1
        found[one.utterance.stem] = task.result(codes)
    for task, codes in _encoded(stale, store, source, device, listener or Silent()):
        task.write(codes)
        found[task.spoken.utterance.stem] = task.result(codes)
    return Encoding(
        codes=tuple(found[one.utterance.stem] for one in spoken), n_encoded=len(stale), n_read=n_read
    )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One utterance, where it is kept, and whatever decides its codes and its symbols."""

    spoken: Spoken
    n_samples: int
    path: Path
    codes_from: Mapping[str, str]
    symbols_from: Mapping[str, str]

    def write(self, codes: Int[Tensor, "codes"]) -> None:
        tensors = {"codes": codes, "symbols": torch.tensor(self.spoken.symbols, dtype=torch.int64)}
        write_tensors(self.path, tensors, {**self.codes_from, **self.symbols_from})

    def result(self, codes: Int[Tensor, "codes"]) -> Codes:
        symbols = torch.tensor(self.spoken.symbols, dtype=torch.int64)
        return Codes(symbols=symbols, codes=codes, n_samples=self.n_samples)


def _task(spoken: Spoken, store: Store, source: CodesSource) -> _Task:
    facts = store.audio_facts(spoken.utterance, AUTO_MEL.sample_rate_hz)
    if facts is None:
        raise DataError(
            f"{spoken.utterance.basename} is not prepared, or damaged since",
            do="run 'retimbre preprocess' again",
        )
    return _Task(
        spoken=spoken,
        n_samples=facts.n_samples,
        path=source.path(spoken.utterance, store),
        codes_from={
            "dvae_sha256": source.dvae_sha256,
            "audio": facts.content,
            "n_samples": str(facts.n_samples),
            "padded_samples": str(source.padded_samples or ""),
            "front_end": str(FRONT_END),
        },
        symbols_from={"tokenizer_sha256": source.tokenizer_sha256, "text": spoken.text},
    )


def _file(path: Path) -> FeatureFile | None:
    """What is kept; None if there is nothing, or it is damaged: then it is made again."""
    try:
        return read_tensors(path) if path.is_file() else None
    except DataError:
        return None


def _is_from(file: FeatureFile, decides: Mapping[str, str]) -> bool:
    return all(file.facts.get(name) == value for name, value in decides.items())


@torch.no_grad()
def _encoded(
    tasks: Sequence[_Task],
    store: Store,
    source: CodesSource,
    device: str | torch.device,
    listener: Listener,
) -> Iterator[tuple[_Task, Int[Tensor, "codes"]]]:
    """Batch after batch, of similar lengths, so that little is padded."""
    if not tasks:
        return
    dvae, n_done = _dvae(source.dvae, device), 0
    for batch in _batches(tasks, source.padded_samples):
        samples = [store.load_audio(task.spoken.utterance, AUTO_MEL).samples for task in batch]
        codes = codes_of([_padded(one, source.padded_samples) for one in samples], dvae)
        n_done += len(batch)
        listener.progress("Codes", n_done, len(tasks))
        yield from zip(batch, codes, strict=True)


def codes_of(recordings: Sequence[Float[Tensor, "_"]], dvae: DiscreteVAE) -> list[Int[Tensor, "_"]]:
    """The codes of each recording at 22,050 Hz, as it would be encoded alone, on the CPU.

    Each has `n_samples // 1024 + 1` of them with a dVAE of the released form.
    """
    device = next(dvae.parameters()).device
    specs = [log_mel(samples, AUTO_MEL) for samples in recordings]
    n_frames = torch.tensor([spec.shape[-1] for spec in specs])
    spec = pad_sequence([spec.T for spec in specs], batch_first=True).transpose(1, 2)
    codes = dvae.encode(spec.to(device), n_frames.to(device)).cpu()
    return [row[:n].clone() for row, n in zip(codes, dvae.config.codes_in(n_frames).tolist(), strict=True)]


def _padded(samples: Float[Tensor, "samples"], n_samples: int | None) -> Float[Tensor, "longer"]:
    return samples if n_samples is None else functional.pad(samples, (0, n_samples - len(samples)))


def _batches(tasks: Sequence[_Task], padded_samples: int | None) -> Iterator[list[_Task]]:
    most = round(BATCH_S * AUTO_MEL.sample_rate_hz)
    batch: list[_Task] = []
    for task in sorted(tasks, key=lambda task: (task.n_samples, task.spoken.utterance.stem)):
        if batch and (len(batch) + 1) * (padded_samples or task.n_samples) > most:
            yield batch
            batch = []
        batch.append(task)
    yield batch


def _dvae(path: Path, device: str | torch.device) -> DiscreteVAE:
    loaded = load_model(path, device=device)
    if not isinstance(loaded.model, DiscreteVAE):
        raise StagesDoNotFit(f"{path} makes no codes", expected="a dVAE", found=loaded.description.family)
    AUTO_MEL.require_same(loaded.description.mel, ours="TorToiSe's recordings", theirs=str(path))
    return loaded.model
