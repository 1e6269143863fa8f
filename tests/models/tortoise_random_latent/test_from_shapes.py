"""The width of a generator of latents from shapes, what is assumed, and which wrong tensor is named."""

import dataclasses
import json
from functools import cache

import pytest
import torch

from building.mutations import mutations
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_random_latent import TORTOISE_RANDOM_LATENT
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig


@cache  # a damaged file mostly asks for the same network as the one before
def tensors_of(config):
    with torch.device("meta"):
        return TORTOISE_RANDOM_LATENT.build(config).state_dict()


def shapes_of(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def wrong_names(tensors):
    """Names that do not fit the network that the family makes of a file."""
    ledger = Ledger(tensors)
    TORTOISE_RANDOM_LATENT.take(ledger)
    found = shapes_of(ledger.tensors)
    expected = shapes_of(tensors_of(TORTOISE_RANDOM_LATENT.config_from(found, {}).config))
    return {name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)}


@pytest.mark.parametrize("dim", [1, 5, 1024, 2048])
def test_size_is_recovered_from_the_weights(dim):
    config = RandomLatentConfig(dim=dim)
    shapes = shapes_of(tensors_of(config))
    inferred = TORTOISE_RANDOM_LATENT.config_from(shapes, {})

    assert TORTOISE_RANDOM_LATENT.fits(shapes)
    assert inferred.config == config
    assert [(item.name, item.value) for item in inferred.assumed] == [("lr_mul", 0.1)]


@pytest.mark.parametrize("scale", [0.1, 0.01, 1])
def test_nothing_is_assumed_where_our_own_description_or_the_user_tells(scale):
    config = RandomLatentConfig(dim=5, rate_scale=float(scale))
    for known in (json.loads(json.dumps(dataclasses.asdict(config))), {"lr_mul": scale}):
        inferred = TORTOISE_RANDOM_LATENT.config_from(shapes_of(tensors_of(config)), known)
        assert (inferred.config, inferred.assumed) == (config, ())


@pytest.mark.parametrize("value", ["0.1", 0, -0.1, True, None, [0.1], float("nan"), float("inf"), 10**400])
def test_a_scale_that_makes_no_sense_is_refused(value):
    with pytest.raises(CheckpointError, match="lr_mul.*expected a number above 0.*--assume lr_mul="):
        TORTOISE_RANDOM_LATENT.config_from(
            shapes_of(tensors_of(RandomLatentConfig(dim=5))), {"lr_mul": value}
        )


@pytest.mark.parametrize("sizes", [{"dim": 0}, {"rate_scale": 0.0}, {"rate_scale": float("nan")}])
def test_sizes_that_make_no_network_are_refused(sizes):
    with pytest.raises(ValueError, match=next(iter(sizes))):
        RandomLatentConfig(**sizes)


def test_the_reference_s_own_arguments_are_recovered(parity):
    meta = json.loads((parity("random_latent") / "meta.json").read_text(encoding="utf-8"))
    shapes = shapes_of(read(parity("random_latent") / "weights.safetensors").tensors)
    config = TORTOISE_RANDOM_LATENT.config_from(shapes, {}).config

    assert TORTOISE_RANDOM_LATENT.reference_kwargs(config) == meta["kwargs"]


@pytest.mark.parametrize("name", ["rlg_auto.pth", "rlg_diffuser.pth"])
def test_a_file_in_its_container_gives_what_is_expected_of_it(parity, name):
    folder = parity("containers") / "tortoise_models"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["files"][name]
    tensors = read(folder / name).tensors
    inferred = TORTOISE_RANDOM_LATENT.config_from(shapes_of(tensors), {})

    assert TORTOISE_RANDOM_LATENT.fits(shapes_of(tensors))
    assert wrong_names(tensors) == set()
    assert (
        TORTOISE_RANDOM_LATENT.reference_kwargs(inferred.config) == expected["kwargs"] == expected["derived"]
    )
    assert {item.name: item.value for item in inferred.assumed} == {
        name: rule["gives"] for name, rule in expected["assumed"].items() if rule["right"]
    }
    assert TORTOISE_RANDOM_LATENT.theirs(tensors).keys() == tensors.keys()


def test_one_wrong_tensor_is_named_and_no_other():
    tensors = tensors_of(RandomLatentConfig(dim=5))
    kinds = set()
    for mutation in mutations(tensors):
        assert TORTOISE_RANDOM_LATENT.fits(shapes_of(mutation.tensors)), mutation[:2]
        blamed = {"rename": {mutation.name, f"{mutation.name}_renamed"}}.get(mutation.kind, {mutation.named})
        assert wrong_names(mutation.tensors) == blamed, mutation[:2]
        kinds.add(mutation.kind)
    assert kinds == {"remove", "rename", "add", "resize"}  # a square transposed is as square as before


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"layers.0.weight": (4, 4), "layers.0.bias": (4,)},
        {
            f"layers.{n}.{end}": (4, 4)[: 1 + (end == "weight")]
            for n in range(9)
            for end in ("weight", "bias")
        },
        {
            f"layers.{n}.{end}": (4, 3)[: 1 + (end == "weight")]
            for n in range(6)
            for end in ("weight", "bias")
        },
        {f"layers.{n}.{end}": () for n in range(6) for end in ("weight", "bias")},
        {f"layers.{n}.resblk.out_layers.0.{end}": (4,) for n in range(6) for end in ("weight", "bias")},
    ],
    ids=["nothing", "one layer", "nine layers", "not square", "scalars", "diffusion"],
)
def test_other_numbered_layers_do_not_fit(shapes):
    assert not TORTOISE_RANDOM_LATENT.fits(shapes)


def test_neither_of_the_two_families_takes_the_other_s_file():
    with torch.device("meta"):
        dvae = shapes_of(TORTOISE_DVAE.build(DvaeConfig(dim=4)).state_dict())

    assert not TORTOISE_RANDOM_LATENT.fits(dvae)
    assert not TORTOISE_DVAE.fits(shapes_of(tensors_of(RandomLatentConfig(dim=5))))


def test_layers_without_rows_are_refused():
    shapes = {
        name: (0,) * len(shape) for name, shape in shapes_of(tensors_of(RandomLatentConfig(dim=5))).items()
    }

    with pytest.raises(CheckpointError, match="empty"):
        TORTOISE_RANDOM_LATENT.config_from(shapes, {})
