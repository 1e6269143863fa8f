"""The losses of each utterance are those that everyvoice 0.5.0 computes of the same model and audio."""

import csv
from pathlib import Path

import pytest

from building.listeners import Heard
from retimbre.data.manifest import read_filelist
from retimbre.data.prepare import RecordedSet
from retimbre.diagnose.scores import COLUMNS, score_sets, write_scores
from retimbre.jobs.listener import Silent
from retimbre.models.fastspeech2.loss import LossWeights
from retimbre.models.load import load_model

THEIRS = Path(__file__).parents[1] / "fixtures/everyvoice/scores/scores-40.psv"
MODEL = "project/logs_and_checkpoints/FeaturePredictionExperiment/base/checkpoints/last.ckpt"
TEXTS = ("basename", "speaker", "language", "raw_text")
OF_EPOCH_0 = {"attn_bin", "total"}  # EveryVoice counts the alignment's hardness as if training had just begun


def rows(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines(), delimiter="|"))


def test_scores_are_everyvoices(parity, tmp_path):
    project = parity("everyvoice_project") / "project"
    utterances = read_filelist(project / "preprocessed" / "filelist.psv")
    prepared = RecordedSet(utterances=utterances, recordings=project / "preprocessed", are_cleaned=True)
    model = load_model(parity("everyvoice_project") / MODEL)

    path = write_scores(tmp_path, score_sets([prepared], model, LossWeights(), Silent()), 40)

    assert path.name == THEIRS.name
    ours, theirs = rows(path), rows(THEIRS)
    assert tuple(ours[0]) == tuple(theirs[0]) == COLUMNS
    for our, their in zip(ours, theirs, strict=True):
        assert [our[name] for name in TEXTS] == [their[name] for name in TEXTS]
        for name in set(COLUMNS) - set(TEXTS) - OF_EPOCH_0:
            assert float(our[name]) == pytest.approx(float(their[name]), rel=1e-4), name
        assert float(our["attn_bin"]) > 0
        without = float(our["total"]) - float(our["attn_bin"])
        assert without == pytest.approx(float(their["total"]), rel=1e-4)


def test_what_cannot_be_heard_or_read_has_no_score_and_is_named(parity, tmp_path):
    project = parity("everyvoice_project") / "project"
    (tmp_path / "list.psv").write_text(
        "basename|speaker|language|characters\nnone|speaker_0|eng|in being\nLJ001-0002|speaker_0|eng|\u20ac\n"
        "LJ002-0035|speaker_0|eng|8. the press yard.\n",
        encoding="utf-8",
    )
    prepared = RecordedSet(
        utterances=read_filelist(tmp_path / "list.psv"),
        recordings=project / "preprocessed",
        are_cleaned=True,
    )
    model = load_model(parity("everyvoice_project") / MODEL)
    listener = Heard()
    scores = score_sets([prepared], model, LossWeights(), listener)
    assert [score.utterance.basename for score in scores] == ["LJ002-0035"]
    assert [line.partition(": ")[0] for line in listener.of("Not scored")] == ["none", "LJ001-0002"]
