"""The command prints the report and nothing else."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import typer
from typer.testing import CliRunner

from building.tortoise import TEXT, random_network, saved, spoken, trained_network
from retimbre.checkpoint.read import read
from retimbre.checkpoint.released import RELEASED
from retimbre.cli.inspect import inspect
from retimbre.errors import CheckpointError, RetimbreError
from retimbre.models import identify


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(inspect)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture
def unknown(tmp_path):
    torch.save({"w": torch.randn(2, 3)}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def test_text_is_for_people_and_json_for_scripts(run, unknown):
    text, as_json = run(unknown), run(unknown, "--json")
    assert text.exit_code == as_json.exit_code == 0
    assert text.stdout.startswith("Unknown")
    assert json.loads(as_json.stdout)["n_tensors"] == 1


def test_a_missing_file_is_named(run, tmp_path):
    result = run(tmp_path / "missing.ckpt")
    assert result.exit_code != 0


def test_help_does_not_wait_for_torch():
    code = "import sys, retimbre.cli.inspect; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


KEYS = {"family", "stage", "parameters", "sizes", "assumed", "dropped", "sha256", "reference_kwargs"}


@pytest.fixture
def tortoise(parity):
    return parity("containers") / "tortoise_models"


def test_json_has_what_scripts_rely_on(run, tortoise):
    values = json.loads(run(tortoise / "autoregressive.pth", "--json").stdout)
    assert values.keys() >= KEYS
    assert values["family"] == "tortoise_ar"
    assert values["assumed"]["heads"] == {
        "value": 1,
        "because": "width / 64, as in the released network",
        "option": "--assume heads=…",
    }
    assert values["reference_kwargs"]["model_dim"] == 64
    assert set(values["dropped"]) == {
        f"gpt.h.{layer}.attn.{name}" for layer in range(2) for name in ("bias", "masked_bias")
    }


def test_what_is_stated_is_no_longer_assumed(run, parity):
    file = parity("containers") / "ar_variants" / "heads_not_by_rule.pth"
    residual = 'residual="norm(x) + h"'
    values = json.loads(run(file, "--json", "--assume", "heads=4", "--assume", residual).stdout)
    assert values["reference_kwargs"]["heads"] == 4
    assert values["sizes"]["residual"] == "norm(x) + h"
    assert not {"heads", "residual"} & values["assumed"].keys()


def test_text_without_quotes_can_be_stated_too(run, parity):
    file = parity("containers") / "ar_variants" / "heads_not_by_rule.pth"
    values = json.loads(run(file, "--json", "--assume", "residual=norm(x) + h").stdout)
    assert values["sizes"]["residual"] == "norm(x) + h"


@pytest.mark.parametrize(
    ("assume", "message"),
    [
        ("haeds=4", "nothing is assumed about 'haeds'.*Write heads"),
        ("heads", "says nothing: expected NAME=VALUE"),
        ("heads=0", "heads"),
        ("heads=7", "heads"),
        ('heads="many"', "heads"),
        ("heads=[4]", "heads"),
    ],
)
def test_a_stated_value_that_cannot_be_is_an_error(run, parity, assume, message):
    result = run(parity("containers") / "ar_variants" / "heads_not_by_rule.pth", "--assume", assume)
    assert re.search(message, str(result.exception) + result.stdout)
    assert isinstance(result.exception, CheckpointError) or result.stdout.startswith("Unknown")


def test_several_files_are_called_a_chain_that_works(run, tortoise):
    names = ("autoregressive.pth", "diffusion_decoder.pth", "vocoder.pth", "clvp2.pth")
    files = [tortoise / name for name in names]
    text = run(*files)
    assert text.exit_code == 0
    assert "a chain that works: text-to-codes (autoregressive.pth) → codes-to-spec" in text.stdout
    values = json.loads(run(*files, "--json").stdout)
    assert values["chain"]["works"] is True
    assert [report["family"] for report in values["files"]] == [
        "tortoise_ar", "tortoise_diffusion", "univnet", "tortoise_clvp",
    ]  # fmt: skip


def test_one_unreadable_file_does_not_hide_the_others(run, tortoise, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    result = run(tortoise / "autoregressive.pth", tmp_path / "config.json")
    assert result.exit_code == 0
    assert "tortoise_ar" in result.stdout
    assert "config.json: this JSON file holds no weights" in result.stderr


def test_a_file_that_tries_to_run_code_among_others_ends_in_exit_code_1(run, tortoise, tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
    result = run(tortoise / "autoregressive.pth", tmp_path / "bad.pth")
    assert result.exit_code == 1
    assert "tries to run code" in result.stderr


def test_two_files_are_compared(run, tortoise, tmp_path):
    weights = read(tortoise / "rlg_auto.pth").tensors
    changed = {name: tensor + 0.5 * (name == "layers.3.bias") for name, tensor in weights.items()}
    torch.save(changed, tmp_path / "tuned.pth")
    text = run(tortoise / "rlg_auto.pth", tmp_path / "tuned.pth", "--diff").stdout
    assert "12 tensors in both (our names): 11 equal, 1 changed" in text
    assert "layers.3.bias" in text
    values = json.loads(run(tortoise / "rlg_auto.pth", tmp_path / "tuned.pth", "--diff", "--json").stdout)
    assert list(values["changed"]) == ["layers.3.bias"]
    assert isinstance(run(tortoise / "rlg_auto.pth", "--diff").exception, RetimbreError)


def test_a_deep_look_finds_nan_and_dead_codes(run, tortoise, tmp_path):
    weights = {name: tensor.clone() for name, tensor in read(tortoise / "dvae.pth").tensors.items()}
    weights["encoder.0.0.bias"][3] = float("nan")
    weights["codebook.cluster_size"] = torch.linspace(0.5, 2.0, 128)
    weights["codebook.cluster_size"][:5] = 0.0
    torch.save(weights, tmp_path / "dvae.pth")
    values = json.loads(run(tmp_path / "dvae.pth", "--deep", "--json").stdout)
    assert values["oddities"] == {
        "encoder.0.0.bias": "1 NaN",
        "codebook.cluster_size": "5 of 128 entries of the code book are dead",
    }
    assert values["sha256"] == hashlib.sha256((tmp_path / "dvae.pth").read_bytes()).hexdigest()
    assert json.loads(run(tmp_path / "dvae.pth", "--json").stdout)["oddities"] is None


def test_a_released_file_is_known_by_its_hash(run, tortoise, monkeypatch):
    digest = hashlib.sha256((tortoise / "dvae.pth").read_bytes()).hexdigest()
    dvae = next(released for released in RELEASED if released.name == "dvae")
    assert dvae.sha256 == "a990825371506c16bcf0e8167bf24ccf82f65bb6a1dbcbfcf058d76f9b197e35"
    monkeypatch.setattr(identify, "RELEASED", (replace(dvae, sha256=digest),))
    assert "Released as    dvae" in run(tortoise / "dvae.pth", "--deep").stdout
    assert "Released as" not in run(tortoise / "dvae.pth").stdout


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return spoken(tmp_path_factory.mktemp("spoken"))


@pytest.fixture
def probed(run, material, tmp_path):
    """A network beside its dVAE, on a recording and its text: probed(network, "--json")."""

    def call(network, *more):
        files = (saved(network, tmp_path / "ar.pth"), material.dvae)
        return run(*files, "--probe", material.recordings[0], "--text", TEXT, *more)

    return call


def test_a_probe_prints_a_table_a_verdict_and_what_to_write_from_now_on(material, probed):
    network = trained_network(material, n_heads=8, residual="norm(x) + h")
    text, as_json = probed(network), probed(network, "--json")

    assert text.exit_code == as_json.exit_code == 0
    lines = text.stdout.splitlines()
    assert sum(line.split()[1:] == ["x", "+", "h", *line.split()[4:]] for line in lines) == 4
    assert any(line.startswith("Verdict        heads 8, residual norm(x) + h: ") for line in lines)
    assert lines[-1] == "--assume heads=8 --assume 'residual=\"norm(x) + h\"'"
    assert json.loads(as_json.stdout)["decided"] == {"heads": 8, "residual": "norm(x) + h"}
    assert json.loads(as_json.stdout)["options"] == lines[-1]


def test_a_probe_obeys_what_is_stated(probed):
    found = json.loads(probed(random_network(), "--json", "--assume", "heads=2").stdout)

    assert [trial["heads"] for trial in found["trials"]] == [2, 2]
    assert found["decided"] == {}


def test_a_probe_needs_the_text(run, material):
    error = run(material.dvae, "--probe", material.recordings[0]).exception

    assert str(error) == '--probe needs what is said in the recording. Add --text "…"'
