"""How late a generated waveform is, found without trusting its phase."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import signal

from retimbre.audio.waveform import Audio
from retimbre.pipelines.delay import Delay, advanced, measure_delay

RATE_HZ = 22050
DELAYS = (-300, -256, -131, -64, -7, 0, 5, 64, 128, 201, 256, 300)


def speech(duration_s=1.0, seed=0):
    """Syllables: voiced with moving formants, or noise, with gaps; never the same twice."""
    draw = np.random.default_rng(seed)
    pieces = []
    while sum(map(len, pieces)) < duration_s * RATE_HZ:
        n = int(draw.uniform(0.06, 0.2) * RATE_HZ)
        time_s = np.arange(n) / RATE_HZ
        if draw.random() < 0.7:
            phase = 2 * np.pi * np.cumsum(draw.uniform(90, 220) * (1 + 0.1 * time_s)) / RATE_HZ
            source = signal.sawtooth(phase)
        else:
            source = draw.standard_normal(n)
        for centre_hz in draw.uniform(300, 5000, 3):
            band = signal.butter(1, [0.8 * centre_hz, 1.2 * centre_hz], "bandpass", fs=RATE_HZ, output="sos")
            source = source + 2 * signal.sosfilt(band, source)
        pieces.append(source / np.abs(source).max() * np.hanning(n) ** 0.5 * draw.uniform(0.1, 1.0))
        pieces.append(np.zeros(int(draw.uniform(0.0, 0.06) * RATE_HZ)))
    wave = np.concatenate(pieces)[: int(duration_s * RATE_HZ)] + 1e-3 * draw.standard_normal(
        int(duration_s * RATE_HZ)
    )
    return tensor(0.5 * wave)


def tensor(wave):
    return torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))


def later(samples, n):
    """`n` samples later, earlier if negative, as long, with silence where nothing was."""
    padded = torch.cat([torch.zeros(400), samples, torch.zeros(400)])
    return padded[400 - n : 400 - n + len(samples)]


def turned(samples, seed, width_hz=600):
    """Every band with another constant phase: its envelope stays, the waveform does not."""
    draw = np.random.default_rng(seed)
    spectrum = torch.fft.rfft(samples.double())
    band = torch.arange(len(spectrum)) * RATE_HZ / len(samples) // width_hz
    phases = torch.from_numpy(draw.uniform(0, 2 * np.pi, int(band.max()) + 1))
    return torch.fft.irfft(spectrum * torch.exp(1j * phases[band.long()]), len(samples)).float()


def noise_vocoded(samples, seed):
    """Noise that has the energy of each of 24 bands, moment by moment, and nothing else in common."""
    draw, wave = np.random.default_rng(seed), samples.double().numpy()
    edges_hz = np.geomspace(80, 10_500, 25)
    sum_of_bands = np.zeros(len(wave))
    smooth = signal.butter(1, 400, "lowpass", fs=RATE_HZ, output="sos")
    for low, high in pairwise(edges_hz):
        band = signal.butter(2, [low, high], "bandpass", fs=RATE_HZ, output="sos")
        envelope = signal.sosfiltfilt(smooth, np.abs(signal.sosfiltfilt(band, wave))).clip(0)
        noise = signal.sosfiltfilt(band, draw.standard_normal(len(wave)))
        sum_of_bands += envelope * noise / noise.std()
    return tensor(sum_of_bands)


def kept(samples, seed):
    return samples


CHANGES = [
    pytest.param(kept, id="same"),
    pytest.param(turned, id="turned"),
    pytest.param(noise_vocoded, id="noise"),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("delay", DELAYS)
def test_a_known_delay_is_found_within_eight_samples(delay, change):
    recorded = [speech(seed=seed) for seed in range(4)]
    generated = [later(change(samples, seed), delay) for seed, samples in enumerate(recorded)]

    found = measure_delay(recorded, generated, largest_samples=400)

    assert abs(found.n_samples - delay) <= 8


@pytest.mark.parametrize("delay", [-256, 0, 128])
def test_if_every_harmonic_has_another_phase_the_delay_is_found_within_half_a_hop(delay):
    recorded = [speech(seed=seed) for seed in range(4)]
    generated = [later(turned(samples, seed, width_hz=100), delay) for seed, samples in enumerate(recorded)]

    found = measure_delay(recorded, generated, largest_samples=400)

    assert abs(found.n_samples - delay) <= 128


@pytest.mark.parametrize("delay", [-300, 0, 190])
def test_equal_loudness_is_not_needed(delay):
    recorded = [speech(seed=3), speech(seed=4)]
    generated = [0.1 * later(samples, delay) + 1e-3 * torch.randn(len(samples)) for samples in recorded]

    assert abs(measure_delay(recorded, generated, largest_samples=320).n_samples - delay) <= 8


def test_what_is_equal_has_no_delay_and_is_sure():
    recorded = [speech(seed=1), speech(0.7, seed=2)]

    found = measure_delay(recorded, recorded, largest_samples=256)

    assert found.n_samples == 0
    assert found.correlation == pytest.approx(1.0)
    assert not found.is_clear(256)


def test_what_has_nothing_in_common_is_not_sure():
    recorded, other = [speech(seed=n) for n in (1, 2)], [speech(seed=n) for n in (8, 9)]

    assert not measure_delay(recorded, other, largest_samples=300).is_clear(256)


def test_a_delay_is_clear_if_it_is_large_and_sure():
    assert Delay(n_samples=256, correlation=0.9).is_clear(256)
    assert Delay(n_samples=-100, correlation=0.9).is_clear(256)
    assert not Delay(n_samples=64, correlation=0.9).is_clear(256)
    assert not Delay(n_samples=256, correlation=0.3).is_clear(256)


def test_outputs_may_be_longer_or_shorter_than_recordings():
    recorded = [speech(seed=1), speech(seed=2)]
    generated = [torch.cat([later(recorded[0], 128), torch.zeros(511)]), later(recorded[1], 128)[:-300]]

    assert abs(measure_delay(recorded, generated, largest_samples=256).n_samples - 128) <= 8


def test_a_recording_shorter_than_the_reach_counts_for_nothing():
    recorded = [speech(seed=1), torch.randn(300)]
    generated = [later(recorded[0], 128), torch.randn(300)]

    assert abs(measure_delay(recorded, generated, largest_samples=256).n_samples - 128) <= 8


@pytest.mark.parametrize("delay", [-300, -64, 0, 131, 256])
def test_advancing_undoes_the_delay_that_was_found(delay):
    samples = speech(seed=5)
    late = Audio(samples=later(samples, delay), sample_rate_hz=RATE_HZ)

    back = advanced(late, delay)

    middle = slice(300, -300)
    assert back.samples[middle].equal(samples[middle])
    assert (len(back.samples), back.sample_rate_hz) == (len(samples), RATE_HZ)
    assert measure_delay([samples], [back.samples], largest_samples=300).n_samples == 0


@pytest.mark.parametrize("n_samples", [5, -5, 50, -50])
def test_advancing_puts_silence_where_nothing_is(n_samples):
    audio = Audio(samples=torch.randn(20) + 9, sample_rate_hz=RATE_HZ)

    moved = advanced(audio, n_samples).samples

    shift = min(abs(n_samples), 20)
    assert len(moved) == 20
    assert int(moved.eq(0).sum()) == shift
    if n_samples == 5:
        assert moved[:15].equal(audio.samples[5:])
    if n_samples == -5:
        assert moved[5:].equal(audio.samples[:15])
