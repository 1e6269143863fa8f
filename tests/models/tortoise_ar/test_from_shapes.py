"""Sizes, assumptions and dropped tensors of every form of file that this network comes in."""

import json
import re
from dataclasses import asdict
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from building.mutations import mutations
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.from_shapes import TABLES, config_from, fits, reference_kwargs
from retimbre.models.tortoise_ar.variants import kwargs_of, variant_of

FOLDERS = ("tortoise_models", "ar_variants", "dlas_finetune")
FREE = {"mel_pos_embedding.emb.weight": (0,), "text_pos_embedding.emb.weight": (0,)}


def shapes_of(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@cache
def shapes_of_network(config):
    with torch.device("meta"):
        return shapes_of(TORTOISE_AR.build(config).state_dict())


def explained(tensors, **known):
    """What a loader does before it reads a weight; every tensor that does not fit is named."""
    ledger = Ledger({name: tensor.to("meta") for name, tensor in tensors.items()})
    TORTOISE_AR.take(ledger)
    inferred = config_from(shapes_of(ledger.tensors), known)
    expected = shapes_of_network(inferred.config)
    found = shapes_of(ledger.tensors)
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong:
        raise CheckpointError("does not fit: " + ", ".join(map(ledger.source, wrong)))
    return inferred, ledger


@pytest.fixture(scope="module")
def files(expected):
    return expected(*FOLDERS)


def truly_stated(entry):
    """What a user must say because a rule is wrong for this file."""
    kwargs = entry["kwargs"]
    stated = {name: kwargs[name] for name, rule in entry["assumed"].items() if not rule["right"]}
    return stated | ({"types": kwargs["types"]} if kwargs.get("types", 1) != 1 else {})


def test_every_file_has_the_sizes_that_its_tensors_tell(files, opened):
    assert len(files) == 14
    for name, (path, entry) in files.items():
        _, inferred, _ = opened(path)
        config, derived = inferred.config, entry["derived"]
        told = {
            "layers": config.n_layers,
            "model_dim": config.dim,
            "text_rows": config.n_symbols,
            "number_mel_codes": config.n_codes,
            "max_text_tokens": config.max_symbols,
            "max_mel_tokens_plus_max_conditioning_inputs": config.max_codes + config.n_reserved_positions,
            "use_mel_codes_as_input": True,
            "train_solo_embeddings": config.has_solo_embeddings,
            "n_positions": config.n_code_positions + config.n_symbol_positions,
            "number_aligned_text_codes": kwargs_of(config, "unified_voice3")["number_aligned_text_codes"],
        }
        assert {key: told[key] for key in derived} == derived, name


def test_every_assumption_of_a_file_is_said_with_the_value_that_its_rule_gives(files, opened):
    for name, (path, entry) in files.items():
        _, inferred, _ = opened(path)
        said = {assumption.name: assumption.value for assumption in inferred.assumed}
        for assumption, rule in entry["assumed"].items():
            gives = (
                rule["gives"] if rule["gives"] is not None else 1
            )  # the nearest number of heads that divides
            assert said[assumption] == gives, name
        for phrase in entry["unknowable"]:
            assert any(ours.startswith(phrase) for ours in inferred.unknowable), name
        assert said.keys() - entry["assumed"].keys() == {"types", "max_conditioning_inputs", "residual"}


def test_with_the_truth_stated_every_file_gives_the_arguments_that_made_it(files, opened):
    for name, (path, entry) in files.items():
        _, inferred, _ = opened(path, **truly_stated(entry))
        variant = entry["cls"].split(".")[-2].replace("autoregressive", "tortoise")
        kwargs = kwargs_of(inferred.config, variant)
        # Whether training recomputes what it did not keep is no property of the network.
        given = {key: value for key, value in entry["kwargs"].items() if key != "checkpointing"}
        assert {key: value for key, value in kwargs.items() if key != "checkpointing"} == given, name
        if variant == "tortoise":
            assert reference_kwargs(inferred.config) == entry["kwargs"], name


def test_what_a_file_holds_besides_is_dropped_with_a_reason(files, opened):
    for name, (path, entry) in files.items():
        ledger, _, _ = opened(path)
        dropped = ledger.dropped()
        heads = [n for n in entry["tensors"] if n.startswith(("aligned_head.", "alignment_head."))]
        assert set(dropped) == {*entry.get("drop_names", ()), *heads}, name
        assert all(dropped.values())
        assert not any("c_attn" in one for one in dropped if not one.startswith("inference_model."))
        assert variant_of(entry["tensors"]) == entry["variant"], name


def test_the_four_programs_are_told_apart_by_their_heads_in_the_reasons(files, opened):
    for number in (3, 4):
        name = {3: "ar_variants/uv3_aligned_head.pth", 4: "ar_variants/uv4_alignment_head.pth"}[number]
        dropped = opened(files[name][0])[0].dropped()
        why = f"third head of unified_voice{number}; neither inference nor fine-tuning uses it"
        assert list(dropped.values()).count(why) == 2


@pytest.mark.parametrize("folder", ["tortoise_ar", "dlas_ar_train"])
def test_the_reference_weights_give_the_arguments_that_made_them(parity, folder):
    meta = json.loads((parity(folder) / "meta.json").read_text())
    weights = load_file(parity(folder) / "weights.safetensors")
    given = meta["kwargs"]

    config = config_from(shapes_of(weights), {"heads": given["heads"]}).config

    kwargs = reference_kwargs(config) if folder == "tortoise_ar" else kwargs_of(config, "unified_voice2")
    assert {key: kwargs[key] for key in given} == given


def test_norms_of_embeddings_are_folded_into_their_tables(parity, opened):
    folder = parity("containers") / "ar_variants"
    ledger, _, _ = opened(folder / "stable_embedding.pth")

    tables = read(folder / "stable_embedding_folded.pth").tensors
    fates = {entry.name: entry for entry in ledger.entries()}

    assert sorted(tables) == sorted(TABLES)
    for name, table in tables.items():
        torch.testing.assert_close(ledger.tensors[name], table, atol=1e-6, rtol=0)
        assert fates[name.removesuffix("weight") + "norm.bias"].fate == "renamed"
        assert "folded" in fates[name].why


def test_norms_of_half_precision_tables_are_worked_out_in_float32(tiny):
    tensors = {name: tensor.half() for name, tensor in tiny.state_dict().items()}
    rows = tensors["text_embedding.weight"]
    tensors |= {
        "text_embedding.norm.weight": torch.randn(16).half(),
        "text_embedding.norm.bias": torch.randn(16).half(),
    }
    ledger = Ledger(tensors)

    TORTOISE_AR.take(ledger)

    norm = [tensors[f"text_embedding.norm.{part}"].float() for part in ("weight", "bias")]
    expected = functional.layer_norm(rows.float(), (16,), *norm, eps=1e-5).half()
    assert ledger.tensors["text_embedding.weight"].equal(expected)


def with_extras(tensors):
    """As a trainer of old writes it: masks, copies, norms and a third head beside the network."""
    dim = tensors["gpt.ln_f.weight"].shape[0]
    side = sum(tensors[name].shape[0] for name in FREE)
    norms = {
        f"{table.removesuffix('weight')}norm.{part}": torch.randn(dim)
        for table in TABLES
        for part in ("weight", "bias")
    }
    masks = {f"gpt.h.{layer}.attn.bias": torch.ones(1, 1, side, side) for layer in range(2)}
    solo = {name: torch.randn(1, 1, dim) for name in ("mel_solo_embedding", "text_solo_embedding")}
    return {**tensors, **norms, **masks, **solo}


def test_every_damaged_tensor_is_named(tiny):
    n_checked = 0
    for kind, name, damaged, named in mutations(tiny.state_dict(), free=FREE):
        assert fits(shapes_of(damaged)), f"{kind} {name}: not recognised"
        with pytest.raises(CheckpointError, match=re.escape(named)):
            explained(damaged)
        n_checked += 1
    assert n_checked > 4 * len(tiny.state_dict())


def test_every_damaged_tensor_is_named_where_there_are_masks_norms_and_solo_embeddings(tiny):
    """A lost mask is no loss; all else is named, a table of positions of another length now included."""
    for kind, name, damaged, named in mutations(with_extras(tiny.state_dict())):
        if kind == "remove" and name.endswith(".attn.bias"):
            explained(damaged)
            continue
        with pytest.raises(CheckpointError, match=re.escape(named)):
            explained(damaged)


def test_what_the_user_states_wins_and_is_not_assumed(tiny):
    shapes = shapes_of(tiny.state_dict())
    stated = {
        "heads": 4,
        "types": 11,
        "residual": "norm(x) + h",
        "max_conditioning_inputs": 1,
        "start_text_token": 3,
        "stop_text_token": 4,
        "start_mel_token": 5,
        "stop_mel_token": 6,
        "mel_length_compression": 512,
    }

    inferred = config_from(shapes, stated)

    kwargs = kwargs_of(inferred.config, "unified_voice2") | kwargs_of(inferred.config)
    assert inferred.assumed == ()
    assert kwargs | stated == kwargs | {"residual": "norm(x) + h"}
    assert inferred.config.residual == "norm(x) + h"
    assert kwargs["number_text_tokens"] == 1


def test_our_own_description_tells_everything(tiny):
    known = json.loads(json.dumps(asdict(tiny.config)))

    inferred = config_from(shapes_of(tiny.state_dict()), known)

    assert inferred.config == tiny.config
    assert inferred.assumed == ()


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"heads": 3}, "heads cannot be 3: expected a number that divides the width, 16"),
        ({"heads": 0}, "heads cannot be 0: expected a whole number from 1"),
        ({"heads": 2.0}, "heads cannot be 2.0"),
        ({"heads": True}, "heads cannot be true"),
        ({"heads": "two"}, 'heads cannot be "two"'),
        ({"heads": None}, "heads cannot be null"),
        ({"heads": [2]}, r"heads cannot be \[2\]"),
        ({"types": 5}, "equal shares of 5 types"),
        ({"start_mel_token": 20}, "two different rows of 20: 20, 19"),
        ({"start_mel_token": 19}, "two different rows of 20: 19, 19"),
        ({"stop_text_token": -1}, "stop_text_token cannot be -1"),
        ({"max_conditioning_inputs": 15}, "no room between start and stop"),
        ({"mel_length_compression": 0}, "mel_length_compression cannot be 0"),
        ({"residual": "x"}, r'residual cannot be "x": expected x \+ h or norm\(x\) \+ h'),
        ({"dropout": 1}, "dropout cannot be 1"),
        ({"dropout": "much"}, 'dropout cannot be "much"'),
        ({"heads": 10**400}, "heads cannot be"),
    ],
)
def test_nonsense_that_a_user_states_is_refused(tiny, stated, message):
    with pytest.raises(CheckpointError, match=message):
        config_from(shapes_of(tiny.state_dict()), stated)


@pytest.mark.parametrize(("dim", "n_heads"), [(64, 1), (1024, 16), (32, 1), (96, 1), (160, 2), (48, 1)])
def test_heads_are_the_width_over_64_or_the_nearest_number_that_divides(dim, n_heads):
    config = UnifiedVoiceConfig(n_layers=1, n_conditioning_layers=1, dim=dim, n_heads=1)
    shapes = shapes_of_network(config)

    inferred = config_from(shapes, {})

    (heads,) = [assumption for assumption in inferred.assumed if assumption.name == "heads"]
    assert heads.value == inferred.config.n_heads == n_heads
    assert heads.because.startswith("a guess" if dim % 64 else "width / 64")


def test_a_network_that_reads_spectrograms_in_place_of_codes_is_refused(tiny):
    tensors = tiny.state_dict()
    del tensors["mel_embedding.weight"]
    tensors["mel_embedding.encoder.0.weight"] = torch.randn(4, 80, 3)

    with pytest.raises(CheckpointError, match="reads spectrograms in place of codes.*use_mel_codes_as_input"):
        explained(tensors)


def test_tensors_of_a_width_that_no_network_has_are_refused(tiny):
    tensors = {
        name: torch.empty([6 if n == 16 else n for n in tensor.shape], device="meta")
        for name, tensor in tiny.state_dict().items()
    }

    with pytest.raises(CheckpointError, match="no network has the sizes.*multiple of 4"):
        explained(tensors)


def test_it_is_told_apart_from_xtts_and_from_a_part_of_itself(parity, files, tiny):
    xtts = read(parity("containers") / "xtts_trainer" / "gpt_only.pth").tensors
    shapes = shapes_of(tiny.state_dict())

    assert not fits(shapes_of(xtts))
    assert fits(shapes)
    assert not fits({name: shape for name, shape in shapes.items() if name.startswith("gpt.h.")})
    assert not fits({})


def test_the_released_size_has_the_released_tensors():
    with torch.device("meta"):
        model = TORTOISE_AR.build(UnifiedVoiceConfig())

    assert sum(tensor.numel() for tensor in model.parameters()) == 421_526_786
    assert len(model.state_dict()) == 410
    kwargs = reference_kwargs(model.config)
    assert (kwargs["max_mel_tokens"], kwargs["max_text_tokens"], kwargs["number_text_tokens"]) == (
        604,
        402,
        255,
    )
    assert config_from(shapes_of(model.state_dict()), {}).config == model.config
