"""Scores keep systems, utterances and measures together."""

import json
import math

import numpy as np
import pytest

from retimbre.errors import DataError
from retimbre.evaluate.measures import MCD, VOICING_ERROR
from retimbre.evaluate.table import Scores, scores


@pytest.fixture
def table() -> Scores:
    found = {
        "u1": {"tuned": {"mcd": 6.0, "voicing_error": 4.0}, "matched": {"mcd": 5.0, "voicing_error": 3.0}},
        "u2": {"tuned": {"mcd": 7.0, "voicing_error": 6.0}, "matched": {"mcd": 6.5}},
    }
    return scores([MCD, VOICING_ERROR], ["tuned", "matched"], found)


def test_means_leave_out_what_is_missing(table):
    assert table.mean(MCD, "matched") == pytest.approx(5.75)
    assert table.mean(VOICING_ERROR, "matched") == 3.0
    assert table.of(VOICING_ERROR, "matched")[0] == 3.0


def test_a_system_without_scores_has_no_mean():
    table = scores([MCD], ["real"], {"u1": {}})
    assert math.isnan(table.mean(MCD, "real"))


def test_differences_are_paired_by_utterance(table):
    found = table.interval(MCD, "matched", "tuned")
    assert found.mean == pytest.approx(-0.75)
    assert found.n_pairs == 2


def test_scores_survive_json(table):
    again = Scores.from_dict(json.loads(json.dumps(table.to_dict(), allow_nan=False)))
    assert again.measures == table.measures
    assert again.utterances == table.utterances
    for key, values in table.values.items():
        np.testing.assert_array_equal(again.values[key], values)


def test_no_utterances_survive_json():
    empty = scores([MCD], ["tuned", "matched"], {})
    assert Scores.from_dict(json.loads(json.dumps(empty.to_dict()))).values["mcd"].shape == (2, 0)


def test_an_unknown_system_is_named(table):
    with pytest.raises(DataError, match="'control'.*tuned, matched"):
        table.mean(MCD, "control")


def test_a_table_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="mcd"):
        Scores(measures=(MCD,), systems=("a",), utterances=("u",), values={"mcd": np.ones((2, 1))})
