"""The same held-out utterances from every system of a match of TorToiSe's stages, at their true codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retimbre.audio.cleaning import peak_normalise
from retimbre.audio.waveform import Audio
from retimbre.evaluate.measures import SPEC_ERROR, Missing, available_measures, measured, missing_measures
from retimbre.evaluate.table import Scores, scores
from retimbre.jobs.listener import Listener
from retimbre.matching.tortoise_sound import delay_of, recorded, sound
from retimbre.models.load import Loaded
from retimbre.pipelines.delay import advanced
from retimbre.pipelines.tortoise_target import Spec, mel_error, target_spec
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.report.contents import Kind, Spoken, System
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial

LISTENED_TO = 6  # utterances with players in the report; all of them are measured
HEADROOM = 0.98  # a generated peak above full scale would be cut off in a file


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A chain that is compared.

    Args:
        specs: Stem of an utterance -> what its decoder made of it.
        vocoder: Makes sound of them.
    """

    system: System
    specs: Mapping[str, Spec]
    vocoder: Loaded


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What every system made of the judged utterances, and how far that is from the recordings."""

    scores: Scores
    spoken: tuple[Spoken, ...]
    missing: tuple[Missing, ...]  # measures
    delays_samples: Mapping[str, int]


def compare(
    utterances: Sequence[Encoded],
    material: TortoiseMaterial,
    real: System,
    contestants: Sequence[Contestant],
    *,
    seed: int,
    has_spec_error: bool,
    listener: Listener,
) -> Comparison:
    """Scores on these utterances, and what there is to listen to.

    A vocoder's own constant delay is measured on real specs, and taken out before anything is compared.

    Args:
        seed: Of the vocoders' noise.
        has_spec_error: Are the specs themselves judged, too?
    """
    delays = _delays(utterances, material, contestants, seed)
    found: dict[str, dict[str, dict[str, float]]] = {}
    spoken: list[Spoken] = []
    for number, one in enumerate(utterances, start=1):
        # Whatever vocoder answers, it reads the same spectrogram.
        recording, on_real = recorded(one, material, contestants[0].vocoder)
        heard: dict[str, Audio] = {real.name: recording}
        values: dict[str, dict[str, float]] = {}
        for each in contestants:
            name, spec = each.system.name, each.specs[one.utterance.stem][:, : on_real.shape[1]]
            generated = sound(spec, each.vocoder, seed=seed, name=one.utterance.stem)
            heard[name] = advanced(generated, delays[name])
            values[name] = measured(recording, heard[name], each.vocoder.description.mel)
            if has_spec_error:
                values[name][SPEC_ERROR.key] = spec_error(one, material, each)
        found[one.utterance.basename] = values
        if len(spoken) < LISTENED_TO:
            spoken.append(_spoken(one, heard))
        listener.progress("Judging", number, len(utterances))
    measures = (*((SPEC_ERROR,) if has_spec_error else ()), *available_measures())
    return Comparison(
        scores=scores(measures, [each.system.name for each in contestants], found),
        spoken=tuple(spoken),
        missing=missing_measures(),
        delays_samples=delays,
    )


def spec_error(one: Encoded, material: TortoiseMaterial, contestant: Contestant) -> float:
    """How far a system's spec lies from the recording's, in nepers."""
    mel = contestant.vocoder.description.mel
    samples = material.store.load_audio(one.utterance, AUTO_MEL).samples
    target = target_spec(samples, len(one.codes), mel)
    return mel_error(contestant.specs[one.utterance.stem], target, one.n_samples, mel)


def _delays(
    utterances: Sequence[Encoded],
    material: TortoiseMaterial,
    contestants: Sequence[Contestant],
    seed: int,
) -> dict[str, int]:
    """By the name of the system; a vocoder that several have is measured once."""
    of_vocoder: dict[int, int] = {}
    for each in contestants:
        if id(each.vocoder) not in of_vocoder:
            delay = delay_of(each.vocoder, utterances, material, seed=seed)
            is_clear = delay.is_clear(each.vocoder.description.mel.hop_samples)
            of_vocoder[id(each.vocoder)] = delay.n_samples if is_clear else 0
    return {each.system.name: of_vocoder[id(each.vocoder)] for each in contestants}


def _spoken(one: Encoded, heard: Mapping[str, Audio]) -> Spoken:
    return Spoken(
        name=one.utterance.basename,
        text=one.utterance.text,
        kind=Kind.TEACHER_FORCED,
        audio={name: _playable(audio) for name, audio in heard.items()},
    )


def _playable(audio: Audio) -> Audio:
    """As it is, or turned down where a file would clip it."""
    return peak_normalise(audio, HEADROOM) if float(audio.samples.abs().max()) > HEADROOM else audio
