"""CLVP's sizes from shapes, what is assumed, and which tensor is wrong."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from building.rankers import CLVP as TINY
from building.rankers import SQUARE_CLVP, blamed, meta_tensors, shapes_of, unfair
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.tortoise_clvp import TORTOISE_CLVP
from retimbre.models.tortoise_clvp.config import ClvpConfig
from retimbre.models.tortoise_cvvp import TORTOISE_CVVP

FREE = {"text_emb.weight": (0,), "speech_emb.weight": (0,)}  # how many rows a table has, it alone tells
CONFIGS = pytest.mark.parametrize("config", [TINY, SQUARE_CLVP], ids=["all-different", "one-layer"])


def heads_of(config):
    return {"text_heads": config.n_text_heads, "speech_heads": config.n_speech_heads}


@CONFIGS
def test_sizes_are_recovered_from_the_shapes(config):
    inferred = TORTOISE_CLVP.config_from(shapes_of(meta_tensors(TORTOISE_CLVP, config)), {})

    assert inferred.config == config
    assert {each.name: each.value for each in inferred.assumed} == heads_of(config)


def test_nothing_is_assumed_where_our_own_description_tells():
    other = replace(TINY, n_text_heads=4, n_speech_heads=2)
    shapes = shapes_of(meta_tensors(TORTOISE_CLVP, other))

    inferred = TORTOISE_CLVP.config_from(shapes, json.loads(json.dumps(asdict(other))))

    assert (inferred.config, inferred.assumed) == (other, ())


@pytest.mark.parametrize(
    ("folder", "file"), [("containers/tortoise_models", "clvp2.pth"), ("clvp", "weights.safetensors")]
)
def test_files_are_sized_as_their_makers_say(parity, folder, file):
    beside = parity(folder) / ("meta.json" if folder == "clvp" else "expected.json")
    expected = json.loads(beside.read_text())
    expected = expected.get("files", {}).get(file, expected)
    ledger = Ledger(read(parity(folder) / file).tensors)

    TORTOISE_CLVP.take(ledger)
    inferred = TORTOISE_CLVP.config_from(shapes_of(ledger.tensors), {})

    kwargs = TORTOISE_CLVP.reference_kwargs(inferred.config)
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
    shapes = shapes_of(meta_tensors(TORTOISE_CLVP, ClvpConfig()))

    assert TORTOISE_CLVP.config_from(shapes, {}).config == ClvpConfig()


def test_latents_need_not_be_as_wide_as_the_encoders():
    config = replace(TINY, latent_dim=24, text_dim=64, speech_dim=64)

    assert TORTOISE_CLVP.config_from(shapes_of(meta_tensors(TORTOISE_CLVP, config)), {}).config == config


@CONFIGS
def test_one_damaged_tensor_is_named_and_no_other_is_blamed(config):
    tensors = meta_tensors(TORTOISE_CLVP, config)
    # Where the encoders are as wide as neither, only the two projections tell the width of the latents.
    either = ("to_text_latent.weight", "to_speech_latent.weight") if config == TINY else ()

    assert unfair(TORTOISE_CLVP, tensors, free=FREE, either=either) == []


@CONFIGS
def test_a_table_with_more_rows_is_another_good_network(config):
    for name, (axis,) in FREE.items():
        tensors = meta_tensors(TORTOISE_CLVP, config)
        tensors[name] = torch.empty(tensors[name].shape[axis] + 1, tensors[name].shape[1], device="meta")

        assert blamed(TORTOISE_CLVP, tensors) == set()


def test_a_file_saved_without_the_wrapper_is_accepted_and_says_so():
    tensors = meta_tensors(TORTOISE_CLVP, TINY)
    plain = {name.replace(".wrap.", "."): tensor for name, tensor in tensors.items()}
    ledger = Ledger(plain)

    TORTOISE_CLVP.take(ledger)

    assert ledger.tensors.keys() == tensors.keys()
    renamed = [entry for entry in ledger.entries() if entry.fate == "renamed"]
    assert len(renamed) == sum(".wrap." in name for name in tensors)
    assert all("without the wrapper" in entry.why for entry in renamed)
    assert blamed(TORTOISE_CLVP, plain) == set()


@pytest.mark.parametrize("name", ["text_heads", "speech_heads"])
def test_the_user_may_say_how_many_heads_there_are(name):
    shapes = shapes_of(meta_tensors(TORTOISE_CLVP, TINY))

    inferred = TORTOISE_CLVP.config_from(shapes, {name: 4 if name == "text_heads" else 6})

    assert TORTOISE_CLVP.reference_kwargs(inferred.config)[name] == (4 if name == "text_heads" else 6)
    assert name not in {each.name for each in inferred.assumed}


@pytest.mark.parametrize("value", [0, -2, 3, 5, 8, True, None, 2.0, "two", [2], {"a": 1}])
def test_heads_that_cannot_be_are_refused(value):
    shapes = shapes_of(meta_tensors(TORTOISE_CLVP, TINY))

    with pytest.raises(CheckpointError, match=r"text_heads cannot .* expected one of 1, 2, 4, found"):
        TORTOISE_CLVP.config_from(shapes, {"text_heads": value})


def test_where_the_rule_gives_no_whole_number_the_nearest_divisor_is_taken_and_that_is_said():
    config = replace(TINY, text_attention_dim=150, n_text_heads=2)

    inferred = TORTOISE_CLVP.config_from(shapes_of(meta_tensors(TORTOISE_CLVP, config)), {})

    assert inferred.config == config
    assert "150 rows of to_q are not 64 for each" in inferred.assumed[0].because


def test_the_older_transformer_is_refused_in_a_plain_line():
    old = {"text_emb.weight": (256, 8), "to_text_latent.weight": (8, 8), "text_pos_emb.weight": (120, 8)}
    old |= {"text_transformer.layers.layers.0.0.fn.fn.to_qkv.weight": (48, 8)}

    assert TORTOISE_CLVP.fits(old)
    with pytest.raises(CheckpointError, match=r"older transformer \(use_xformers False\)"):
        TORTOISE_CLVP.config_from(old, {})


def test_no_other_ranker_fits_and_it_fits_no_other():
    clvp = shapes_of(meta_tensors(TORTOISE_CLVP, TINY))

    assert not TORTOISE_CVVP.fits(clvp)
    assert not TORTOISE_CLVP.fits({f"gpt.{name}": shape for name, shape in clvp.items()})


def test_without_layers_the_encoder_is_named():
    shapes = shapes_of(meta_tensors(TORTOISE_CLVP, TINY))
    kept = {name: shape for name, shape in shapes.items() if not name.startswith("speech_transformer.")}

    with pytest.raises(CheckpointError, match="layers of 'speech_transformer.transformer' are missing"):
        TORTOISE_CLVP.config_from(kept, {})


def test_no_number_of_anything_may_be_zero():
    with pytest.raises(ValueError, match="n_codes must be at least 1"):
        replace(TINY, n_codes=0)
