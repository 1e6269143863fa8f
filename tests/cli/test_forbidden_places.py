"""Places that may not be written to or read, and files where folders are needed: one clear line."""

import errno
import os
import shutil
from pathlib import Path

import pytest

PREPARED = ("preprocessed/",)

# Words that write to a place, which is forbidden.
WRITING = {
    "preprocess": "preprocess text-to-spec {tuning} -C 1 -c data.preprocessed={place}/new",
    "train": "train text-to-spec {tuning} -c runs={place}",
    "match": "match {matching} --spec-model {text_to_spec} -c runs={place}",
    "from-text": "synthesize from-text {text_to_spec} -t one -v {vocoder} -o {place}",
    "from-text -O spec": "synthesize from-text {text_to_spec} -t one -O spec -o {place}",
    "from-spec": "synthesize from-spec -i {spec} -m {vocoder} -o {place}/a.wav",
    "from-spec into a new folder": "synthesize from-spec -i {spec} -m {vocoder} -o {place}/new/a.wav",
}


def written_to(place, project, retimbre, words):
    spec = (
        project.root / "spec" / "synthesized_spec" / "one--default--default--spec-pred-22050-mel-librosa.pt"
    )
    assert (
        retimbre(
            "synthesize",
            "from-text",
            project.text_to_spec,
            "-t",
            "one",
            "-O",
            "spec",
            "-o",
            project.root / "spec",
        ).code
        == 0
    )
    names = ("tuning", "matching", "text_to_spec", "vocoder")
    values = {name: getattr(project, name) for name in names}
    before = project.files(but=PREPARED)
    error = retimbre(*WRITING[words].format(place=place, spec=spec, **values).split()).error
    assert project.files(but=PREPARED) == before
    return error


@pytest.mark.parametrize("words", WRITING)
def test_a_place_that_may_not_be_written_to_is_named(project, retimbre, small_disk, words):
    place = small_disk(1000, is_read_only=True)

    assert str(place) in written_to(place, project, retimbre, words)


@pytest.mark.parametrize("words", WRITING)
def test_a_file_where_a_folder_is_needed_is_named(project, retimbre, words):
    place = project.root / "occupied"
    place.write_text("a file")

    assert str(place) in written_to(place, project, retimbre, words)


def test_a_preprocessed_folder_that_is_a_file_is_named(project, retimbre):
    shutil.rmtree(project.preprocessed)
    project.preprocessed.write_text("a file")
    before = project.files()

    for words in (
        ("preprocess", "text-to-spec", project.tuning),
        ("train", "text-to-spec", project.tuning),
        ("match", project.matching, "--spec-model", project.text_to_spec),
    ):
        error = retimbre(*words).error
        assert str(project.preprocessed) in error
        assert "ot a directory" in error
    assert project.files() == before


def test_a_run_folder_that_is_a_file_is_named(project, retimbre):
    project.runs.mkdir()
    (project.runs / "tune").write_text("a file")

    assert str(project.runs / "tune") in retimbre("train", "text-to-spec", project.tuning).error


def test_a_file_that_may_not_be_read_is_named(project, retimbre, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)  # root may read everything, so the permission is played
        error = retimbre("train", "text-to-spec", project.tuning).error

    assert f"{project.filelist}: Permission denied" in error
    assert "permissions" in error
