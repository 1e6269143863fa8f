import json

import pytest
import torch

from retimbre.audio.files import load_audio
from retimbre.audio.mel import MelSpec, everyvoice_mel, log_mel, mel_librosa
from retimbre.checkpoint.read import read_tensor
from retimbre.data.manifest import read_filelist
from retimbre.data.prepare import prepare
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import CheckpointError, DataError, StagesDoNotFit

MEL = mel_librosa()
UTTERANCE = Utterance(basename="sub/a", text="x", speaker="s", language="l")


def test_names_are_everyvoices(shared):
    project = shared / "parity/everyvoice_project/project"
    store = Store(project / "preprocessed")
    for utterance in read_filelist(project / "ljmini-filelist.psv"):
        assert store.audio_path(utterance, 22050).is_file()
        assert store.produced_spec_path(utterance, MEL).is_file()
        assert store.spec_path(utterance, MEL).with_suffix(".pt").is_file()
        assert store.pitch_path(utterance).with_suffix(".pt").is_file()
    assert store.load_stats().pitch.mean == pytest.approx(213.27, abs=0.01)


def test_features_of_an_everyvoice_project_agree_with_its_own(shared, tmp_path):
    project = shared / "parity/everyvoice_project"
    utterances = read_filelist(project / "project/ljmini-filelist.psv")
    store, theirs = Store(tmp_path / "p"), Store(project / "project/preprocessed")
    for utterance in utterances:
        path = store.audio_path(utterance, 22050)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(theirs.audio_path(utterance, 22050).read_bytes())
    prepare(utterances, tmp_path, store, mel=MEL, steps=("energy", "spec", "pitch"), n_workers=1)
    stats, expected = store.measure_stats(utterances), theirs.load_stats()
    assert stats.pitch.mean == pytest.approx(expected.pitch.mean, rel=2e-3)  # they have one frame more
    assert stats.pitch.std == pytest.approx(expected.pitch.std, rel=1e-2)
    assert stats.energy.to_dict() == pytest.approx(expected.energy.to_dict(), rel=1e-3)
    assert stats.character_length.to_dict() == pytest.approx(expected.character_length.to_dict())
    for utterance in utterances:
        spec = read_tensor(theirs.spec_path(utterance, MEL).with_suffix(".pt"))
        torch.testing.assert_close(store.load_spec(utterance, MEL), spec, atol=2e-3, rtol=0)


def test_produced_specs_are_read_in_both_orientations(tmp_path):
    store, spec = Store(tmp_path), torch.randn(80, 33)
    for stored in (spec, spec.T, spec[None], spec.double()):
        path = store.produced_spec_path(UTTERANCE, MEL)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(stored.clone(), path)
        torch.testing.assert_close(store.load_produced_spec(UTTERANCE, MEL), spec)
    store.write_produced_spec(UTTERANCE, spec, MEL)
    torch.testing.assert_close(torch.load(path, weights_only=True), spec)


def test_produced_spec_of_another_model_is_refused(tmp_path):
    store = Store(tmp_path)
    store.write_produced_spec(UTTERANCE, torch.randn(100, 33), MEL)
    with pytest.raises(DataError, match="expected 80 bands.*100 x 33"):
        store.load_produced_spec(UTTERANCE, MEL)


def test_missing_produced_spec_is_explained(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        Store(tmp_path).load_produced_spec(UTTERANCE, MEL)


def test_spec_of_another_kind_is_refused(tmp_path, record, recordings):
    store, utterance = Store(tmp_path / "p"), record("a")
    prepare([utterance], recordings, store, mel=MEL, n_workers=1)
    other = mel_librosa(high_hz=7600.0)
    with pytest.raises(StagesDoNotFit, match="high_hz"):
        store.load_spec(utterance, other)
    with pytest.raises(DataError, match="nothing of that name"):
        store.load_spec(utterance, everyvoice_mel())


def test_features_are_those_of_the_stored_audio(tmp_path, record, recordings):
    store, utterance = Store(tmp_path / "p"), record("a", rate_hz=44100)
    prepare([utterance], recordings, store, mel=MEL, n_workers=1)
    loaded = store.load_features(utterance, mel=MEL)
    stored = load_audio(store.audio_path(utterance, 22050))
    torch.testing.assert_close(loaded.samples, stored.samples, atol=0, rtol=0)
    torch.testing.assert_close(loaded.spec, log_mel(stored.samples, MEL), atol=1e-4, rtol=0)
    assert MelSpec.from_dict(json.loads(store.prepared_path.read_text())["mel"]) == MEL


@pytest.mark.parametrize("part", ["audio", "spec", "pitch", "energy"])
def test_damaged_feature_is_never_loaded(tmp_path, record, recordings, part):
    store, utterance = Store(tmp_path / "p"), record("a")
    prepare([utterance], recordings, store, mel=MEL, n_workers=1)
    paths = {
        "audio": store.audio_path(utterance, 22050),
        "spec": store.spec_path(utterance, MEL),
        "pitch": store.pitch_path(utterance),
        "energy": store.energy_path(utterance),
    }
    content = bytearray(paths[part].read_bytes())
    content[-20] ^= 64
    paths[part].write_bytes(content)
    with pytest.raises(DataError, match="cannot be used"):
        store.load_features(utterance, mel=MEL)


def test_features_of_different_length_are_refused(tmp_path, record, recordings):
    store, utterance = Store(tmp_path / "p"), record("a")
    prepare([utterance], recordings, store, mel=MEL, n_workers=1)
    store.write_energy(utterance, torch.randn(5), source="x")
    with pytest.raises(DataError, match="do not belong together.*found 5, 5"):
        store.load_features(utterance, mel=MEL)


def test_durations_come_back(tmp_path):
    store = Store(tmp_path)
    assert store.load_durations(UTTERANCE) is None
    store.write_durations(UTTERANCE, torch.tensor([3, 0, 5]))
    assert store.load_durations(UTTERANCE).tolist() == [3, 0, 5]
