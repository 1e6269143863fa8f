"""Which optimiser, over which tensors, and which of them decay."""

import pytest
import torch
from torch import nn

from retimbre.errors import RecipeError
from retimbre.recipe.training import Optimiser
from retimbre.training.objective import Turn
from retimbre.training.optimisers import Lion, optimiser_of


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.linear, self.norm = nn.Embedding(4, 3), nn.Linear(3, 3), nn.LayerNorm(3)


def of(module, **settings):
    return optimiser_of(Turn("part", module, lambda *_: {}), Optimiser(**settings))


def test_biases_norms_and_tables_are_spared_where_only_matrices_decay():
    part = Part()

    decaying, spared = of(part, decays="matrices", weight_decay=0.1).param_groups

    assert [id(p) for p in decaying["params"]] == [id(part.linear.weight)]
    assert decaying["weight_decay"] == 0.1
    others = [part.table.weight, part.linear.bias, part.norm.weight, part.norm.bias]
    assert [id(p) for p in spared["params"]] == [id(p) for p in others]
    assert spared["weight_decay"] == 0.0


def test_everything_that_moves_decays_by_default():
    part = Part()
    part.norm.requires_grad_(False)

    (group,) = of(part).param_groups

    assert len(group["params"]) == 3


def test_what_is_frozen_is_in_no_group():
    part = Part()
    part.linear.requires_grad_(False)

    (group,) = of(part, decays="matrices").param_groups

    assert group["weight_decay"] == 0.0
    assert len(group["params"]) == 3


def test_where_nothing_moves_that_is_said():
    with pytest.raises(RecipeError, match="nothing of the part to learn"):
        of(Part().requires_grad_(False))


def test_lion_moves_each_weight_as_its_paper_says():
    start, random = torch.randn(5, dtype=torch.float64), torch.Generator().manual_seed(3)
    gradients = torch.randn(4, 5, generator=random, dtype=torch.float64)
    weight = nn.Parameter(start.clone())
    lion = Lion([{"params": [weight]}], lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)

    expected, momentum = start.clone(), torch.zeros(5, dtype=torch.float64)
    for gradient in gradients:
        weight.grad = gradient.clone()
        lion.step()
        update = torch.sign(0.9 * momentum + 0.1 * gradient)
        momentum = 0.99 * momentum + 0.01 * gradient
        expected = expected - 0.01 * (update + 0.1 * expected)

    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_eight_bits_without_a_gpu_say_what_to_write_instead():
    with pytest.raises(RecipeError, match=r"adamw8bit needs a GPU.*lora"):
        of(Part(), name="adamw8bit")
