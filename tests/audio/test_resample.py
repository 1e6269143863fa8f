"""The short filter: equal to the reference, edges included, and different from that of load_audio."""

import math

import numpy as np
import pytest
import torch

from retimbre.audio import files
from retimbre.audio.resample import sinc_resample
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

RATES_HZ = [(22050, 24000), (24000, 22050), (48000, 22050), (44100, 22050), (16000, 22050), (16000, 48000)]
ELEVEN = [0.31, -0.72, 0.55, 0.08, -0.93, 0.64, 0.27, -0.41, 0.86, -0.15, 0.49]


def noise(n, *, rate_hz, seed=0):
    samples = torch.rand(n, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return Audio(samples=samples, sample_rate_hz=rate_hz)


def tone(hz, *, rate_hz, n=9001):
    angle = 2 * math.pi * hz * torch.arange(n, dtype=torch.float64) / rate_hz
    return Audio(samples=angle.sin().float(), sample_rate_hz=rate_hz)


def level_db(audio):
    inside = audio.samples[1000:-1000].double()
    return 10 * math.log10(2 * inside.square().mean() + 1e-20)


def by_definition(samples, old_hz, new_hz):
    """Each new sample as a sum over all old ones, in seconds and hertz, in float64."""
    cutoff_hz = 0.99 * min(old_hz, new_hz)  # zero crossings a second
    new_s = np.arange(math.ceil(len(samples) * new_hz / old_hz))[:, None] / new_hz
    crossings = (np.arange(len(samples))[None] / old_hz - new_s) * cutoff_hz
    window = np.where(np.abs(crossings) < 6, np.cos(np.pi * crossings / 12) ** 2, 0.0)
    return (np.sinc(crossings) * window * cutoff_hz / old_hz) @ samples.double().numpy()


@pytest.mark.parametrize(
    ("source", "rate_hz", "wanted", "wanted_hz"),
    [
        ("wav_22050", 22050, "resampled_22k_to_24k", 24000),
        ("wav_24000", 24000, "resampled_24k_to_22k", 22050),
    ],
)
def test_every_sample_is_that_of_torchaudio_also_at_the_edges(parity, source, rate_hz, wanted, wanted_hz):
    from safetensors.torch import load_file

    stored = load_file(parity("mel_tortoise") / "io.safetensors")

    made = sinc_resample(Audio(samples=stored[source][0], sample_rate_hz=rate_hz), wanted_hz)

    assert made.sample_rate_hz == wanted_hz
    torch.testing.assert_close(made.samples, stored[wanted][0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("old_hz", "new_hz", "wanted"),
    [
        (44100, 16000, [0.0094763, -0.0869579, 0.0575352, 0.2812995]),
        (
            16000,
            22050,
            [0.299305, -0.5761208, -0.345875, 0.727549, 0.2577813, -0.9008582, -0.499266, 0.7358162]
            + [0.5731014, -0.4847674, -0.0339169, 0.8456954, 0.1365547, -0.0367778, 0.5281205, 0.0994702],
        ),
    ],
)
def test_a_few_samples_are_those_of_torchaudio_at_other_rates(old_hz, new_hz, wanted):
    # Made with torchaudio 2.11.0.
    made = sinc_resample(Audio(samples=torch.tensor(ELEVEN), sample_rate_hz=old_hz), new_hz)

    torch.testing.assert_close(made.samples, torch.tensor(wanted), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("old_hz", "new_hz"), RATES_HZ)
@pytest.mark.parametrize("n", [1, 2, 7, 147, 601])
def test_every_sample_is_the_sum_that_defines_it(old_hz, new_hz, n):
    audio = noise(n, rate_hz=old_hz, seed=n)

    made = sinc_resample(audio, new_hz)

    wanted = torch.from_numpy(by_definition(audio.samples, old_hz, new_hz)).float()
    torch.testing.assert_close(made.samples, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("old_hz", "new_hz"), RATES_HZ)
def test_the_length_is_rounded_up(old_hz, new_hz):
    for n in (1, 80, 146, 147, 148, 441):
        made = sinc_resample(noise(n, rate_hz=old_hz), new_hz)

        assert made.n_samples == math.ceil(n * new_hz / old_hz)
        assert made.sample_rate_hz == new_hz


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_result_is_float32(dtype):
    audio = noise(333, rate_hz=22050)

    made = sinc_resample(Audio(samples=audio.samples.to(dtype), sample_rate_hz=22050), 24000)

    assert made.samples.dtype == torch.float32
    assert torch.equal(made.samples, sinc_resample(audio, 24000).samples)


def test_autocast_changes_nothing():
    audio = noise(333, rate_hz=22050)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = sinc_resample(audio, 24000)

    assert torch.equal(made.samples, sinc_resample(audio, 24000).samples)


def test_the_same_rate_changes_nothing():
    audio = noise(333, rate_hz=22050)

    assert sinc_resample(audio, 22050) is audio


def test_up_and_down_again_gives_the_sound_back():
    audio = tone(1000, rate_hz=22050)

    back = sinc_resample(sinc_resample(audio, 24000), 22050)

    assert back.n_samples - audio.n_samples in (0, 1)
    difference = (back.samples[: audio.n_samples] - audio.samples)[100:-100]
    assert difference.abs().max() < 2e-3


def test_gradients_flow_through_it_after_a_use_in_inference_mode():
    audio = noise(50, rate_hz=12000)  # rates that no other test uses: the weights are made in inference mode
    with torch.inference_mode():
        sinc_resample(audio, 18000)
    samples = audio.samples.clone().requires_grad_()

    sinc_resample(Audio(samples=samples, sample_rate_hz=12000), 18000).samples.square().sum().backward()

    assert samples.grad is not None
    assert samples.grad.abs().min() > 0


def test_load_audio_filters_more_sharply():
    # Why files.resample stays with the longer filter: see the head of resample.py.
    kept, folded = tone(10000, rate_hz=44100), tone(11500, rate_hz=44100)

    assert level_db(sinc_resample(kept, 22050)) == pytest.approx(-2.6, abs=0.1)
    assert level_db(sinc_resample(folded, 22050)) == pytest.approx(-9.3, abs=0.1)
    assert level_db(files.resample(kept, 22050)) == pytest.approx(0, abs=0.01)
    assert level_db(files.resample(folded, 22050)) < -100


def test_no_samples_are_refused():
    with pytest.raises(AudioError, match="too short to be resampled: found 0 samples"):
        sinc_resample(Audio(samples=torch.zeros(0), sample_rate_hz=22050), 24000)


def test_rates_with_little_in_common_are_refused_before_memory_runs_out():
    with pytest.raises(
        AudioError, match="44100 Hz cannot be resampled to 22051 Hz.*common divisor of 1.*load_audio"
    ):
        sinc_resample(noise(50, rate_hz=44100), 22051)


@pytest.mark.parametrize("rate_hz", [0, -8000])
def test_a_rate_is_above_zero(rate_hz):
    with pytest.raises(ValueError, match="is not above zero"):
        sinc_resample(noise(50, rate_hz=22050), rate_hz)
