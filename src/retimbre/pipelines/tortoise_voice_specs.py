"""What TorToiSe's diffusion network hears of each prepared recording, kept in the store.

It is the same at every step of a training, since nothing about it is drawn: the first 4.27 s.

Axes used in this file:
    mels    bands of the spec
    frames  of it: 401, whatever the length of the recording
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.mel import log_mel
from retimbre.data.prepare import ITEMS_PER_WORKER
from retimbre.data.store import Store
from retimbre.data.tensors import read_tensors, write_tensors
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener, Silent
from retimbre.jobs.local import map_items, n_cores
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL, DIFFUSION_MEL, FRONT_END, diffusion_part

TENSOR = "spec"


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is the same for all utterances."""

    store: Store
    is_overwritten: bool


def keep_voice_specs(
    utterances: Sequence[Utterance],
    store: Store,
    *,
    n_workers: int | None = None,
    is_overwritten: bool = False,
    listener: Listener | None = None,
) -> int:
    """Keep what is heard of each prepared recording; how many were made now, the others being current.

    Args:
        n_workers: Processes; None takes all cores. The bytes are the same.

    Raises:
        DataError: a recording is not prepared, or damaged since.
    """
    listener, job = listener or Silent(), _Job(store=store, is_overwritten=is_overwritten)
    wanted = n_cores() if n_workers is None else n_workers
    n_useful = max(1, min(wanted, len(utterances) // ITEMS_PER_WORKER))
    n_made = 0
    for n_done, is_made in enumerate(map_items(partial(_keep, job), utterances, n_workers=n_useful), start=1):
        n_made += is_made
        listener.progress("Voices", n_done, len(utterances))
    return n_made


def load_voice_spec(utterance: Utterance, store: Store) -> Float[Tensor, "mels frames"]:
    """What is heard of a recording: 100 bands, not normalised.

    Raises:
        DataError: it is not kept, or damaged.
    """
    return read_tensors(store.voice_path(utterance, DIFFUSION_MEL)).tensors[TENSOR]


def _keep(job: _Job, utterance: Utterance) -> bool:
    """Make it unless it is there. Runs in a worker process."""
    path = job.store.voice_path(utterance, DIFFUSION_MEL)
    facts = job.store.audio_facts(utterance, AUTO_MEL.sample_rate_hz)
    made_from = {"audio": facts.content if facts else "", "front_end": str(FRONT_END)}
    if not job.is_overwritten and path.is_file():
        try:
            found = read_tensors(path).facts
            if all(found.get(name) == value for name, value in made_from.items()):
                return False
        except DataError:
            pass  # damaged: made again
    audio = job.store.load_audio(utterance, AUTO_MEL)
    write_tensors(path, {TENSOR: log_mel(diffusion_part(audio, path), DIFFUSION_MEL)}, made_from)
    return True
