"""CVVP equals TorToiSe's; neighbours never change a score."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from building.rankers import CVVP as TINY
from building.rankers import shapes_of
from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.read import read
from retimbre.models.tortoise_cvvp import TORTOISE_CVVP
from retimbre.models.tortoise_cvvp.config import CvvpConfig
from retimbre.models.tortoise_cvvp.model import CVVP

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture
def network():
    torch.manual_seed(6)
    made = CVVP(TINY).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.fixture
def reference(parity):
    """The network of the frozen reference, and its inputs and outputs."""
    weights = load_file(parity("cvvp") / "weights.safetensors")
    made = CVVP(TORTOISE_CVVP.config_from(shapes_of(weights), {}).config).eval()
    load_weights(made, weights)
    return made, load_file(parity("cvvp") / "io.safetensors")


def spec_and_codes(n_frames, n_codes, batch=1):
    generator = torch.Generator().manual_seed(n_frames * 100 + n_codes)
    codes = torch.randint(TINY.n_codes, (batch, n_codes), generator=generator)
    return torch.randn(batch, 80, n_frames, generator=generator), codes


@torch.no_grad()
def test_scores_equal_the_reference(reference):
    network, io = reference

    torch.testing.assert_close(network(io["cond_mel"], io["speech_codes"]), io["similarity"], **TOLERANCE)


@torch.no_grad()
def test_the_loss_of_its_latents_equals_the_reference(reference):
    network, io = reference

    latents = network.conditioning_latent(io["cond_mel"]), network.speech_latent(io["speech_codes"])
    scores = latents[0] @ latents[1].T * network.temperature.exp()
    pairs = torch.arange(len(scores))
    loss = (functional.cross_entropy(scores, pairs) + functional.cross_entropy(scores.T, pairs)) / 2

    torch.testing.assert_close(loss, io["loss"], **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize(("n_frames", "n_codes"), [(1, 1), (7, 2), (41, 13)])
def test_a_pair_scores_the_same_in_any_company(network, n_frames, n_codes):
    spec, codes = spec_and_codes(n_frames, n_codes, batch=3)

    together = network(spec, codes)

    for row in range(3):
        alone = network(spec[row : row + 1], codes[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_no_score_exceeds_the_temperature_and_recordings_matter(network):
    spec, codes = spec_and_codes(30, 9, batch=6)

    scores = network(spec, codes)

    assert scores.abs().max() <= network.temperature.exp() * (1 + 1e-5)
    assert (network(spec.roll(1, 0), codes) - scores).abs().min() > 1e-5


@torch.no_grad()
def test_saved_and_loaded_it_gives_the_same_scores(network, tmp_path):
    save_file(network.state_dict(), tmp_path / "cvvp.safetensors")

    tensors = dict(read(tmp_path / "cvvp.safetensors").tensors)
    again = CVVP(TORTOISE_CVVP.config_from(shapes_of(tensors), {}).config).eval()
    load_weights(again, tensors)

    inputs = spec_and_codes(23, 8, batch=2)
    assert torch.equal(again(*inputs), network(*inputs))


def test_the_released_size_has_as_many_tensors_and_parameters_as_the_original():
    with torch.device("meta"):
        released = CVVP(CvvpConfig())

    assert sum(parameter.numel() for parameter in released.parameters()) == 37_780_225
    assert len(released.state_dict()) == 210


def test_names_and_shapes_are_those_of_the_reference(parity):
    meta = json.loads((parity("cvvp") / "meta.json").read_text())
    expected = {name: tuple(shape) for name, shape in meta["weights"].items()}

    with torch.device("meta"):
        made = CVVP(TORTOISE_CVVP.config_from(expected, {}).config)

    assert shapes_of(made.state_dict()) == expected
    assert shapes_of(TORTOISE_CVVP.theirs(made.state_dict())) == expected
