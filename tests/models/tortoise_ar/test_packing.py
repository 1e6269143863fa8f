"""Weights that are laid out for speaking say what they said before, as precisely as their numbers are."""

import copy

import pytest
import torch
from safetensors.torch import load_file

from building.tortoise import random_network
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.decoding import decode
from retimbre.models.tortoise_ar.from_shapes import config_from

# The largest difference as a share of the largest score; measured with such weights: 1e-6, 0.006, 0.015.
BOUND = {"float32": 5e-6, "bfloat16": 0.012, "int8": 0.03}
WIDE = UnifiedVoiceConfig(n_layers=6, dim=256, n_heads=4, n_conditioning_layers=1)


@pytest.fixture(scope="module")
def wide():
    return random_network(WIDE, seed=1)


def packed(model, precision, rows=1):
    ready = copy.deepcopy(model)
    ready.pack(precision, rows=rows)
    return ready


@pytest.mark.parametrize("n_places", [3, 70])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@torch.no_grad()
def test_scores_differ_by_what_the_precision_allows(wide, precision, n_places):
    torch.manual_seed(n_places)
    latent, symbols = torch.randn(2, WIDE.dim), torch.randint(1, 255, (2, 9))
    codes = torch.randint(0, 8192, (2, n_places))

    exact = wide(latent, wide.framed_symbols(symbols), wide.framed_codes(codes)).codes
    ready = packed(wide, precision)
    found = ready(latent, ready.framed_symbols(symbols), ready.framed_codes(codes)).codes

    worst = ((found - exact).abs().max() / exact.abs().max()).item()
    assert worst < BOUND[precision]
    assert precision == "float32" or worst > 1e-4  # it is another precision


def test_greedy_codes_of_packed_float32_equal_the_frozen_reference(parity):
    folder = parity("tortoise_ar")
    weights, io = load_file(folder / "weights.safetensors"), load_file(folder / "io.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for n_each in (1, 3):
        model = TORTOISE_AR.build(config_from(shapes, {"heads": 4}).config).eval()
        model.load_state_dict(weights)
        model.pack(rows=n_each)

        codes = decode(model, io["conditioning_latent"][:1], io["gen_text"], max_codes=30, n_each=n_each)

        assert codes.equal(io["greedy_codes"].expand(n_each, -1))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_sequence_says_the_same_alone_and_beside_others(wide, precision):
    """Up to the last bits: products of one row and of several may add in another order."""
    ready = packed(wide, precision)
    latent, symbols = torch.randn(1, WIDE.dim), torch.randint(1, 255, (1, 9))
    heard = {}
    for n_each in (1, 3):
        heard[n_each] = []

        def keep(scores, seen, _, kept=heard[n_each]):
            kept.append(scores[0])
            return (seen.sum(-1) * 7) % 8000

        decode(ready, latent, symbols, max_codes=7, choose=keep, n_each=n_each)

    alone, beside = (torch.stack(heard[n_each]) for n_each in (1, 3))
    assert (alone - beside).abs().max() / alone.abs().max() < BOUND[precision]


def test_a_packed_network_has_given_up_its_weights(wide):
    ready = packed(wide, "bfloat16")

    names = set(ready.state_dict())

    assert not any(name.startswith("gpt.h.") and "ln" not in name for name in names)
    assert "mel_embedding.weight" in names
