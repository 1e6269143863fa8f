"""Recordings are heard where and how TorToiSe hears them, and what is wrong with them is said at once."""

import re

import numpy as np
import pytest
import soundfile
import torch

from building.sounds import record, vowel
from building.tortoise_voices import recordings
from retimbre.audio.files import load_audio
from retimbre.errors import AudioError
from retimbre.pipelines.tortoise_voice_clips import (
    AUTO_SAMPLES,
    DIFFUSION_SAMPLES,
    clips_of,
    crop_start,
    notes_on,
)


def one(path, *, seed=0):
    (clip,) = clips_of([path], seed=seed)
    return clip


def test_six_seconds_of_a_long_recording_begin_where_the_seed_says(tmp_path):
    path = recordings(tmp_path, durations_s=(7.3,))[0]
    samples = load_audio(path).samples

    clips = [one(path, seed=seed) for seed in range(5)]

    for clip in clips:
        part = samples[clip.start_samples : clip.start_samples + AUTO_SAMPLES]
        torch.testing.assert_close(clip.for_auto, part, atol=0, rtol=0)
    assert len({clip.start_samples for clip in clips}) == 5
    assert one(path, seed=3).start_samples == clips[3].start_samples


def test_every_place_of_a_recording_may_be_heard_and_none_beyond_it():
    starts = [crop_start(AUTO_SAMPLES + 2, seed=seed, sha256="ab") for seed in range(60)]
    others = [crop_start(AUTO_SAMPLES + 2, seed=seed, sha256="cd") for seed in range(60)]

    assert set(starts) == {0, 1, 2}
    assert starts != others
    assert {crop_start(n, seed=1, sha256="ab") for n in (1, AUTO_SAMPLES - 1, AUTO_SAMPLES)} == {0}


def test_silence_follows_a_shorter_recording(tmp_path):
    path = recordings(tmp_path, durations_s=(0.7,))[0]
    samples = load_audio(path).samples

    clip = one(path)

    assert clip.for_auto.shape == (AUTO_SAMPLES,)
    assert clip.for_diffusion.shape == (DIFFUSION_SAMPLES,)
    torch.testing.assert_close(clip.for_auto[: len(samples)], samples, atol=0, rtol=0)
    assert not clip.for_auto[len(samples) :].any()
    assert not clip.for_diffusion[len(samples) * 24000 // 22050 + 1 :].any()


def test_the_diffusion_network_hears_the_beginning_whatever_the_rest_is(tmp_path):
    wave = vowel(20.0, f0_hz=150, seed=1)
    longer, cut = record(tmp_path, {"longer": wave, "cut": wave[: 9 * 22050]}), tmp_path / "cut.wav"

    clips = [one(path) for path in (longer / "longer.wav", cut)]

    torch.testing.assert_close(clips[0].for_diffusion, clips[1].for_diffusion, atol=0, rtol=0)


def test_neither_names_nor_order_nor_further_recordings_change_how_one_is_heard(tmp_path):
    first, second = recordings(tmp_path / "a", durations_s=(6.5, 7.1))
    renamed = tmp_path / "z.wav"
    renamed.write_bytes(first.read_bytes())

    alone = one(first, seed=4)
    both, turned = clips_of([first, second], seed=4), clips_of([second, renamed], seed=4)

    assert [clip.sha256 for clip in both] == [clip.sha256 for clip in turned]
    for clips in (both, turned):
        same = next(clip for clip in clips if clip.sha256 == alone.sha256)
        torch.testing.assert_close(same.for_auto, alone.for_auto, atol=0, rtol=0)


def test_two_channels_are_mixed_and_what_is_louder_than_full_scale_is_cut(tmp_path):
    left, right = vowel(0.8, f0_hz=120, seed=1), vowel(0.8, f0_hz=170, seed=2)
    loud = 9 * np.stack([left, right], axis=1)
    soundfile.write(tmp_path / "two.wav", loud, 22050, subtype="FLOAT")

    clip = one(tmp_path / "two.wav")

    mixed = torch.tensor(loud.mean(axis=1), dtype=torch.float32).clamp(-1, 1)
    torch.testing.assert_close(clip.for_auto[: len(mixed)], mixed, atol=1e-6, rtol=0)
    assert float(clip.for_diffusion.abs().max()) <= 1


def test_every_recording_that_cannot_be_used_is_named_at_once(tmp_path):
    good = recordings(tmp_path)
    (tmp_path / "notes.wav").write_text("no sound")
    record(tmp_path, {"silent": np.zeros(22050), "click": vowel(0.09, f0_hz=200, seed=3)})
    bad = [tmp_path / f"{name}.wav" for name in ("notes", "silent", "click", "gone")]

    with pytest.raises(AudioError) as caught:
        clips_of([*good, *bad], seed=1)

    assert "4 of 6 recordings" in str(caught.value)
    assert all(str(path) in str(caught.value) for path in bad)
    assert not any(str(path) in str(caught.value) for path in good)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wave", "said"),
    [
        (1e-5 * vowel(1.0, f0_hz=150, seed=1), "is silent"),
        (vowel(0.05, f0_hz=150, seed=1), r"too short.*at least 0\.1 s.*found 0\.050 s"),
    ],
)
def test_one_that_cannot_be_used_is_told_in_full(tmp_path, wave, said):
    record(tmp_path, {"odd": wave})

    with pytest.raises(AudioError, match=said):
        clips_of([tmp_path / "odd.wav"], seed=1)


def test_a_tenth_of_a_second_is_enough(tmp_path):
    record(tmp_path, {"short": vowel(0.1, f0_hz=150, seed=1)})

    assert one(tmp_path / "short.wav").for_auto.any()


def test_a_voice_without_recordings_is_refused():
    with pytest.raises(AudioError, match="needs recordings"):
        clips_of([], seed=1)


def test_a_rate_that_the_filter_cannot_take_is_refused_with_its_name(tmp_path):
    record(tmp_path, {"odd": vowel(0.3, f0_hz=150, seed=1)}, rate_hz=22051)

    with pytest.raises(AudioError, match=r"odd\.wav has an unusual sample rate: found 22,051 Hz"):
        clips_of([tmp_path / "odd.wav"], seed=1)


def test_odd_recordings_are_named_and_good_ones_are_not(tmp_path):
    record(tmp_path, {"dull": vowel(1.0, f0_hz=150, seed=1, rate_hz=16000)}, rate_hz=16000)
    quiet, loud = np.zeros(5 * 22050), vowel(1.0, f0_hz=180, seed=2)
    record(
        tmp_path,
        {
            "late": np.concatenate([quiet, loud]),
            "harsh": np.clip(20 * vowel(1.0, f0_hz=90, seed=3), -1, 0.99),
            "good": vowel(1.0, f0_hz=120, seed=4),
        },
    )
    paths = sorted(tmp_path.iterdir())

    notes = notes_on(clips_of(paths, seed=1))

    told = {re.match(r"(\w+)\.wav", note)[1]: note for note in notes}
    assert told.keys() == {"dull", "late", "harsh"}
    assert "22,050 Hz" in told["dull"]
    assert "4.3 s" in told["late"]
    assert "clipped" in told["harsh"]


def test_many_recordings_and_many_odd_ones_are_one_line_each(tmp_path):
    waves = {f"{n:02}": vowel(0.2, f0_hz=100 + n, seed=n, rate_hz=8000) for n in range(21)}
    record(tmp_path, waves, rate_hz=8000)

    notes = notes_on(clips_of(sorted(tmp_path.iterdir()), seed=1))

    assert len(notes) == 2
    assert "and 16 more" in notes[0]
    assert notes[1].startswith("21 recordings")
