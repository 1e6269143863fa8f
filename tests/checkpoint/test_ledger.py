"""Nothing is lost silently between a file and a network."""

import pytest
import torch

from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import CheckpointError


def ledger(*names):
    return Ledger({name: torch.randn(2) for name in names})


def fates(book):
    return {entry.name: (entry.fate, entry.ours, entry.why) for entry in book.entries()}


def test_what_nobody_touches_is_matched():
    assert fates(ledger("a")) == {"a": ("matched", "a", "")}


def test_every_tensor_of_the_file_has_one_fate_with_its_reason():
    book = ledger("old", "mask", "judge.a", "norm", "table")
    book.rename("old", "new", "older name")
    book.drop("mask", "a constant")
    book.set_aside(r"judge\..*", "only for training")
    book.replace(["norm", "table"], {"table": torch.randn(3)}, "folded", resized=True)
    book.add("fresh", torch.randn(1), "worked out")
    assert fates(book) == {
        "old": ("renamed", "new", "older name"),
        "mask": ("dropped", None, "a constant"),
        "judge.a": ("aside", None, "only for training"),
        "norm": ("resized", "table", "folded"),
        "table": ("resized", "table", "folded"),
        "fresh": ("new", "fresh", "worked out"),
    }
    assert book.tensors.keys() == {"new", "table", "fresh"}
    assert book.aside.keys() == {"judge.a"}
    assert book.dropped() == {"mask": "a constant"}


def test_reasons_of_several_steps_are_all_told():
    book = ledger("module.g.a")
    assert book.strip("module.", "wrapper")
    book.rename_all(lambda name: name.removeprefix("g."), "prefix")
    assert fates(book) == {"module.g.a": ("renamed", "a", "wrapper; prefix")}
    assert book.source("a") == "module.g.a"


def test_a_prefix_that_not_all_names_have_stays():
    book = ledger("module.a", "b")
    assert not book.strip("module.", "wrapper")
    assert book.tensors.keys() == {"module.a", "b"}


def test_two_tensors_for_one_name_are_an_error_that_names_both():
    book = ledger("a", "module.a")
    with pytest.raises(CheckpointError, match=r"two tensors of the file stand for 'a': found module\.a, a"):
        book.rename("module.a", "a", "prefix")


def test_a_pattern_must_match_the_whole_name():
    book = ledger("attn.bias", "attn.c_attn.bias")
    book.drop(r"attn\.bias", "mask")
    assert book.tensors.keys() == {"attn.c_attn.bias"}


def test_a_dropped_tensor_that_had_another_name_is_told_by_the_name_in_the_file():
    book = ledger("module.mask", "module.a")
    book.strip("module.", "wrapper")
    book.drop("mask", "a constant")
    assert book.dropped() == {"module.mask": "a constant"}
