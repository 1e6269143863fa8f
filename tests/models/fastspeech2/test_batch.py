import pytest
import torch

from retimbre.errors import DataError, TextError
from retimbre.models.fastspeech2.batch import collate, text_batch


def test_padding_of_specs_is_silence_and_of_the_rest_zero(make_item):
    items = [make_item(3, 9), make_item(5, 7)]

    batch = collate(items, -11.5)

    assert batch.symbols.tolist()[0] == [*items[0].symbols.tolist(), 0, 0]
    assert batch.n_symbols.tolist() == [3, 5]
    assert batch.n_frames.tolist() == [9, 7]
    assert batch.spec[1, :7].equal(items[1].spec.T)
    assert batch.spec[1, 7:].eq(-11.5).all()
    assert batch.pitch[1, 7:].eq(0).all()
    assert batch.durations is None


def test_a_batch_of_one_with_durations_keeps_them(make_item):
    item = make_item(3, 9, durations=torch.tensor([4, 0, 5]), speaker=2, language=1)

    batch = collate([item], -11.5).to("cpu")

    assert batch.durations.tolist() == [[4, 0, 5]]
    assert (batch.speaker.tolist(), batch.language.tolist()) == ([2], [1])
    assert not batch.is_per_symbol


def test_pitch_may_be_averaged_beforehand_where_durations_are_given(make_item):
    averaged = {"pitch": torch.randn(3), "energy": torch.randn(3)}
    item = make_item(3, 9, durations=torch.tensor([4, 0, 5]), **averaged)

    assert collate([item], -11.5).is_per_symbol
    with pytest.raises(DataError, match=r"pitch and energy of another length: expected 9 .*found 3"):
        make_item(3, 9, **averaged)


def test_what_does_not_belong_together_is_refused_by_name(make_item):
    with pytest.raises(DataError, match=r"LJ1 has too few frames for its text: expected at least 5, found 4"):
        make_item(5, 4, name="LJ1")
    with pytest.raises(DataError, match=r"durations of another length: expected 9 frames .*found 8"):
        make_item(3, 9, durations=torch.tensor([4, 1, 3]))
    with pytest.raises(DataError, match="LJ1 has no symbols"):
        make_item(0, 4, name="LJ1")


def test_durations_are_for_all_or_none(make_item):
    items = [make_item(2, 4, name="LJ1"), make_item(2, 4, durations=torch.tensor([1, 3]), name="LJ2")]

    with pytest.raises(DataError, match=r"durations for all utterances or for none, found LJ1 unlike LJ2"):
        collate(items, -11.5)


def test_texts_are_put_side_by_side():
    text = text_batch([[3, 1, 4], [5]], speaker=[1, 0])

    assert text.symbols.tolist() == [[3, 1, 4], [5, 0, 0]]
    assert text.n_symbols.tolist() == [3, 1]
    assert text.speaker.tolist() == [1, 0]
    assert text.language.tolist() == [0, 0]


def test_an_empty_text_is_refused():
    with pytest.raises(TextError, match="nothing to speak"):
        text_batch([[1], []])
