"""Names change, numbers do not."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from retimbre.checkpoint import keys


def normed():
    torch.manual_seed(2)
    return weight_norm(nn.Conv1d(5, 7, 3))


def test_below_a_prefix_is_what_begins_with_it_without_it():
    assert keys.below_prefix({"generator.a": 1, "mpd.a": 2}, "generator.") == {"a": 1}


def test_older_names_become_those_of_torch_2_and_back():
    older = {"up.0.weight_g": 1, "up.0.weight_v": 2, "up.0.bias": 3, "post.weight_g": 4, "post.weight_v": 5}
    named = keys.parametrized(older)
    assert named["up.0.parametrizations.weight.original0"] == 1
    assert named["up.0.parametrizations.weight.original1"] == 2
    assert keys.older_weight_norm(named) == older


def test_the_vector_of_a_spectral_norm_is_left_alone():
    names = {"a.weight_orig": 1, "a.weight_u": 2, "a.weight_v": 3, "a.bias": 4}
    assert keys.parametrized(names) == names


def test_folding_gives_the_weight_that_the_layer_uses():
    layer = normed()
    plain = keys.folded({f"conv.{name}": tensor for name, tensor in layer.state_dict().items()})
    assert set(plain) == {"conv.weight", "conv.bias"}
    torch.testing.assert_close(plain["conv.weight"], layer.weight.detach(), rtol=1e-6, atol=1e-7)


def test_unfolding_gives_a_layer_with_the_same_weight():
    weight = torch.randn(7, 5, 3)
    named = keys.unfolded(
        {"conv.weight": weight, "conv.bias": torch.randn(7), "norm.weight": weight}, ["conv"]
    )
    assert "norm.weight" in named
    layer = normed()
    layer.load_state_dict(keys.below_prefix(named, "conv."))
    torch.testing.assert_close(layer.weight.detach(), weight, rtol=1e-6, atol=1e-7)


def test_torch_reads_the_same_names():
    assert set(normed().state_dict()) == {"bias", keys.LENGTH[1:], keys.DIRECTION[1:]}
    assert not any(
        keys.LENGTH[1:] in name for name in spectral_norm(nn.Linear(3, 3)).state_dict() if "_v" in name
    )
