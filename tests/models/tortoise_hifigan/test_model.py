"""TorToiSe's HiFi-GAN decoder: the frozen reference, padding, precision, and how latents become columns.

`tests/fixtures/tortoise/hifidecoder.safetensors` was made with tortoise-tts 3.0.0 and torch 2.13.0: its
`HifiganGenerator`, with the arguments and the weights of `hifidecoder.pth` from the reference containers. The
`latents` (2, 11, 64) are three times normal numbers, the `voice` (2, 64) normal ones. What its `inference`
does (linear interpolation by the factors 1024 / 256 and 24000 / 22050, then `forward` with the voice) gave
`wave`. Its own `inference` wants a GPU; with that line taken away, it gave the same, bit for bit.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from building.explained import explained
from retimbre.checkpoint.read import read
from retimbre.models.tortoise_hifigan import TORTOISE_HIFIGAN
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.tortoise_hifigan.model import LatentDecoder, n_columns, stretched

FROZEN = Path(__file__).parents[2] / "fixtures" / "tortoise" / "hifidecoder.safetensors"
SMALL = LatentDecoderConfig(latent_dim=6, conditioning_dim=5, initial_channels=16)
SHORT_BLOCKS = LatentDecoderConfig(
    latent_dim=3,
    conditioning_dim=7,
    resblock="2",
    upsample_rates=(5, 3),
    upsample_kernels=(11, 7),
    initial_channels=8,
    resblock_kernels=(3, 5),
    resblock_dilations=((1, 3), (2, 6)),
)
FORMS = pytest.mark.parametrize("config", [SMALL, SHORT_BLOCKS], ids=["released form", "short blocks"])


def decoder(config):
    torch.manual_seed(3)
    return LatentDecoder(config).eval()


def latents_and_voice(config, n_codes, batch=1):
    return torch.randn(batch, n_codes, config.latent_dim), torch.randn(batch, config.conditioning_dim)


@pytest.fixture
def frozen(parity):
    """tortoise-tts' network with its weights, as ours, and what went into it and came out."""
    contents = read(parity("containers") / "tortoise_models" / "hifidecoder.pth")
    inferred, ledger = explained(TORTOISE_HIFIGAN, contents.tensors)
    model = TORTOISE_HIFIGAN.build(inferred.config).eval()
    model.load_state_dict(ledger.tensors)
    return model, load_file(FROZEN)


def test_it_gives_what_tortoise_gives(frozen):
    model, io = frozen

    torch.testing.assert_close(model(io["latents"], io["voice"]), io["wave"], atol=1e-6, rtol=0)


def test_another_voice_gives_another_sound(frozen):
    model, io = frozen

    assert not torch.allclose(model(io["latents"], io["voice"].flip(0)), io["wave"], atol=1e-3)


@FORMS
@pytest.mark.parametrize("n_codes", [1, 2, 13])
def test_a_code_becomes_so_many_samples_as_it_lasts(config, n_codes):
    latents, voice = latents_and_voice(config, n_codes)

    wave = decoder(config)(latents, voice)

    columns = n_codes * 4 * 24000 // 22050
    assert wave.shape == (1, 1, columns * config.hop_samples)
    assert n_columns(torch.tensor([n_codes])).tolist() == [columns]


def test_columns_are_counted_as_they_are_made():
    lengths = torch.arange(1, 400)

    made = [stretched(torch.zeros(1, int(n), 1)).shape[-1] for n in lengths]

    assert n_columns(lengths).tolist() == made


@FORMS
def test_padding_never_changes_a_prediction(config):
    model, lengths = decoder(config), (7, 13, 1)
    items = [latents_and_voice(config, n) for n in lengths]
    padded = torch.full((3, 16, config.latent_dim), float("nan"))  # what lies in the padding must not matter
    for row, (latents, _) in zip(padded, items, strict=True):
        row[: latents.shape[1]] = latents[0]

    together = model(padded, torch.cat([voice for _, voice in items]), torch.tensor(lengths))

    for item, wave in zip(items, together, strict=True):
        alone = model(*item)
        n_samples = alone.shape[-1]
        torch.testing.assert_close(wave[:, :n_samples], alone[0], atol=1e-6, rtol=1e-5)
        assert wave[:, n_samples:].eq(0).all()


@FORMS
def test_saying_that_nothing_is_padded_changes_nothing(config):
    model, (latents, voice) = decoder(config), latents_and_voice(config, 9, batch=2)

    torch.testing.assert_close(model(latents, voice, torch.tensor([9, 9])), model(latents, voice))


@FORMS
def test_removing_weight_norm_keeps_the_output(config):
    model, (latents, voice) = decoder(config), latents_and_voice(config, 6)
    before = model(latents, voice)

    model.remove_weight_norm()

    torch.testing.assert_close(model(latents, voice), before, atol=1e-6, rtol=1e-5)
    assert not [name for name in model.state_dict() if "parametrizations" in name]


def test_bfloat16_autocast_gives_nearly_the_same_float32_waveform():
    model, (latents, voice) = decoder(SMALL), latents_and_voice(SMALL, 6, batch=2)

    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(latents, voice)

    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, model(latents, voice), atol=2e-2, rtol=0)


def test_a_gradient_reaches_every_tensor_of_a_padded_batch():
    model = decoder(SMALL).train()

    model(*latents_and_voice(SMALL, 9, batch=2), torch.tensor([9, 5])).square().sum().backward()

    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
