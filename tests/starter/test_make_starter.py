"""The recipes of the starter voice make the bundled files, here after a few steps of each."""

import subprocess
import sys
from pathlib import Path

import pytest

from retimbre.models.load import load_model
from retimbre.pipelines.everyvoice import EveryVoiceChain
from retimbre.starter.find import starter_spec_to_wav, starter_text_to_spec

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "make_starter.py"
TEXT = "Good morning."


def run(*words):
    """The script in a process of its own, as `make starter` calls it."""
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, check=False
    )


def test_a_trial_cannot_become_the_bundled_voice():
    ended = run("--steps", 1)
    assert ended.returncode == 2
    assert "--steps needs --into" in ended.stderr


@pytest.mark.slow
def test_a_short_form_of_make_starter_ends_in_a_voice_of_the_bundled_sizes(shared, tmp_path):
    ended = run("--steps", 2, "--into", tmp_path)
    assert ended.returncode == 0, ended.stderr

    text_to_spec, spec_to_wav = (
        load_model(tmp_path / f"{name}.safetensors") for name in ("text_to_spec", "spec_to_wav")
    )
    for made, bundled in (
        (text_to_spec, load_model(starter_text_to_spec())),
        (spec_to_wav, load_model(starter_spec_to_wav())),
    ):
        ours, theirs = made.description, bundled.description
        assert made.model.config == bundled.model.config
        assert (ours.family, ours.mel, ours.symbols) == (theirs.family, theirs.mel, theirs.symbols)
        assert ours.lineage["recipe"] == theirs.lineage["recipe"]
        assert ours.step == 2
    assert spec_to_wav.discriminators
    audio = EveryVoiceChain(text_to_spec=text_to_spec, spec_to_wav=spec_to_wav).speak(TEXT)
    assert audio.samples.isfinite().all()
    assert float(audio.samples.abs().max()) > 0
