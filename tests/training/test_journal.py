"""metrics.jsonl: one line per logged step, and none twice."""

import errno
import os

import pytest
import torch

from retimbre.audio.files import load_audio
from retimbre.errors import NoRoom
from retimbre.training.journal import Journal, read_journal
from retimbre.training.objective import Verdict


def written(run, *steps, **more):
    journal = Journal(run, **more)
    for step in steps:
        journal.write(step, {"loss": 1 / (step + 1)}, kind="training")
    journal.close()


def steps_in(run):
    return [line["step"] for line in read_journal(run, kind="training")]


def test_lines_are_read_back_by_kind(tmp_path):
    journal = Journal(tmp_path)
    journal.write(0, {"score": 2.5}, kind="validation")
    journal.write(1, {"loss": 1.23456789}, kind="training")
    journal.close()

    assert read_journal(tmp_path, kind="training") == [{"step": 1, "kind": "training", "loss": 1.234568}]
    assert read_journal(tmp_path, kind="validation") == [{"step": 0, "kind": "validation", "score": 2.5}]


def test_a_run_that_wrote_nothing_yet_has_no_lines(tmp_path):
    assert read_journal(tmp_path, kind="training") == []


def test_a_resumed_run_forgets_what_came_after_its_checkpoint(tmp_path):
    written(tmp_path, 0, 1, 2, 3, 4)
    written(tmp_path, 3, 4, 5, from_step=2)

    assert steps_in(tmp_path) == [0, 1, 2, 3, 4, 5]


def test_a_run_that_never_came_to_a_checkpoint_forgets_everything(tmp_path):
    written(tmp_path, 0, 1)
    written(tmp_path, 0, 1)

    assert steps_in(tmp_path) == [0, 1]


@pytest.mark.parametrize("torn", ['{"step": 3, "ki', "\x00\x00\x00", "[1]"])
def test_a_line_that_was_being_written_is_forgotten(tmp_path, torn):
    written(tmp_path, 1, 2)
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(torn)
    written(tmp_path, 3, from_step=2)

    assert steps_in(tmp_path) == [1, 2, 3]


def test_pictures_and_sounds_go_to_tensorboard(tmp_path):
    journal = Journal(tmp_path)
    before = sum(path.stat().st_size for path in (tmp_path / "events").iterdir())
    sounds = {"one": (torch.randn(3000), 22050)}
    journal.show(1, Verdict({}, 1.0, pictures={"one": torch.randn(5, 20)}, sounds=sounds))
    journal.close()

    assert sum(path.stat().st_size for path in (tmp_path / "events").iterdir()) > before + 1000


def test_a_full_disk_ends_in_one_line(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.close()

    def refuse(*arguments, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(NoRoom, match="the disk is full: the measures of step 7 could not be written"):
        journal.write(7, {"loss": 1.0}, kind="training")


def test_what_is_spoken_on_the_way_lies_in_samples_by_step_and_name(tmp_path):
    samples = torch.linspace(-0.5, 0.5, 220)
    journal = Journal(tmp_path)
    for step in (0, 500):
        journal.show(step, Verdict({}, 1.0, sounds={"validation/u 1": (samples, 22_050)}))
    journal.close()

    paths = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("samples/*/*"))
    assert paths == [f"samples/step-{step:06d}/validation-u 1.wav" for step in (0, 500)]
    audio = load_audio(tmp_path / paths[0])
    assert audio.sample_rate_hz == 22_050
    torch.testing.assert_close(audio.samples, samples, atol=2**-15, rtol=0)


def test_a_sound_that_is_no_number_is_silent_and_stops_no_run(tmp_path):
    journal = Journal(tmp_path)
    journal.show(3, Verdict({}, 1.0, sounds={"broken": (torch.tensor([0.25, float("nan")]), 8_000)}))
    journal.close()

    assert load_audio(tmp_path / "samples" / "step-000003" / "broken.wav").samples.tolist() == [0.25, 0.0]
