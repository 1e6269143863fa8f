"""The damage that family tests do to files is the damage that it says."""

import torch

from building.mutations import mutations


def test_each_tensor_is_damaged_in_each_way_and_no_other_is():
    tensors = {"a.weight": torch.randn(3, 2, 3), "b": torch.tensor(1.5), "c": torch.randn(4, 4)}

    found = list(mutations(tensors, free={"c": (1,)}))

    shapes = {
        (kind, tuple(damaged[name].shape))
        for kind, name, damaged, _ in found
        if kind in ("transpose", "resize")
    }
    assert shapes == {
        ("transpose", (2, 3, 3)), ("resize", (4, 2, 3)), ("resize", (3, 3, 3)), ("resize", (3, 2, 4)),
        ("resize", (1,)), ("resize", (5, 4)),
    }  # fmt: skip
    for kind, name, damaged, named in found:
        assert all(damaged[other] is tensors[other] for other in tensors if other != name)
        assert (named in damaged) == (kind not in ("remove", "rename"))
        assert len(damaged) == len(tensors) + {"remove": -1, "add": 1}.get(kind, 0)
    assert len(found) == 3 * 3 + 1 + 5


def test_tensors_without_numbers_are_damaged_too():
    outline = {"a": torch.empty(2, 3, device="meta")}

    assert all(tensor.is_meta for found in mutations(outline) for tensor in found.tensors.values())
