import torch

from retimbre.nn.masks import mask_from_lengths


def test_true_is_real():
    mask = mask_from_lengths(torch.tensor([3, 1, 0]), 4)

    assert mask.int().tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
