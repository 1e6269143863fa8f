"""Text becomes a spec and a spec becomes sound; what a model cannot read is named, never dropped."""

import pytest
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.errors import StagesDoNotFit, TextError
from retimbre.pipelines.everyvoice import EveryVoiceChain, encode, index_of, speak_spec, vocode
from retimbre.text.normalise import TextRules


def test_a_text_becomes_rows_of_the_models_own_table(text_to_spec):
    loaded = text_to_spec()

    ids = encode("ab sha.", loaded)

    assert [loaded.description.symbols[row] for row in ids] == ["a", "b", " ", "sh", "a", "."]


def test_the_models_own_rules_come_before_its_table(text_to_spec):
    loaded = text_to_spec(text_rules=TextRules(cleaners=("lower",), to_replace={"&": "a"}))

    assert encode("A&B", loaded) == encode("aab", loaded)


def test_letters_that_the_model_lacks_are_all_named_with_the_text(text_to_spec):
    with pytest.raises(TextError) as caught:
        encode("a quick zebra, \u0416", text_to_spec())

    assert "no symbols for: , i k q r u z \u0416 (in 'a quick zebra, \u0416')" in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n"])
def test_a_text_of_which_nothing_is_left_is_refused(text_to_spec, text):
    loaded = text_to_spec(text_rules=TextRules(cleaners=("strip_text",)))

    with pytest.raises(TextError, match="nothing is left to speak"):
        encode(text, loaded)


def test_a_spoken_text_has_as_many_frames_as_its_symbols_together(text_to_spec):
    spoken = speak_spec("a bad cab.", text_to_spec())

    assert spoken.spec.shape == (6, int(spoken.durations.sum()))
    assert len(spoken.durations) == 10
    assert spoken.spec.isfinite().all()


def test_a_higher_pace_is_faster(text_to_spec):
    frames = [speak_spec("a bad cab", text_to_spec(), pace=pace).spec.shape[1] for pace in (0.5, 1.0, 2.0)]

    assert frames[0] > frames[1] > frames[2]


def test_a_model_that_gives_no_symbol_any_time_still_makes_a_frame(text_to_spec, vocoder):
    loaded = text_to_spec()
    with torch.no_grad():
        loaded.model.variance_adaptor.duration_predictor.linear.bias.fill_(-9.0)

    spec = speak_spec("cab", loaded).spec

    assert spec.shape == (6, 1)
    assert vocode(spec, vocoder()).n_samples == 256


def test_each_speaker_speaks_in_its_own_way_and_the_first_one_is_the_default(text_to_spec):
    loaded = text_to_spec(sizes={"n_speakers": 2}, speakers=("ann", "bob"))
    specs = {name: speak_spec("bad", loaded, speaker=name).spec for name in (None, "ann", "bob")}

    assert specs[None].equal(specs["ann"])
    assert specs["bob"].shape != specs["ann"].shape or not specs["bob"].allclose(specs["ann"])


def test_an_unknown_name_is_refused_with_those_that_are_known():
    assert index_of(None, ("ann", "bob"), "speaker") == 0
    assert index_of("bob", ("ann", "bob"), "speaker") == 1
    with pytest.raises(TextError, match="no speaker 'eve': expected one of ann, bob"):
        index_of("eve", ("ann", "bob"), "speaker")


@pytest.mark.parametrize("n_frames", [1, 17])
def test_every_frame_becomes_one_hop_of_sound(vocoder, n_frames):
    audio = vocode(torch.randn(6, n_frames), vocoder())

    assert audio.n_samples == 256 * n_frames
    assert audio.sample_rate_hz == 22050


def test_a_vocoder_may_speak_at_another_rate_than_its_spectrogram(vocoder):
    assert vocode(torch.randn(6, 3), vocoder(output_sample_rate_hz=44100)).sample_rate_hz == 44100


def test_a_chain_speaks(text_to_spec, vocoder):
    chain = EveryVoiceChain(text_to_spec=text_to_spec(), spec_to_wav=vocoder())

    audio = chain.speak("a bad cab")

    assert audio.n_samples == 256 * speak_spec("a bad cab", chain.text_to_spec).spec.shape[1]
    assert audio.samples.abs().max() > 0


def test_a_chain_of_stages_that_do_not_fit_is_never_made(text_to_spec, vocoder):
    with pytest.raises(StagesDoNotFit):
        EveryVoiceChain(text_to_spec=text_to_spec(), spec_to_wav=vocoder(mel=mel_librosa(n_mels=7)))
