"""Sizes come from the tensors alone, and a damaged file is named by its damage."""

import json
import math
import re
from dataclasses import asdict, replace
from functools import cache

import pytest
import torch

from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.tortoise_diffusion import TORTOISE_DIFFUSION
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_diffusion.from_shapes import config_from, fits, reference_kwargs

TINY = DiffusionConfig(n_mels=5, dim=8, n_layers=2, n_heads=2, latent_dim=6, n_codes=11)
ONLY_ONE_TELLS = {("latent_conditioner.0.weight", 1): "latent_dim", ("code_embedding.weight", 0): "n_codes"}


@cache
def shapes_of(config):
    with torch.device("meta"):
        model = TORTOISE_DIFFUSION.build(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


SHAPES = shapes_of(TINY)


def blamed(shapes):
    """Names of tensors that are missing, not expected, or of another shape than the sizes demand."""
    assert fits(shapes)
    try:
        expected = shapes_of(config_from(shapes, {}).config)
    except CheckpointError as error:
        return set(re.findall("'(.+?)'", str(error)))
    return {name for name in expected.keys() | shapes.keys() if expected.get(name) != shapes.get(name)}


def with_shape(name, shape):
    return {**SHAPES, name: shape}


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"n_layers": 1, "n_heads": 4, "dim": 12},
        {"n_mels": 7},
        {"latent_dim": 1, "n_codes": 1, "dim": 40},
    ],
)
def test_sizes_are_recovered_from_the_weights(sizes):
    config = replace(TINY, **sizes)

    found = config_from(shapes_of(config), {})

    assert found.config == config
    assert found.assumed == ()


def test_the_released_sizes_give_the_released_network():
    config = DiffusionConfig()
    with torch.device("meta"):
        model = TORTOISE_DIFFUSION.build(config)

    assert sum(parameter.numel() for parameter in model.parameters()) == 292_334_380
    assert len(model.state_dict()) == 359
    assert config_from(shapes_of(config), {}).config == config


def test_the_original_would_build_the_reference_with_these_arguments(reference, meta):
    assert reference_kwargs(reference.config) == meta["kwargs"]
    assert list(reference.state_dict()) == list(meta["weights"])  # an optimiser's state goes by their order


def test_a_file_of_tortoise_is_told_completely_by_its_tensors(parity):
    folder = parity("containers") / "tortoise_models"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["files"]
    expected = expected["diffusion_decoder.pth"]
    ledger = Ledger(read(folder / "diffusion_decoder.pth").tensors)

    TORTOISE_DIFFUSION.take(ledger)
    found = config_from({name: tuple(tensor.shape) for name, tensor in ledger.tensors.items()}, {})
    model = TORTOISE_DIFFUSION.build(found.config)
    load_weights(model, ledger.tensors)

    kwargs = reference_kwargs(found.config)
    assert kwargs == expected["kwargs"]
    assert {name: kwargs[name] for name in expected["derived"]} == expected["derived"]
    assert {assumption.name for assumption in found.assumed} == set(expected["assumed"])
    assert list(found.unknowable) == expected["unknowable"]
    assert ledger.dropped() == expected["drop"] == {}
    written = TORTOISE_DIFFUSION.theirs(model.state_dict())
    assert {f"{name}" for name in written} == expected["tensors"].keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in ledger.tensors.items())


def test_no_other_file_of_the_reference_fits(parity):
    files = {}
    for path in sorted(parity("containers").glob("*/expected.json")):
        for file, entry in json.loads(path.read_text(encoding="utf-8"))["files"].items():
            tensors = entry.get("tensors", {}).items()
            files[file] = {name.split("/")[-1]: tuple(tensor["shape"]) for name, tensor in tensors}
    for path in sorted(parity("").glob("*/meta.json")):
        weights = json.loads(path.read_text(encoding="utf-8")).get("weights", {})
        files[path.parent.name] = {name: tuple(shape) for name, shape in weights.items()}

    assert {file for file, shapes in files.items() if fits(shapes)} == {"diffusion_decoder.pth", "diffusion"}
    assert len(files) > 60


def test_a_decoder_of_music_does_not_fit():
    """DL-Art-School's, alike but for how it reads codes: residual blocks stand around two attentions."""
    music = {f"code_converter.{number}.qkv.weight": (24, 8, 1) for number in (1, 3)}
    music |= {f"code_converter.{number}.in_layers.2.weight": (8, 8, 1) for number in (0, 2, 4)}
    shapes = {name: shape for name, shape in SHAPES.items() if not name.startswith("code_")}

    assert not fits(shapes | music | {"embeddings.weight": (8, 8)})


def test_a_norm_of_the_codes_goes_into_their_table(tiny):
    weights = dict(tiny.state_dict())
    norm = {f"code_embedding.norm.{part}": torch.randn(TINY.dim) for part in ("weight", "bias")}
    ledger = Ledger(weights | norm)

    TORTOISE_DIFFUSION.take(ledger)

    other = TORTOISE_DIFFUSION.build(TINY)
    load_weights(other, ledger.tensors)
    rows = torch.nn.functional.layer_norm(weights["code_embedding.weight"], (TINY.dim,), *norm.values())
    torch.testing.assert_close(other.code_embedding.weight.detach(), rows)


def test_the_network_is_outlined_without_filling_its_tables(monkeypatch):
    """torch would load its compiler for that, which takes over a second."""
    monkeypatch.setattr(torch.nn.init, "normal_", None)
    with torch.device("meta"):
        assert len(TORTOISE_DIFFUSION.build(DiffusionConfig()).state_dict()) == 359


def test_a_removed_tensor_is_named():
    for name in SHAPES:
        assert blamed({other: shape for other, shape in SHAPES.items() if other != name}) == {name}


def test_a_renamed_tensor_is_named():
    for name in SHAPES:
        renamed = {f"x_{other}" if other == name else other: shape for other, shape in SHAPES.items()}
        assert name in blamed(renamed)
        assert blamed(renamed) <= {name, f"x_{name}"}


def test_a_tensor_too_many_is_named():
    for name in SHAPES:
        for extra in (f"{name}_copy", f"layers.7.{name}"):
            assert blamed(with_shape(extra, SHAPES[name])) == {extra}


def test_a_transposed_or_flattened_tensor_is_named():
    for name, shape in SHAPES.items():
        others = {shape[::-1], shape[1::-1] + shape[2:], (math.prod(shape),), (*shape, 1), ()} - {shape}
        for other in others:
            assert blamed(with_shape(name, other)) == {name}, other


def test_a_resized_tensor_is_named():
    for name, shape in SHAPES.items():
        for axis, step in [(axis, step) for axis in range(len(shape)) for step in (1, -1)]:
            other = (*shape[:axis], shape[axis] + step, *shape[axis + 1 :])
            if size := ONLY_ONE_TELLS.get((name, axis)):  # no other tensor has it: the file is a good one
                found = config_from(with_shape(name, other), {})
                assert found.config == replace(TINY, **{size: other[axis]})
                assert blamed(with_shape(name, other)) == set()
            else:
                assert blamed(with_shape(name, other)) == {name}, other


def test_sizes_that_make_no_network_are_a_checkpoint_error():
    shapes = {name: (32, 3) if "relative" in name else shape for name, shape in SHAPES.items()}

    with pytest.raises(CheckpointError, match="no whole multiple of n_heads"):
        config_from(shapes, {})


def test_our_own_description_is_a_plain_dictionary():
    assert DiffusionConfig(**json.loads(json.dumps(asdict(TINY)))) == TINY
