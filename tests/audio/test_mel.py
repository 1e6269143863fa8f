"""MelSpec and log_mel: what a spectrogram means, checked against plain float64 and frozen references."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from retimbre.audio import filterbank
from retimbre.audio.files import load_audio
from retimbre.audio.mel import (
    Centring,
    MelNorm,
    MelScale,
    MelSpec,
    everyvoice_mel,
    hifigan_original,
    log_mel,
    mel_librosa,
    spec_type,
    tacotron_mel80,
    tortoise_mel80,
    tortoise_univnet_mel100,
)
from retimbre.errors import AudioError, DataError, StagesDoNotFit

NORMS = tuple(float(norm) for norm in torch.linspace(-9.5, -1.6, 80))
PRESETS = {
    "mel-librosa": mel_librosa(),
    "mel": everyvoice_mel(),
    "hifigan": hifigan_original(),
    "tacotron": tacotron_mel80(),
    "tortoise": tortoise_mel80(NORMS),
    "univnet": tortoise_univnet_mel100(),
    "univnet-normalised": tortoise_univnet_mel100(is_normalised=True),
}
SMALL = {
    "sample_rate_hz": 8000,
    "n_fft_samples": 64,
    "window_samples": 48,
    "hop_samples": 16,
    "n_mels": 8,
    "high_hz": 4000.0,
}
every_preset = pytest.mark.parametrize("mel", PRESETS.values(), ids=PRESETS.keys())


def noise(*shape, seed=0):
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(samples, mel):
    """The same numbers by numpy, one frame after another, in float64."""
    wave = samples.double().numpy()
    wave = np.clip(wave, -1, 1) if mel.cuts_at_full_scale else wave
    left, right = mel.edge_samples
    wave = np.pad(wave, (left, right), mode=mel.padding)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(mel.window_samples) / mel.window_samples)
    before = (mel.n_fft_samples - mel.window_samples) // 2
    window = np.pad(window, (before, mel.n_fft_samples - mel.window_samples - before))
    curve = filterbank.HTK if mel.mel_scale is MelScale.HTK else filterbank.SLANEY
    filters = filterbank.triangles(
        filterbank.band_edges_hz(curve, n_mels=mel.n_mels, low_hz=mel.low_hz, high_hz=mel.high_hz),
        sample_rate_hz=mel.sample_rate_hz,
        n_fft_samples=mel.n_fft_samples,
        has_equal_area=mel.mel_norm is MelNorm.SLANEY,
    )
    columns = []
    for k in range(mel.frames_in(len(samples))):
        piece = wave[k * mel.hop_samples :][: mel.n_fft_samples]
        energy = np.abs(np.fft.rfft(piece * window)) ** 2 + mel.power_floor
        columns.append(np.log(np.maximum(filters @ energy ** (mel.power / 2), mel.log_floor)))
    logs = np.stack(columns, axis=1)
    if mel.log_range:
        logs = 2 * (logs - mel.log_range[0]) / (mel.log_range[1] - mel.log_range[0]) - 1
    return logs / np.array(mel.band_divisors)[:, None] if mel.band_divisors else logs


@every_preset
def test_a_spec_equals_the_definition_in_float64(mel):
    samples = noise(7001)

    np.testing.assert_allclose(log_mel(samples, mel), reference(samples, mel), atol=2e-4)


@pytest.mark.parametrize("padding", ["reflect", "constant"])
@pytest.mark.parametrize("centring", list(Centring))
def test_a_window_shorter_than_the_transform_and_odd_sizes_are_right(centring, padding):
    mel = replace(mel_librosa(**SMALL), centring=centring, padding=padding, hop_samples=13, n_fft_samples=65)
    samples = noise(401)

    np.testing.assert_allclose(log_mel(samples, mel), reference(samples, mel), atol=2e-4)


@every_preset
def test_frames_in_is_what_log_mel_makes(mel):
    shortest = mel.fewest_samples
    hop = mel.hop_samples

    for n in [*range(shortest, shortest + 3), *range(4 * hop - 1, 4 * hop + 2), 5 * hop + hop // 2, 6 * hop]:
        assert log_mel(noise(n), mel).shape == (mel.n_mels, mel.frames_in(n))


def test_a_recording_of_whole_hops_has_one_frame_for_each():
    assert mel_librosa().frames_in(10 * 256) == 10
    assert hifigan_original().frames_in(10 * 256) == 10
    assert tortoise_univnet_mel100().frames_in(10 * 256) == 11


@every_preset
def test_a_batch_gives_what_each_gives_alone(mel):
    waves = noise(2, 3, 3001)

    together = log_mel(waves, mel)

    assert together.shape[:2] == (2, 3)
    torch.testing.assert_close(together[1, 2], log_mel(waves[1, 2], mel))
    torch.testing.assert_close(log_mel(waves[0, :1], mel)[0], log_mel(waves[0, 0], mel))


@every_preset
def test_gradients_flow_and_are_finite_also_in_silence(mel):
    samples = noise(4096)
    samples[1500:] = 0.0
    samples.requires_grad_()

    log_mel(samples, mel).sum().backward()

    assert samples.grad.isfinite().all()
    assert samples.grad[:1000].ne(0).any()


def test_gradients_are_those_of_the_definition():
    mel = mel_librosa(**SMALL)
    samples = noise(200).requires_grad_()
    log_mel(samples, mel).sum().backward()

    for at in (0, 77, 150):
        step = torch.zeros(200, dtype=torch.float64)
        step[at] = 1e-6
        up, down = (reference(samples.detach().double() + sign * step, mel).sum() for sign in (1, -1))
        assert samples.grad[at].item() == pytest.approx((up - down) / 2e-6, rel=1e-3, abs=1e-2)


def test_what_was_cached_in_inference_mode_serves_training():
    mel = mel_librosa(**SMALL, low_hz=17.0)  # no other test has used this one
    with torch.inference_mode():
        log_mel(noise(400), mel)

    samples = noise(400).requires_grad_()
    log_mel(samples, mel).mean().backward()

    assert samples.grad.isfinite().all()


def test_the_numbers_stay_float32_under_autocast_and_for_half_precision():
    mel, samples = mel_librosa(), noise(4000)
    exact = log_mel(samples, mel)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(log_mel(samples, mel), exact)
    assert log_mel(samples.bfloat16(), mel).dtype == torch.float32


@every_preset
def test_silence_is_the_value_of_silence(mel):
    silent = log_mel(torch.zeros(4096), replace(mel, band_divisors=()))

    torch.testing.assert_close(silent, torch.full_like(silent, mel.silence))
    assert mel.silence < -0.99


def test_frames_lie_where_the_spec_says():
    click = torch.zeros(20 * 256)
    click[10 * 256] = 1.0

    centred = log_mel(click, mel_librosa()).mean(dim=0)
    shifted = log_mel(click, hifigan_original()).mean(dim=0)

    assert centred.argmax() == 10
    assert centred[9].item() == pytest.approx(centred[11].item(), abs=1e-3)
    assert shifted[9].item() == pytest.approx(shifted[10].item(), abs=1e-3)  # half a hop before and after


def test_samples_beyond_full_scale_are_cut_where_the_front_end_does_so():
    loud = 3 * noise(4000)

    torch.testing.assert_close(log_mel(loud, tacotron_mel80()), log_mel(loud.clamp(-1, 1), tacotron_mel80()))
    assert not torch.allclose(log_mel(loud, mel_librosa()), log_mel(loud.clamp(-1, 1), mel_librosa()))


@pytest.mark.parametrize(
    ("mel", "needed"), [(mel_librosa(), 513), (hifigan_original(), 385), (tortoise_mel80(()), 513)]
)
def test_a_recording_shorter_than_its_edges_is_refused_clearly(mel, needed):
    assert log_mel(noise(needed), mel).isfinite().all()
    with pytest.raises(
        AudioError, match=rf"too short for a spectrogram.*{needed} samples.*found {needed - 1}"
    ):
        log_mel(noise(needed - 1), mel)


def test_less_than_a_frame_is_refused_without_reflection_too():
    mel = replace(mel_librosa(**SMALL), padding="constant")

    assert log_mel(noise(16), mel).shape == (8, 1)
    with pytest.raises(AudioError, match="found 15"):
        log_mel(noise(15), mel)


@every_preset
def test_a_mel_spec_survives_json(mel):
    assert MelSpec.from_dict(json.loads(json.dumps(mel.to_dict()))) == mel


def test_a_description_may_leave_out_what_has_a_default_and_write_whole_numbers():
    values = {**mel_librosa().to_dict(), "low_hz": 0, "high_hz": 8000}
    del values["logarithm"]

    mel = MelSpec.from_dict(values)

    assert mel == mel_librosa()
    assert isinstance(mel.high_hz, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "blue"}, "does not know: found colour"),
        ({"mel_scale": "bark"}, "mel_scale"),
        ({"hop_samples": 2048}, "samples between frames would be lost"),
        ({"n_mels": "many"}, "n_mels"),
    ],
)
def test_a_senseless_description_is_named(change, message):
    with pytest.raises(DataError, match=message):
        MelSpec.from_dict({**mel_librosa().to_dict(), **change})


def test_a_missing_field_is_named():
    values = mel_librosa().to_dict()
    del values["hop_samples"]

    with pytest.raises(DataError, match="hop_samples"):
        MelSpec.from_dict(values)


@pytest.mark.parametrize(
    "change",
    [
        {"hop_samples": 1025},
        {"window_samples": 2048},
        {"high_hz": 12000.0},
        {"band_divisors": (1.0, 2.0)},
        {"padding": "circular"},
        {"logarithm": "decimal"},
    ],
)
def test_contradictions_are_refused(change):
    with pytest.raises(ValueError, match=r".+"):
        replace(mel_librosa(), **change)


def test_the_fields_that_differ_are_named():
    with pytest.raises(StagesDoNotFit) as caught:
        mel_librosa().require_same(everyvoice_mel(hop_samples=300), ours="the model", theirs="the vocoder")

    message = str(caught.value)
    assert "the model and the vocoder" in message
    for fact in ("hop_samples 256 against 300", "power 1.0 against 2.0", "mel_scale slaney against htk"):
        assert fact in message
    assert "n_mels" not in message


def test_equal_specs_fit():
    mel_librosa().require_same(mel_librosa(), ours="the model", theirs="the vocoder")

    assert mel_librosa().differences(mel_librosa()) == {}


def test_duration_follows_from_hop_and_sample_rate():
    mel = mel_librosa(sample_rate_hz=24000, hop_samples=240)

    assert mel.duration_s(50) == pytest.approx(0.5)


def test_the_word_in_file_names_does_not_depend_on_sizes():
    assert spec_type(mel_librosa(sample_rate_hz=16000, n_mels=40)) == "mel-librosa"
    assert spec_type(everyvoice_mel(hop_samples=200)) == "mel"
    words = [spec_type(mel) for mel in PRESETS.values()]
    assert words[:5] == ["mel-librosa", "mel", "mel-hifigan", "mel-tacotron", "mel-tortoise"]
    assert spec_type(replace(mel_librosa(), mel_norm=MelNorm.NONE)) == "mel-other"


@pytest.mark.parametrize(
    ("mel", "tensor", "tolerance"),
    [(mel_librosa(), "log_mel_librosa", 1e-4), (everyvoice_mel(), "log_mel", 2e-4)],
    ids=["mel-librosa", "mel"],
)
def test_specs_equal_those_of_everyvoice(parity, mel, tensor, tolerance):
    stored = load_file(parity("features") / "io.safetensors")
    made = log_mel(stored["wav"], mel)

    # The reference was kept before the last frame was dropped.
    assert made.shape[-1] == stored[tensor].shape[-1] - 1
    torch.testing.assert_close(made, stored[tensor][..., :-1], atol=tolerance, rtol=0)
    whole = log_mel(stored["wav"], replace(mel, drops_last_frame=False))
    torch.testing.assert_close(whole, stored[tensor], atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("mel", "wave", "tensor", "tolerance"),
    [
        (tortoise_mel80(()), "wav_22050", "mel80_log", 2e-4),
        (tacotron_mel80(), "wav_22050", "mel80_tacotron", 2e-4),
        (tortoise_univnet_mel100(), "wav_24000", "mel100_univnet", 2e-4),
        (tortoise_univnet_mel100(is_normalised=True), "wav_24000", "mel100_univnet_normalised", 5e-5),
    ],
)
def test_specs_equal_those_of_tortoise(parity, mel, wave, tensor, tolerance):
    stored = load_file(parity("mel_tortoise") / "io.safetensors")

    torch.testing.assert_close(log_mel(stored[wave], mel), stored[tensor], atol=tolerance, rtol=0)


def test_the_spec_of_tortoise_is_divided_by_its_norms(parity):
    stored = load_file(parity("mel_tortoise") / "io.safetensors")
    mel = tortoise_mel80(tuple(stored["mel_norms"].tolist()))

    made = log_mel(stored["wav_22050"], mel)

    torch.testing.assert_close(made, stored["mel80_log_over_norms"], atol=1e-4, rtol=0)


def test_silence_of_the_univnet_range_is_minus_one():
    assert tortoise_univnet_mel100(is_normalised=True).silence == pytest.approx(-1.0, abs=1e-6)
    assert mel_librosa().silence == pytest.approx(math.log(1e-5))


def test_specs_of_real_speech_equal_what_everyvoice_stored(parity):
    folder = parity("everyvoice_project") / "project" / "preprocessed"
    name = "LJ002-0035--speaker_0--eng"
    stored = torch.load(folder / "spec" / f"{name}--spec-22050-mel-librosa.pt", weights_only=True)

    made = log_mel(load_audio(folder / "audio" / f"{name}--audio-22050.wav").samples, mel_librosa())

    # Rounding of float32 shows in the faintest cells only.
    torch.testing.assert_close(made, stored, atol=1e-3, rtol=0)
    assert (made - stored).abs().mean() < 1e-5
