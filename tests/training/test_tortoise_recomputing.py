"""Layers are recomputed where memory is short, where a recipe allows it, and for the longest utterances."""

import pytest
import torch

from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.room import AtOnce
from retimbre.recipe.training import Training
from retimbre.training.tortoise_recomputing import largest_part, recomputed_layers

RELEASED = UnifiedVoiceConfig()
LENGTHS = [(60, 200), (10, 20), (100, 120)]


def layers(free_gb, *, n_learning=421_526_786, **training):
    weights = torch.nn.Parameter(torch.empty(n_learning, device="meta"))
    return recomputed_layers(
        RELEASED,
        Training(batch_size=3, **training),
        lengths=LENGTHS,
        clips=(2, 517),
        learning=[weights],
        free_bytes=None if free_gb is None else int(free_gb * 1e9),
    )


def test_the_less_memory_is_free_the_more_layers_are_recomputed():
    assert layers(20.0) == 0
    assert 0 < layers(7.4) < layers(6.6) < RELEASED.n_layers
    assert layers(4.0) == RELEASED.n_layers


def test_smaller_numbers_and_fewer_weights_that_learn_leave_more_room():
    assert layers(7.0, precision="bf16-mixed") < layers(7.0)
    assert layers(3.0, n_learning=5_000_000) < layers(3.0)


def test_parts_leave_more_room_where_few_weights_learn():
    whole, parts = (layers(1.5, n_learning=5_000_000, batch_parts=n) for n in (1, 3))
    assert parts < whole


def test_a_recipe_can_forbid_it_and_without_knowing_the_memory_all_is_recomputed():
    assert layers(0.1, recomputes=False) == 0
    assert layers(None) == RELEASED.n_layers


@pytest.mark.parametrize(("n_parts", "n_utterances"), [(1, 3), (2, 2), (3, 1)])
def test_the_longest_utterances_are_reckoned_with(n_parts, n_utterances):
    settings = Training(batch_size=3, batch_parts=n_parts, precision="bf16-mixed")
    assert largest_part(settings, lengths=LENGTHS, clips=(2, 517)) == AtOnce(
        n_utterances=n_utterances, n_symbols=63, n_codes=201, n_clips=2, n_frames=517, number_bytes=2
    )
