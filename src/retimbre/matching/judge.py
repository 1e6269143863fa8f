"""The same held-out sentences from every system: teacher-forced against the recordings, and free running."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.cleaning import peak_normalise
from retimbre.audio.waveform import Audio
from retimbre.data.coverage import read_utterance
from retimbre.data.utterance import Utterance
from retimbre.evaluate.measures import available_measures, measured
from retimbre.evaluate.table import Scores, scores
from retimbre.jobs.listener import Listener
from retimbre.models.load import Loaded
from retimbre.pipelines.delay import Delay, advanced, measure_delay
from retimbre.pipelines.everyvoice import ids_of, speak_ids, vocode
from retimbre.pipelines.teacher_forcing import teacher_forced_specs
from retimbre.report.contents import Kind, Spoken, System
from retimbre.training.material import Material

MEASURED_FOR_DELAY = 6
LISTENED_TO = 6  # sentences with players in the report; all of them are measured
SPOKEN_FREELY = 4
HEADROOM = 0.98  # a generated peak above full scale would be cut off in a file


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A pair of models that is compared."""

    system: System
    text_to_spec: Loaded
    vocoder: Loaded


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What every system made of the held-out sentences, and how far that is from the recordings."""

    scores: Scores
    spoken: tuple[Spoken, ...]
    delays_samples: dict[str, int]


def compare(
    material: Material, real: System, contestants: Sequence[Contestant], *, listener: Listener
) -> Comparison:
    """Teacher-forced scores on all held-out utterances, and what there is to listen to.

    A vocoder's own constant delay is measured on real specs, and taken out before anything is compared.
    """
    recordings = {u: material.store.load_audio(u, material.mel) for u in material.held_out}
    forced: dict[str, dict[Utterance, Audio]] = {}
    delays = {}
    for n_done, contestant in enumerate(contestants, start=1):
        name, delay = contestant.system.name, delay_of(contestant.vocoder, material)
        delays[name] = delay.n_samples if delay.is_clear(material.mel.hop_samples) else 0
        generated = _teacher_forced(material, contestant)
        forced[name] = {u: advanced(audio, delays[name]) for u, audio in generated.items()}
        listener.progress("Judging", n_done, len(contestants))
    found = {
        u.basename: {name: measured(recordings[u], forced[name][u], material.mel) for name in forced}
        for u in material.held_out
    }
    spoken = [
        Spoken(
            name=u.basename,
            text=u.text,
            kind=Kind.TEACHER_FORCED,
            audio={real.name: recordings[u], **{name: _playable(forced[name][u]) for name in forced}},
        )
        for u in material.held_out[:LISTENED_TO]
    ]
    spoken += [_freely(u, contestants) for u in material.held_out[:SPOKEN_FREELY]]
    return Comparison(
        scores=scores(available_measures(), list(forced), found), spoken=tuple(spoken), delays_samples=delays
    )


def delay_of(vocoder: Loaded, material: Material) -> Delay:
    """How late a vocoder answers, measured on real specs of recordings that it was not trained on."""
    store, mel = material.store, material.mel
    utterances = material.held_out[:MEASURED_FOR_DELAY]
    return measure_delay(
        [store.load_audio(u, mel).samples for u in utterances],
        [vocode(store.load_spec(u, mel), vocoder).samples for u in utterances],
        largest_samples=2 * mel.hop_samples,
    )


def _teacher_forced(material: Material, contestant: Contestant) -> dict[Utterance, Audio]:
    specs = teacher_forced_specs(material.held_out, material.store, contestant.text_to_spec)
    return {u: vocode(spec, contestant.vocoder) for u, spec in specs}


def _freely(utterance: Utterance, contestants: Sequence[Contestant]) -> Spoken:
    audio = {
        c.system.name: _playable(vocode(_spec_of(utterance, c.text_to_spec), c.vocoder)) for c in contestants
    }
    return Spoken(name=utterance.basename, text=utterance.text, kind=Kind.FREE_RUNNING, audio=audio)


def _spec_of(utterance: Utterance, loaded: Loaded) -> Float[Tensor, "mels frames"]:
    ids = ids_of(read_utterance(utterance, loaded.description.reading), loaded)
    return speak_ids(ids, loaded).spec


def _playable(audio: Audio) -> Audio:
    """As it is, or turned down where a file would clip it."""
    return peak_normalise(audio, HEADROOM) if float(audio.samples.abs().max()) > HEADROOM else audio
