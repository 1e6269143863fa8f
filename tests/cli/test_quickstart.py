"""The quickstart ends with its report; bad input ends in one line and an interruption with 130."""

import pytest

from retimbre.matching import quickstart
from retimbre.matching.match import Matched


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Play the whole job: play(report=…); what was asked for comes back."""

    def patch(**result):
        asked = []

        def run(request, *, listener):
            asked.append(request)
            return Matched(run=tmp_path, model=tmp_path / "model.safetensors", **result)

        monkeypatch.setattr(quickstart, "run_quickstart", run)
        return asked

    return patch


def test_the_report_is_told_on_stdout(retimbre, play, tmp_path, project):
    asked = play(report=tmp_path / "report.html")

    ended = retimbre("quickstart", "--audio", project.recordings, "--minutes", 0.5, "-o", tmp_path / "qs")

    assert (ended.code, ended.out) == (0, f"{tmp_path / 'report.html'}\n")
    (request,) = asked
    assert request.audio == project.recordings
    assert request.folder == tmp_path / "qs"
    assert request.training_s == 30.0
    assert request.device in ("cpu", "cuda", "mps")  # never auto


def test_an_interrupted_quickstart_ends_with_130_and_tells_no_report(retimbre, play):
    play(report=None, was_interrupted=True)

    ended = retimbre("quickstart")

    assert (ended.code, ended.out) == (130, "")


def test_recordings_without_a_list_end_in_one_line(retimbre, project, tmp_path):
    project.filelist.unlink()

    error = retimbre("quickstart", "--audio", project.recordings, "-o", tmp_path / "qs").error

    assert f"no list of texts beside {project.recordings}" in error
    assert "--filelist FILE" in error


def test_recordings_of_which_none_can_be_used_end_in_one_line(retimbre, project, tmp_path):
    for path in project.recordings.iterdir():
        path.write_bytes(b"no sound")

    error = retimbre("quickstart", "--audio", project.recordings, "-o", tmp_path / "qs").error

    assert "none of 8 utterances can be used" in error
    assert str(tmp_path / "qs" / "preprocessed" / "left-out.tsv") in error


@pytest.mark.slow
def test_half_a_minute_of_training_ends_in_a_report(retimbre, tmp_path):
    ended = retimbre("quickstart", "--minutes", 0.5, "-o", tmp_path / "qs")

    assert ended.code == 0, ended.err
    assert (tmp_path / "qs" / "match" / "report.html").is_file()
