"""Recordings kept at two rates, for a vocoder that speaks at a higher one than it hears; and effects."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

from retimbre.audio.files import load_audio, resample
from retimbre.audio.mel import mel_librosa
from retimbre.audio.waveform import Audio
from retimbre.data.features import PrepareOptions
from retimbre.data.lengths import mismatches
from retimbre.data.prepare import RecordedSet, prepare, prepare_sets
from retimbre.data.store import Store
from retimbre.errors import DataError

MEL = mel_librosa()
OUTPUT = MEL.at_rate(44100)
QUIET = np.zeros(12345)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "preprocessed")


@pytest.fixture
def run(recordings, store):
    def run(utterances, **changes):
        changes = {"mel": MEL, "output_mel": OUTPUT, "n_workers": 1} | changes
        return prepare(utterances, recordings, store, **changes)

    return run


def both(store, utterance):
    return (store.load_audio(utterance, mel).samples for mel in (MEL, OUTPUT))


@pytest.mark.parametrize("trims", [False, True])
@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000])
def test_both_rates_hold_the_same_moments_as_loud(record, run, store, recordings, rate_hz, trims):
    utterance = record("a", rate_hz=rate_hz)
    voice, _ = soundfile.read(recordings / "a.wav")
    soundfile.write(recordings / "a.wav", np.concatenate([QUIET, voice, QUIET[:5000]]), rate_hz)
    run([utterance], options=PrepareOptions(trims_silence=trims))
    heard, spoken = both(store, utterance)
    again = resample_to(spoken, 44100, 22050)

    assert len(spoken) == 2 * len(heard)
    middle = slice(2000, -2000)
    error = (again[: len(heard)] - heard)[middle].square().mean() / heard[middle].square().mean()
    assert float(error) < 1e-3


def test_a_recording_that_reaches_twenty_kilohertz_is_enough(record, recordings, store):
    heard = mel_librosa(sample_rate_hz=24000)
    utterance = record("a", rate_hz=44100)
    prepared = prepare(
        [utterance], recordings, store, mel=heard, output_mel=heard.at_rate(48000), n_workers=1
    )

    assert prepared.kept == [utterance]


def test_a_recording_of_a_lower_rate_is_left_out_with_its_reason(record, run, store):
    good, low = record("good", rate_hz=44100), record("low", rate_hz=22050)
    prepared = run([good, low])

    assert prepared.kept == [good]
    (left,) = prepared.left_out
    assert left.reason == (
        "recorded below 40,000 Hz: nothing in it teaches what a vocoder at 44,100 Hz has to add (22,050 Hz)"
    )


def test_recordings_that_are_all_too_low_are_an_error(record, run):
    with pytest.raises(DataError, match=r"none of 2 utterances.*2 x recorded below 40,000 Hz"):
        run([record("a"), record("b")])


def test_what_is_heard_is_the_same_with_and_without_the_higher_rate(record, run, store):
    utterance = record("a", rate_hz=44100)
    run([utterance], output_mel=None)
    before = {path: path.read_bytes() for path in store.root.rglob("*--*") if path.is_file()}
    assert run([utterance]).n_done == {"audio": 1, "spec": 0, "pitch": 0, "energy": 0}

    assert {path: path.read_bytes() for path in before} == before
    assert set(run([utterance], output_mel=None).n_done.values()) == {0}
    assert set(run([utterance]).n_done.values()) == {0}


def test_a_damaged_or_missing_higher_rate_is_made_again(record, run, store):
    utterance = record("a", rate_hz=44100)
    run([utterance])
    path = store.audio_path(utterance, 44100)
    whole = path.read_bytes()
    for damage in (lambda: path.unlink(), lambda: path.write_bytes(whole[:-2])):
        damage()
        assert run([utterance]).n_done["audio"] == 1
        assert path.read_bytes() == whole


def test_recordings_of_unequal_length_are_found(record, run, store):
    utterance = record("a", rate_hz=44100)
    run([utterance])
    assert not mismatches(store, [utterance], MEL, output_mel=OUTPUT)
    audio = store.load_audio(utterance, OUTPUT)
    shorter = type(audio)(samples=audio.samples[512:], sample_rate_hz=44100)
    store.write_audio(utterance, shorter, source="x", is_mixed=False)

    (found,) = mismatches(store, [utterance], MEL, output_mel=OUTPUT)
    assert found.reason == "the recording 51, its spec 51 and the recording at the vocoder's rate 50 frames"


# ---- what EveryVoice has cleaned ---------------------------------------------------------------------------


@pytest.fixture
def cleaned(record, run, store, tmp_path):
    """A folder as EveryVoice lays it out, with audio at both rates."""
    utterance = record("a", rate_hz=44100)
    run([utterance])
    theirs = tmp_path / "theirs"
    shutil.copytree(store.root / "audio", theirs / "audio", ignore=shutil.ignore_patterns("*.json"))
    return utterance, Store(theirs)


def adopt(utterance, theirs, ours, **options):
    one = RecordedSet(
        utterances=[utterance],
        recordings=theirs.root,
        are_cleaned=True,
        options=PrepareOptions(**options),
    )
    return prepare_sets([one], ours, mel=MEL, output_mel=OUTPUT, n_workers=1)


def test_everyvoices_audio_is_taken_at_both_rates_and_no_effect_is_applied_again(cleaned, tmp_path):
    utterance, theirs = cleaned
    ours = Store(tmp_path / "ours")
    adopt(utterance, theirs, ours, effects=("reverse", "norm -20"))

    for mel in (MEL, OUTPUT):
        found = load_audio(theirs.audio_path(utterance, mel.sample_rate_hz)).samples
        assert ours.load_audio(utterance, mel).samples.equal(found)


def test_a_rate_that_everyvoice_has_not_prepared_is_named(cleaned, tmp_path):
    utterance, theirs = cleaned
    theirs.audio_path(utterance, 44100).unlink()

    with pytest.raises(DataError, match=r"EveryVoice has not prepared it at 44,100 Hz"):
        adopt(utterance, theirs, Store(tmp_path / "ours"))


# ---- effects -----------------------------------------------------------------------------------------------


def test_effects_come_before_all_else_and_in_order(record, run, store, recordings):
    draw = np.random.default_rng(1)
    left, right = 0.2 * draw.standard_normal((2, 44100))
    utterance = record("a", np.stack([left, right], 1), rate_hz=44100)
    run([utterance], options=PrepareOptions(effects=("remix 2", "reverse")))
    heard, _ = both(store, utterance)

    plain = torch.from_numpy(load_channels(recordings / "a.wav", 1)[::-1].copy())
    expected = resample_to(plain, 44100, 22050)[: len(heard)]
    torch.testing.assert_close(heard, expected * (0.95 / expected.abs().max()), atol=1e-4, rtol=0)


def load_channels(path, channel):
    return soundfile.read(path, dtype="float32")[0][:, channel]


def resample_to(samples, old_hz, new_hz):
    return resample(Audio(samples=samples, sample_rate_hz=old_hz), new_hz).samples


def test_other_effects_prepare_a_recording_again(record, run):
    utterance = record("a", rate_hz=44100)
    for effects in ((), ("norm -3",), ("highpass 80", "norm -3"), ("norm -3", "highpass 80")):
        options = PrepareOptions(effects=effects)
        assert run([utterance], options=options).n_done["audio"] == 1
        assert run([utterance], options=options).n_done["audio"] == 0


def test_a_long_silence_that_an_effect_cuts_does_not_count(record, run, store):
    noise = 0.1 * np.random.default_rng(0).standard_normal(22050)
    utterance = record("a", np.concatenate([noise, np.zeros(11 * 22050), noise]))
    cut = PrepareOptions(effects=("silence 1 0.1 1% -1 0.4 1%",))

    assert run([utterance], output_mel=None, options=cut).audio_s == pytest.approx(2.0, abs=0.05)
    with pytest.raises(DataError, match="longer than 11 s"):
        run([utterance], output_mel=None)


def test_loudness_is_that_of_the_recording_as_it_was(record, run):
    quiet = 0.001 * np.random.default_rng(0).standard_normal(22050)

    with pytest.raises(DataError, match="quieter than -36 LUFS"):
        run([record("a", quiet)], output_mel=None, options=PrepareOptions(effects=("norm",)))


def test_a_recording_of_which_the_effects_leave_nothing_is_left_out(record, run):
    with pytest.raises(DataError, match="the effects leave nothing of it"):
        run([record("a")], output_mel=None, options=PrepareOptions(effects=("silence 1 0.1 99%",)))
