"""Values that somebody states are taken as they are, or refused."""

import pytest

from retimbre.errors import CheckpointError
from retimbre.models.stated import rows_of_numbers, share, whole_numbers


def test_what_is_right_is_taken():
    assert whole_numbers([8, 4], "strides", 2) == (8, 4)
    assert whole_numbers((65536,), "strides", 1) == (65536,)
    assert rows_of_numbers([[1, 3], (2, 6)], "dilations", 2, 2) == ((1, 3), (2, 6))
    assert share(0.2, "slope") == 0.2
    assert share(0, "slope") == 0.0


@pytest.mark.parametrize(
    "value", [None, 8, "8, 4", [8], [8, 4, 2], [8, 0], [8, -4], [8, 4.0], [8, True], [8, 65537]]
)
def test_what_are_not_two_whole_numbers_is_refused(value):
    with pytest.raises(
        CheckpointError, match="'strides' does not fit the tensors: expected a list of 2 whole"
    ):
        whole_numbers(value, "strides", 2)


@pytest.mark.parametrize("value", [None, [[1, 3]], [[1, 3], [1]], [[1, 3], 3], {"a": 1}])
def test_what_are_not_two_rows_is_refused(value):
    with pytest.raises(CheckpointError, match="'dilations' does not fit the tensors"):
        rows_of_numbers(value, "dilations", 2, 2)


@pytest.mark.parametrize("value", [None, "0.2", 1, -0.1, float("nan"), float("inf"), True, [0.2], 10**400])
def test_what_is_no_share_is_refused(value):
    with pytest.raises(CheckpointError, match="'slope' does not fit the tensors: expected a number from 0"):
        share(value, "slope")


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(CheckpointError) as error:
        whole_numbers("x" * 10_000, "strides", 2)
    assert len(str(error.value)) < 400
