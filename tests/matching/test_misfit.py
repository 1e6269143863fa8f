"""How far produced specs lie from real ones and what that costs decides whether matching can help."""

import pytest
import torch

from retimbre.data.utterance import Utterance
from retimbre.matching.misfit import Misfit, measure_misfit


def test_a_perfect_text_to_spec_model_has_no_misfit(material, vocoder, produce):
    produce(lambda spec: spec)

    misfit = measure_misfit(material, vocoder, material.held_out)

    assert misfit.spec_distance == 0
    assert misfit.loss_db == 0
    assert misfit.mcd_on_real_db > 0
    assert not misfit.can_help


def test_the_distance_is_the_mean_log_mel_difference(material, vocoder, produce):
    produce(lambda spec: spec + torch.where(torch.arange(20)[:, None] < 10, 0.3, -0.1))

    misfit = measure_misfit(material, vocoder, material.held_out)

    assert misfit.spec_distance == pytest.approx(0.2, abs=1e-5)
    assert misfit.mcd_on_produced_db != misfit.mcd_on_real_db


def test_only_the_given_utterances_count(material, vocoder, produce):
    produce(lambda spec: spec)
    one = material.held_out[0]
    far = material.store.load_spec(one, material.mel) - 2.0
    material.store.write_produced_spec(one, far, material.mel)

    assert measure_misfit(material, vocoder, [one]).spec_distance == pytest.approx(2.0, abs=1e-5)
    assert measure_misfit(material, vocoder, material.held_out).spec_distance == pytest.approx(
        2 / 3, abs=1e-5
    )
    assert measure_misfit(material, vocoder, material.held_out[1:]).spec_distance == 0


@pytest.mark.parametrize(
    ("distance", "loss_db", "can_help"),
    [(0.4, 1.9, True), (0.051, 0.11, True), (0.05, 1.9, False), (0.4, 0.1, False), (0.4, -2.0, False)],
)
def test_matching_can_help_where_specs_differ_and_the_vocoder_minds(distance, loss_db, can_help):
    misfit = Misfit(spec_distance=distance, mcd_on_real_db=4.0, mcd_on_produced_db=4.0 + loss_db)

    assert misfit.can_help is can_help
    assert ("matching can help" in misfit.sentence) is can_help
    assert ("little to win back" in misfit.sentence) is not can_help


def test_the_sentence_tells_all_numbers():
    misfit = Misfit(spec_distance=0.412, mcd_on_real_db=4.72, mcd_on_produced_db=6.61)

    for expected in ("0.41", "loses 1.9 dB", "4.7 → 6.6"):
        assert expected in misfit.sentence


def test_an_utterance_is_needed_whose_spec_was_produced(material, vocoder):
    with pytest.raises(Exception, match="u9"):
        measure_misfit(material, vocoder, [Utterance(basename="u9", text="x")])
