"""A tensor that a file lacks is called as the file calls the others."""

import pytest
import torch

from retimbre.checkpoint.keys import LENGTH
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.spelling import respelled, spelled

OURS = ["a.0.bias", "a.0" + LENGTH, "a.1.bias", "b.wrap.norm.g"]


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (OURS, "a.1" + LENGTH, "a.1" + LENGTH),
        (["module." + name for name in OURS], "c.weight", "module.c.weight"),
        (["a.0.bias", "a.0.weight_g", "a.1.bias", "b.wrap.norm.g"], "a.1" + LENGTH, "a.1.weight_g"),
        (["x.a.0.bias", "x.a.0.weight_g", "x.a.1.bias", "x.b.norm.g"], "a.7" + LENGTH, "x.a.7.weight_g"),
        (["x.a.0.bias", "x.a.0.weight_g", "x.a.1.bias", "x.b.norm.g"], "c.wrap.norm.g", "x.c.norm.g"),
    ],
)
def test_a_name_is_spelled_as_others_like_it(theirs, ours, expected):
    assert spelled(ours, dict(zip(OURS, theirs, strict=True))) == expected


def test_where_there_are_no_others_it_has_our_name():
    assert spelled("a.b", {}) == "a.b"


def test_one_strange_name_does_not_spoil_the_prefix():
    names = {"a.b": "module.a.b", "a.c": "module.a.c", "module.other": "other"}
    assert spelled("a.d", names) == "module.a.d"


def test_quoted_names_in_a_sentence_are_respelled_and_nothing_else():
    text = "no 'a.b', but 'a.c + 1' and 'a.d / 3'; 'retimbre inspect FILE' reads a.pth, and 'heads' is a word"
    assert respelled(text, lambda name: f"module.{name}") == (
        "no 'module.a.b', but 'module.a.c + 1' and 'module.a.d / 3'; "
        "'retimbre inspect FILE' reads a.pth, and 'heads' is a word"
    )


def test_a_ledger_knows_the_name_of_what_is_missing_and_leaves_the_files_own_names_alone():
    ledger = Ledger({"module.a.0.weight_g": torch.randn(2), "module.a.0.bias": torch.randn(2)})
    ledger.strip("module.", "a wrapper's prefix")
    ledger.rename("a.0.weight_g", "a.0" + LENGTH, "weight norm")
    assert ledger.source("a.0" + LENGTH) == "module.a.0.weight_g"
    assert ledger.source("a.1" + LENGTH) == "module.a.1.weight_g"
    assert ledger.source("module.a.0.bias") == "module.a.0.bias"


def test_what_was_set_aside_keeps_its_names():
    ledger = Ledger({"module.mpd.0.bias": torch.randn(2), "module.a.bias": torch.randn(2)})
    ledger.strip("module.", "a wrapper's prefix")
    ledger.set_aside(r"mpd\..*", "discriminators")
    aside = ledger.only_aside()
    assert list(aside.tensors) == ["mpd.0.bias"]
    assert aside.source("mpd.0.bias") == "module.mpd.0.bias"
    assert aside.source("mpd.1.bias") == "module.mpd.1.bias"
