"""Bad recordings, lists and texts: one clear line each, exit code 1, and nothing is lost."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

from retimbre.data.tensors import read_tensors, write_tensors

LISTS = ("preprocessed/", "recordings/", "metadata.csv")  # what a test itself changes, or preparing rewrites


def stereo(wave, second):
    return np.stack([wave, second], axis=1)


# What is wrong with a recording, how to break it, and how the reason in left-out.tsv begins.
BAD_RECORDINGS = {
    "missing": (lambda p, n, s: (p.recordings / f"{n}.wav").unlink(), "no recording of that name"),
    "8 kHz": (lambda p, n, s: p.record(n, s(rate_hz=8000), 8000), "recorded below 16,000 Hz"),
    "corrupted": (
        lambda p, n, s: (p.recordings / f"{n}.wav").write_bytes(b"RIFF" + os.urandom(900)),
        "the recording cannot be decoded",
    ),
    "cut short": (
        lambda p, n, s: (p.recordings / f"{n}.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt "),
        "the recording cannot be decoded",
    ),
    "empty": (lambda p, n, s: p.record(n, np.zeros(0)), "the recording is empty"),
    "a stereo recording that cancels itself": (
        lambda p, n, s: p.record(n, stereo(s(), -s())),
        "the two channels of the recording cancel each other",
    ),
    "surround": (
        lambda p, n, s: p.record(n, np.stack([s()] * 4, 1)),
        "the recording cannot be used (4 channels)",
    ),
    "not a number": (
        lambda p, n, s: p.record(n, s() * np.nan, subtype="FLOAT"),
        "the recording cannot be used",
    ),
    "silent": (lambda p, n, s: p.record(n, np.zeros(22050)), "quieter than -36 LUFS"),
    "short": (lambda p, n, s: p.record(n, s(duration_s=0.2)), "shorter than 0.4 s"),
    "long": (lambda p, n, s: p.record(n, s(duration_s=12)), "longer than 11 s"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_RECORDINGS)
def test_one_bad_recording_is_left_out_with_its_reason_and_the_work_goes_on(project, retimbre, speak, what):
    breaking, reason = BAD_RECORDINGS[what]
    breaking(project, "u3", speak)
    before = project.files(but=LISTS)

    ended = retimbre("preprocess", "spec-to-wav", project.matching)

    assert ended.code == 0, ended.err
    assert "error" not in ended.err
    assert f"1 left out: {project.preprocessed / 'left-out.tsv'}" in ended.err
    rows = (project.preprocessed / "left-out.tsv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "basename\treason"
    assert rows[1].startswith(f"u3\t{reason}")
    assert len(rows) == 2
    assert project.files(but=LISTS) == before


@pytest.mark.parametrize("what", BAD_RECORDINGS)
def test_only_bad_recordings_end_in_one_line_with_the_reason(project, retimbre, speak, what):
    breaking, reason = BAD_RECORDINGS[what]
    project.say("one", "two")
    project.changed(project.matching, data__held_out=["u1"])
    for name in ("u0", "u1"):
        breaking(project, name, speak)
    before = project.files(but=LISTS)

    ended = retimbre("train", "spec-to-wav", project.matching)

    assert ended.error.startswith("error: none of 2 utterances can be used")
    assert f"2 x {reason.partition(' (')[0]}" in ended.error
    assert str(project.preprocessed / "left-out.tsv") in ended.error
    assert project.files(but=LISTS) == before
    assert not project.runs.exists()


def test_a_bad_recording_among_good_ones_does_not_stop_training(project, retimbre):
    (project.recordings / "u3.wav").write_bytes(b"no sound")

    ended = retimbre("train", "text-to-spec", project.tuning)

    assert ended.code == 0, ended.err
    assert (project.runs / "tune" / "model.safetensors").is_file()


def test_if_everything_held_out_is_bad_that_is_said(project, retimbre):
    for name in ("u1", "u4"):
        (project.recordings / f"{name}.wav").unlink()

    error = retimbre("train", "text-to-spec", project.tuning).error

    assert "too few utterances could be used" in error
    assert "0 held out" in error
    assert "left-out.tsv" in error


def test_stereo_is_mixed_to_mono_and_told_in_one_line(project, retimbre, speak):
    for name in ("u2", "u3"):
        project.record(name, stereo(speak(seed=1), speak(seed=2)))

    ended = retimbre("preprocess", "spec-to-wav", project.matching)

    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.err.splitlines() if "stereo" in line or "two channels" in line]
    assert "2 " in line


def test_stereo_is_mixed_to_mono_and_counted(project, retimbre, speak):
    for name in ("u2", "u3"):
        project.record(name, stereo(speak(seed=1), speak(seed=2)))

    assert retimbre("preprocess", "spec-to-wav", project.matching).code == 0

    assert json.loads((project.preprocessed / "prepared.json").read_text())["n_mixed"] == 2
    assert (project.preprocessed / "left-out.tsv").read_text() == "basename\treason\n"


# How the list is broken, and what the one line must name.
BAD_LISTS = {
    "missing": (lambda p: p.filelist.unlink(), ["metadata.csv cannot be read", "nothing of that name"]),
    "a folder": (
        lambda p: (p.filelist.unlink(), p.filelist.mkdir()),
        ["metadata.csv cannot be read", "a folder"],
    ),
    "empty": (lambda p: p.filelist.write_text(""), ["metadata.csv lists nothing", "one utterance per line"]),
    "blank": (lambda p: p.filelist.write_text("\n\n  \n"), ["metadata.csv"]),
    "not UTF-8": (lambda p: p.filelist.write_bytes("u0|größe\n".encode("latin-1")), ["not UTF-8", "line 1"]),
    "one column": (lambda p: p.filelist.write_text("u0\n"), ["line 1", "columns"]),
    "a header without text": (
        lambda p: p.filelist.write_text("basename|speaker\nu0|a\n"),
        ["lacks a column", "characters"],
    ),
    "no text": (lambda p: p.filelist.write_text("u0||\n"), ["line 1", "has no text"]),
    "twice": (lambda p: p.say(*["a"] * 8) or append(p, "u3|b|b\n"), ["more than once", "u3", "lines 4, 9"]),
    "a way out": (lambda p: p.filelist.write_text("../../etc|a|a\n"), ["'../../etc'", "line 1"]),
}


def append(project, line):
    with project.filelist.open("a", encoding="utf-8") as file:
        file.write(line)


@pytest.mark.parametrize("what", BAD_LISTS)
def test_a_bad_list_is_named_and_nothing_is_touched(project, retimbre, what):
    breaking, named = BAD_LISTS[what]
    breaking(project)
    before = project.files()

    error = retimbre("train", "text-to-spec", project.tuning).error

    for words in named:
        assert words in error
    assert project.files() == before


@pytest.mark.parametrize("is_there", [True, False])
def test_recordings_that_are_no_folder_are_named(project, retimbre, is_there):
    shutil.rmtree(project.recordings)
    if is_there:
        project.recordings.write_text("no folder")
    before = project.files()

    error = retimbre("preprocess", "text-to-spec", project.tuning).error

    assert str(project.recordings) in error
    assert ("found a file" if is_there else "found nothing of that name") in error
    assert project.files() == before


@pytest.mark.parametrize("command", ["train", "match"])
def test_letters_that_the_model_lacks_are_named_with_their_utterances(project, retimbre, command):
    project.say("one", "quite", "two", "unique", "a b", "c", "d", "e\u0416")
    before = project.files(but=LISTS)
    words = {
        "train": ("train", "text-to-spec", project.tuning),
        "match": ("match", project.matching, "--spec-model", project.text_to_spec),
    }

    error = retimbre(*words[command]).error

    assert "'q' in " in error
    assert "u1" in error
    assert "u3" in error
    assert "'\u0416' in u7" in error
    assert project.files(but=LISTS) == before
    assert not project.runs.exists()


@pytest.mark.parametrize("kind", ["texts", "a list of texts", "a list of utterances"])
def test_a_text_with_letters_that_the_model_lacks_names_them_before_anything_is_spoken(
    project, retimbre, kind, tmp_path
):
    texts = ["one two", "quick\nand 7", "three"]
    plain = tmp_path / "texts.txt"
    plain.write_text("one two\nquick and 7\nthree\n", encoding="utf-8")
    project.say("one two", "quick and 7", "three")
    given = {
        "texts": [word for text in texts for word in ("-t", text)],
        "a list of texts": ["-f", plain],
        "a list of utterances": ["-f", project.filelist],
    }
    before = project.files()

    error = retimbre("synthesize", "from-text", project.text_to_spec, "-O", "spec", *given[kind]).error

    assert "the model has no symbols for: 7 q" in error
    assert "quick and 7" in error
    assert project.files() == before
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_text_is_refused(project, retimbre, text):
    error = retimbre("synthesize", "from-text", project.text_to_spec, "-O", "spec", "-t", text).error

    assert "nothing is left to speak" in error


@pytest.mark.parametrize("stage", ["train", "match"])
def test_a_recording_too_short_for_its_text_is_left_out_and_told(project, retimbre, stage):
    project.say("one " * 60, *["a b"] * 7)
    words = {
        "train": ("train", "text-to-spec", project.tuning),
        "match": ("match", project.matching, "--spec-model", project.text_to_spec),
    }

    ended = retimbre(*words[stage])

    assert ended.code == 0, ended.err
    assert "1 utterances have more symbols than frames: left out" in " ".join(ended.err.split())
    assert "u0" in (project.preprocessed / "left-out.tsv").read_text(encoding="utf-8")


@pytest.mark.parametrize("n_more", [-3, 1])
def test_a_produced_spec_of_another_length_is_named_before_training(project, retimbre, n_more):
    words = ("synthesize", "from-text", project.text_to_spec, "-O", "spec", "-f", project.filelist)
    assert retimbre(*words, "-T", project.preprocessed).code == 0
    (path,) = (project.preprocessed / "synthesized_spec").glob("u2--*.pt")
    n_frames = torch.load(path, weights_only=True).shape[1]
    torch.save(torch.randn(80, n_frames + n_more), path)
    before = project.files()

    error = retimbre("train", "spec-to-wav", project.matching, "-c", "training.spec_source=produced").error

    assert "1 utterances have features of unequal length" in error
    assert (
        f"u2: the recording {n_frames}, its spec {n_frames} and the produced spec {n_frames + n_more}"
        in error
    )
    assert "--overwrite" in error
    assert project.files() == before


def test_a_real_spec_of_another_length_is_named_before_training(project, retimbre):
    (path,) = (project.preprocessed / "spec").glob("u2--*")
    there = read_tensors(path)
    spec = there.tensors["spec"]
    facts = {name: value for name, value in there.facts.items() if name in ("mel", "source")}
    write_tensors(path, {"spec": spec[:, :-1].contiguous()}, facts)
    before = project.files()

    error = retimbre("train", "spec-to-wav", project.matching).error

    assert f"u2: the recording {spec.shape[1]} and its spec {spec.shape[1] - 1} frames" in error
    assert project.files() == before


def test_produced_specs_that_are_missing_are_named_before_training(project, retimbre):
    error = retimbre("train", "spec-to-wav", project.matching, "-c", "training.spec_source=produced").error

    assert "6 utterances have" in error  # of eight: those that are held out need none
    assert "u0: " in error
    assert "and 1 more" in error
    assert not project.runs.exists()
