"""EveryVoice's folder of features: read where it fits, and never written to."""

import shutil

import pytest
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.data.adopted import Adopted
from retimbre.data.prepare import RecordedSet, prepare_sets
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError

MEL = mel_librosa()
STEM = "{}--speaker_0--eng"
NAMES = ("LJ001-0002", "LJ001-0011", "LJ002-0035", "LJ014-0285")


@pytest.fixture
def folder(parity, tmp_path):
    """A copy of what EveryVoice prepared, which a test may change."""
    source = parity("everyvoice_project") / "project" / "preprocessed"
    return shutil.copytree(source, tmp_path / "theirs")


@pytest.fixture
def utterances():
    return [Utterance(basename=name, text="a", speaker="speaker_0", language="eng") for name in NAMES]


@pytest.fixture
def ours(folder, utterances, tmp_path):
    """Our own features of its audio."""
    store = Store(tmp_path / "ours")
    one = RecordedSet(utterances=utterances, recordings=folder, are_cleaned=True)
    prepare_sets([one], store, mel=MEL, n_workers=1)
    return store


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_its_audio_is_taken_sample_by_sample(folder, ours, utterances):
    theirs = Store(folder)
    for utterance in utterances:
        assert ours.load_audio(utterance, MEL).samples.equal(theirs.load_audio(utterance, MEL).samples)


def test_its_specs_are_ours_within_what_16_bits_cost(folder, ours, utterances):
    difference = Adopted(folder).spec_difference(utterances, ours, MEL)

    assert difference.n_compared == 4
    assert difference.largest < 1e-3
    assert difference.sentence.endswith("from ours, which are used (4 compared)")


def test_specs_of_either_orientation_are_the_same(folder, ours, utterances):
    before = Adopted(folder).spec_difference(utterances, ours, MEL)
    for path in (*(folder / "spec").iterdir(), *(folder / "synthesized_spec").iterdir()):
        torch.save(torch.load(path, weights_only=True).T.contiguous(), path)

    assert Adopted(folder).spec_difference(utterances, ours, MEL) == before
    assert Adopted(folder).copy_produced_specs(utterances, ours, MEL) == 4
    assert all(ours.load_produced_spec(u, MEL).shape == ours.load_spec(u, MEL).shape for u in utterances)


def test_specs_of_another_length_are_told(folder, ours, utterances):
    path = folder / "spec" / f"{STEM.format(NAMES[0])}--spec-22050-mel-librosa.pt"
    torch.save(torch.load(path, weights_only=True)[:, :-1].clone(), path)

    assert "of another length" in Adopted(folder).spec_difference(utterances, ours, MEL).sentence


def test_durations_and_produced_specs_are_copied_and_nothing_of_it_changes(folder, ours, utterances):
    (folder / "duration").mkdir()
    torch.save(
        torch.tensor([3, 0, 5], dtype=torch.int32),
        folder / "duration" / f"{STEM.format(NAMES[1])}--duration.pt",
    )
    before = files_in(folder)
    adopted = Adopted(folder)

    assert adopted.has_durations
    assert adopted.has_produced_specs
    assert adopted.copy_durations(utterances, ours) == 1
    assert adopted.copy_produced_specs(utterances, ours, MEL) == 4
    assert ours.load_durations(utterances[1]).tolist() == [3, 0, 5]
    assert files_in(folder) == before


@pytest.mark.parametrize("values", [[[1.0]], [1.0, float("nan")], [3, -1]])
def test_what_is_no_durations_is_refused(folder, utterances, values):
    (folder / "duration").mkdir()
    torch.save(torch.tensor(values), folder / "duration" / f"{utterances[0].stem}--duration.pt")

    with pytest.raises(DataError, match="holds no durations"):
        Adopted(folder).durations(utterances[0])


def test_an_utterance_that_everyvoice_left_out_is_left_out_with_the_reason(folder, utterances, tmp_path):
    (folder / "audio" / f"{utterances[2].stem}--audio-22050.wav").unlink()
    one = RecordedSet(utterances=utterances, recordings=folder, are_cleaned=True)
    prepared = prepare_sets([one], Store(tmp_path / "ours"), mel=MEL, n_workers=1)

    assert [left.reason for left in prepared.left_out] == ["EveryVoice has not prepared it"]
    assert len(prepared.kept) == 3
