"""DL-Art-School's two examples are trained as they are, once their CHANGEME lines are filled in."""

import json
import shutil

import pytest

from building.dlas import dlas_file
from building.sounds import record, vowel
from building.tortoise_set import tiny_tortoise_set
from retimbre.checkpoint.digest import sha256_of
from retimbre.models.load import load_model

TEXTS = ("one two.", "three four", "five, six", "seven", "eight nine!", "ten", "eleven", "twelve")
SHORT = ("-c", "train.niter=2", "-c", "datasets.train.n_workers=0", "-c", "training.patience=0")


@pytest.fixture
def school(tmp_path, monkeypatch):
    """A folder like DL-Art-School's with recordings and a tiny set: its experiments."""
    waves = {f"u{n}": vowel(0.9 + 0.08 * n, f0_hz=110 + 9 * n, seed=n) for n in range(len(TEXTS))}
    data = record(tmp_path / "data", waves)
    lines = [f"wavs/u{n}.wav|{text}\n" for n, text in enumerate(TEXTS)]
    (data / "wavs").mkdir(exist_ok=True)
    for path in data.glob("*.wav"):
        path.rename(data / "wavs" / path.name)
    (data / "train.txt").write_text("".join(lines[:6]), encoding="utf-8")
    (data / "val.txt").write_text("".join(lines[6:]), encoding="utf-8")
    experiments = tiny_tortoise_set(tmp_path / "experiments")
    home = tmp_path / "home" / ".cache" / "tortoise" / "models"
    home.parent.mkdir(parents=True)
    shutil.copytree(experiments, home)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return experiments


@pytest.mark.parametrize("how", [(), ("--as", "dlas")], ids=["as-speaking", "as-dlas"])
def test_the_example_of_text_to_codes_trains(school, retimbre, how):
    config = dlas_file(school, "gpt")
    before = sha256_of(config)

    ended = retimbre("train", "text-to-codes", config, *SHORT, *how)

    assert ended.code == 0, ended.err
    run = school / "runs" / "my-voice"
    assert ended.out == f"{run / 'model.safetensors'}\n"
    tuned = load_model(run / "model.safetensors")
    assert tuned.stage == "text-to-codes"
    assert tuned.description.lineage["base"]["sha256"] == sha256_of(school / "autoregressive.pth")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["kind"] == "validation"]
    assert (steps[0], steps[-1]) == (0, 2)
    assert "layers" in ended.err  # the file says 30, the checkpoint has 2, and the checkpoint counts
    assert sha256_of(config) == before


def test_the_base_may_be_named_on_the_command_line(school, retimbre):
    config = dlas_file(school, "gpt", {"path.pretrain_model_gpt": "CHANGEME_path_to_your_base"})
    base = school / "another: base, #2.pth"
    shutil.move(school / "autoregressive.pth", base)

    assert "pretrain_model_gpt" in retimbre("train", "text-to-codes", config, *SHORT).error
    ended = retimbre("train", "text-to-codes", config, *SHORT, "--base", base)

    assert ended.code == 0, ended.err
    tuned = load_model(school / "runs" / "my-voice" / "model.safetensors")
    assert tuned.description.lineage["base"]["sha256"] == sha256_of(base)


def test_the_example_of_the_diffusion_stage_trains_on_what_the_tuned_stage_thinks(school, retimbre):
    shutil.copy(school / "autoregressive.pth", school / "tuned.pth")

    ended = retimbre("train", "codes-to-spec", dlas_file(school, "diff"), *SHORT)

    assert ended.code == 0, ended.err
    run = school / "runs" / "my-voice-diffusion"
    lineage = load_model(run / "model.safetensors").description.lineage
    assert lineage["learnt_with"]["text-to-codes"]["file"] == "tuned.pth"
    assert "of tuned.pth: the decoder is matched to it" in ended.err


def test_a_line_that_is_not_filled_in_is_named_before_anything_is_made(school, retimbre):
    config = dlas_file(school, "gpt", {"datasets.train.path": "CHANGEME_path_to_your_list"})

    ended = retimbre("train", "text-to-codes", config)

    assert "CHANGEME_path_to_your_list" in ended.error
    assert not (school / "runs").exists()
