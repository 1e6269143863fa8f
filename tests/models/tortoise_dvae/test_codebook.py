"""The nearest entry is the nearest one; entries move to what picks them; what is unused begins anew."""

import pytest
import torch

from retimbre.models.tortoise_dvae.codebook import ROWS, Codebook, dead_entries, perplexity


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


def used_book(dim, n_codes):
    """A book that has been in use: as many picks for each entry."""
    book = Codebook(dim, n_codes)
    book.cluster_size.fill_(5.0)
    book.embed_avg.copy_(book.embed * 5.0)
    return book


def test_entries_are_the_running_average_of_what_picks_them():
    book = used_book(3, 4)
    sums, sizes = book.embed_avg.double().clone(), book.cluster_size.double().clone()
    for _ in range(300):
        vectors = torch.randn(20, 3)
        codes = book.nearest(vectors)
        one_hot = torch.nn.functional.one_hot(codes, 4).double()
        sums = 0.99 * sums + 0.01 * vectors.double().T @ one_hot
        sizes = 0.99 * sizes + 0.01 * one_hot.sum(0)
        book.learn(vectors, codes, revives=False)
        smoothed = (sizes + 1e-5) / (sizes.sum() + 4e-5) * sizes.sum()

        torch.testing.assert_close(book.embed.double(), sums / smoothed, atol=1e-4, rtol=1e-4)


def test_an_unused_entry_becomes_a_vector_of_the_batch_and_no_other_does():
    book = used_book(3, 8)
    book.embed[:, 6] = 1e6
    book.cluster_size[6] = 0.01
    before, vectors = book.embed.clone(), torch.randn(40, 3)
    book.learn(vectors, book.nearest(vectors))

    assert (book.embed[:, 6] == vectors).all(1).sum() == 1
    assert book.cluster_size[6] == 1.0  # a fifth of 40 / 8
    torch.testing.assert_close(book.embed_avg[:, 6] / book.cluster_size[6], book.embed[:, 6])
    others = [n for n in range(8) if n != 6]
    torch.testing.assert_close(book.embed[:, others], before[:, others], atol=0.2, rtol=0.2)


def test_a_revived_entry_is_given_the_time_to_be_found():
    book = used_book(3, 8)
    book.cluster_size[6] = 0.0
    vectors = torch.randn(40, 3)
    book.learn(vectors, book.nearest(vectors))
    found = book.embed[:, 6].clone()
    for _ in range(60):
        book.learn(vectors, torch.zeros(40, dtype=torch.int64))  # all pick another one

    torch.testing.assert_close(book.embed[:, 6], found, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("n_vectors", [5, 64])
@pytest.mark.parametrize("seed", range(20))
def test_a_new_book_begins_as_vectors_of_the_first_batches(n_vectors, seed):
    torch.manual_seed(seed)
    book, n_codes = Codebook(3, 12), 12
    for _ in range(-(-n_codes // n_vectors)):
        vectors = 0.01 * torch.randn(n_vectors, 3)
        book.learn(vectors, book.nearest(vectors))

    assert book.embed.norm(dim=0).max() < 0.1
    assert len(book.embed.unique(dim=1).T) == n_codes


def test_what_revives_is_drawn_from_the_global_generator():
    def entries(seed):
        torch.manual_seed(3)
        book, vectors = Codebook(3, 8), torch.randn(40, 3)
        torch.manual_seed(seed)
        book.learn(vectors, book.nearest(vectors))
        return book.embed

    assert entries(1).equal(entries(1))
    assert not entries(1).equal(entries(2))


def test_perplexity_counts_entries_that_are_picked_equally_often():
    assert perplexity(torch.tensor([3.0, 3.0, 0.0, 3.0])) == pytest.approx(3.0)
    assert perplexity(torch.tensor([9.0, 0.0])) == pytest.approx(1.0)
    assert 1.0 < perplexity(torch.tensor([9.0, 1.0])) < 2.0
    assert perplexity(torch.zeros(4)) == 0.0
