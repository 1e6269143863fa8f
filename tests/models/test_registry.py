"""One family explains a set of tensors, or the message says what was found."""

from typing import get_args

import pytest

from retimbre.errors import UnknownFamily
from retimbre.models.family import Stage
from retimbre.models.registry import FAMILIES, family_of


def test_every_family_has_its_own_name_and_a_stage():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    assert {family.stage for family in FAMILIES} == set(get_args(Stage))


def test_no_tensors_belong_to_no_family():
    with pytest.raises(UnknownFamily, match="no weights"):
        family_of({})


def test_strange_tensors_are_named():
    with pytest.raises(UnknownFamily, match=r"no family fits these 2 tensors.*a\.weight, b\.weight"):
        family_of({"b.weight": (3,), "a.weight": (2, 2)})
