"""Random latents equal the reference's, and depend on nothing but the noise."""

import math
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.read import read
from retimbre.models.tortoise_random_latent import TORTOISE_RANDOM_LATENT
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig
from retimbre.models.tortoise_random_latent.model import RandomLatent


def network(dim, seed=0, **sizes):
    torch.manual_seed(seed)
    model = RandomLatent(RandomLatentConfig(dim=dim, **sizes)).eval()
    for layer in model.layers:
        torch.nn.init.normal_(layer.bias)
    return model


@torch.no_grad()
def test_latents_equal_the_reference(parity):
    tensors = read(parity("random_latent") / "weights.safetensors").tensors
    io = load_file(parity("random_latent") / "io.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    model = RandomLatent(TORTOISE_RANDOM_LATENT.config_from(shapes, {}).config)
    load_weights(model, tensors)
    tolerance = 1e-5 * io["latent"].abs().max().item()

    torch.testing.assert_close(model(io["r"]), io["latent"], atol=tolerance, rtol=0)


@torch.no_grad()
def test_a_voice_is_the_same_alone_and_among_others():
    model, noise = network(7), torch.randn(5, 7)

    together = model(noise)

    assert torch.equal(together, model(noise))
    for row in range(5):
        torch.testing.assert_close(model(noise[row : row + 1]), together[row : row + 1])


@torch.no_grad()
def test_the_scale_counts_for_weights_and_biases():
    model, noise = network(6, rate_scale=0.3), torch.randn(2, 6, dtype=torch.float64)
    first = model.layers[0]
    x = noise @ (first.weight.double() * 0.3 / math.sqrt(6)).T + first.bias.double() * 0.3
    expected = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)

    torch.testing.assert_close(first(noise.float()).double(), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_saved_and_loaded_gives_equal_output(tmp_path):
    model, noise = network(5), torch.randn(3, 5)
    save_file(model.state_dict(), tmp_path / "rlg.safetensors")
    again = network(5, seed=1)
    load_weights(again, read(tmp_path / "rlg.safetensors").tensors)

    assert torch.equal(again(noise), model(noise))


@pytest.mark.parametrize(("dim", "n_parameters"), [(1024, 6_297_600), (2048, 25_178_112)])
def test_the_released_networks_are_built_quickly_with_the_known_number_of_weights(dim, n_parameters):
    started = time.process_time()
    with torch.device("meta"):
        model = RandomLatent(RandomLatentConfig(dim=dim))
    took_s = time.process_time() - started

    assert sum(weight.numel() for weight in model.parameters()) == n_parameters
    assert len(model.state_dict()) == 12
    assert took_s < 0.5
