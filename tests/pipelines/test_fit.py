"""Two stages fit if one writes the spectrogram that the other reads; otherwise each difference is named."""

import pytest

from retimbre.audio.mel import mel_librosa
from retimbre.errors import StagesDoNotFit
from retimbre.pipelines.fit import require_fit, text_to_spec_in, vocoder_in


def test_stages_of_the_same_spectrogram_fit(text_to_spec, vocoder):
    require_fit(text_to_spec(), vocoder())


def test_stages_of_different_spectrograms_do_not_fit_and_every_difference_is_named(text_to_spec, vocoder):
    other = mel_librosa(n_mels=6, high_hz=11025.0, hop_samples=300)

    with pytest.raises(StagesDoNotFit) as caught:
        require_fit(text_to_spec(), vocoder(mel=other))

    assert "tuned.safetensors and vocoder.safetensors use different spectrograms" in str(caught.value)
    assert "high_hz 8000.0 against 11025.0" in str(caught.value)
    assert "hop_samples 256 against 300" in str(caught.value)
    assert "retimbre inspect" in str(caught.value)


def test_stages_in_the_wrong_places_are_named(text_to_spec, vocoder):
    with pytest.raises(StagesDoNotFit, match="vocoder.safetensors .*expected a text-to-spec checkpoint"):
        require_fit(vocoder(), text_to_spec())
    with pytest.raises(StagesDoNotFit, match="tuned.safetensors .*expected a spec-to-wav checkpoint"):
        require_fit(text_to_spec(), text_to_spec())


def test_the_network_of_the_right_stage_comes_back(text_to_spec, vocoder):
    one, other = text_to_spec(), vocoder()

    assert text_to_spec_in(one) is one.model
    assert vocoder_in(other) is other.model
