"""The generator: padding, precision, quirks, and the frozen reference."""

import json

import pytest
import torch
from safetensors.torch import load_file

from retimbre.checkpoint.fill import load_weights
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.from_shapes import config_from
from retimbre.models.hifigan.loss import mel_loss_from_segments
from retimbre.models.hifigan.model import Generator, last_activation

V1 = GeneratorConfig(n_mels=5, initial_channels=16)
V3 = GeneratorConfig(
    n_mels=5,
    resblock="2",
    upsample_rates=(8, 8, 4),
    upsample_kernels=(16, 16, 8),
    initial_channels=16,
    resblock_kernels=(3, 5, 7),
    resblock_dilations=((1, 2), (2, 6), (3, 12)),
)
ISTFT = GeneratorConfig(
    n_mels=5, upsample_rates=(8, 8), upsample_kernels=(16, 16), initial_channels=16, istft_n_fft_samples=16
)
FORMS = pytest.mark.parametrize("config", [V1, V3, ISTFT], ids=["v1", "v3", "istft"])


def generator(config):
    torch.manual_seed(3)
    return Generator(config).eval()


@FORMS
@pytest.mark.parametrize("n_frames", [1, 13])
def test_every_frame_becomes_a_hop_of_samples(config, n_frames):
    wave = generator(config)(torch.randn(1, 5, n_frames))

    assert wave.shape == (1, 1, n_frames * 256)
    assert config.hop_samples == 256


@FORMS
def test_padding_never_changes_a_prediction(config):
    model = generator(config)
    specs = [torch.randn(1, 5, n) * 3 for n in (7, 13, 1)]
    padded = torch.full((3, 5, 16), float("nan"))  # what lies in the padding must not matter at all
    for row, spec in zip(padded, specs, strict=True):
        row[:, : spec.shape[-1]] = spec[0]

    together = model(padded, torch.tensor([7, 13, 1]))

    for spec, wave in zip(specs, together, strict=True):
        alone = model(spec)
        n_samples = alone.shape[-1]
        torch.testing.assert_close(wave[:, :n_samples], alone[0], atol=1e-6, rtol=1e-5)
        assert wave[:, n_samples:].eq(0).all()


@FORMS
def test_saying_that_nothing_is_padded_changes_nothing(config):
    model, spec = generator(config), torch.randn(2, 5, 9)

    torch.testing.assert_close(model(spec, torch.tensor([9, 9])), model(spec))


@FORMS
def test_removing_weight_norm_keeps_the_output(config):
    model, spec = generator(config), torch.randn(1, 5, 6)
    before = model(spec)

    model.remove_weight_norm()

    torch.testing.assert_close(model(spec), before, atol=1e-6, rtol=1e-5)
    assert not [name for name in model.state_dict() if "parametrizations" in name]


@FORMS
def test_bfloat16_autocast_gives_nearly_the_same_float32_waveform(config):
    model, spec = generator(config), torch.randn(2, 5, 6)

    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(spec)

    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, model(spec), atol=2e-2, rtol=0)


@FORMS
def test_a_few_steps_on_one_batch_lower_the_mel_loss(config, small_mel):
    model, spec = generator(config).train(), torch.randn(2, 5, 8)
    recorded = torch.randn(2, 1, 8 * 256) * 0.1
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)

    losses = []
    for _ in range(6):
        loss = mel_loss_from_segments(model(spec), recorded, small_mel)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < 0.9 * losses[0]


def test_gradients_pass_a_padded_batch_of_the_istft_form():
    model = generator(ISTFT).train()

    model(torch.randn(2, 5, 4), torch.tensor([4, 2])).square().sum().backward()

    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_last_slope_is_small():
    assert last_activation(torch.full((1, 1, 1), -1.0)).item() == pytest.approx(-0.01)


def test_phase_is_a_sine():
    model = generator(ISTFT)
    seen = []
    model.inverse_stft.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))

    model(torch.randn(1, 5, 4) * 100)

    assert seen[0].abs().max() <= 1.0


@pytest.mark.parametrize("name", ["hifigan", "istft"])
def test_output_equals_the_frozen_reference(parity, name):
    folder = parity(name)
    weights, io = load_file(folder / "weights.safetensors"), load_file(folder / "io.safetensors")
    known = json.loads((folder / "meta.json").read_text())
    tensors = HIFIGAN.ledger_of(weights).tensors
    inferred = config_from({key: tuple(tensor.shape) for key, tensor in tensors.items()}, known)
    model = Generator(inferred.config).eval()
    load_weights(model, tensors)

    wave = model(io["mel"])

    assert inferred.assumed == ()
    torch.testing.assert_close(wave, io["wave"], atol=5e-5, rtol=0)
    shorter = model(io["mel"][:, :, :9])
    padded = model(io["mel"], torch.tensor([9, 14]))
    torch.testing.assert_close(padded[0, :, : 9 * 256], shorter[0], atol=2e-6, rtol=1e-5)


def test_magnitude_and_phase_equal_the_frozen_reference(parity):
    folder = parity("istft")
    io, tensors = (
        load_file(folder / "io.safetensors"),
        HIFIGAN.ledger_of(load_file(folder / "weights.safetensors")).tensors,
    )
    known = json.loads((folder / "meta.json").read_text())
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    model = Generator(config_from(shapes, known).config).eval()
    load_weights(model, tensors)
    seen = []
    model.inverse_stft.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[:2]))

    model(io["mel"])

    magnitude, phase = seen
    assert (magnitude - io["magnitude"]).abs().max() < 1e-4 * io["magnitude"].max()
    torch.testing.assert_close(phase, io["phase"], atol=1e-4, rtol=0)
