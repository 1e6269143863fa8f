"""The reference fixture, and a tiny decoder."""

import json

import pytest
import torch
from safetensors.torch import load_file

from retimbre.checkpoint.fill import load_weights
from retimbre.models.tortoise_diffusion import TORTOISE_DIFFUSION
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_diffusion.from_shapes import config_from

TINY = DiffusionConfig(n_mels=5, dim=8, n_layers=2, n_heads=2, latent_dim=6, n_codes=11)


@pytest.fixture
def tiny():
    torch.manual_seed(3)
    return TORTOISE_DIFFUSION.build(TINY).eval()


@pytest.fixture(scope="session")
def meta(parity):
    return json.loads((parity("diffusion") / "meta.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def io(parity):
    return load_file(parity("diffusion") / "io.safetensors")


@pytest.fixture(scope="session")
def reference(parity):
    """The network of the reference, with its weights."""
    weights = load_file(parity("diffusion") / "weights.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    model = TORTOISE_DIFFUSION.build(config_from(shapes, {}).config)
    load_weights(model, weights)
    return model.eval()
