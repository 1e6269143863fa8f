"""Energy per frame."""

import pytest
import torch
from safetensors.torch import load_file

from retimbre.audio.energy import energy
from retimbre.audio.mel import log_mel, mel_librosa


def test_energy_is_the_length_of_each_column():
    spec = torch.tensor([[3.0, -1.0], [-4.0, 0.0]])

    assert energy(spec).tolist() == [5.0, 1.0]


def test_silence_has_more_of_this_energy_than_speech():
    loud = 0.3 * torch.randn(2000, generator=torch.Generator().manual_seed(0))

    silent_energy = energy(log_mel(torch.zeros(2000), mel_librosa()))

    assert silent_energy[0].item() == pytest.approx(abs(mel_librosa().silence) * 80**0.5)
    assert (silent_energy > energy(log_mel(loud, mel_librosa()))).all()


def test_energy_equals_that_of_everyvoice(parity):
    stored = load_file(parity("features") / "io.safetensors")

    made = energy(log_mel(stored["wav"][0], mel_librosa()))

    torch.testing.assert_close(made, stored["energy"][:-1], atol=1e-4, rtol=0)
