import pytest
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.data.lengths import long_texts, mismatches
from retimbre.data.prepare import prepare
from retimbre.data.store import Store

MEL = mel_librosa()


@pytest.fixture
def prepared(tmp_path, record, recordings):
    store, utterances = Store(tmp_path / "p"), [record("a"), record("b", duration_s=0.9)]
    prepare(utterances, recordings, store, mel=MEL, n_workers=1)
    return store, utterances


def test_whole_store_has_no_mismatches(prepared):
    store, utterances = prepared
    assert mismatches(store, utterances, MEL) == []


def test_produced_spec_of_another_length_is_found(prepared):
    store, utterances = prepared
    for utterance, more in zip(utterances, (0, 1), strict=True):
        n_frames = store.load_spec(utterance, MEL).shape[1]
        store.write_produced_spec(utterance, torch.randn(80, n_frames + more), MEL)
    (found,) = mismatches(store, utterances, MEL, with_produced=True)
    assert found.utterance == utterances[1]
    assert (found.audio_frames, found.spec_frames, found.produced_frames) == (77, 77, 78)
    assert found.reason == "the recording 77, its spec 77 and the produced spec 78 frames"


def test_missing_and_damaged_parts_are_found(prepared):
    store, utterances = prepared
    store.spec_path(utterances[0], MEL).write_bytes(b"x" * 99)
    first, second = mismatches(store, utterances, MEL, with_produced=True)
    assert (first.audio_frames, first.spec_frames) == (51, None)
    assert "damaged" in first.reason
    assert (second.spec_frames, second.produced_frames) == (77, None)


def test_a_text_with_more_symbols_than_frames_is_found_and_one_that_just_fits_is_not(record):
    utterances = [record("fits"), record("long"), record("short")]
    n_symbols = {"fits": 51, "long": 52, "short": 3}
    (found,) = long_texts(utterances, n_symbols=lambda u: n_symbols[u.basename], n_frames=lambda u: 51)
    assert found.utterance == utterances[1]
    assert found.reason == "the text is longer than the sound (52 symbols, 51 frames)"
