"""Words of SoX become effects, or a sentence about what could be written."""

import math

import pytest

from retimbre.audio.effects import (
    Amplify,
    Channels,
    CutSilence,
    Normalise,
    Passage,
    PassFilter,
    Rate,
    Remix,
    Reverse,
    effect_of,
    shortens,
)

SHORT = Passage(duration=0.1, is_in_samples=False, level=0.001)


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("channels 1", Channels(n=1)),
        ("norm", Normalise(peak=1.0)),
        ("norm -6", Normalise(peak=10**-0.3)),
        ("gain -n -6", Normalise(peak=10**-0.3)),
        ("gain -6", Amplify(factor=10**-0.3)),
        ("vol 0.25", Amplify(factor=0.25)),
        ("vol 0.25 power", Amplify(factor=0.5)),
        ("vol -0.25 power", Amplify(factor=-0.5)),
        ("vol 20dB", Amplify(factor=10.0)),
        ("reverse", Reverse()),
        ("rate -v 22.05k", Rate(sample_rate_hz=22050)),
        ("rate 8000", Rate(sample_rate_hz=8000)),
        ("remix 1 2,4-", Remix(outputs=(((1, 1),), ((2, 2), (4, None))))),
        ("remix -", Remix(outputs=(((None, None),),))),
        ("highpass 80", PassFilter(kind="highpass", frequency_hz=80.0, q=math.sqrt(0.5))),
        ("lowpass -1 3k", PassFilter(kind="lowpass", frequency_hz=3000.0, n_poles=1)),
        ("lowpass -2 3k 0.6q", PassFilter(kind="lowpass", frequency_hz=3000.0, q=0.6)),
        ("silence 1 0.1 0.1%", CutSilence(sound=SHORT)),
        (
            "silence 1 0.1 0.1% -1 800 -20d",
            CutSilence(
                sound=SHORT, silence=Passage(duration=800.0, is_in_samples=True, level=0.1), goes_on=True
            ),
        ),
        ("silence 1 0:00.1 0.1%", CutSilence(sound=SHORT)),
        ("silence 1 0.1t 0.1%", CutSilence(sound=SHORT)),
    ],
)
def test_words_mean_what_they_mean_to_sox(text, effect):
    assert effect_of(text) == effect


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed 2", "one of channels, gain, highpass, lowpass, norm, rate, remix, reverse, silence, vol"),
        ("", "one of channels"),
        ("norm loud", r"'norm \[dB\]'"),
        ("norm 1 2", "'norm"),
        ("gain -l 6", r"'gain \[-n\] \[dB\]'"),
        ("gain", "'gain"),
        ("gain nan", "'gain"),
        ("vol 1 amplitude 0.05", "'vol GAIN"),
        ("reverse 1", "'reverse'"),
        ("channels 0", "'channels N'"),
        ("remix 0", "'remix"),
        ("remix 1v0.5", "'remix"),
        ("highpass 0", "'highpass"),
        ("highpass 80 2o", "'highpass"),
        ("lowpass", "'lowpass"),
        ("rate inf", "'rate"),
        ("silence -l 1 0.1 1% -1 0.4 1%", "'silence 1 DURATION"),
        ("silence 2 0.1 1%", "'silence"),
        ("silence 1 0.1 20", "'silence"),
        ("silence 1 0.1 1% -1 0.4", "'silence"),
        ("silence 0 -1 0.4 1%", "'silence"),
        ("silence 1", "'silence"),
        ("silence", "'silence"),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(text, message):
    with pytest.raises(ValueError, match=message):
        effect_of(text)


def test_only_cutting_silence_makes_a_recording_much_shorter():
    assert shortens(effect_of("silence 1 0.1 1%"))
    assert not any(shortens(effect_of(text)) for text in ("norm", "reverse", "rate 8k"))
