"""The norm of a table goes into its rows, and what does not fit is named."""

import pytest
import torch
from torch import nn

from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.stable_embedding import fold_norm
from retimbre.errors import CheckpointError


def tensors():
    return {
        "table.weight": torch.randn(7, 4),
        "table.norm.weight": torch.randn(4),
        "table.norm.bias": torch.randn(4),
        "other": torch.randn(2),
    }


def test_a_folded_table_gives_what_table_and_norm_gave():
    given, rows = tensors(), torch.tensor([3, 0, 6])
    norm = nn.LayerNorm(4)
    norm.load_state_dict({"weight": given["table.norm.weight"], "bias": given["table.norm.bias"]})
    ledger = Ledger(given)

    fold_norm(ledger, "table.weight")

    assert set(ledger.tensors) == {"table.weight", "other"}
    torch.testing.assert_close(ledger.tensors["table.weight"][rows], norm(given["table.weight"][rows]))
    fates = {entry.name: entry.fate for entry in ledger.entries()}
    assert fates == {name: "matched" if name == "other" else "renamed" for name in given}


def test_a_table_without_a_norm_stays():
    given = {"table.weight": torch.randn(7, 4)}
    ledger = Ledger(given)

    fold_norm(ledger, "table.weight")

    assert ledger.tensors["table.weight"] is given["table.weight"]


def test_shapes_alone_are_enough():
    ledger = Ledger({name: tensor.to("meta") for name, tensor in tensors().items()})

    fold_norm(ledger, "table.weight")

    assert ledger.tensors["table.weight"].shape == (7, 4)


@pytest.mark.parametrize("name", ["table.weight", "table.norm.weight", "table.norm.bias"])
def test_a_part_that_is_missing_or_wrong_is_named(name):
    given = tensors()
    other = {key: tensor for key, tensor in given.items() if key != name}
    wrong = [torch.zeros(()), given[name].unsqueeze(0), given[name].long()]
    for damaged in [other, *({**given, name: tensor} for tensor in wrong)]:
        with pytest.raises(CheckpointError, match=f"'{name}'"):
            fold_norm(Ledger(damaged), "table.weight")


@pytest.mark.parametrize("name", ["table.norm.weight", "table.norm.bias"])
def test_a_norm_of_another_width_is_named(name):
    with pytest.raises(CheckpointError, match=f"'{name}'"):
        fold_norm(Ledger({**tensors(), name: torch.zeros(5)}), "table.weight")
