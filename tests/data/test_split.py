import pytest

from retimbre.data.split import split
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError

UTTERANCES = [Utterance(basename=f"u{n:03}", text="x", speaker="ab"[n % 2]) for n in range(100)]


def names(utterances):
    return {utterance.stem for utterance in utterances}


@pytest.mark.parametrize("n", [2, 3, 5, 19, 100])
@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.999])
def test_neither_side_is_empty_and_none_is_lost(n, fraction):
    parts = split(UTTERANCES[:n], held_out=fraction, seed=3)
    assert parts.training
    assert parts.validation
    assert names(parts.training).isdisjoint(names(parts.validation))
    assert len(parts.training) + len(parts.validation) == n


def test_fraction_is_that_share():
    assert len(split(UTTERANCES, held_out=0.1).validation) == 10


def test_seed_decides():
    assert split(UTTERANCES, held_out=0.1, seed=1) == split(UTTERANCES, held_out=0.1, seed=1)
    assert split(UTTERANCES, held_out=0.1, seed=1) != split(UTTERANCES, held_out=0.1, seed=2)


def test_order_of_the_list_does_not_matter():
    backwards = split(UTTERANCES[::-1], held_out=0.2)
    assert names(backwards.validation) == names(split(UTTERANCES, held_out=0.2).validation)


def test_held_out_utterances_stay_held_out_when_others_go():
    before, after = split(UTTERANCES, held_out=0.2), split(UTTERANCES[3:], held_out=0.2)
    assert len(names(after.validation) & names(before.training)) <= 3


def test_names_and_stems_are_held_out_in_the_order_of_the_list():
    parts = split(UTTERANCES, held_out=["u007", "u002--a--default"])
    assert [utterance.basename for utterance in parts.validation] == ["u002", "u007"]
    assert len(parts.training) == 98


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(DataError, match="'u0007'.*Write 'u007'"):
        split(UTTERANCES, held_out=["u001", "u0007"])


@pytest.mark.parametrize("held_out", [[], ["u000", "u001"], 0.0, 1.0, -0.1])
def test_split_with_an_empty_side_is_refused(held_out):
    with pytest.raises(DataError, match="cannot be split"):
        split(UTTERANCES[:2], held_out=held_out)


def test_one_utterance_cannot_be_split():
    with pytest.raises(DataError, match="0 and 1|1 and 0"):
        split(UTTERANCES[:1], held_out=0.1)
