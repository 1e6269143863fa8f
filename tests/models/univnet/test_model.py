"""UnivNet: the frozen reference, padding, precision, and a plain form of its convolution."""

import json

import pytest
import torch
from safetensors.torch import load_file

from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import DataError
from retimbre.models.univnet import UNIVNET
from retimbre.models.univnet.config import UnivNetConfig
from retimbre.models.univnet.model import UnivNet, convolve_by_frame, neighbourhoods, reflected

SMALL = UnivNetConfig(n_mels=5, noise_dim=3, dim=4)
ODD = UnivNetConfig(
    n_mels=4, noise_dim=2, dim=3, strides=(3, 5), dilations=(2, 1, 4), predictor_kernel=5, slope=0.1
)
FORMS = pytest.mark.parametrize("config", [SMALL, ODD], ids=["released form", "odd strides"])


def univnet(config):
    torch.manual_seed(3)
    return UnivNet(config).eval()


def spec_and_noise(config, n_frames, batch=1):
    return torch.randn(batch, config.n_mels, n_frames), torch.randn(batch, config.noise_dim, n_frames)


@pytest.fixture
def frozen(parity):
    """tortoise-tts' network with its weights, as ours, and what went into it and came out."""
    weights = Ledger(load_file(parity("univnet") / "weights.safetensors"))
    UNIVNET.take(weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.tensors.items()}
    model = UNIVNET.build(UNIVNET.config_from(shapes, {}).config).eval()
    load_weights(model, weights.tensors)
    return model, load_file(parity("univnet") / "io.safetensors")


def test_it_gives_what_tortoise_gives(frozen):
    model, io = frozen

    torch.testing.assert_close(model(io["mel"], io["z"]), io["wave"], atol=5e-5, rtol=0)


def test_it_gives_what_tortoise_gives_with_weight_norm_folded(frozen):
    model, io = frozen
    model.remove_weight_norm()

    torch.testing.assert_close(model(io["mel"], io["z"]), io["wave"], atol=5e-5, rtol=0)


def test_it_speaks_as_tortoise_does(frozen):
    model, io = frozen

    wave = model.speak(io["mel"], io["z_inference"])

    torch.testing.assert_close(wave, io["wave_inference"], atol=5e-5, rtol=0)
    assert not torch.allclose(wave[..., -500:], io["wave"][..., -500:], atol=1e-2)


def test_the_names_left_when_weight_norm_is_folded_are_tortoises(frozen, parity):
    model, _ = frozen
    model.remove_weight_norm()

    meta = json.loads((parity("univnet") / "meta.json").read_text())
    assert sorted(model.state_dict()) == meta["keys_after_remove_weight_norm"]


@FORMS
@pytest.mark.parametrize("n_frames", [4, 13])
def test_every_frame_becomes_a_hop_of_samples(config, n_frames):
    model = univnet(config)
    spec, noise = spec_and_noise(config, n_frames)

    assert model(spec, noise).shape == (1, 1, n_frames * config.hop_samples)
    assert model.speak(spec, model.noise_for(spec)).shape == (1, 1, n_frames * config.hop_samples)


def test_a_single_frame_can_be_spoken():
    model, spec = univnet(SMALL), torch.randn(1, 5, 1)

    assert model.speak(spec, model.noise_for(spec)).shape == (1, 1, 256)


def test_a_spec_that_is_too_short_is_refused():
    model = univnet(SMALL)

    with pytest.raises(DataError, match="expected at least 4 frames, found 3"):
        model(*spec_and_noise(SMALL, 3))
    with pytest.raises(DataError, match="expected at least 4 frames, found 2"):
        model(*spec_and_noise(SMALL, 9, batch=2), torch.tensor([9, 2]))


@FORMS
def test_padding_never_changes_a_prediction(config):
    model, lengths = univnet(config), (7, 13, 4)
    items = [spec_and_noise(config, n) for n in lengths]
    specs, noises = (
        torch.full((3, dim, 16), float("nan"))  # what lies in the padding must not matter at all
        for dim in (config.n_mels, config.noise_dim)
    )
    for row, (spec, noise) in enumerate(items):
        specs[row, :, : spec.shape[-1]], noises[row, :, : noise.shape[-1]] = spec[0], noise[0]

    together = model(specs, noises, torch.tensor(lengths))

    for item, wave in zip(items, together, strict=True):
        alone = model(*item)
        n_samples = alone.shape[-1]
        torch.testing.assert_close(wave[:, :n_samples], alone[0], atol=1e-6, rtol=1e-5)
        assert wave[:, n_samples:].eq(0).all()


def test_padding_never_changes_what_is_spoken():
    model = univnet(SMALL)
    specs, noise = torch.full((2, 5, 9), float("nan")), torch.randn(2, 3, 19)
    specs[0], specs[1, :, :2] = torch.randn(5, 9), torch.randn(5, 2)

    together = model.speak(specs, noise, torch.tensor([9, 2]))

    alone = model.speak(specs[1:, :, :2], noise[1:, :, :12])
    torch.testing.assert_close(together[1:, :, :512], alone, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(together[:1], model.speak(specs[:1], noise[:1]), atol=1e-6, rtol=1e-5)
    assert together[1, :, 512:].eq(0).all()


@FORMS
def test_saying_that_nothing_is_padded_changes_nothing(config):
    model, (spec, noise) = univnet(config), spec_and_noise(config, 9, batch=2)

    torch.testing.assert_close(model(spec, noise, torch.tensor([9, 9])), model(spec, noise))


@FORMS
def test_removing_weight_norm_keeps_the_output(config):
    model, (spec, noise) = univnet(config), spec_and_noise(config, 6)
    before = model(spec, noise)

    model.remove_weight_norm()

    torch.testing.assert_close(model(spec, noise), before, atol=1e-6, rtol=1e-5)
    assert not [name for name in model.state_dict() if "parametrizations" in name]


def test_bfloat16_autocast_gives_nearly_the_same_float32_waveform():
    model, (spec, noise) = univnet(SMALL), spec_and_noise(SMALL, 6, batch=2)

    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(spec, noise)

    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, model(spec, noise), atol=3e-2, rtol=0)


def test_a_gradient_reaches_every_tensor_of_a_padded_batch():
    model = univnet(SMALL).train()

    model(*spec_and_noise(SMALL, 9, batch=2), torch.tensor([9, 5])).square().sum().backward()

    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


@pytest.mark.parametrize(("n_frames", "hop"), [(1, 4), (5, 1), (3, 7)])
def test_a_convolution_by_frame_is_an_ordinary_one_with_another_kernel_for_every_frame(n_frames, hop):
    torch.manual_seed(1)
    x = torch.randn(2, n_frames * hop, 3, dtype=torch.float64)
    kernels = torch.randn(2, n_frames, 3, 3, 4, dtype=torch.float64)  # tap, in, out
    biases = torch.randn(2, n_frames, 4, dtype=torch.float64)

    found = convolve_by_frame(neighbourhoods(x), kernels.flatten(2, 3), biases)

    for row in range(2):
        for frame in range(n_frames):
            whole = torch.nn.functional.conv1d(
                x[row].T, kernels[row, frame].permute(2, 1, 0), biases[row, frame], padding=1
            )
            columns = slice(frame * hop, (frame + 1) * hop)
            torch.testing.assert_close(found[row, columns], whole.T[columns])


def test_a_mirror_image_begins_where_the_real_columns_end():
    x = torch.arange(1.0, 9.0).view(1, 8, 1)

    assert reflected(x, None).flatten().tolist() == [4, 3, 2, 1, 2, 3, 4, 5, 6, 7, 8, 7, 6, 5]
    assert reflected(x, torch.tensor([5])).flatten().tolist()[:11] == [4, 3, 2, 1, 2, 3, 4, 5, 4, 3, 2]


def test_noise_can_be_repeated():
    model, spec = univnet(SMALL), torch.randn(2, 5, 3)

    once, again = (model.noise_for(spec, torch.Generator().manual_seed(4)) for _ in range(2))

    assert torch.equal(once, again)
    assert once.shape == (2, 3, 13)
