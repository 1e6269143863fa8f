"""The spec that the decoder learns lies in time where its codes lie, and is as long as inference makes it."""

import pytest
import torch
from torch.nn import functional

from retimbre.audio.mel import log_mel, logarithms, tortoise_univnet_mel100
from retimbre.audio.resample import sinc_resample
from retimbre.audio.waveform import Audio
from retimbre.errors import DataError
from retimbre.pipelines.tortoise_stages import n_frames_of
from retimbre.pipelines.tortoise_target import mel_error, normalised, recorded_frames, target_spec

MEL = tortoise_univnet_mel100()
LENGTHS = [1023, 1024, 1025, 6001, 9 * 1024 - 1, 9 * 1024, 9 * 1024 + 1, 50_001]


def noise(n_samples, seed=3):
    return 0.1 * torch.randn(n_samples, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_it_is_as_long_as_inference_makes_it(n_samples):
    n_codes = n_samples // 1024 + 1
    spec = target_spec(noise(n_samples), n_codes, MEL)

    assert spec.shape == (100, n_frames_of(n_codes, MEL)) == (100, n_codes * 4 * 24000 // 22050)
    assert spec.min() >= -1
    assert spec.max() <= 1


@pytest.mark.parametrize("n_samples", [20 * 1024 - 1, 20 * 1024, 20 * 1024 + 700])
@pytest.mark.parametrize("place", [1024, 5000, 5 * 1024, 9 * 1024 + 511, 19 * 1024])
def test_an_impulse_comes_out_in_the_frame_of_its_moment_and_of_its_code(n_samples, place):
    n_codes = n_samples // 1024 + 1
    samples = torch.zeros(n_samples)
    samples[place] = 0.5
    spec = target_spec(samples, n_codes, MEL)

    loudest = int(spec.mean(dim=0).argmax())
    assert abs(loudest - place / 22050 * 24000 / 256) <= 0.51
    # What `align` makes of the numbers of the codes, stretched over the frames.
    codes = torch.arange(n_codes).float().view(1, 1, -1)
    of_frames = functional.interpolate(codes, size=spec.shape[1], mode="nearest")[0, 0]
    # A frame is centred on a moment: at the border of two codes it may belong to either.
    assert int(of_frames[loudest]) in {(place - 120) // 1024, (place + 120) // 1024}


@pytest.mark.parametrize("n_samples", LENGTHS[3:])
def test_it_is_the_spec_of_the_recording_where_there_is_one_and_silence_behind(n_samples):
    samples = noise(n_samples)
    heard = sinc_resample(Audio(samples=samples, sample_rate_hz=22050), 24000)
    alone = log_mel(heard.samples, MEL)
    spec = logarithms(target_spec(samples, n_samples // 1024 + 1, MEL), normalised(MEL))

    inner = recorded_frames(n_samples, MEL) - 3  # whose windows end before the recording does
    torch.testing.assert_close(spec[:, :inner], alone[:, :inner], atol=1e-4, rtol=0)
    behind = spec[:, recorded_frames(n_samples, MEL) + 4 :]
    torch.testing.assert_close(behind, torch.full_like(behind, MEL.silence), atol=1e-4, rtol=0)


@pytest.mark.parametrize("n_samples", LENGTHS)
def test_whole_hops_of_the_recording_are_never_more_than_the_frames_of_its_codes(n_samples):
    n_frames = recorded_frames(n_samples, MEL)

    assert n_frames * 256 <= n_samples * 24000 / 22050 < (n_frames + 1) * 256
    assert n_frames <= n_frames_of(n_samples // 1024 + 1, MEL)


def test_what_is_louder_than_the_decoder_can_say_is_cut():
    loud = torch.sin(torch.arange(5000) * 2 * torch.pi * 250 / 22050).sign()
    spec = target_spec(loud, 5, MEL)

    assert spec.max() == 1


@pytest.mark.parametrize("n_codes", [4, 6])
def test_codes_of_another_recording_are_refused(n_codes):
    with pytest.raises(DataError, match=r"expected 5 codes for 5,000 samples, found [46]"):
        target_spec(noise(5000), n_codes, MEL)


def test_the_error_is_that_of_the_frames_of_the_recording():
    target = target_spec(noise(5000), 5, MEL)
    produced = logarithms(target, normalised(MEL))
    n_frames = recorded_frames(5000, MEL)
    assert mel_error(produced, target, 5000, MEL) == pytest.approx(0, abs=1e-6)

    produced[:, :n_frames] += 0.25
    produced[:, n_frames:] += 7.0

    assert mel_error(produced, target, 5000, MEL) == pytest.approx(0.25, abs=1e-5)
    assert mel_error(produced[:, :n_frames], target, 5000, MEL) == pytest.approx(0.25, abs=1e-5)
