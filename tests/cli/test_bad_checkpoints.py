"""Checkpoints of another kind, damaged, or hostile: one clear line each, and nothing is lost or run."""

import os
import pickle
import pickletools
import zipfile
from dataclasses import replace

import pytest
import torch

from retimbre.audio.mel import everyvoice_mel, mel_librosa
from retimbre.models.load import load_model, save_model


class Command:
    """An object whose pickle runs a command as soon as it is read."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture
def touched(tmp_path):
    """The file that hostile code makes, if it ever runs."""
    return tmp_path / "owned"


@pytest.fixture
def hostile(tmp_path, touched):
    """A file as torch.save writes it, whose pickle touches a file: hostile("a.ckpt")."""

    def write(path):
        contents = {"state_dict": {"w": Command(f"touch {touched}")}}
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("made/data.pkl", pickle.dumps(contents, protocol=2))
            archive.writestr("made/version", "3\n")
        return path

    return write


def test_the_hostile_file_asks_for_a_call(hostile, tmp_path):
    # Read as opcodes, never run: the name of the function, then the opcode that calls it.
    with zipfile.ZipFile(hostile(tmp_path / "a.ckpt")) as archive:
        found = list(pickletools.genops(archive.read("made/data.pkl")))

    assert "posix system" in [argument for _, argument, _ in found]
    assert "REDUCE" in [opcode.name for opcode, _, _ in found]


# Where the hostile file is given: words of the command line, with its path and the project's.
PLACES = {
    "--base": "train text-to-spec {tuning} --base {bad}",
    "--base of a vocoder": "train spec-to-wav {matching} --base {bad}",
    "base in the recipe": "train text-to-spec {tuning} -c base={bad}",
    "--base in a dry run": "train text-to-spec {tuning} --dry-run --base {bad}",
    "--vocoder": "match {matching} --spec-model {text_to_spec} --vocoder {bad}",
    "--spec-model": "match {matching} --spec-model {bad}",
    "--base-spec-model": "match {matching} --spec-model {text_to_spec} --base-spec-model {bad}",
    "--match-with": "train spec-to-wav {matching} --match-with {bad}",
    "from-text": "synthesize from-text {bad} -t one -O spec",
    "--vocoder-path": "synthesize from-text {text_to_spec} -t one -v {bad}",
    "from-spec --model": "synthesize from-spec -i {text_to_spec} -m {bad}",
    "from-spec --input": "synthesize from-spec -i {bad} -m {vocoder}",
    "preprocess": "preprocess text-to-spec {tuning} -c base={bad}",
    "inspect": "inspect {bad}",
}


def words_for(place, project, bad):
    names = ("tuning", "matching", "text_to_spec", "vocoder")
    return PLACES[place].format(bad=bad, **{name: getattr(project, name) for name in names}).split()


@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_tries_to_run_code_is_refused_and_never_run(project, retimbre, hostile, touched, place):
    bad = hostile(project.root / "evil.ckpt")
    before = project.files()

    error = retimbre(*words_for(place, project, bad)).error

    assert f"{bad}: this file tries to run code: posix.system" in error
    assert "a source you trust" in error
    assert not touched.exists()
    assert project.files() == before


def test_a_hostile_produced_spec_is_refused_and_never_run(project, retimbre, hostile, touched):
    words = ("synthesize", "from-text", project.text_to_spec, "-O", "spec", "-f", project.filelist)
    assert retimbre(*words, "-T", project.preprocessed).code == 0
    (path,) = (project.preprocessed / "synthesized_spec").glob("u2--*.pt")
    hostile(path)
    before = project.files()

    error = retimbre("train", "spec-to-wav", project.matching, "-c", "training.spec_source=produced").error

    assert f"u2: {path}: this file tries to run code: posix.system" in error
    assert not touched.exists()
    assert project.files() == before


def garbage(path):
    path.write_bytes(b"no weights at all")


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def web_page(path):
    path.write_text("<!DOCTYPE html><html>Not found</html>")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (garbage, "holds no weights"),
        (cut, "damaged or cut short"),
        (web_page, "a web page"),
        (empty, "an empty file"),
    ],
)
def test_a_damaged_checkpoint_is_named(project, retimbre, damage, named):
    damage(project.text_to_spec)
    before = project.files()

    for words in (
        ("train", "text-to-spec", project.tuning),
        ("match", project.matching, "--spec-model", project.text_to_spec),
        ("synthesize", "from-text", project.text_to_spec, "-t", "one", "-O", "spec"),
        ("inspect", project.text_to_spec),
    ):
        error = retimbre(*words).error
        assert f"{project.text_to_spec}: " in error
        assert named in error
    assert project.files() == before


def test_a_checkpoint_of_no_known_family_is_named(project, retimbre, tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"rnn.weight": torch.randn(3, 4)}, path)

    error = retimbre("train", "text-to-spec", project.tuning, "--base", path).error

    assert str(path) in error
    assert "no family fits" in error or "known family" in error


# Where a checkpoint of the other stage is given, and what the line must name.
WRONG_STAGE = {
    "--base": (
        "train text-to-spec {tuning} --base {vocoder}",
        ["vocoder.safetensors", "text-to-spec", "found hifigan (spec-to-wav)"],
    ),
    "--base of a vocoder": (
        "train spec-to-wav {matching} --base {text_to_spec}",
        ["text-to-spec.safetensors", "spec-to-wav", "found fastspeech2 (text-to-spec)"],
    ),
    "--spec-model": (
        "match {matching} --spec-model {vocoder}",
        ["vocoder.safetensors", "expected a text-to-spec checkpoint, found hifigan"],
    ),
    "--vocoder": (
        "match {matching} --spec-model {text_to_spec} --vocoder {text_to_spec}",
        ["text-to-spec.safetensors", "expected a spec-to-wav checkpoint, found fastspeech2"],
    ),
    "--base-spec-model": (
        "match {matching} --spec-model {text_to_spec} --base-spec-model {vocoder}",
        ["vocoder.safetensors", "expected a text-to-spec checkpoint, found hifigan"],
    ),
    "from-text": (
        "synthesize from-text {vocoder} -t one -O spec",
        ["vocoder.safetensors", "expected a text-to-spec checkpoint, found hifigan"],
    ),
    "--vocoder-path": (
        "synthesize from-text {text_to_spec} -t one -v {text_to_spec}",
        ["text-to-spec.safetensors", "expected a spec-to-wav checkpoint, found fastspeech2"],
    ),
    "from-spec": (
        "synthesize from-spec -i {vocoder} -m {text_to_spec}",
        ["text-to-spec.safetensors", "expected a spec-to-wav checkpoint, found fastspeech2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", WRONG_STAGE)
def test_a_checkpoint_of_another_stage_is_named(project, retimbre, tmp_path, place):
    words, named = WRONG_STAGE[place]
    names = ("tuning", "matching", "text_to_spec", "vocoder")
    before = project.files()

    error = retimbre(*words.format(**{name: getattr(project, name) for name in names}).split()).error

    for expected in named:
        assert expected in error
    assert project.files() == before
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize(
    ("mel", "named"),
    [
        (everyvoice_mel(), "mel_scale"),
        (mel_librosa(high_hz=11000.0), "high_hz 8000.0 against 11000.0"),
    ],
)
def test_a_vocoder_of_another_spectrogram_is_named_with_what_differs(project, retimbre, tmp_path, mel, named):
    other = project.vocoder_of(mel)
    before = project.files()

    for words in (
        ("match", project.matching, "--spec-model", project.text_to_spec, "--vocoder", other),
        ("synthesize", "from-text", project.text_to_spec, "-t", "one", "-v", other),
    ):
        error = retimbre(*words).error
        assert "text-to-spec.safetensors and other.safetensors use different spectrograms" in error
        assert named in error
        assert "'retimbre inspect FILE' shows it" in error
    assert project.files() == before
    assert not list((tmp_path / "here").iterdir())


def test_a_text_to_spec_checkpoint_without_statistics_is_named(project, retimbre):
    error = retimbre("match", project.matching, "--spec-model", without_statistics(project)).error

    assert "bare.safetensors does not say what pitch and energy were normalised with" in error


def without_statistics(project):
    loaded = load_model(project.text_to_spec)
    return save_model(
        project.root / "bare.safetensors", loaded.model, replace(loaded.description, stats=None)
    )
