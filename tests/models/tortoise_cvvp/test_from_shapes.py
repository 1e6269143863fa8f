"""CVVP's sizes from shapes, what is assumed, and which tensor is wrong."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from building.rankers import CVVP as TINY
from building.rankers import blamed, meta_tensors, shapes_of, unfair
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.tortoise_clvp import TORTOISE_CLVP
from retimbre.models.tortoise_cvvp import TORTOISE_CVVP
from retimbre.models.tortoise_cvvp.config import CvvpConfig

FREE = {"speech_emb.emb.weight": (0,)}  # how many rows a table has, it alone tells
SMALLEST = CvvpConfig(
    dim=16, n_heads=1, attention_dim=64, n_conditioning_layers=1, n_speech_layers=1, n_codes=16
)
CONFIGS = pytest.mark.parametrize("config", [TINY, SMALLEST], ids=["tiny", "one-layer"])


@CONFIGS
def test_sizes_are_recovered_from_the_shapes(config):
    inferred = TORTOISE_CVVP.config_from(shapes_of(meta_tensors(TORTOISE_CVVP, config)), {})

    assert inferred.config == config
    assert [(each.name, each.value) for each in inferred.assumed] == [("transformer_heads", config.n_heads)]


def test_nothing_is_assumed_where_our_own_description_tells():
    other = replace(TINY, n_heads=4)
    shapes = shapes_of(meta_tensors(TORTOISE_CVVP, other))

    inferred = TORTOISE_CVVP.config_from(shapes, json.loads(json.dumps(asdict(other))))

    assert (inferred.config, inferred.assumed) == (other, ())


@pytest.mark.parametrize(
    ("folder", "file"), [("containers/tortoise_models", "cvvp.pth"), ("cvvp", "weights.safetensors")]
)
def test_files_are_sized_as_their_makers_say(parity, folder, file):
    beside = parity(folder) / ("meta.json" if folder == "cvvp" else "expected.json")
    expected = json.loads(beside.read_text())
    expected = expected.get("files", {}).get(file, expected)
    ledger = Ledger(read(parity(folder) / file).tensors)

    TORTOISE_CVVP.take(ledger)
    inferred = TORTOISE_CVVP.config_from(shapes_of(ledger.tensors), {})

    kwargs = TORTOISE_CVVP.reference_kwargs(inferred.config)
    assert kwargs == expected["kwargs"]
    assert {entry.fate for entry in ledger.entries()} == {"matched"}
    if "derived" in expected:
        assumed = {each.name: each.value for each in inferred.assumed}
        assert assumed == {name: entry["gives"] for name, entry in expected["assumed"].items()}
        assert all(entry["right"] for entry in expected["assumed"].values())
        assert expected["derived"].items() <= kwargs.items()
        assert not expected["derived"].keys() & assumed.keys()
        assert [text.split(":")[0] for text in inferred.unknowable] == expected["unknowable"]


def test_the_default_is_what_the_released_file_is():
    shapes = shapes_of(meta_tensors(TORTOISE_CVVP, CvvpConfig()))

    assert TORTOISE_CVVP.config_from(shapes, {}).config == CvvpConfig()


@CONFIGS
def test_one_damaged_tensor_is_named_and_no_other_is_blamed(config):
    assert unfair(TORTOISE_CVVP, meta_tensors(TORTOISE_CVVP, config), free=FREE) == []


def test_a_table_with_more_rows_is_another_good_network():
    tensors = meta_tensors(TORTOISE_CVVP, TINY)
    tensors["speech_emb.emb.weight"] = torch.empty(TINY.n_codes + 1, TINY.dim, device="meta")

    assert blamed(TORTOISE_CVVP, tensors) == set()


def test_the_user_may_say_how_many_heads_there_are():
    shapes = shapes_of(meta_tensors(TORTOISE_CVVP, TINY))

    inferred = TORTOISE_CVVP.config_from(shapes, {"transformer_heads": 4})

    assert (inferred.config.n_heads, inferred.assumed) == (4, ())


@pytest.mark.parametrize("value", [0, 3, 16, True, None, "2", [2]])
def test_heads_that_cannot_be_are_refused(value):
    shapes = shapes_of(meta_tensors(TORTOISE_CVVP, TINY))

    with pytest.raises(CheckpointError, match=r"transformer_heads cannot .* one of 1, 2, 4, found"):
        TORTOISE_CVVP.config_from(shapes, {"transformer_heads": value})


def test_the_usual_number_of_heads_divides_the_width_too():
    config = replace(TINY, dim=20, attention_dim=192, n_heads=2)  # the rule gives 3, and 20 / 3 is no number

    inferred = TORTOISE_CVVP.config_from(shapes_of(meta_tensors(TORTOISE_CVVP, config)), {})

    assert inferred.config.n_heads == 4
    assert "nearest divisor" in inferred.assumed[0].because


def test_a_latent_multiplier_is_refused_in_a_plain_line():
    shapes = shapes_of(meta_tensors(TORTOISE_CVVP, TINY))
    shapes |= {f"to_{side}_latent.weight": (48, 48) for side in ("conditioning", "speech")}

    with pytest.raises(CheckpointError, match="latent_multiplier of 2"):
        TORTOISE_CVVP.config_from(shapes, {})


def test_one_that_compares_two_spectrograms_is_refused_in_a_plain_line():
    shapes = shapes_of(meta_tensors(TORTOISE_CVVP, TINY))
    del shapes["speech_emb.emb.weight"]
    shapes |= {"speech_emb.weight": (24, 80, 5), "speech_emb.bias": (24,)}

    assert TORTOISE_CVVP.fits(shapes)
    with pytest.raises(CheckpointError, match=r"compares two spectrograms \(mel_codes None\)"):
        TORTOISE_CVVP.config_from(shapes, {})


def test_no_other_ranker_fits_and_it_fits_no_other():
    cvvp = shapes_of(meta_tensors(TORTOISE_CVVP, TINY))

    assert not TORTOISE_CLVP.fits(cvvp)
    assert not TORTOISE_CVVP.fits({f"gpt.{name}": shape for name, shape in cvvp.items()})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"n_codes": 0}, "n_codes must be at least 1"),
        ({"dim": 18}, "multiple of 4"),
        ({"dim": 20, "n_heads": 3, "attention_dim": 96}, "no multiple of n_heads"),
        ({"n_speech_layers": 0}, "n_layers must be"),
    ],
)
def test_contradictions_are_refused(change, what):
    with pytest.raises(ValueError, match=what):
        replace(TINY, **change)


@pytest.mark.parametrize(("dim", "n_groups"), [(16, 8), (32, 16), (24, 8), (512, 32), (96, 32), (80, 16)])
def test_group_norms_have_as_many_groups_as_tortoise_has(dim, n_groups):
    assert CvvpConfig(dim=dim).n_groups == n_groups
