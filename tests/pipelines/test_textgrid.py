"""A TextGrid is what Praat reads; test_everyvoice_outputs.py compares it with EveryVoice's."""

import re

from retimbre.audio.mel import mel_librosa
from retimbre.pipelines.textgrid import textgrid
from retimbre.pipelines.timing import Span, Times

TIMES = Times(
    symbols=(
        Span(start=0, end=2, label="a"),
        Span(start=2, end=2, label="x"),
        Span(start=2, end=5, label='"'),
    ),
    words=(Span(start=0, end=5, label='ax"'),),
    n_frames=5,
)


def test_there_are_four_tiers_and_the_annotations_are_empty():
    text = textgrid(TIMES, mel_librosa())

    assert re.findall('name = "(.*)"', text) == ["phones", "phone annotations", "words", "word annotations"]
    assert re.findall("intervals: size = (.*)", text) == ["2", "2", "1", "1"]
    assert text.count('text = ""\n') == 3


def test_what_lasts_no_frame_is_left_out_and_the_rest_has_no_gap():
    tier = textgrid(TIMES, mel_librosa()).split("item [2]")[0]

    assert '"x"' not in tier
    assert re.findall("            xm(?:in|ax) = (.*)", tier) == [
        "0.000000",
        "0.023220",
        "0.023220",
        "0.058050",
    ]


def test_quotation_marks_are_doubled():
    assert 'text = "ax"""' in textgrid(TIMES, mel_librosa())
