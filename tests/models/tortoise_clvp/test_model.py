"""CLVP equals TorToiSe's; neither padding nor neighbours change a score."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from building.rankers import CLVP as TINY
from building.rankers import shapes_of
from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.read import read
from retimbre.models.tortoise_clvp import TORTOISE_CLVP
from retimbre.models.tortoise_clvp.config import ClvpConfig
from retimbre.models.tortoise_clvp.model import CLVP
from retimbre.nn.packing import packed

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture
def network():
    torch.manual_seed(5)
    made = CLVP(TINY).eval()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.fixture
def reference(parity):
    """The network of the frozen reference, and its inputs and outputs."""
    weights = load_file(parity("clvp") / "weights.safetensors")
    made = CLVP(TORTOISE_CLVP.config_from(shapes_of(weights), {}).config).eval()
    load_weights(made, weights)
    return made, load_file(parity("clvp") / "io.safetensors")


def text_and_codes(n_symbols, n_codes, batch=1):
    generator = torch.Generator().manual_seed(n_symbols * 100 + n_codes)
    return (
        torch.randint(TINY.n_symbols, (batch, n_symbols), generator=generator),
        torch.randint(TINY.n_codes, (batch, n_codes), generator=generator),
    )


@torch.no_grad()
def test_scores_equal_the_reference(reference):
    network, io = reference

    torch.testing.assert_close(network(io["text"], io["speech_codes"]), io["similarity"], **TOLERANCE)


@torch.no_grad()
def test_encodings_and_their_loss_equal_the_reference(reference):
    network, io = reference
    text, codes = io["text"], io["speech_codes"]

    for name, found in {
        "text_encoded": network.text_transformer(network.text_emb(text)),
        "speech_encoded": network.speech_transformer(network.speech_emb(codes)),
    }.items():
        torch.testing.assert_close(found, io[name], **TOLERANCE)
    scores = network.text_latent(text) @ network.speech_latent(codes).T * network.temperature.exp()
    pairs = torch.arange(len(text))
    loss = (functional.cross_entropy(scores, pairs) + functional.cross_entropy(scores.T, pairs)) / 2
    torch.testing.assert_close(loss, io["loss"], **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize(("n_symbols", "n_codes"), [(1, 1), (5, 13), (8, 2)])
def test_padding_never_changes_a_score(network, n_symbols, n_codes):
    text, codes = text_and_codes(n_symbols, n_codes)
    junk_text, junk_codes = text_and_codes(7, 3)
    long_text, long_codes = torch.cat([text, junk_text], 1), torch.cat([codes, junk_codes], 1)

    alone = network(text, codes)
    padded = network(
        long_text, long_codes, n_symbols=torch.tensor([n_symbols]), n_codes=torch.tensor([n_codes])
    )

    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-5)
    assert (network(long_text, long_codes) - alone).abs() > 1e-4


@torch.no_grad()
def test_a_pair_scores_the_same_in_any_company(network):
    text, codes = text_and_codes(6, 9, batch=4)

    together = network(text, codes)

    for row in range(4):
        torch.testing.assert_close(
            together[row : row + 1], network(text[row : row + 1], codes[row : row + 1]), atol=1e-5, rtol=1e-5
        )


@torch.no_grad()
def test_no_score_exceeds_the_temperature(network):
    scores = network(*text_and_codes(6, 9, batch=8))

    assert scores.abs().max() <= network.temperature.exp() * (1 + 1e-5)
    torch.testing.assert_close(network.text_latent(text_and_codes(3, 1, 5)[0]).norm(dim=-1), torch.ones(5))


@torch.no_grad()
def test_saved_and_loaded_it_gives_the_same_scores(network, tmp_path):
    save_file(network.state_dict(), tmp_path / "clvp.safetensors")

    tensors = dict(read(tmp_path / "clvp.safetensors").tensors)
    again = CLVP(TORTOISE_CLVP.config_from(shapes_of(tensors), {}).config).eval()
    load_weights(again, tensors)

    inputs = text_and_codes(4, 11, batch=3)
    assert torch.equal(again(*inputs), network(*inputs))


def test_the_released_size_has_as_many_tensors_and_parameters_as_the_original():
    with torch.device("meta"):
        released = CLVP(ClvpConfig())

    assert sum(parameter.numel() for parameter in released.parameters()) == 243_846_145
    assert len(released.state_dict()) == 451


def test_names_and_shapes_are_those_of_the_reference(parity):
    meta = json.loads((parity("clvp") / "meta.json").read_text())
    expected = {name: tuple(shape) for name, shape in meta["weights"].items()}

    with torch.device("meta"):
        made = CLVP(TORTOISE_CLVP.config_from(expected, {}).config)

    assert shapes_of(made.state_dict()) == expected
    assert shapes_of(TORTOISE_CLVP.theirs(made.state_dict())) == expected


@pytest.mark.parametrize("at_a_time", [1, 2, 16])
@pytest.mark.parametrize("has_lengths", [True, False])
@torch.no_grad()
def test_candidates_are_scored_as_pairs_are(at_a_time, has_lengths, network):
    text, candidates = text_and_codes(7, 9, batch=5)
    lengths = torch.tensor([9, 1, 4, 8, 2]) if has_lengths else None

    scores = network.scores(text[0], candidates, n_codes=lengths, at_a_time=at_a_time)

    expected = network(text[:1].expand(5, -1), candidates, n_codes=lengths)
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)
    assert scores.std() > 1e-3


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@torch.no_grad()
def test_packed_it_scores_nearly_the_same(precision, reference):
    """The frozen reference has random weights: how it ranks says nothing about released ones."""
    network, io = reference

    found = packed(network, precision)(io["text"], io["speech_codes"])

    tolerance = 1e-4 if precision == "float32" else 2e-2
    largest = network.temperature.exp().item()  # the score of codes that fit perfectly
    torch.testing.assert_close(found / largest, io["similarity"] / largest, atol=tolerance, rtol=0.0)
