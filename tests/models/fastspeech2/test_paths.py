import itertools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from retimbre.models.fastspeech2.paths import best_paths, log_prior


def every_path(n_frames, n_symbols):
    for goes_on_at in itertools.combinations(range(1, n_frames), n_symbols - 1):
        yield [sum(frame >= step for step in goes_on_at) for frame in range(n_frames)]


def test_no_path_has_a_larger_sum():
    sizes = [(9, 4), (5, 5), (7, 1), (8, 3), (1, 1)]
    scores = np.random.default_rng(0).normal(size=(len(sizes), 9, 5)).astype(np.float32)
    n_frames, n_symbols = np.array(sizes).T

    paths = best_paths(scores, n_frames, n_symbols)

    for row, path, (frames, symbols) in zip(scores, paths, sizes, strict=True):
        best = max(every_path(frames, symbols), key=lambda way: sum(row[range(frames), way]))
        assert path[:frames].tolist() == best
        assert path[frames:].tolist() == [0] * (9 - frames)


def test_in_a_tie_the_path_goes_on():
    path = best_paths(np.zeros((1, 6, 3), dtype=np.float32), np.array([6]), np.array([3]))

    # A path is read from its end: where both ways are equal, the symbol before is gone back to at once.
    assert path.tolist() == [[0, 0, 0, 0, 1, 2]]


def test_padding_never_changes_a_path():
    random = np.random.default_rng(1)
    scores = random.normal(size=(1, 11, 4)).astype(np.float32)
    padded = random.normal(size=(1, 15, 9)).astype(np.float32)
    padded[:, :11, :4] = scores

    alone = best_paths(scores, np.array([11]), np.array([4]))
    in_a_batch = best_paths(padded, np.array([11]), np.array([4]))

    assert in_a_batch[:, :11].tolist() == alone.tolist()


def test_the_path_equals_the_reference(parity):
    reference = load_file(parity("features") / "io.safetensors")
    scores = reference["mas_in"].unsqueeze(0).numpy()
    n_frames, n_symbols = (np.array([n]) for n in scores.shape[1:])

    path = torch.from_numpy(best_paths(scores, n_frames, n_symbols))[0]

    assert torch.nn.functional.one_hot(path, scores.shape[2]).equal(reference["mas_out"].long())


@pytest.mark.parametrize(("n_frames", "n_symbols"), [(87, 19), (240, 41), (33, 7)])
def test_the_prior_equals_the_reference(parity, n_frames, n_symbols):
    reference = load_file(parity("features") / "io.safetensors")[f"attn_prior_{n_frames}x{n_symbols}"]

    prior = log_prior([n_frames], [n_symbols], n_padded=(n_frames, n_symbols))[0].exp()

    torch.testing.assert_close(prior, reference.float() + 1e-8, atol=1e-7, rtol=1e-5)


def test_the_prior_equals_the_reference_where_its_last_column_is_empty(parity):
    folder = parity("everyvoice_project") / "project" / "preprocessed" / "attn"
    name = "LJ001-0011--speaker_0--eng--characters-attn-prior.pt"
    reference = torch.load(folder / name, weights_only=True)

    prior = log_prior([379], [74], n_padded=(379, 74))[0].exp()

    assert reference[:, -1].eq(0).all()
    torch.testing.assert_close(prior, reference.float() + 1e-8, atol=1e-7, rtol=1e-5)


def test_priors_of_a_batch_are_padded_with_zeros():
    priors = log_prior([30, 5], [4, 3], n_padded=(31, 6))

    assert priors.shape == (2, 31, 6)
    assert priors[0, :30, :4].lt(0).all()
    assert priors[1, 5:].eq(0).all()
    assert priors[:, :, 4:].eq(0).all()
