"""Segments and batches: equally long, padded with silence."""

import pytest
import torch

from retimbre.errors import DataError
from retimbre.models.hifigan.batch import VocoderItem, collate, cut, n_starts

HOP, SILENCE = 4, -11.5


def item(n_frames, n_mels=3):
    return VocoderItem(spec=torch.randn(n_mels, n_frames), samples=torch.randn(n_frames * HOP))


def test_a_segment_holds_the_frames_and_exactly_their_samples():
    whole = item(11)

    segment = cut(whole, 3, 5, hop_samples=HOP, silence=SILENCE)

    assert segment.spec.equal(whole.spec[:, 3:8])
    assert segment.samples.equal(whole.samples[12:32])


@pytest.mark.parametrize("n_frames", [1, 4, 7])
def test_short_utterances_are_continued_with_silence(n_frames):
    whole = item(n_frames)

    segment = cut(whole, 0, 8, hop_samples=HOP, silence=SILENCE)

    assert (segment.n_frames, len(segment.samples)) == (8, 32)
    assert segment.spec[:, :n_frames].equal(whole.spec)
    assert segment.spec[:, n_frames:].eq(SILENCE).all()
    assert segment.samples[n_frames * HOP :].eq(0).all()


def test_every_start_gives_a_full_segment():
    whole = item(10)

    assert n_starts(whole, 8) == 3
    assert n_starts(whole, 99) == 1
    last = cut(whole, n_starts(whole, 8) - 1, 8, hop_samples=HOP, silence=SILENCE)
    assert last.spec.equal(whole.spec[:, 2:])


def test_a_batch_tells_what_is_real():
    items = [item(3), item(5), item(1)]

    batch = collate(items, hop_samples=HOP, silence=SILENCE)

    assert batch.spec.shape == (3, 3, 5)
    assert batch.wave.shape == (3, 1, 20)
    assert batch.n_frames.tolist() == [3, 5, 1]
    assert batch.spec[0, :, 3:].eq(SILENCE).all()
    assert batch.wave[2, 0, 4:].eq(0).all()
    assert batch.wave[1, 0].equal(items[1].samples)
    assert batch.to("cpu").spec.equal(batch.spec)


@pytest.mark.parametrize("extra", [-4, -1, 1, 4])
def test_a_spec_of_another_length_than_its_recording_is_refused(extra):
    wrong = VocoderItem(spec=torch.randn(3, 6), samples=torch.randn(6 * HOP + extra))
    message = f"not equally long: expected 24 samples for 6 frames of 4, found {24 + extra} samples"

    with pytest.raises(DataError, match=message):
        cut(wrong, 0, 2, hop_samples=HOP, silence=SILENCE)
    with pytest.raises(DataError, match=message):
        collate([item(6), wrong], hop_samples=HOP, silence=SILENCE)


def test_a_start_outside_and_an_empty_batch_are_refused():
    with pytest.raises(DataError, match="expected a frame from 0 to 5, found 6"):
        cut(item(6), 6, 2, hop_samples=HOP, silence=SILENCE)
    with pytest.raises(DataError, match="at least one utterance"):
        collate([], hop_samples=HOP, silence=SILENCE)
