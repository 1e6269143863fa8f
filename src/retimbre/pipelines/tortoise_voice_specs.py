"""What TorToiSe's networks hear of each prepared recording as one of a voice, kept in the store.

Only what is the same at every step of a training, since nothing about it is drawn: for diffusion the first
4.27 s, and for the autoregressive network a recording of up to six seconds. Of a longer one it hears another
part each time.

Axes used in this file:
    mels    bands of the spec
    frames  of it: 401 or 517, whatever the length of the recording
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.mel import MelSpec, log_mel
from retimbre.data.prepare import ITEMS_PER_WORKER
from retimbre.data.store import Store
from retimbre.data.tensors import read_tensors, write_tensors
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener, Silent
from retimbre.jobs.local import map_items, n_cores
from retimbre.pipelines.tortoise_voice_clips import (
    AUTO_MEL,
    AUTO_SAMPLES,
    DIFFUSION_MEL,
    FRONT_END,
    diffusion_part,
    fitted,
)

TENSOR = "spec"


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is the same for all utterances."""

    store: Store
    has_diffusion: bool
    is_overwritten: bool


def keep_voice_specs(
    utterances: Sequence[Utterance],
    store: Store,
    *,
    has_diffusion: bool,
    n_workers: int | None = None,
    is_overwritten: bool = False,
    listener: Listener | None = None,
) -> int:
    """Keep what is heard of each prepared recording; how many specs were made now, the others being current.

    Args:
        has_diffusion: Also what the diffusion network hears.
        n_workers: Processes; None takes all cores. The bytes are the same.

    Raises:
        DataError: a recording is not prepared, or damaged since.
    """
    listener = listener or Silent()
    job = _Job(store=store, has_diffusion=has_diffusion, is_overwritten=is_overwritten)
    wanted = n_cores() if n_workers is None else n_workers
    n_useful = max(1, min(wanted, len(utterances) // ITEMS_PER_WORKER))
    n_made = 0
    for n_done, is_made in enumerate(map_items(partial(_keep, job), utterances, n_workers=n_useful), start=1):
        n_made += is_made
        listener.progress("Voices", n_done, len(utterances))
    return n_made


def is_heard_whole(n_samples: int) -> bool:
    """Does the autoregressive network hear all of a recording at 22,050 Hz, and so the same each time?"""
    return n_samples <= AUTO_SAMPLES


def load_voice_spec(utterance: Utterance, store: Store, mel: MelSpec) -> Float[Tensor, "mels frames"]:
    """What is heard of a recording.

    Args:
        mel: `AUTO_MEL` for the autoregressive network, `DIFFUSION_MEL` for diffusion.

    Raises:
        DataError: it is not kept, or damaged.
    """
    return read_tensors(store.voice_path(utterance, mel)).tensors[TENSOR]


def _keep(job: _Job, utterance: Utterance) -> int:
    """Make what is not there. Runs in a worker process."""
    facts = job.store.audio_facts(utterance, AUTO_MEL.sample_rate_hz)
    if facts is None:
        raise DataError(
            f"{utterance.basename} is not prepared, or damaged since", do="run 'preprocess' again"
        )
    made_from = {"audio": facts.content, "front_end": str(FRONT_END)}
    wanted = [AUTO_MEL] if is_heard_whole(facts.n_samples) else []
    wanted += [DIFFUSION_MEL] if job.has_diffusion else []
    stale = [
        mel
        for mel in wanted
        if job.is_overwritten or not _is_current(job.store.voice_path(utterance, mel), made_from)
    ]
    if stale:
        audio = job.store.load_audio(utterance, AUTO_MEL)
        for mel in stale:
            path = job.store.voice_path(utterance, mel)
            is_auto = mel is AUTO_MEL
            part = fitted(audio.samples, AUTO_SAMPLES) if is_auto else diffusion_part(audio, path)
            write_tensors(path, {TENSOR: log_mel(part, mel)}, made_from)
    return len(stale)


def _is_current(path: Path, made_from: Mapping[str, str]) -> bool:
    if not path.is_file():
        return False
    try:
        facts = read_tensors(path).facts
    except DataError:
        return False  # damaged: made again
    return all(facts.get(name) == value for name, value in made_from.items())
