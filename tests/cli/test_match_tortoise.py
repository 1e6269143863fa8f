"""Matching of TorToiSe's chain from the command line: the decoder, then the vocoder, and what is refused."""

import json
import os
import random
import shlex
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from building.adapters import save_adapter
from building.tortoise_corpus import HELD_OUT, tortoise_corpus
from building.tortoise_set import PARTS, save_part, tiny_tortoise_set
from retimbre.checkpoint.digest import sha256_of
from retimbre.cli.console import Console
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe

STAGES = ("codes-to-spec", "spec-to-wav")
BASES = {"codes-to-spec": "diffusion_decoder", "spec-to-wav": "vocoder"}
BEFORE = {"codes-to-spec": "autoregressive", "spec-to-wav": "diffusion_decoder"}
DECIDES = {"codes-to-spec": "spec_error", "spec-to-wav": "mcd"}
SECTIONS = {
    "training": {"steps": 3, "validate_every_steps": 2, "checkpoint_every_steps": 1, "batch_size": 3},
    "tortoise": {"sampled_steps": 2},
    "discriminators": {"width": 0.05, "periods": [2]},
}
SEEDS = {"codes-to-spec": 5, "spec-to-wav": 8}  # of the moments at which matches are interrupted


@dataclass(frozen=True)
class Chain:
    """Recordings, a set, and what was tuned of it."""

    root: Path

    models = property(lambda self: self.root / "models")
    runs = property(lambda self: self.root / "runs")

    def tuned(self, stage: str) -> Path:
        """The tuned stage before this one."""
        return self.root / f"tuned-{BEFORE[stage]}.pth"

    def recipe(self, stage: str, **sections: Any) -> Path:
        """Of a match."""
        data = {"recordings": "recordings", "filelist": "list.psv", "held_out": list(HELD_OUT)}
        content = {"stage": stage, "name": stage, "base": f"models/{BASES[stage]}.pth", "data": data}
        path = self.root / f"{stage}.yaml"
        path.write_text(yaml.safe_dump(content | SECTIONS | sections), encoding="utf-8")
        return path


def prepared_chain(folder: Path) -> Chain:
    """Nothing has been matched in it yet."""
    tortoise_corpus(folder, tiny_tortoise_set(folder / "models"))
    chain = Chain(folder)
    for seed, stage in enumerate(STAGES, start=70):
        part = PARTS[BEFORE[stage]]
        save_part(chain.tuned(stage), part.family, part.config, seed=seed, below=part.below)
    return chain


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return prepared_chain(tmp_path / "chain")


@dataclass(frozen=True)
class Whole:
    """A match with control that nobody interrupted."""

    chain: Chain
    stage: str
    run: Path
    ended: Any

    @property
    def report(self) -> Any:
        """As JSON."""
        return json.loads((self.run / "report.json").read_text(encoding="utf-8"))

    def words(self, chain: Chain) -> tuple[object, ...]:
        """The same match elsewhere."""
        return match_words(chain, self.stage, "--control", "--anyway")


def match_words(chain: Chain, stage: str, *more: object) -> tuple[object, ...]:
    return ("match", chain.recipe(stage), "--spec-model", chain.tuned(stage), *more)


@pytest.fixture(scope="module", params=STAGES)
def whole(request, retimbre, tmp_path_factory):
    chain = prepared_chain(tmp_path_factory.mktemp("whole") / "chain")
    ended = retimbre(*match_words(chain, request.param, "--control", "--anyway"))
    assert ended.code == 0, ended.err
    return Whole(chain, request.param, chain.runs / request.param, ended)


def final_weights(run):
    return load_file(run / "checkpoints" / "step-000003" / "model.safetensors")


def are_equal(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def lineage(run):
    return json.loads((run / "lineage.json").read_text(encoding="utf-8"))


def test_a_match_ends_in_a_report_of_all_systems_with_paired_intervals_and_sound(whole):
    report, run = whole.report, whole.run

    assert whole.ended.out == f"{run / 'report.html'}\n"
    assert [system["name"] for system in report["systems"]] == ["real", "base", "tuned", "control", "matched"]
    assert set(report["results"]) == {"teacher-forced"}
    results = report["results"]["teacher-forced"]
    assert results["scores"]["measures"][0]["key"] == DECIDES[whole.stage]
    assert {"mcd", "mel_distance", "periodicity"} <= set(results["means"])
    decided = [each for each in results["differences"] if each["measure"] == DECIDES[whole.stage]]
    pairs = {(each["system"], each["against"]): each for each in decided}
    assert pairs.keys() == {("matched", "tuned"), ("matched", "control"), ("tuned", "base")}
    for each in pairs.values():
        assert each["n_pairs"] == len(HELD_OUT)
        assert each["low"] <= each["mean"] <= each["high"]
    assert "are too few" in report["verdict"]["sentence"]
    assert sorted(spoken["name"] for spoken in report["utterances"]) == sorted(HELD_OUT)
    for spoken in report["utterances"]:
        assert set(spoken["audio"]) == {"real", "base", "tuned", "control", "matched"}
        for audio in spoken["audio"].values():
            assert (run / audio["file"]).is_file()
            assert audio["duration_s"] == pytest.approx(spoken["audio"]["real"]["duration_s"])
    assert [curve["name"].rpartition(", ")[2] for curve in report["curves"]] == ["matched", "control"]
    assert all([step for step, _ in curve["points"]] == [0, 2, 3] for curve in report["curves"])
    assert "2 of 2" in {choice["value"] for choice in report["choices"]}


def test_the_steps_of_a_match_are_told_in_their_order(whole):
    said = "\n" + whole.ended.err

    labels = (
        "Text-to-codes",
        "Untuned",
        "Data",
        "Judged",
        "Misfit",
        "Plan",
        "Training",
        "Control",
        "Judging",
    )
    places = [said.index(f"\n{label}") for label in (*labels, "Result", "Next")]
    assert places == sorted(places)


def test_the_lineage_tells_what_was_matched_to_and_the_control_learnt_on_something_else(whole):
    matched, control = lineage(whole.run), lineage(whole.run / "control")
    tuned = sha256_of(whole.chain.tuned(whole.stage))

    assert matched["matched_to"] == tuned
    assert "matched_to" not in control
    if whole.stage == "codes-to-spec":
        assert matched["learnt_with"]["text-to-codes"]["sha256"] == tuned
        base = whole.chain.models / "autoregressive.pth"
        assert control["learnt_with"]["text-to-codes"]["sha256"] == sha256_of(base)
    else:
        sources = [
            read_recipe(run / "recipe.yaml").training.spec_source
            for run in (whole.run, whole.run / "control")
        ]
        assert sources == ["produced", "real"]
    weights, base = final_weights(whole.run), load_model(whole.chain.models / f"{BASES[whole.stage]}.pth")
    assert not are_equal(weights, final_weights(whole.run / "control"))
    assert load_model(whole.run / "model.safetensors").stage == whole.stage == base.stage


def test_what_comes_next_can_be_typed_as_it_is_told(whole, retimbre, tmp_path):
    told = [line[14:] for line in whole.ended.err.splitlines() if line.startswith("Next")]
    words = shlex.split(told[0])
    assert words[:3] == ["retimbre", "synthesize", "from-text"]
    assert str(whole.chain.tuned(whole.stage)) in words
    assert str(whole.run / "model.safetensors") in words
    quick = ("--preset", "ultra_fast", "--draw", 1, "--steps", 2, "--seed", 1)

    ended = retimbre(*words[1:], *quick, "--output-dir", tmp_path / "said")

    assert ended.code == 0, ended.err
    assert Path(ended.out.strip()).stat().st_size > 1000
    assert len(told) == (2 if whole.stage == "codes-to-spec" else 1)
    if whole.stage == "codes-to-spec":
        assert shlex.split(told[1])[:2] == ["retimbre", "match"]
        assert f"tortoise.text_to_codes={whole.chain.tuned(whole.stage)}" in told[1]


def test_a_match_that_is_interrupted_twice_and_resumed_ends_like_an_uninterrupted_one(
    whole, chain, retimbre, monkeypatch
):
    draw, progress, n_seen, wanted = random.Random(SEEDS[whole.stage]), Console.progress, 0, 0

    def press(console, task, done, total, note=""):
        nonlocal n_seen
        progress(console, task, done, total, note)
        n_seen += task == "Training"
        if task == "Training" and n_seen == wanted:
            os.kill(os.getpid(), signal.SIGINT)

    run, words = chain.runs / whole.stage, whole.words(chain)
    with monkeypatch.context() as patch:
        patch.setattr(Console, "progress", press)
        for number in range(2):  # within the match; within its control, after what is left of the match
            n_seen, wanted = 0, draw.randint(1, 2) if number == 0 else 3 - wanted + draw.randint(1, 2)
            torch.manual_seed(900 + number)  # as a process of its own, which draws other numbers
            stopped = retimbre(*words, *(["--resume"] if number else []))
            assert stopped.code == 130, stopped.err
            assert stopped.out == ""
            assert "with the same command and --resume" in stopped.err
            assert (run / "control" / "recipe.yaml").is_file() == (number == 1)
    assert not (run / "report.html").exists()

    resumed = retimbre(*words, "--resume")

    assert resumed.code == 0, resumed.err
    for part in ("", "control"):
        assert are_equal(final_weights(whole.run / part), final_weights(run / part))
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert report["results"] == whole.report["results"]
    assert report["choices"] == whole.report["choices"]


def test_a_match_is_resumed_with_the_same_files_and_settings_only(whole, retimbre):
    chain, stage = whole.chain, whole.stage
    part = PARTS[BEFORE[stage]]
    other = save_part(chain.root / "other.pth", part.family, part.config, seed=99, below=part.below)
    words = [*whole.words(chain), "--resume"]
    before = {path: path.read_bytes() for path in whole.run.rglob("*") if path.is_file()}

    refused = retimbre(*[other if word == chain.tuned(stage) else word for word in words]).error
    assert f"another {'text-to-codes' if stage == 'codes-to-spec' else 'codes-to-spec'}" in refused
    assert "-c name=…" in refused
    assert "another data.held_out" in retimbre(*words, "-c", "data.held_out=[a1]").error
    assert "another tortoise.sampled_steps" in retimbre(*words, "-c", "tortoise.sampled_steps=3").error
    assert "another training.batch_size" in retimbre(*words, "-c", "training.batch_size=2").error
    assert f"-c name={stage}-2" in retimbre(*words[:-1]).error
    if stage == "codes-to-spec":
        assert "another untuned text-to-codes" in retimbre(*words, "--base-spec-model", other).error
    assert before == {path: path.read_bytes() for path in whole.run.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_match_with_little_to_win_back_trains_nothing(chain, retimbre, monkeypatch, stage):
    """A decoder whose text-to-codes has not drifted; a vocoder that loses little."""
    monkeypatch.setattr("retimbre.matching.misfit.SMALL_LOSS_DB", 1000.0)

    ended = retimbre(*match_words(chain, stage, "--base-spec-model", chain.tuned(stage)))

    assert ended.code == 0, ended.err
    assert ended.out == ""
    assert "matching has little to win back" in ended.err
    assert "nothing was trained; --anyway trains all the same" in ended.err
    assert not chain.runs.exists()


def test_without_the_untuned_stage_the_drift_is_unknown_and_neither_base_nor_control_take_part(
    chain, retimbre
):
    shutil.move(chain.models / "autoregressive.pth", chain.root / "elsewhere.pth")

    ended = retimbre(*match_words(chain, "codes-to-spec", "--control", "-c", "training.steps=1"))

    assert ended.code == 0, ended.err
    assert "was tuned from is not known" in ended.err
    assert "Control       left out" in ended.err
    report = json.loads((chain.runs / "codes-to-spec" / "report.json").read_text(encoding="utf-8"))
    assert [system["name"] for system in report["systems"]] == ["real", "tuned", "matched"]


@pytest.mark.parametrize("whole", ["codes-to-spec"], indirect=True)
def test_a_match_goes_on_after_its_project_was_moved(whole, tmp_path, retimbre):
    moved = Chain(tmp_path / "moved")
    shutil.copytree(whole.chain.root, moved.root)
    run = moved.runs / whole.stage
    shutil.rmtree(run / "control")

    ended = retimbre(*whole.words(moved), "--resume")

    assert ended.code == 0, ended.err
    assert are_equal(final_weights(whole.run / "control"), final_weights(run / "control"))


@pytest.mark.parametrize("whole", ["codes-to-spec"], indirect=True)
def test_train_with_match_with_is_the_same_match(whole, chain, retimbre, monkeypatch):
    monkeypatch.setattr("retimbre.matching.tortoise_misfit.SMALL_NOISE_PERCENT", -1000.0)
    stage = whole.stage

    ended = retimbre("train", stage, chain.recipe(stage), "--match-with", chain.tuned(stage))

    assert ended.code == 0, ended.err
    for part in ("", "control"):
        assert are_equal(final_weights(whole.run / part), final_weights(chain.runs / stage / part))


def test_small_matrices_of_a_decoder_are_matched_judged_and_spoken_with_over_their_base(chain, retimbre):
    words = match_words(
        chain, "codes-to-spec", "--anyway", "-c", "training.lora={}", "-c", "training.steps=1"
    )

    ended = retimbre(*words)

    assert ended.code == 0, ended.err
    model = chain.runs / "codes-to-spec" / "model.safetensors"
    assert f"--adapter {model}" in ended.err


WRONG = {
    "the set's vocoder as what was tuned": (
        "codes-to-spec",
        ["--spec-model", "{models}/vocoder.pth"],
        ["--spec-model", "text-to-codes (tortoise_ar)", "univnet"],
    ),
    "a tuned text-to-codes for a vocoder": (
        "spec-to-wav",
        ["--spec-model", "{ar}"],
        ["--spec-model", "codes-to-spec (tortoise_diffusion)", "tortoise_ar"],
    ),
    "a dVAE as what was tuned from": (
        "codes-to-spec",
        ["--spec-model", "{ar}", "--base-spec-model", "{models}/dvae.pth"],
        ["--base-spec-model", "text-to-codes (tortoise_ar)", "tortoise_dvae"],
    ),
    "a decoder to listen through": (
        "codes-to-spec",
        ["--spec-model", "{ar}", "--vocoder", "{diffusion}"],
        ["--vocoder", "spec-to-wav (univnet)"],
    ),
    "a text-to-codes as what is matched": (
        "codes-to-spec",
        ["--spec-model", "{ar}", "-c", "base={ar}"],
        ["'base'", "codes-to-spec (tortoise_diffusion)"],
    ),
    "two files for one role": (
        "codes-to-spec",
        ["--spec-model", "{ar}", "-c", "tortoise.text_to_codes={models}/autoregressive.pth"],
        ["two files are named for text-to-codes", "tortoise.text_to_codes", "--spec-model"],
    ),
    "training as DL-Art-School": (
        "codes-to-spec",
        ["--spec-model", "{ar}", "-c", "tortoise.trains_as=dlas"],
        ["only text-to-codes is trained as DL-Art-School does", "tortoise.trains_as"],
    ),
    "no base": (
        "codes-to-spec",
        ["--spec-model", "{ar}", "-c", "base=nix.pth"],
        ["trained codes-to-spec", "nix.pth"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_matched_is_refused_before_anything_is_made(chain, retimbre, name):
    stage, given, named = WRONG[name]
    places = {
        "models": chain.models,
        "ar": chain.tuned("codes-to-spec"),
        "diffusion": chain.tuned("spec-to-wav"),
    }

    error = retimbre("match", chain.recipe(stage), *(word.format(**places) for word in given)).error

    for expected in named:
        assert expected in error
    assert not chain.runs.exists()
    assert not (chain.root / "preprocessed").exists()


def test_a_tuned_stage_of_another_size_is_refused_with_both_sizes(chain, retimbre):
    part = PARTS["autoregressive"]
    wide = save_part(chain.root / "wide.pth", part.family, replace(part.config, dim=192, n_heads=3), seed=1)

    error = retimbre("match", chain.recipe("codes-to-spec"), "--spec-model", wide).error

    assert "width of a latent" in error
    assert "192" in error


def test_small_matrices_alone_are_no_tuned_stage_until_they_are_folded(chain, retimbre):
    adapter = save_adapter(chain.root / "small.safetensors", chain.models / "autoregressive.pth")

    error = retimbre("match", chain.recipe("codes-to-spec"), "--spec-model", adapter).error

    assert "retimbre convert BASE --adapter FILE" in error


def test_a_set_without_a_vocoder_is_told_that_there_is_nothing_to_listen_through(chain, retimbre):
    (chain.models / "vocoder.pth").unlink()

    error = retimbre(*match_words(chain, "codes-to-spec")).error

    assert "heard through a vocoder" in error
    assert "retimbre fetch tortoise vocoder" in error


def test_text_to_codes_is_matched_to_nothing(chain, retimbre):
    recipe = chain.recipe("codes-to-spec")
    words = (recipe, "--spec-model", chain.tuned("codes-to-spec"), "-c", "stage=text-to-codes")

    assert "text-to-codes is matched to nothing" in retimbre("match", *words).error
