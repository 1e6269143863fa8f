"""How much memory learning takes: counted as torch keeps it, and no layer recomputed without need."""

from dataclasses import replace

import pytest
import torch

from models.tortoise_ar.conftest import TINY
from retimbre.models.tortoise_ar.gpt2 import Layer
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_ar.room import (
    AtOnce,
    layer_bytes,
    layers_to_recompute,
    learning_bytes,
    other_bytes,
    recomputed_layer_bytes,
)

MIDDLE = replace(
    TINY, dim=128, n_heads=4, n_layers=6, n_conditioning_layers=3, n_codes=500, n_code_positions=400
)
AT_ONCE = AtOnce(n_utterances=2, n_symbols=30, n_codes=200, n_clips=2, n_frames=50)
FULL_SIZE_WEIGHTS = 421_526_786


def kept_bytes(run, module, *, reduced):
    """Of all storages that torch keeps for the gradients, the weights left out."""
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # held, so that no other is put in its place
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=reduced),
    ):
        run()
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("n_codes", [33, 200])
def test_a_layer_keeps_what_is_counted(n_codes, reduced):
    at_once = replace(AT_ONCE, n_codes=n_codes, number_bytes=2 if reduced else 4)
    layer = Layer(MIDDLE, 0).train()
    x = torch.randn(at_once.n_utterances, at_once.n_places, MIDDLE.dim, requires_grad=True)

    kept = kept_bytes(lambda: layer(x), layer, reduced=reduced)

    assert layer_bytes(MIDDLE, at_once) == pytest.approx(kept, rel=0.1)


@pytest.mark.parametrize("reduced", [False, True])
def test_reading_the_voices_keeps_what_is_counted(reduced):
    at_once = replace(AT_ONCE, n_codes=1, n_frames=301, number_bytes=2 if reduced else 4)
    model = UnifiedVoice(MIDDLE).train()
    clips = torch.randn(at_once.n_utterances, at_once.n_clips, 80, at_once.n_frames)

    kept = kept_bytes(lambda: model.conditioning_latent(clips), model, reduced=reduced)

    assert other_bytes(MIDDLE, at_once) == pytest.approx(kept, rel=0.15)


def test_a_layer_that_is_recomputed_keeps_what_it_reads():
    model = UnifiedVoice(MIDDLE).train()
    x = torch.randn(2, 40, MIDDLE.dim, requires_grad=True)
    at_once = replace(AT_ONCE, n_symbols=9, n_codes=30)
    model.gpt.n_recomputed = MIDDLE.n_layers
    kept = kept_bytes(lambda: model.gpt(x), model, reduced=False)

    # The dropout before the first layer and the norm after the last one keep as much as two of them.
    assert (MIDDLE.n_layers + 2) * recomputed_layer_bytes(MIDDLE, at_once) == pytest.approx(kept, rel=0.15)


def test_where_there_is_room_nothing_is_recomputed_and_where_there_is_none_everything():
    def layers(free_bytes):
        return layers_to_recompute(MIDDLE, AT_ONCE, n_learning=10_000, free_bytes=free_bytes)

    answers = [layers(free_bytes) for free_bytes in range(0, 80_000_000, 500_000)]

    assert (answers[0], answers[-1]) == (MIDDLE.n_layers, 0)
    assert answers == sorted(answers, reverse=True)
    assert set(answers) > {0, 2, 4, MIDDLE.n_layers}


@pytest.mark.parametrize("has_more_parts", [False, True])
@pytest.mark.parametrize("free_bytes", [26_000_000, 30_000_000])
def test_what_is_chosen_fits_and_one_layer_less_does_not(free_bytes, has_more_parts):
    n = layers_to_recompute(
        MIDDLE, AT_ONCE, n_learning=300_000, free_bytes=free_bytes, has_more_parts=has_more_parts
    )
    whole, short = layer_bytes(MIDDLE, AT_ONCE), recomputed_layer_bytes(MIDDLE, AT_ONCE)

    def needed(n):
        kept = other_bytes(MIDDLE, AT_ONCE) + (MIDDLE.n_layers - n + 1) * whole + n * short
        return learning_bytes(300_000, kept, has_more_parts=has_more_parts)

    assert 1 < n < MIDDLE.n_layers
    assert needed(n) <= free_bytes < needed(n - 1)


def test_at_full_size_a_batch_of_four_needs_no_recomputing_within_the_memory_of_dl_art_school():
    config = type(TINY)()
    at_once = AtOnce(n_utterances=4, n_symbols=62, n_codes=202, n_clips=2, n_frames=173, number_bytes=2)
    weights, program = 4 * FULL_SIZE_WEIGHTS, 500 << 20

    n = layers_to_recompute(
        config, at_once, n_learning=FULL_SIZE_WEIGHTS, free_bytes=8_680_000_000 - weights - program
    )
    assert n == 0
