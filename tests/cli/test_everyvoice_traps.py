"""Twenty traps that a new user of EveryVoice 0.5.0 falls into, one test for each: here none of them is."""

import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
import torch

from retimbre.models.load import load_model

FIXTURES = Path(__file__).parents[1] / "fixtures" / "everyvoice"
UNKNOWN = "Quick €5 test?"


@dataclass(frozen=True)
class Theirs:
    """A copy of a small project that EveryVoice has made and trained."""

    root: Path

    text_to_spec = property(lambda self: self.root / "config" / "everyvoice-text-to-spec.yaml")
    spec_to_wav = property(lambda self: self.root / "config" / "everyvoice-spec-to-wav.yaml")
    preprocessed = property(lambda self: self.root / "preprocessed")
    logs = property(lambda self: self.root / "logs_and_checkpoints")
    exported = property(lambda self: self.root / "exported.ckpt")
    model = property(
        lambda self: self.logs / "FeaturePredictionExperiment" / "nopostnet" / "checkpoints" / "last.ckpt"
    )

    def contents(self, folder: Path) -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def theirs(parity, tmp_path, monkeypatch):
    source, copy = parity("everyvoice_project"), Theirs(tmp_path / "made" / "project")
    shutil.copytree(source / "recordings", copy.root.parent / "recordings")
    heavy = shutil.ignore_patterns("synthesis_output", "base")
    shutil.copytree(source / "project", copy.root, ignore=heavy)
    vocoder = "logs_and_checkpoints/VocoderExperiment/base/checkpoints"
    shutil.copytree(source / "project" / vocoder, copy.root / vocoder)
    monkeypatch.chdir(copy.root)
    return copy


@pytest.fixture
def done(retimbre):
    """`retimbre WORDS`, which must succeed."""

    def call(*words):
        ended = retimbre(*words)
        assert ended.code == 0, ended.err
        return ended

    return call


# Training of the project's vocoder: few steps, discriminators of a bearable size.
SMALL = ("-a", "cpu", "-c", "training.finetune_checkpoint=exported.ckpt", "-c", "discriminators.width=0.02")


def test_an_address_in_a_project_is_never_looked_up(theirs, done, monkeypatch):
    """Trap 1: EveryVoice's wizard looks up the domain of the e-mail address, and offline nobody gets on.

    `new-project` comes later: no command opens a connection, here on EveryVoice's project, and in
    test_everyvoice_guides.py through both of its guides.
    """

    def refuse(*words):
        raise AssertionError(f"the network is asked: {words}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    done("preprocess", "text-to-spec", theirs.text_to_spec)
    done("train", "text-to-spec", theirs.text_to_spec, "-a", "cpu", "--dry-run")
    done("check", "data", theirs.text_to_spec, theirs.model, "-n", 1)
    done("synthesize", "from-text", theirs.model, "-t", "in being.", "-v", theirs.exported, "-O", "wav")
    done("export", "spec-to-wav", theirs.exported, "-o", "small.ckpt")
    done("checkpoint", "inspect", theirs.exported)
    done("g2p", "eng", "ljmini-filelist.psv")


def test_phones_that_are_declared_are_not_called_undeclared(theirs, done):
    """Trap 2: EveryVoice warns of phones that are declared, and leaves them out of its lists."""
    assert "ɹ" not in done("preprocess", "text-to-spec", theirs.text_to_spec).err
    words = ("-c", theirs.text_to_spec, "--psv-file", theirs.root / "ljmini-filelist.psv")
    out = done("check", "text-config", *words).out
    assert "phones\tnothing is missing" in out


def test_both_models_are_prepared_from_one_project_without_a_lock(theirs, done):
    """Traps 3 and 6: EveryVoice's two preprocessors refuse each other's folder, to and fro."""
    for _ in range(2):
        done("preprocess", "text-to-spec", theirs.text_to_spec)
        done("preprocess", "spec-to-wav", theirs.spec_to_wav)


def test_overwriting_takes_nothing_away(theirs, done):
    """Trap 4: with --overwrite EveryVoice removes the tokens from the lists of the other model."""
    before = theirs.contents(theirs.preprocessed)
    assert any(b"character_tokens" in content for content in before.values())
    done("preprocess", "text-to-spec", theirs.text_to_spec)
    lists = {path: path.read_bytes() for path in (theirs.root / "runs" / "preprocessed").glob("*.psv")}
    assert lists
    assert all(b"|phones|" in content for content in lists.values())
    done("preprocess", "spec-to-wav", theirs.spec_to_wav, "--overwrite")
    assert {path: path.read_bytes() for path in lists} == lists
    assert theirs.contents(theirs.preprocessed) == before


def test_a_list_without_what_is_read_is_named_as_the_cause(project, retimbre):
    """Trap 5: EveryVoice speaks of too few data and of the batch size where a column is missing."""
    rows = [f"u{number}|a b" for number in range(8)]
    project.filelist.write_text("\n".join(["basename|phones", *rows]) + "\n")
    error = retimbre("train", "text-to-spec", project.tuning, "-a", "cpu").error
    assert "has no characters: expected a column 'characters'" in error


def test_a_batch_may_be_larger_than_the_validation_list(project, done):
    """Trap 7: EveryVoice refuses a batch that is larger than the list it validates on, one by one."""
    done("train", "text-to-spec", project.tuning, "-a", "cpu", "--dry-run", "-c", "training.batch_size=16")


@pytest.mark.parametrize("postnet_dim", [8, 13])
def test_a_tiny_model_is_tiny_also_with_a_post_net(theirs, done, postnet_dim):
    """Trap 8: EveryVoice's post-net has 4.3 M parameters, whatever the size of the rest."""
    words = ("-a", "cpu", "-c", "training.max_steps=1", "-c", f"text_to_spec.postnet_dim={postnet_dim}")
    model = load_model(Path(done("train", "text-to-spec", theirs.text_to_spec, *words).out.strip())).model
    assert model.config.postnet_dim == postnet_dim  # as the tensors say
    assert sum(p.numel() for p in model.postnet.parameters()) < 20_000
    assert sum(p.numel() for p in model.parameters()) < 300_000  # EveryVoice: 4.5 M


def test_a_run_is_small_counts_once_and_ends_in_one_name(theirs, done):
    """Traps 8 to 11: fixed sizes of discriminators, each save twice and huge, doubled steps, last-v1.ckpt."""
    before = theirs.contents(theirs.logs)
    ended = done("train", "spec-to-wav", theirs.spec_to_wav, *SMALL, "-c", "training.max_steps=4")
    model = theirs.root / "runs" / "VocoderExperiment-base" / "model.safetensors"
    assert ended.out == f"{model}\n"
    whole = sum(path.stat().st_size for path in model.parent.rglob("*") if path.is_file())
    assert whole < 2_000_000  # EveryVoice: 436 MB
    assert len(list((model.parent / "checkpoints").iterdir())) == 1
    assert "4 are 2 steps here" in ended.err
    assert load_model(model).description.step == 2
    assert theirs.contents(theirs.logs) == before


def test_a_sound_without_a_vocoder_is_told_which_word_is_missing(theirs, retimbre):
    """Trap 12: the command in EveryVoice's guide lacks the vocoder."""
    error = retimbre("synthesize", "from-text", theirs.model, "-t", "in being.").error
    assert "Give --vocoder-path FILE, or write specs only with -O spec" in error


def test_a_sound_never_lands_in_the_training_material(theirs, done):
    """Trap 13: EveryVoice writes the sound beside its input, also in preprocessed/spec."""
    before = theirs.contents(theirs.preprocessed)
    (spec,) = (theirs.preprocessed / "spec").glob("LJ001-0002*.pt")
    path = Path(done("synthesize", "from-spec", "-i", spec, "-m", theirs.exported).out.strip())
    assert path.is_file()
    assert theirs.preprocessed not in path.resolve().parents
    assert theirs.contents(theirs.preprocessed) == before


def test_the_learning_rate_may_stay_as_it_was(theirs, done):
    """Trap 14: matching with an unchanged learning rate, EveryVoice loads the old optimiser and stops."""
    words = ("-a", "cpu", "-c", "training.finetune=True", "-c", "training.optimizer.learning_rate=1e-4")
    ended = done("train", "spec-to-wav", theirs.spec_to_wav, *words, "--dry-run")
    assert "last.ckpt: hifigan, 0.0 M parameters, with discriminators" in ended.err
    assert "Frozen" in ended.err


@pytest.mark.parametrize("place", ["on the command line", "in the file"])
def test_a_wrong_path_never_means_from_scratch(theirs, retimbre, place):
    """Trap 15: EveryVoice trains from scratch, without a word, where the checkpoint is not there."""
    words = []
    if place == "in the file":
        text = theirs.spec_to_wav.read_text()
        theirs.spec_to_wav.write_text(text.replace("last.ckpt", "lost.ckpt"))
        assert "lost.ckpt" in theirs.spec_to_wav.read_text()
    else:
        words = ["-c", "training.finetune_checkpoint=lost.ckpt"]
    error = retimbre("train", "spec-to-wav", theirs.spec_to_wav, "-a", "cpu", *words).error
    assert "lost.ckpt" in error
    assert not (theirs.root / "runs").exists()


@pytest.mark.parametrize("path", ["exported.ckpt", "../exported.ckpt"])
def test_a_path_is_found_from_the_current_folder_or_the_files(theirs, done, path):
    """Trap 16: EveryVoice sees paths of -c from the current folder, those of the file from its own."""
    words = (*SMALL, "-c", f"training.finetune_checkpoint={path}", "-c", "training.max_steps=2")
    assert "exported.ckpt: hifigan" in done("train", "spec-to-wav", theirs.spec_to_wav, *words).err


def test_unknown_letters_are_named_and_not_swallowed(theirs, retimbre, tmp_path):
    """Trap 17: EveryVoice leaves letters that the model does not know out, without a word."""
    error = retimbre("synthesize", "from-text", theirs.model, "-t", UNKNOWN, "-O", "spec").error
    assert "no symbols for: 5 k q €" in error
    (tmp_path / "text.txt").write_text(UNKNOWN, encoding="utf-8")
    words = ("-m", theirs.model, "--text-file", tmp_path / "text.txt", "-l", "eng")
    assert "characters\t'€': 1" in retimbre("check", "text-config", *words).out


def test_a_model_of_phonological_features_can_be_loaded(done, tmp_path, monkeypatch):
    """Trap 18: EveryVoice cannot load its own models of phonological features."""
    monkeypatch.chdir(tmp_path)
    folder = FIXTURES / "fs2_features"
    (text, *_) = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["texts"]
    words = ("-t", text, "--text-representation", "phones", "-O", "spec")
    (path,) = done("synthesize", "from-text", folder / "model.ckpt", *words).out.splitlines()
    assert torch.load(path, weights_only=True).isfinite().all()


@pytest.mark.parametrize("has_batch", [False, True])
def test_an_inverse_stft_vocoder_turns_a_spec_into_sound(project, done, tmp_path, has_batch):
    """Trap 19: from-spec of EveryVoice fails with every inverse-STFT vocoder, with and without a batch."""
    spec = torch.randn(80, 33) - 5
    torch.save(spec[None] if has_batch else spec, tmp_path / "spec.pt")
    words = ("-i", tmp_path / "spec.pt", "-m", project.vocoder)
    path = done("synthesize", "from-spec", *words).out.strip()
    assert soundfile.info(path).frames == 33 * 256


def test_an_utterance_does_not_depend_on_its_neighbours(theirs, done, tmp_path):
    """Trap 20: in EveryVoice padding reaches the shorter texts of a batch, and changes every frame."""
    texts = ("-t", "in.", "-t", "in being comparatively modern, and not for the record.")
    words = ("synthesize", "from-text", theirs.model, *texts, "-O", "spec", "-a", "cpu")
    alone = done(*words, "-b", 1, "-o", tmp_path / "alone").out.splitlines()
    together = done(*words, "-b", 2, "-o", tmp_path / "together").out.splitlines()
    assert len(alone) == len(together) == 2
    for one, other in zip(alone, together, strict=True):
        specs = [torch.load(path, weights_only=True) for path in (one, other)]
        torch.testing.assert_close(*specs, rtol=0, atol=1e-5)
