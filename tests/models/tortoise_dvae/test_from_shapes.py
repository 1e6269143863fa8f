"""Sizes of a dVAE from shapes, what is assumed, and which tensor is named when one is wrong."""

import dataclasses
import json
from functools import cache

import pytest
import torch

from building.mutations import mutations
from retimbre.audio.mel import tortoise_mel80
from retimbre.audio.tortoise_norms import tortoise_norms
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.tortoise_dvae.config import DvaeConfig

TINY = DvaeConfig(n_mels=5, n_codes=9, codebook_dim=6, dim=4, n_layers=2, n_resblocks=2)
TRANSPOSED = dataclasses.replace(TINY, is_transposed=True, kernel=4)
CONFIGS = [
    TINY,
    TRANSPOSED,
    DvaeConfig(n_mels=3, n_codes=7, codebook_dim=4, dim=2, n_layers=1, n_resblocks=1, kernel=5),
    DvaeConfig(n_mels=4, n_codes=8, codebook_dim=16, dim=4, n_layers=3, n_resblocks=4, is_transposed=True),
    DvaeConfig(),
    DvaeConfig(n_codes=1024),
]
CLASS_DEFAULTS = {"stride": 2, "activation": "relu", "normalization": None}


@cache  # a damaged file mostly asks for the same network as the one before
def tensors_of(config):
    with torch.device("meta"):
        return TORTOISE_DVAE.build(config).state_dict()


def shapes_of(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def wrong_names(tensors):
    """Names that do not fit the network that the family makes of a file, or the message that refuses it."""
    ledger = Ledger(tensors)
    TORTOISE_DVAE.take(ledger)
    found = shapes_of(ledger.tensors)
    try:
        config = TORTOISE_DVAE.config_from(found, {}).config
    except CheckpointError as error:
        return str(error)
    expected = shapes_of(tensors_of(config))
    return {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}


@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: f"{config.n_layers}-{config.n_resblocks}-{config.dim}"
)
def test_size_is_recovered_from_the_weights(config):
    shapes = shapes_of(tensors_of(config))
    inferred = TORTOISE_DVAE.config_from(shapes, {})

    assert TORTOISE_DVAE.fits(shapes)
    assert inferred.config == config
    assumed = [(item.name, item.value) for item in inferred.assumed if item.name != "mel_norms"]
    assert assumed == [("stride", 2), ("activation", "relu")]


@pytest.mark.parametrize("changes", [{}, {"stride": 3}, {"activation": "silu", "stride": 1}])
def test_nothing_is_assumed_where_our_own_description_tells(changes):
    config = dataclasses.replace(TINY, n_mels=80, **changes)
    described = json.loads(json.dumps(dataclasses.asdict(config)))
    inferred = TORTOISE_DVAE.config_from(shapes_of(tensors_of(config)), described)

    assert (inferred.config, inferred.assumed) == (config, ())


@pytest.mark.parametrize("value", ["2", 0, -1, 2.0, True, None, [2], 10**30])
def test_a_stride_that_makes_no_sense_is_refused(value):
    with pytest.raises(CheckpointError, match="stride"):
        TORTOISE_DVAE.config_from(shapes_of(tensors_of(TINY)), {"stride": value})


@pytest.mark.parametrize("value", ["gelu", 1, None, ["relu"], {}])
def test_an_activation_that_is_unknown_is_refused(value):
    with pytest.raises(CheckpointError, match="activation.*expected relu or silu.*--assume activation="):
        TORTOISE_DVAE.config_from(shapes_of(tensors_of(TINY)), {"activation": value})


def test_the_reference_s_own_arguments_are_recovered(parity):
    meta = json.loads((parity("dvae") / "meta.json").read_text(encoding="utf-8"))
    shapes = shapes_of(read(parity("dvae") / "weights.safetensors").tensors)
    kwargs = TORTOISE_DVAE.reference_kwargs(TORTOISE_DVAE.config_from(shapes, {}).config)

    assert meta["kwargs"].items() <= kwargs.items()
    assert {name: kwargs[name] for name in kwargs.keys() - meta["kwargs"]} == {
        "stride": 2,
        "activation": "relu",
    }


def test_a_file_in_its_container_gives_what_is_expected_of_it(parity):
    folder = parity("containers") / "tortoise_models"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["files"]["dvae.pth"]
    tensors = read(folder / "dvae.pth").tensors
    inferred = TORTOISE_DVAE.config_from(shapes_of(tensors), {})
    kwargs = TORTOISE_DVAE.reference_kwargs(inferred.config)

    assert wrong_names(tensors) == set()
    assert expected["derived"].items() <= kwargs.items()
    assert expected["kwargs"].items() <= kwargs.items()
    assert {name: kwargs[name] for name in kwargs.keys() - expected["kwargs"]} == CLASS_DEFAULTS
    assert {item.name: item.value for item in inferred.assumed} == {
        name: rule["gives"] for name, rule in expected["assumed"].items() if rule["right"]
    }
    assert len(inferred.unknowable) == len(expected["unknowable"])
    assert TORTOISE_DVAE.theirs(tensors).keys() == tensors.keys()


def test_the_dvae_of_xtts_fits_and_its_counts_are_dropped_with_the_reason(parity):
    contents = read(parity("containers") / "xtts_trainer" / "best_model_900.pth")
    prefix = "xtts.dvae." if any(name.startswith("xtts.dvae.") for name in contents.tensors) else "dvae."
    tensors = {
        name.removeprefix(prefix): t for name, t in contents.tensors.items() if name.startswith(prefix)
    }
    ledger = Ledger(tensors)
    TORTOISE_DVAE.take(ledger)

    assert TORTOISE_DVAE.fits(shapes_of(tensors))
    assert sorted(ledger.dropped()) == [
        f"discrete_loss.{name}" for name in ("accumulator", "accumulator_filled", "accumulator_index")
    ]
    assert all("nothing reads it" in why for why in ledger.dropped().values())
    assert wrong_names(tensors) == set()
    assert TORTOISE_DVAE.config_from(shapes_of(ledger.tensors), {}).config.n_codes == 64


@pytest.mark.parametrize("config", [TINY, TRANSPOSED], ids=["repeated", "transposed"])
def test_one_wrong_tensor_is_named_and_no_other(config):
    n_checked = 0
    for mutation in mutations(tensors_of(config)):
        assert TORTOISE_DVAE.fits(shapes_of(mutation.tensors)), mutation[:2]
        wrong = wrong_names(mutation.tensors)
        blamed = {"rename": {mutation.name, f"{mutation.name}_renamed"}}.get(mutation.kind, {mutation.named})
        if isinstance(wrong, str):
            assert mutation.named in wrong, mutation[:2]
        else:
            assert wrong == blamed, mutation[:2]
        n_checked += 1
    assert n_checked > 5 * len(tensors_of(config))


def test_a_network_for_images_is_refused_by_the_tensor_that_shows_it():
    flat = {
        name: (*shape, shape[-1]) if len(shape) == 3 else shape
        for name, shape in shapes_of(tensors_of(TINY)).items()
    }

    with pytest.raises(CheckpointError, match=r"positional_dims 2.*'encoder\.0\.0\.weight' with 3 axes"):
        TORTOISE_DVAE.config_from(flat, {})


def test_norms_inside_the_encoder_are_refused_by_the_tensor_that_shows_them():
    shapes = shapes_of(tensors_of(TINY)) | {"encoder.1.weight": (4,), "encoder.1.bias": (4,)}

    with pytest.raises(CheckpointError, match=r"'encoder\.1\.weight' is a norm.*encoder_norm"):
        TORTOISE_DVAE.config_from(shapes, {})


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("codebook.embed",),
        ("encoder.0.0.weight", "decoder.0.weight"),
        ("gpt.h.0.attn.c_attn.weight", "mel_embedding.weight"),
        ("dvae.codebook.embed", "dvae.encoder.0.0.weight"),
    ],
)
def test_tensors_of_something_else_do_not_fit(names):
    assert not TORTOISE_DVAE.fits(dict.fromkeys(names, (3, 3, 3)))


@pytest.mark.parametrize("kept", ["encoder.0.0.weight", "codebook.embed", "encoder.2.net.0.weight"])
def test_a_file_with_most_tensors_missing_is_refused_in_one_line(kept):
    shapes = {name: shape for name, shape in shapes_of(tensors_of(TINY)).items() if name == kept}

    with pytest.raises(CheckpointError, match="expected") as caught:
        TORTOISE_DVAE.config_from(shapes, {})
    assert "\n" not in str(caught.value)


def test_the_spectrogram_is_that_of_tortoise_with_its_norms():
    assert TORTOISE_DVAE.mel(DvaeConfig()) == tortoise_mel80(tortoise_norms())


def test_with_another_number_of_bands_nothing_is_divided_and_that_is_said():
    inferred = TORTOISE_DVAE.config_from(shapes_of(tensors_of(TINY)), {})
    mel = TORTOISE_DVAE.mel(inferred.config)

    assert (mel.n_mels, mel.band_divisors) == (5, ())
    assert [item.name for item in inferred.assumed] == ["stride", "activation", "mel_norms"]
    assert "80 bands" in str(inferred.assumed[-1])
