"""What cannot be done is refused before anything is loaded; what `-c` says is understood or named."""

from pathlib import Path

import pytest

from retimbre.errors import DataError, TextError
from retimbre.models.fastspeech2.variance import Controls
from retimbre.pipelines.request import Request, splitting_from
from retimbre.text.split import Boundaries, Splitting

SPEC = {"texts": ("a",), "output_types": ("spec",)}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"output_types": ("mp3",)}, "no output type 'mp3'"),
        ({"texts": ()}, "nothing to speak"),
        ({"output_types": ("wav",)}, "sound needs a vocoder"),
        ({"output_types": ("readalong-html",)}, "sound needs a vocoder"),
        ({"teacher_forcing": Path("p"), "controls": Controls(pitch=2.0)}, "no room for a control"),
        ({"split_overrides": ("text.split=1",)}, "'text.split' cannot be changed"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, named):
    with pytest.raises((DataError, TextError), match=named):
        Request(**SPEC | changes)


def test_two_requests_share_nothing_that_could_change():
    assert Request(**SPEC) == Request(**SPEC)
    assert Request(**SPEC).controls == Controls()


@pytest.mark.parametrize("word", ["false", "False", "no", "0", "off"])
def test_splitting_is_switched_off_in_everyvoices_words(word):
    assert not splitting_from([f"text.split_text={word}"]).is_on


def test_the_option_wins_over_the_override():
    assert splitting_from(["text.split_text=false"], is_on=True).is_on
    assert not splitting_from([], is_on=False).is_on
    assert splitting_from([]).is_on


def test_a_language_is_given_its_own_boundaries():
    splitting = splitting_from(["text.boundaries.hin.strong=।?!", "text.boundaries.hin.weak=,="])

    assert splitting.boundaries == {"hin": Boundaries(strong="।?!", weak=",=")}


def test_what_is_not_said_is_as_the_model_was_trained():
    trained = Splitting(
        is_on=False, boundaries={"hin": Boundaries(strong="।", weak="x"), "eng": Boundaries()}
    )

    assert Request(**SPEC).splitting(trained) == trained
    changed = Request(**SPEC, splits=True, split_overrides=("text.boundaries.hin.strong=?",))
    assert changed.splitting(trained) == Splitting(
        boundaries={"hin": Boundaries(strong="?", weak="x"), "eng": Boundaries()}
    )


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("text.split_text", "says nothing"),
        ("text.split_text=perhaps", "expected true or false, found perhaps"),
        ("model.use_postnet=False", "'model.use_postnet' cannot be changed"),
        ("text.boundaries.eng=x", "'text.boundaries.eng' cannot be changed"),
    ],
)
def test_another_override_is_named(override, named):
    with pytest.raises(TextError, match=named):
        splitting_from([override])
