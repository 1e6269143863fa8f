"""The same held-out sentences from every system: teacher-forced against the recordings, and free running."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.cleaning import peak_normalise
from retimbre.audio.waveform import Audio
from retimbre.data.coverage import read_utterance
from retimbre.data.utterance import Utterance
from retimbre.evaluate.free_running import FreeRunningJudge, free_running_judge
from retimbre.evaluate.measures import Missing, available_measures, measured, missing_measures
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
SPOKEN_FREELY = 4  # of these; all held-out sentences are measured
HEARD = 20  # training recordings that say whose voice it should be
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

    scores: Scores  # teacher-forced
    free_scores: Scores
    spoken: tuple[Spoken, ...]
    missing: tuple[Missing, ...]  # measures
    delays_samples: dict[str, int]


def compare(
    material: Material, real: System, contestants: Sequence[Contestant], *, listener: Listener
) -> Comparison:
    """Scores of both kinds on all held-out utterances, and what there is to listen to.

    A vocoder's own constant delay is measured on real specs, and taken out before anything is compared.
    """
    mel = material.output_mel
    recordings = {u: material.store.load_audio(u, mel) for u in material.held_out}
    forced: dict[str, dict[Utterance, Audio]] = {}
    delays = {}
    for n_done, contestant in enumerate(contestants, start=1):
        name, delay = contestant.system.name, delay_of(contestant.vocoder, material)
        delays[name] = delay.n_samples if delay.is_clear(mel.hop_samples) else 0
        generated = _teacher_forced(material, contestant)
        forced[name] = {u: advanced(audio, delays[name]) for u, audio in generated.items()}
        listener.progress("Judging", n_done, len(contestants))
    found = {
        u.basename: {name: measured(recordings[u], forced[name][u], mel) for name in forced}
        for u in material.held_out
    }
    free = _free_running(material.held_out, contestants, listener)
    judge = _free_running_judge(material, recordings)
    spoken = [
        Spoken(
            name=u.basename,
            text=u.text,
            kind=Kind.TEACHER_FORCED,
            audio={real.name: recordings[u], **{name: _playable(forced[name][u]) for name in forced}},
        )
        for u in material.held_out[:LISTENED_TO]
    ]
    spoken += [
        Spoken(
            name=u.basename,
            text=u.text,
            kind=Kind.FREE_RUNNING,
            audio={real.name: recordings[u], **{name: _playable(audio) for name, audio in free[u].items()}},
        )
        for u in material.held_out[:SPOKEN_FREELY]
    ]
    return Comparison(
        scores=scores(available_measures(), list(forced), found),
        free_scores=_free_scores(judge, real, recordings, free, listener),
        spoken=tuple(spoken),
        missing=(*missing_measures(), *judge.missing),
        delays_samples=delays,
    )


def delay_of(vocoder: Loaded, material: Material) -> Delay:
    """How late a vocoder answers, measured on real specs of recordings that it was not trained on."""
    store, mel = material.store, material.output_mel
    utterances = material.held_out[:MEASURED_FOR_DELAY]
    return measure_delay(
        [store.load_audio(u, mel).samples for u in utterances],
        [vocode(store.load_spec(u, material.mel), vocoder).samples for u in utterances],
        largest_samples=2 * mel.hop_samples,
    )


def _teacher_forced(material: Material, contestant: Contestant) -> dict[Utterance, Audio]:
    specs = teacher_forced_specs(material.held_out, material.store, contestant.text_to_spec)
    return {u: vocode(spec, contestant.vocoder) for u, spec in specs}


def _free_running(
    utterances: Sequence[Utterance], contestants: Sequence[Contestant], listener: Listener
) -> dict[Utterance, dict[str, Audio]]:
    """Every system's own reading; models that two systems share speak once."""
    specs: dict[tuple[Utterance, int], Float[Tensor, "mels frames"]] = {}
    spoken: dict[Utterance, dict[str, Audio]] = {}
    for n_done, utterance in enumerate(utterances, start=1):
        for contestant in contestants:
            key = (utterance, id(contestant.text_to_spec))
            if key not in specs:
                specs[key] = _spec_of(utterance, contestant.text_to_spec)
            spoken.setdefault(utterance, {})[contestant.system.name] = vocode(specs[key], contestant.vocoder)
        listener.progress("Speaking", n_done, len(utterances))
    return spoken


def _free_running_judge(material: Material, recordings: Mapping[Utterance, Audio]) -> FreeRunningJudge:
    heard = [material.store.load_audio(u, material.mel) for u in material.training[:HEARD]]
    return free_running_judge(heard, [(audio, u.text) for u, audio in recordings.items()])


def _free_scores(
    judge: FreeRunningJudge,
    real: System,
    recordings: Mapping[Utterance, Audio],
    spoken: Mapping[Utterance, Mapping[str, Audio]],
    listener: Listener,
) -> Scores:
    """The recordings are scored as well, by what needs nothing to compare with."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    names: dict[str, None] = {real.name: None}
    for n_done, (utterance, by_system) in enumerate(spoken.items(), start=1):
        recording, text = recordings[utterance], utterance.text
        found[utterance.basename] = {
            real.name: judge.of_recording(recording, text),
            **{name: judge.of_speech(recording, audio, text) for name, audio in by_system.items()},
        }
        names |= dict.fromkeys(by_system)
        listener.progress("Measuring", n_done, len(spoken))
    return scores(judge.measures, list(names), found)


def _spec_of(utterance: Utterance, loaded: Loaded) -> Float[Tensor, "mels frames"]:
    ids = ids_of(read_utterance(utterance, loaded.description.reading), loaded)
    return speak_ids(ids, loaded).spec


def _playable(audio: Audio) -> Audio:
    """As it is, or turned down where a file would clip it."""
    return peak_normalise(audio, HEADROOM) if float(audio.samples.abs().max()) > HEADROOM else audio
