"""One utterance through all steps of preparing; only what is not current is made.

Each stored file carries a fingerprint of what it was made from: audio of the recording and the options, the
other features of the audio's content and their own options. A fingerprint that is no longer right, or a file
that is damaged, means: make it again.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from retimbre.audio.files import probe
from retimbre.audio.mel import MelSpec
from retimbre.audio.waveform import Audio
from retimbre.data import features
from retimbre.data.features import Cleaned, PrepareOptions
from retimbre.data.store import AudioFacts, Store
from retimbre.data.tensors import read_tensors
from retimbre.data.utterance import Utterance
from retimbre.errors import AudioError, DataError

Step = Literal["audio", "spec", "pitch", "energy"]
STEPS: tuple[Step, ...] = get_args(Step)
VERSIONS = {
    "audio": 2,
    "output": 1,
    "spec": 1,
    "pitch": 1,
    "energy": 1,
}  # raised when a step computes something else
ENDINGS = ("wav", "flac", "ogg", "mp3", "WAV", "FLAC", "OGG", "MP3")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is the same for all utterances.

    Args:
        recordings: Where they lie; of cleaned ones, the folder that EveryVoice prepared.
        are_cleaned: They are EveryVoice's cleaned ones: taken as they are.
        output_mel: Of a vocoder's output, where that has another rate; the step `audio` then makes both.
    """

    recordings: Path
    store: Store
    mel: MelSpec
    options: PrepareOptions
    steps: tuple[Step, ...]
    overwrite: bool = False
    are_cleaned: bool = False
    output_mel: MelSpec | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one utterance."""

    utterance: Utterance
    done: tuple[Step, ...] = ()
    reused: tuple[Step, ...] = ()
    facts: AudioFacts | None = None
    reason: str | None = None


def if_current(job: Job, utterance: Utterance) -> Outcome | None:
    """The outcome, if everything that is asked for is there, undamaged, and made from what is there now."""
    try:
        facts = job.store.audio_facts(utterance, job.mel.sample_rate_hz)
        if facts is None or ("audio" in job.steps and not _has_current_audio(job, utterance, facts)):
            return None
    except AudioError:
        return None  # prepare_one meets it again and says why
    if all(_is_current(job, utterance, step, facts) for step in job.steps if step != "audio"):
        return Outcome(utterance=utterance, reused=job.steps, facts=facts)
    return None


def prepare_one(job: Job, utterance: Utterance) -> Outcome:
    """Make what is not current, in the order of the steps. Runs in a worker process."""
    try:
        return _made(job, utterance)
    except AudioError as error:
        return Outcome(utterance=utterance, reason=_reason(error, job, utterance))
    except MemoryError:
        return Outcome(utterance=utterance, reason="too large for the memory")


def _made(job: Job, utterance: Utterance) -> Outcome:
    done: list[Step] = []
    facts = job.store.audio_facts(utterance, job.mel.sample_rate_hz)
    if "audio" in job.steps and (
        job.overwrite or facts is None or not _has_current_audio(job, utterance, facts)
    ):
        facts = _make_audio(job, utterance)
        done.append("audio")
    if facts is None:
        raise AudioError("not prepared, or damaged since: run the step 'audio'")
    stale = [
        step
        for step in job.steps
        if step != "audio" and (job.overwrite or not _is_current(job, utterance, step, facts))
    ]
    if stale:
        audio = job.store.load_audio(utterance, job.mel)
        for step in stale:
            _make(job, utterance, step, audio, _source(job, step, facts))
    done += stale
    reused = tuple(step for step in job.steps if step not in done)
    return Outcome(utterance=utterance, done=tuple(done), reused=reused, facts=facts)


def _make_audio(job: Job, utterance: Utterance) -> AudioFacts:
    recording = _require_recording(job, utterance)
    if job.are_cleaned:
        cleaned = _as_cleaned(job, utterance, recording)
    else:
        cleaned = features.prepared_audio(recording, job.mel, job.options, output_mel=job.output_mel)
    is_mixed = probe(recording).n_channels > 1
    if cleaned.output is not None:
        source = _output_source(job, utterance)
        job.store.write_audio(utterance, cleaned.output, source=source, is_mixed=is_mixed)
    return job.store.write_audio(
        utterance,
        cleaned.audio,
        source=_audio_source(job, utterance),
        is_mixed=is_mixed,
        clipped_share=cleaned.clipped_share,
    )


def _as_cleaned(job: Job, utterance: Utterance, recording: Path) -> Cleaned:
    """EveryVoice's audio, at both rates where both are asked for."""
    audio = features.cleaned_audio(recording, job.mel)
    if job.output_mel is None:
        return Cleaned(audio=audio, clipped_share=0.0)
    path = Store(job.recordings).audio_path(utterance, job.output_mel.sample_rate_hz)
    if not path.is_file():
        raise AudioError(f"EveryVoice has not prepared it at {job.output_mel.sample_rate_hz:,} Hz")
    output, n_hops = features.cleaned_audio(path, job.output_mel), audio.n_samples // job.mel.hop_samples
    n_samples = n_hops * job.output_mel.hop_samples
    if abs(output.n_samples - n_samples) > job.output_mel.hop_samples:
        raise AudioError(
            "EveryVoice's audio has different lengths at the two rates",
            found=f"{audio.duration_s:.2f} s and {output.duration_s:.2f} s",
        )
    return Cleaned(audio=audio, clipped_share=0.0, output=features.with_length(output, n_samples))


def _make(job: Job, utterance: Utterance, step: Step, audio: Audio, source: str) -> None:
    """One feature, from the audio as it is stored: so it is what training and synthesis compute from it."""
    if step == "spec":
        job.store.write_spec(utterance, features.spec_of(audio, job.mel), mel=job.mel, source=source)
    elif step == "pitch":
        job.store.write_pitch(utterance, features.pitch_of(audio, job.mel, job.options), source=source)
    else:
        job.store.write_energy(utterance, features.energy_of(audio, job.mel), source=source)


def _is_current(job: Job, utterance: Utterance, step: Step, facts: AudioFacts) -> bool:
    paths = {
        "spec": job.store.spec_path(utterance, job.mel),
        "pitch": job.store.pitch_path(utterance),
        "energy": job.store.energy_path(utterance),
    }
    if not paths[step].is_file():
        return False
    try:
        return read_tensors(paths[step]).facts.get("source") == _source(job, step, facts)
    except DataError:
        return False  # damaged: made again


def _has_current_audio(job: Job, utterance: Utterance, facts: AudioFacts) -> bool:
    if facts.source != _audio_source(job, utterance):
        return False
    if job.output_mel is None:
        return True
    output = job.store.audio_facts(utterance, job.output_mel.sample_rate_hz)
    return output is not None and output.source == _output_source(job, utterance)


def _output_source(job: Job, utterance: Utterance) -> str:
    rate_hz = job.output_mel.sample_rate_hz if job.output_mel else job.mel.sample_rate_hz
    return _fingerprint("output", audio=_audio_source(job, utterance), sample_rate_hz=rate_hz)


def _audio_source(job: Job, utterance: Utterance) -> str:
    state = _require_recording(job, utterance).stat()
    options = asdict(job.options)
    used = ["min_duration_s", "max_duration_s", "least_loudness_lufs", "peak", "trims_silence"]
    used += ["trim_threshold_db", "trim_margin_ms"] if job.options.trims_silence else []
    used += ["effects"] if job.options.effects else []
    used = [] if job.are_cleaned else used
    return _fingerprint(
        "audio",
        size_bytes=state.st_size,
        mtime_ns=state.st_mtime_ns,
        sample_rate_hz=job.mel.sample_rate_hz,
        hop_samples=job.mel.hop_samples,
        high_hz=job.mel.high_hz,
        options={name: options[name] for name in used},
    )


def _source(job: Job, step: Step, facts: AudioFacts) -> str:
    """The fingerprint of a feature that is made from stored audio."""
    mel = job.mel.to_dict()
    if step != "pitch":
        return _fingerprint(step, audio=facts.content, mel=mel)
    used = ("sample_rate_hz", "hop_samples", "centring", "drops_last_frame")
    return _fingerprint(
        step,
        audio=facts.content,
        mel={name: mel[name] for name in used},
        low_hz=job.options.pitch_low_hz,
        high_hz=job.options.pitch_high_hz,
    )


def _fingerprint(step: str, **values: object) -> str:
    text = json.dumps({"step": step, "version": VERSIONS[step], **values}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _require_recording(job: Job, utterance: Utterance) -> Path:
    recording = _recording(job, utterance)
    if recording is None:
        raise AudioError("EveryVoice has not prepared it" if job.are_cleaned else "no recording of that name")
    return recording


def _recording(job: Job, utterance: Utterance) -> Path | None:
    if not job.are_cleaned:
        return find_recording(job.recordings, utterance.basename)
    path = Store(job.recordings).audio_path(utterance, job.mel.sample_rate_hz)
    return path if path.is_file() else None


def _reason(error: AudioError, job: Job, utterance: Utterance) -> str:
    recording = _recording(job, utterance)
    what = error.what.replace(str(recording), "the recording") if recording else error.what
    return f"{what} ({error.found})" if error.found else what


def find_recording(recordings: Path, basename: str) -> Path | None:
    """The recording of that name, or None."""
    for folder in (recordings, recordings / "wavs"):
        for ending in ENDINGS:
            if (path := folder / f"{basename}.{ending}").is_file():
                return path
    return None
