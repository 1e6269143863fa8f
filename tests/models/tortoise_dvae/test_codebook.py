"""The nearest entry is the nearest one, and what is unused is counted by the stated rule."""

import pytest
import torch

from retimbre.models.tortoise_dvae.codebook import ROWS, Codebook, dead_entries


@pytest.mark.parametrize("n_vectors", [1, ROWS, 2 * ROWS + 7])
def test_the_nearest_entry_is_that_of_exact_distances(n_vectors):
    book = Codebook(6, 40)
    vectors = torch.randn(n_vectors, 6)
    distances = (vectors.double().unsqueeze(-1) - book.embed.double()).square().sum(1)

    assert torch.equal(book.nearest(vectors), distances.argmin(1))


def test_of_equally_near_entries_the_first_is_taken():
    book = Codebook(3, 8)
    book.embed[:, 5] = book.embed[:, 2]

    assert book.nearest(book.embed.T.contiguous()).tolist() == [0, 1, 2, 3, 4, 2, 6, 7]


def test_vectors_of_half_precision_are_compared_in_single_precision():
    book = Codebook(6, 40)
    vectors = torch.randn(50, 6).bfloat16()

    with torch.autocast("cpu", torch.bfloat16):
        found = book.nearest(vectors)

    assert torch.equal(found, book.nearest(vectors.float()))


def test_an_entry_picked_less_than_once_in_a_hundred_batches_is_dead():
    sizes = torch.tensor([0.0, 0.0099, 0.0101, 1.0, 250.0, float("nan"), 1e-20])

    assert dead_entries(sizes) == 4
    assert dead_entries(Codebook(2, 9).cluster_size) == 9


def test_the_rule_is_what_a_running_average_comes_to():
    # Picked once in 50 batches and once in 200: the average over a long time, with the decay of training.
    sizes = torch.zeros(2, dtype=torch.float64)
    total, n_batches = torch.zeros(2, dtype=torch.float64), 20_000
    for batch in range(n_batches):
        picks = torch.tensor([batch % 50 == 0, batch % 200 == 0], dtype=torch.float64)
        sizes = 0.99 * sizes + 0.01 * picks
        total += sizes

    assert [dead_entries(mean.reshape(1)) for mean in total / n_batches] == [0, 1]
