"""Loudness, silence, level and clipping of recordings."""

import math

import numpy as np
import pytest
import torch

from retimbre.audio.cleaning import (
    count_clipped,
    loudness_lufs,
    peak_normalise,
    to_whole_hops,
    trim_silence,
)
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

RATE_HZ = 22050


def audio(samples, rate_hz=RATE_HZ):
    return Audio(samples=torch.as_tensor(samples, dtype=torch.float32), sample_rate_hz=rate_hz)


def noise(n, scale=0.1, seed=0):
    return scale * torch.randn(n, generator=torch.Generator().manual_seed(seed))


def tone(n, *, hz=997.0, peak=0.1, rate_hz=RATE_HZ):
    return peak * torch.sin(2 * torch.pi * hz * torch.arange(n, dtype=torch.float64) / rate_hz)


@pytest.mark.parametrize("rate_hz", [16000, 22050, 48000])
def test_the_standard_tone_has_its_standard_loudness(rate_hz):
    # BS.1770: a 997 Hz sine at full scale in one channel measures -3.01; here 20 dB lower.
    sine = audio(tone(3 * rate_hz, rate_hz=rate_hz), rate_hz)

    assert loudness_lufs(sine) == pytest.approx(-23.01, abs=0.3)


def test_loudness_equals_a_sample_by_sample_measurement():
    rate_hz = 8000
    samples = torch.cat([noise(5003), noise(3001, 1e-3), noise(2000, 0.4)])
    wave = samples.double().numpy()
    for b, a in _torchaudio_filters(rate_hz):
        out = np.zeros(len(wave) + 2)
        padded = np.concatenate([[0, 0], wave])
        for i in range(2, len(out)):
            forward = b[0] * padded[i] + b[1] * padded[i - 1] + b[2] * padded[i - 2]
            out[i] = (forward - a[1] * out[i - 1] - a[2] * out[i - 2]) / a[0]
        wave = np.clip(out[2:], -1, 1)
    size, step = 3200, 800
    energies = [np.mean(wave[i : i + size] ** 2) for i in range(0, len(wave) - size + 1, step)]
    levels = [-0.691 + 10 * np.log10(energy) for energy in energies]
    heard = [energy for energy, level in zip(energies, levels, strict=True) if level > -70]
    gate = -10.691 + 10 * np.log10(np.mean(heard))
    heard = [energy for energy, level in zip(energies, levels, strict=True) if level > max(gate, -70)]

    assert loudness_lufs(audio(samples, rate_hz)) == pytest.approx(-0.691 + 10 * np.log10(np.mean(heard)))


def _torchaudio_filters(rate_hz):
    w, amp = 2 * np.pi * 1500 / rate_hz, 10 ** (4 / 40)
    alpha = np.sin(w) / 2 / np.sqrt(0.5)
    t1, t2, t3 = 2 * np.sqrt(amp) * alpha, (amp - 1) * np.cos(w), (amp + 1) * np.cos(w)
    shelf = (
        [amp * (amp + 1 + t2 + t1), -2 * amp * (amp - 1 + t3), amp * (amp + 1 + t2 - t1)],
        [amp + 1 - t2 + t1, 2 * (amp - 1 - t3), amp + 1 - t2 - t1],
    )
    w = 2 * np.pi * 38 / rate_hz
    c = np.cos(w)
    high_pass = ([(1 + c) / 2, -1 - c, (1 + c) / 2], [1 + np.sin(w), -2 * c, 1 - np.sin(w)])
    return shelf, high_pass


def test_ten_times_the_amplitude_is_twenty_units_louder():
    samples = noise(2 * RATE_HZ, 0.01)

    assert loudness_lufs(audio(10 * samples)) - loudness_lufs(audio(samples)) == pytest.approx(20, abs=1e-4)


def test_pauses_do_not_make_a_recording_less_loud():
    speech = noise(2 * RATE_HZ)
    with_pause = torch.cat([speech, torch.zeros(4 * RATE_HZ)])

    assert loudness_lufs(audio(with_pause)) == pytest.approx(loudness_lufs(audio(speech)), abs=0.7)


def test_silence_is_infinitely_quiet_and_short_sounds_are_measured():
    assert loudness_lufs(audio(torch.zeros(RATE_HZ))) == -math.inf
    assert loudness_lufs(audio(torch.zeros(0))) == -math.inf
    assert -60 < loudness_lufs(audio(noise(1001))) < 0


def test_trimming_keeps_the_sound_and_a_margin():
    n = RATE_HZ
    samples = torch.cat([noise(n, 1e-5), noise(n, 0.1, seed=1), noise(n, 1e-5, seed=2)])

    kept = trim_silence(audio(samples), margin_ms=50.0)

    margin = round(0.05 * RATE_HZ)
    start = next(i for i in range(n) if torch.equal(samples[i : i + 100], kept.samples[:100]))
    assert start == pytest.approx(n - margin, abs=10)
    assert start + kept.n_samples == pytest.approx(2 * n + margin, abs=10)
    assert torch.equal(kept.samples, samples[start : start + kept.n_samples])


def test_a_recording_without_silence_stays_whole():
    samples = noise(7001)

    assert torch.equal(trim_silence(audio(samples), margin_ms=1.0).samples, samples)


def test_pauses_inside_a_recording_are_kept():
    samples = torch.cat([noise(5000), torch.zeros(9000), noise(5000, seed=1)])

    assert trim_silence(audio(samples)).n_samples == 19000


def test_the_threshold_is_relative_to_the_loudest_part():
    samples = torch.cat([noise(8000, 1e-3), noise(8000, 0.1, seed=1)])  # 40 dB apart

    assert trim_silence(audio(samples), threshold_db=30.0, margin_ms=0.0).n_samples < 8100
    assert trim_silence(audio(samples), threshold_db=50.0, margin_ms=5.0).n_samples == 16000
    quieter = trim_silence(audio(samples / 50), threshold_db=30.0, margin_ms=0.0)
    assert quieter.n_samples < 8100


def test_a_single_click_is_not_lost():
    samples = torch.zeros(9000)
    samples[4000] = 0.5

    assert trim_silence(audio(samples), margin_ms=0.0).samples.tolist() == [0.5]


@pytest.mark.parametrize("change", [trim_silence, peak_normalise])
def test_digital_silence_is_refused(change):
    with pytest.raises(AudioError, match="silent"):
        change(audio(torch.zeros(5000)))


@pytest.mark.parametrize("peak", [0.95, 0.5])
def test_the_largest_sample_is_at_the_peak(peak):
    samples = noise(3001)
    samples[100] = -2.0

    leveled = peak_normalise(audio(samples), peak)

    assert leveled.samples.abs().max().item() == pytest.approx(peak)
    torch.testing.assert_close(leveled.samples, samples * (peak / 2))


def test_runs_at_the_extremes_are_counted_on_both_sides():
    samples = noise(5000, 0.05)
    samples[100:105] = 0.9
    samples[200:203] = 0.9
    samples[300:302] = 0.9  # two are no run
    samples[400:404] = -0.8

    assert count_clipped(audio(samples)) == 5 + 3 + 4


def test_a_lower_volume_does_not_hide_clipping():
    hot = tone(RATE_HZ, hz=203.0, peak=1.5).clamp(-1, 1)

    assert count_clipped(audio(0.3 * hot)) == count_clipped(audio(hot)) > 5000


def test_clean_sound_silence_and_offsets_are_not_clipped():
    for samples in (noise(5000), tone(RATE_HZ, peak=1.0), torch.zeros(500), torch.full((500,), 0.1)):
        assert count_clipped(audio(samples)) == 0
    assert count_clipped(audio(torch.zeros(0))) == 0


def test_the_end_is_cut_to_whole_hops():
    samples = noise(1000)

    assert torch.equal(to_whole_hops(audio(samples), 256).samples, samples[:768])
    assert to_whole_hops(audio(samples[:768]), 256).n_samples == 768


def test_less_than_a_hop_is_refused():
    with pytest.raises(AudioError, match="at least one hop of 256 samples, found 255 samples"):
        to_whole_hops(audio(noise(255)), 256)
