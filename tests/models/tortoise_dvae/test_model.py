"""The dVAE equals the reference, and neither padding nor a batch changes what it gives."""

import time

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from retimbre.audio.mel import log_mel
from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.read import read
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_dvae.model import DiscreteVAE

TINY = DvaeConfig(n_mels=5, n_codes=9, codebook_dim=6, dim=4, n_layers=2, n_resblocks=2)
TRANSPOSED = DvaeConfig(
    n_mels=5, n_codes=9, codebook_dim=6, dim=4, n_layers=2, n_resblocks=1, kernel=4, is_transposed=True
)
OTHER = DvaeConfig(
    n_mels=3,
    n_codes=7,
    codebook_dim=4,
    dim=2,
    n_layers=3,
    n_resblocks=1,
    kernel=5,
    stride=3,
    activation="silu",
)
FORMS = pytest.mark.parametrize("config", [TINY, TRANSPOSED, OTHER], ids=["tiny", "transposed", "other"])


def network(config, seed=0):
    torch.manual_seed(seed)
    return DiscreteVAE(config).eval()


@pytest.fixture(scope="module")
def reference(parity):
    """The reference's network with its weights, and what went in and came out."""
    folder = parity("dvae")
    tensors = read(folder / "weights.safetensors").tensors
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    model = DiscreteVAE(TORTOISE_DVAE.config_from(shapes, {}).config).eval()
    load_weights(model, tensors)
    return model, load_file(folder / "io.safetensors")


@torch.no_grad()
def test_the_encoder_equals_the_reference_and_its_codes_are_the_same(reference):
    model, io = reference

    torch.testing.assert_close(model.vectors(io["mel"]), io["encoder_out"], atol=2e-4, rtol=0)
    assert torch.equal(model.encode(io["mel"]), io["codes"])


@torch.no_grad()
def test_the_decoder_equals_the_reference(reference):
    model, io = reference
    before_last = []
    model.decoder[-1].register_forward_pre_hook(lambda _, inputs: before_last.append(inputs[0]))

    torch.testing.assert_close(model.decode(io["codes_in"]), io["decoded"], atol=2e-4, rtol=0)
    torch.testing.assert_close(before_last[0], io["decoded_before_last"], atol=2e-4, rtol=0)


@torch.no_grad()
def test_there_and_back_equals_the_reference(reference):
    model, io = reference
    there = model(io["mel"])
    recon_loss = (there.spec - io["mel"]).square().mean()
    commitment_loss = (there.entries - there.vectors).square().mean()

    torch.testing.assert_close(there.spec, io["eval_out"], atol=2e-4, rtol=0)
    torch.testing.assert_close(model.decode(model.encode(io["mel"])), io["infer_out"], atol=2e-4, rtol=0)
    torch.testing.assert_close(recon_loss, io["eval_recon_loss"], atol=2e-4, rtol=0)
    torch.testing.assert_close(commitment_loss, io["eval_commitment_loss"], atol=2e-4, rtol=0)


@torch.no_grad()
def test_transposed_convolutions_lengthen_as_torch_does_it():
    model = network(TRANSPOSED)
    weights = model.state_dict()
    codes = torch.randint(0, TRANSPOSED.n_codes, (2, 5))
    x = functional.conv1d(
        weights["codebook.embed"].T[codes].mT, weights["decoder.0.weight"], weights["decoder.0.bias"]
    )
    inner = x
    for place, padding in ((0, 1), (2, 1), (4, 0)):
        name = f"decoder.1.net.{place}"
        inner = functional.conv1d(inner, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding)
        inner = inner.relu() if place < 4 else inner
    x = x + inner
    for name in ("decoder.2.0", "decoder.3.0"):
        x = functional.conv_transpose1d(
            x, weights[f"{name}.weight"], weights[f"{name}.bias"], 2, padding=1
        ).relu()
    x = functional.conv1d(x, weights["decoder.4.weight"], weights["decoder.4.bias"])

    torch.testing.assert_close(model.decode(codes), x)
    assert x.shape[-1] == 4 * 5


@FORMS
@torch.no_grad()
def test_padding_never_changes_codes_or_what_they_become(config):
    model = network(config)
    n_frames = torch.tensor([29, 12, 37, 30])
    specs = torch.randn(4, config.n_mels, 37)

    n_codes = config.codes_in(n_frames)
    vectors, codes = model.vectors(specs, n_frames), model.encode(specs, n_frames)
    decoded, there = model.decode(codes, n_codes), model(specs, n_frames)
    for row, (frames, length) in enumerate(zip(n_frames.tolist(), n_codes.tolist(), strict=True)):
        alone = specs[row : row + 1, :, :frames]
        kept = config.frames_in(length)
        torch.testing.assert_close(vectors[row : row + 1, :, :length], model.vectors(alone))
        assert torch.equal(codes[row : row + 1, :length], model.encode(alone))
        torch.testing.assert_close(decoded[row : row + 1, :, :kept], model.decode(model.encode(alone)))
        assert not vectors[row, :, length:].any()
        assert not codes[row, length:].any()
        assert not decoded[row, :, kept:].any()
    assert torch.equal(there.spec, decoded)
    assert torch.equal(there.codes, codes)


@FORMS
@pytest.mark.parametrize("n_frames", [9, 16, 33])
@torch.no_grad()
def test_lengths_are_those_that_the_config_says(config, n_frames):
    model = network(config)
    codes = model.encode(torch.randn(1, config.n_mels, n_frames))

    assert codes.shape == (1, config.codes_in(n_frames))
    assert model.decode(codes).shape == (1, config.n_mels, config.frames_in(codes.shape[1]))


@torch.no_grad()
def test_saved_and_loaded_gives_equal_output(tmp_path):
    model, spec = network(OTHER), torch.randn(2, 3, 31)
    model.codebook.cluster_size.uniform_(0, 9)
    save_file(model.state_dict(), tmp_path / "dvae.safetensors")
    again = network(OTHER, seed=1)
    load_weights(again, read(tmp_path / "dvae.safetensors").tensors)

    assert torch.equal(again(spec).spec, model(spec).spec)
    assert torch.equal(again.codebook.cluster_size, model.codebook.cluster_size)


def test_the_released_network_is_built_quickly_with_the_known_number_of_weights():
    started = time.process_time()
    with torch.device("meta"):
        model = DiscreteVAE(DvaeConfig())
    took_s = time.process_time() - started

    assert sum(weight.numel() for weight in model.parameters()) == 51_567_184
    assert sum(weight.numel() for weight in model.encoder.parameters()) == 24_251_392
    assert sum(weight.numel() for weight in model.decoder.parameters()) == 27_315_792
    assert sum(buffer.numel() for buffer in model.buffers()) == 8_396_800
    assert len(model.state_dict()) == 53
    assert took_s < 0.5


@torch.no_grad()
def test_a_recording_becomes_codes_through_the_family_s_own_spectrogram():
    config = DvaeConfig(dim=4, codebook_dim=3, n_codes=20, n_resblocks=1)
    spec = log_mel(torch.randn(1, 22050) * 0.1, TORTOISE_DVAE.mel(config))

    assert network(config).encode(spec).shape == (1, -(-(1 + 22050 // 256) // 4))
