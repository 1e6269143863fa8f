"""The bundled weights are those that their cards and the results speak of."""

import re
from pathlib import Path

import pytest

from retimbre.checkpoint.digest import sha256_of
from retimbre.models.load import load_model
from retimbre.starter.find import FOLDER, starter_spec_to_wav, starter_text_to_spec

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = (starter_text_to_spec(), starter_spec_to_wav())
MOST_BYTES = 40_000_000


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_the_card_and_the_results_name_the_weights_that_are_shipped(path):
    digest = sha256_of(path)
    for page in (path.with_suffix(".md"), ROOT / "docs" / "results.md"):
        assert digest in re.findall(r"`([0-9a-f]{64})`", page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_the_card_tells_where_the_weights_come_from(path):
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    described = load_model(path).description
    assert f"{described.step:,} steps" in card
    assert described.lineage["licence"] in card
    assert f"`{described.lineage['recipe']}`" in card
    for word in ("CC0 1.0", "Limits", "Measured", "hours"):
        assert word in card


def test_the_weights_are_small_enough_to_ship():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.safetensors")) < MOST_BYTES
