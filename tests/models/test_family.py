"""What wrappers leave in names is taken off before a family looks at them."""

import torch

from retimbre.models.family import unwrapped


def names(*of_file):
    return list(unwrapped({name: torch.randn(2) for name in of_file}).tensors)


def test_wrappers_are_taken_off_in_any_order_and_only_if_all_names_have_them():
    assert names("module._orig_mod.a", "module._orig_mod.b") == ["a", "b"]
    assert names("_orig_mod.module.a") == ["a"]
    assert names("module.a", "b") == ["module.a", "b"]
    assert names() == []


def test_a_name_that_was_taken_off_is_told_with_its_reason():
    (entry,) = unwrapped({"module.a": torch.randn(2)}).entries()
    assert (entry.name, entry.ours, entry.fate) == ("module.a", "a", "renamed")
    assert "DataParallel" in entry.why
