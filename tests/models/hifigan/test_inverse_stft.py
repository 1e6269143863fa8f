"""The inverse transform against torch's, and padding."""

import pytest
import torch

from retimbre.models.hifigan.inverse_stft import InverseSTFT


def spectra(n_fft, n_columns, batch=2):
    torch.manual_seed(5)
    n_bins = n_fft // 2 + 1
    return torch.rand(batch, n_bins, n_columns) * 3, torch.randn(batch, n_bins, n_columns)


@pytest.mark.parametrize(("n_fft", "hop"), [(16, 4), (4, 1), (20, 5), (18, 4)])
@pytest.mark.parametrize("n_columns", [2, 33])
def test_it_equals_torch_istft(n_fft, hop, n_columns):
    magnitude, phase = spectra(n_fft, n_columns)

    wave = InverseSTFT(n_fft, hop)(magnitude, phase)

    window = torch.hann_window(n_fft)
    expected = torch.istft(torch.polar(magnitude, phase), n_fft, hop, window=window, center=True)
    torch.testing.assert_close(wave[:, 0], expected, atol=2e-6, rtol=1e-5)


def test_it_gives_a_signal_back():
    signal = torch.randn(1, 400)
    window = torch.hann_window(16)
    spectrum = torch.stft(signal, 16, 4, window=window, return_complex=True)

    wave = InverseSTFT(16, 4)(spectrum.abs(), spectrum.angle())

    torch.testing.assert_close(wave[:, 0], signal, atol=1e-5, rtol=1e-5)


def test_padding_never_changes_a_waveform():
    magnitude, phase = spectra(16, 30, batch=3)
    transform = InverseSTFT(16, 4)
    n_columns = [11, 30, 1]

    together = transform(magnitude, phase, torch.tensor(n_columns))

    for row, n in enumerate(n_columns):
        alone = transform(magnitude[row : row + 1, :, :n], phase[row : row + 1, :, :n])
        n_samples = alone.shape[-1]
        assert n_samples == (n - 1) * 4
        torch.testing.assert_close(together[row, :, :n_samples], alone[0], atol=1e-6, rtol=1e-5)
        assert together[row, :, n_samples:].eq(0).all()


def test_it_has_no_tensors_to_save_and_stays_float32_under_autocast():
    transform, (magnitude, phase) = InverseSTFT(16, 4), spectra(16, 9)

    with torch.autocast("cpu", torch.bfloat16):
        mixed = transform(magnitude.bfloat16(), phase.bfloat16())

    assert not transform.state_dict()
    torch.testing.assert_close(mixed, transform(magnitude.bfloat16().float(), phase.bfloat16().float()))
