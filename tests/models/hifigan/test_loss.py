"""Losses by hand, and which frames of a segment are those of the whole recording."""

import pytest
import torch

from retimbre.audio.mel import hifigan_original, log_mel, mel_librosa
from retimbre.models.hifigan.loss import (
    discriminator_loss,
    feature_loss,
    generator_adversarial_loss,
    interior_frames,
    mel_loss_from_segments,
    multi_scale_mel_loss,
)
from retimbre.nn.judges import Judgement


def judgement(score, *features):
    return Judgement(score=torch.tensor([score]), features=tuple(torch.tensor([f]) for f in features))


def test_losses_are_those_of_least_squares():
    real = [judgement([0.5, 1.0], [1.0, 2.0], [0.5]), judgement([1.0], [0.0])]
    fake = [judgement([0.5, 0.0], [1.0, 4.0], [1.0]), judgement([0.2], [3.0])]

    assert discriminator_loss(real, fake).item() == pytest.approx(0.125 + 0.125 + 0.0 + 0.04)
    assert generator_adversarial_loss(fake).item() == pytest.approx(0.625 + 0.64)
    assert feature_loss(real, fake).item() == pytest.approx(2 * (1.0 + 0.5 + 3.0))
    assert feature_loss(real, fake, weight=1.0).item() == pytest.approx(1.0 + 0.5 + 3.0)


def test_the_feature_loss_does_not_move_what_was_recorded():
    real, fake = torch.randn(1, 4, requires_grad=True), torch.randn(1, 4, requires_grad=True)

    feature_loss(
        [Judgement(score=real, features=(real,))], [Judgement(score=fake, features=(fake,))]
    ).backward()

    assert real.grad is None
    assert fake.grad is not None


@pytest.mark.parametrize(
    "mel", [mel_librosa(n_mels=20), hifigan_original(n_mels=20)], ids=["centred", "shifted"]
)
@pytest.mark.parametrize("n_samples", [2048, 8192, 3000, 2304])
def test_interior_frames_are_exactly_those_that_a_segment_shares_with_the_recording(mel, n_samples):
    torch.manual_seed(4)
    recording, start = torch.randn(20_000), 20
    segment = recording[start * 256 : start * 256 + n_samples]

    of_segment = log_mel(segment, mel)
    of_whole = log_mel(recording, mel)[:, start : start + of_segment.shape[-1]]

    is_same = (of_segment - of_whole).abs().amax(0) < 1e-4
    expected = torch.zeros_like(is_same)
    expected[interior_frames(n_samples, mel)] = True
    assert is_same.tolist() == expected.tolist()


def test_a_segment_shorter_than_a_window_has_no_interior():
    assert not range(10)[interior_frames(900, mel_librosa())]


def test_the_mel_loss_gives_gradients_to_the_generated_wave_only():
    generated = torch.randn(2, 1, 2048, requires_grad=True)
    recorded = torch.randn(2, 1, 2048, requires_grad=True)

    mel_loss_from_segments(generated, recorded, mel_librosa(n_mels=20)).backward()

    assert generated.grad.abs().sum() > 0
    assert recorded.grad is None


def test_the_multi_scale_loss_is_the_sum_over_seven_windows_in_decimal_logarithms():
    torch.manual_seed(5)
    generated, recorded = 0.3 * torch.randn(2, 1, 4096), 0.3 * torch.randn(2, 1, 4096)

    expected = 0.0
    for n_bands, window in zip((5, 10, 20, 40, 80, 160, 320), (2**n for n in range(5, 12)), strict=True):
        mel = mel_librosa(
            n_fft_samples=window,
            window_samples=window,
            hop_samples=window // 4,
            n_mels=n_bands,
            high_hz=11025.0,
        )
        ours, theirs = log_mel(generated, mel), log_mel(recorded, mel)
        expected += (ours / torch.tensor(10.0).log() - theirs / torch.tensor(10.0).log()).abs().mean()

    torch.testing.assert_close(multi_scale_mel_loss(generated, recorded, 22050), expected)
    assert multi_scale_mel_loss(recorded, recorded, 22050) == 0


def test_the_multi_scale_loss_hears_a_missing_harmonic_where_eighty_bands_do_not():
    time_s = torch.arange(8192) / 22050
    phases = [(2 * torch.pi * 110 * n * time_s).sin() for n in range(1, 31)]
    voice = 0.02 * torch.stack(phases).sum(0)[None, None]
    torch.manual_seed(6)
    whisper = log_mel_matched_noise(voice)

    of_mel = mel_loss_from_segments(whisper, voice, mel_librosa()) / mel_loss_from_segments(
        0 * voice, voice, mel_librosa()
    )
    of_scales = multi_scale_mel_loss(whisper, voice, 22050) / multi_scale_mel_loss(0 * voice, voice, 22050)

    assert of_scales > of_mel


def log_mel_matched_noise(voice):
    """Noise with the long-term spectrum of `voice`, smoothed over its harmonics."""
    spectrum = torch.fft.rfft(voice).abs()
    smooth = torch.nn.functional.avg_pool1d(spectrum, 81, stride=1, padding=40)
    angles = 2 * torch.pi * torch.rand_like(smooth)
    return torch.fft.irfft(torch.polar(smooth, angles), n=voice.shape[-1])
