import pytest
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.data.lengths import mismatches
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
