"""What contradicts itself cannot become a report."""

import pytest

from retimbre.report.contents import Kind, Spoken, System


def test_a_colour_is_a_colour_and_not_a_style():
    with pytest.raises(ValueError, match="#rrggbb"):
        System(name="x", description="", colour="red;background:url(x)")


def test_audio_of_an_unknown_system_is_refused(report, tone):
    spoken = Spoken(name="u", text="", kind=Kind.TEACHER_FORCED, audio={"nobody": tone()})
    with pytest.raises(ValueError, match="nobody"):
        report(utterances=(spoken,))


def test_names_are_given_once(report):
    with pytest.raises(ValueError, match="two systems"):
        report(systems=(System(name="a", description=""),) * 2)
    spoken = Spoken(name="u", text="", kind=Kind.TEACHER_FORCED, audio={})
    with pytest.raises(ValueError, match="two utterances"):
        report(utterances=(spoken, spoken))


def test_the_same_utterance_may_be_teacher_forced_and_free_running(report):
    both = tuple(Spoken(name="u", text="", kind=kind, audio={}) for kind in Kind)
    assert len({spoken.label for spoken in report(utterances=both).utterances}) == 2
