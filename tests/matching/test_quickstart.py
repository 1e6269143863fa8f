"""The quickstart finds recordings and their list, takes a folder of its own, and shares out the time."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
import torch

from retimbre.errors import DataError
from retimbre.jobs.listener import Silent
from retimbre.matching import quickstart
from retimbre.matching.match import Matched
from retimbre.matching.quickstart import Quickstart, run_quickstart
from retimbre.starter.find import starter_spec_to_wav, starter_text_to_spec


@dataclass
class Played:
    """What the quickstart asked of tuning and matching, which are only played here."""

    tuned_on: list
    requests: list


@pytest.fixture
def played(monkeypatch):
    found = Played([], [])

    def tune(asked, data, folder, listener):
        found.tuned_on.append(data)
        return folder / "tune" / "model.safetensors"

    def match(request, *, listener):
        found.requests.append(request)
        run = request.recipe.runs / "match"
        return Matched(run=run, model=run / "model.safetensors", report=run / "report.html")

    monkeypatch.setattr(quickstart, "_tune", tune)
    monkeypatch.setattr(quickstart, "match", match)
    return found


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "mine" / "wavs"
    folder.mkdir(parents=True)
    soundfile.write(folder / "a.wav", torch.randn(2000).numpy() * 0.1, 22050)
    return folder


def test_without_recordings_the_bundled_speaker_is_taken_and_called_synthetic(played, tmp_path):
    done = run_quickstart(Quickstart(folder=tmp_path / "qs"), listener=Silent())

    (request,) = played.requests
    assert request.recipe.data == played.tuned_on[0]
    assert request.recipe.data.held_out
    assert request.recipe.data.filelist.is_file()
    assert request.recipe.data.preprocessed == tmp_path / "qs" / "preprocessed"
    assert request.spec_model == tmp_path / "qs" / "tune" / "model.safetensors"
    assert request.base_spec_model == starter_text_to_spec()
    assert request.recipe.base == starter_spec_to_wav()
    assert request.has_control
    assert "synthetic" in request.notes[0]
    assert "expect a demonstration" in request.notes[-1]
    assert done.report == tmp_path / "qs" / "match" / "report.html"


def test_matched_and_control_share_what_tuning_leaves_of_the_time(played, tmp_path):
    run_quickstart(Quickstart(folder=tmp_path / "qs", training_s=600.0), listener=Silent())

    tuning_s = quickstart.TUNING_SHARE * 600
    assert 2 * played.requests[0].budget_s + tuning_s == pytest.approx(600)


def test_no_run_writes_over_an_older_one(played, tmp_path):
    places = []
    for _ in range(3):
        run_quickstart(Quickstart(folder=tmp_path / "qs"), listener=Silent())
        places.append(played.requests[-1].recipe.runs)
        (places[-1] / "something").write_text("kept")

    assert [place.name for place in places] == ["qs", "qs-2", "qs-3"]


def test_an_empty_folder_is_taken_as_it_is(played, tmp_path):
    (tmp_path / "qs").mkdir()

    run_quickstart(Quickstart(folder=tmp_path / "qs"), listener=Silent())

    assert played.requests[0].recipe.runs == tmp_path / "qs"


@pytest.mark.parametrize("place", ["wavs/metadata.csv", "metadata.csv", "filelist.psv"])
def test_the_list_is_found_beside_ones_own_recordings(played, recordings, tmp_path, place):
    path = tmp_path / "mine" / place
    path.write_text("a|text|text\n", encoding="utf-8")

    run_quickstart(Quickstart(audio=recordings, folder=tmp_path / "qs"), listener=Silent())

    data = played.tuned_on[0]
    assert data.filelist == path
    assert data.recordings == recordings
    assert data.held_out == ()
    assert all("synthetic" not in note for note in played.requests[0].notes)


def test_a_named_list_wins(played, recordings, tmp_path):
    (recordings / "metadata.csv").write_text("a|text|text\n", encoding="utf-8")
    other = tmp_path / "other.csv"
    other.write_text("a|text|text\n", encoding="utf-8")

    run_quickstart(Quickstart(audio=recordings, filelist=other, folder=tmp_path / "qs"), listener=Silent())

    assert played.tuned_on[0].filelist == other


def test_recordings_without_a_list_are_refused_with_what_to_write(played, recordings, tmp_path):
    with pytest.raises(DataError) as caught:
        run_quickstart(Quickstart(audio=recordings, folder=tmp_path / "qs"), listener=Silent())

    for expected in (str(recordings), "metadata.csv", "--filelist FILE", "'basename|text|text'"):
        assert expected in str(caught.value)
    assert played.requests == []


def test_relative_places_become_absolute(played, recordings, tmp_path, monkeypatch):
    (recordings / "metadata.csv").write_text("a|text|text\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    run_quickstart(Quickstart(audio=Path("mine/wavs"), folder=Path("qs")), listener=Silent())

    data = played.tuned_on[0]
    assert all(path.is_absolute() for path in (data.recordings, data.filelist, data.preprocessed))
