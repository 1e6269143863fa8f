"""Sizes from shapes, foreign names, and files of the original HiFi-GAN."""

import dataclasses
import json

import pytest
import torch

from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.keys import older_weight_norm
from retimbre.errors import CheckpointError
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import (
    discriminator_config_from,
    discriminator_tensors,
    istft_window,
)
from retimbre.models.hifigan.model import Generator

V1 = GeneratorConfig(n_mels=5, initial_channels=16)
V2_LIKE = GeneratorConfig(
    n_mels=4,
    upsample_rates=(5, 3),
    upsample_kernels=(11, 7),
    initial_channels=12,
    resblock_kernels=(3, 5),
    resblock_dilations=((1, 3, 5), (1, 3, 5)),
)
V3 = GeneratorConfig(
    n_mels=7,
    resblock="2",
    upsample_rates=(8, 8, 4),
    upsample_kernels=(16, 16, 8),
    initial_channels=8,
    resblock_kernels=(3, 5, 7),
    resblock_dilations=((1, 2), (2, 6), (3, 12)),
)
ISTFT = GeneratorConfig(
    n_mels=5, upsample_rates=(8, 8), upsample_kernels=(16, 16), initial_channels=8, istft_n_fft_samples=16
)
FORMS = pytest.mark.parametrize("config", [V1, V2_LIKE, V3, ISTFT], ids=["v1", "two-stages", "v3", "istft"])


def shapes_of(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def everyvoice_values(config):
    """What EveryVoice writes beside such a generator's weights."""
    model = {
        "resblock": config.resblock,
        "upsample_rates": list(config.upsample_rates),
        "resblock_dilation_sizes": [list(row) for row in config.resblock_dilations],
        "activation_function": "everyvoice.utils.original_hifigan_leaky_relu",
        "istft_layer": config.is_istft,
        "mpd_layers": [2, 3, 7],
    }
    return {"config": {"model": model, "VERSION": "1.0"}}


@FORMS
def test_size_is_recovered_from_the_weights(config):
    inferred = HIFIGAN.config_from(shapes_of(Generator(config).state_dict()), {})

    assert inferred.config == config
    assert str(inferred.assumed[0]).startswith(
        f"upsample_rates {', '.join(map(str, config.upsample_rates))}: "
    )
    assert len(inferred.assumed) == 2


@FORMS
def test_nothing_is_assumed_where_the_values_beside_the_weights_tell(config):
    shapes = shapes_of(Generator(config).state_dict())
    as_json = json.loads(json.dumps(dataclasses.asdict(config)))

    for known in (as_json, everyvoice_values(config), everyvoice_values(config)["config"]["model"]):
        inferred = HIFIGAN.config_from(shapes, known)
        assert (inferred.config, inferred.assumed) == (config, ())


def test_unusual_dilations_and_rates_come_from_the_values_beside_the_weights():
    config = dataclasses.replace(
        V1, upsample_rates=(4, 8, 4, 2), resblock_dilations=((1, 2, 4), (1, 2, 4), (1, 6, 9))
    )

    assert (
        HIFIGAN.config_from(shapes_of(Generator(config).state_dict()), everyvoice_values(config)).config
        == config
    )


def test_the_second_kind_of_block_takes_the_first_two_of_three_dilations():
    config = dataclasses.replace(V3, resblock_kernels=(3, 7, 11), resblock_dilations=((1, 3),) * 3)
    values = everyvoice_values(config)
    values["config"]["model"]["resblock_dilation_sizes"] = [[1, 3, 5]] * 3

    assert HIFIGAN.config_from(shapes_of(Generator(config).state_dict()), values).config == config


@FORMS
def test_a_model_survives_every_way_its_weights_are_named(config):
    model, spec = Generator(config).eval(), torch.randn(1, config.n_mels, 3)
    expected = model(spec)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.remove_weight_norm()
    foreign = {
        "ours": weights,
        "everyvoice": HIFIGAN.theirs(weights),
        "original": older_weight_norm(weights),
        "older everyvoice": HIFIGAN.theirs(older_weight_norm(weights)),
        "folded": model.state_dict(),
        "wrapped": {f"module.{name}": tensor for name, tensor in weights.items()},
        "full": HIFIGAN.theirs(weights) | istft_window(config) | {"mpd.x": spec, "msd.y": spec},
    }

    for tensors in foreign.values():
        named = HIFIGAN.ledger_of(tensors).tensors
        assert HIFIGAN.fits(shapes_of(named))
        again = Generator(HIFIGAN.config_from(shapes_of(named), dataclasses.asdict(config)).config).eval()
        load_weights(again, named)
        torch.testing.assert_close(again(spec), expected, atol=1e-6, rtol=1e-5)


def test_theirs_are_the_names_that_everyvoice_reads(parity):
    meta = json.loads((parity("istft") / "meta.json").read_text())
    shapes = {name: tuple(shape) for name, shape in meta["weights"].items()}
    ours = {name.removeprefix("generator."): shape for name, shape in shapes.items()}

    config = HIFIGAN.config_from(ours, meta).config

    assert shapes_of(HIFIGAN.theirs(Generator(config).state_dict())) == shapes


@pytest.mark.parametrize(
    "foreign", ["cond_layer.weight", "conds.0.weight", "resblocks.0.activations.0.act.alpha"]
)
def test_a_model_like_it_is_not_taken_for_a_hifigan(foreign):
    shapes = shapes_of(Generator(V1).state_dict())

    assert HIFIGAN.fits(shapes)
    assert not HIFIGAN.fits(shapes | {foreign: (3, 3)})
    assert not HIFIGAN.fits({})
    assert not HIFIGAN.fits({"encoder.weight": (4, 4)})


def test_a_configuration_of_another_model_is_named_in_the_error():
    shapes = shapes_of(Generator(V1).state_dict())

    with pytest.raises(CheckpointError, match="'upsample_rates' .* expected 4 numbers, found 8, 8, 4"):
        HIFIGAN.config_from(shapes, {"upsample_rates": [8, 8, 4]})
    with pytest.raises(CheckpointError, match="'resblock_dilations' .* expected 3 lists of 3 numbers"):
        HIFIGAN.config_from(shapes, {"resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]]})
    with pytest.raises(CheckpointError, match="'upsample_rates' .* found 'eight'"):
        HIFIGAN.config_from(shapes, {"upsample_rates": "eight"})
    with pytest.raises(CheckpointError, match="no upsampling by 7 .* found 16 in 'ups.0.param"):
        HIFIGAN.config_from(shapes, {"upsample_rates": [7, 8, 2, 2]})


def test_another_activation_is_refused():
    with pytest.raises(
        CheckpointError, match="another activation function: expected .* found torch.nn.functional.silu"
    ):
        HIFIGAN.config_from(
            shapes_of(Generator(V1).state_dict()), {"activation_function": "torch.nn.functional.silu"}
        )


def test_a_missing_layer_is_named_in_the_error():
    shapes = shapes_of(Generator(V1).state_dict())
    without = {name: shape for name, shape in shapes.items() if not name.startswith("conv_post")}

    with pytest.raises(CheckpointError, match="outputs of conv_post: expected 'conv_post.param"):
        HIFIGAN.config_from(without, {})
    with pytest.raises(CheckpointError, match="not the tensors of a HiFi-GAN generator"):
        HIFIGAN.config_from({"ups.0.bias": (1,)}, {})


@pytest.mark.parametrize("width", [1 / 16, 1 / 64])
def test_the_discriminators_sizes_are_recovered_from_their_weights(width):
    config = DiscriminatorConfig(width=width, periods=(2, 3, 7), n_scales=2)
    weights = Discriminators(config).state_dict()

    known = discriminator_config_from(shapes_of(weights), everyvoice_values(V1))
    unknown = discriminator_config_from(shapes_of(weights), {})

    assert (known.config, known.assumed) == (config, ())
    assert unknown.config == dataclasses.replace(config, periods=(2, 3, 5))
    assert [(told.name, told.value) for told in unknown.assumed] == [("periods", [2, 3, 5])]
    with pytest.raises(CheckpointError, match="no complete discriminators"):
        discriminator_config_from({}, {})


def test_original_discriminators_keep_the_vectors_of_the_spectral_norm():
    model = Discriminators(DiscriminatorConfig(width=1 / 64)).eval()
    wave = torch.randn(1, 1, 700)

    named = discriminator_tensors(older_weight_norm(model.state_dict()) | {"generator.conv_pre.bias": wave})

    again = Discriminators(discriminator_config_from(shapes_of(named), {}).config).eval()
    load_weights(again, named)
    for before, after in zip(model(wave), again(wave), strict=True):
        torch.testing.assert_close(after.score, before.score)


@pytest.mark.parametrize("file", ["g_00000100", "g_folded"])
@pytest.mark.parametrize("folder", ["hifigan_v1_zip", "hifigan_v3_zip"])
def test_files_of_the_original_hifigan_are_sized_and_filled(parity, folder, file):
    place = parity("containers") / folder
    state = torch.load(place / file, weights_only=True, map_location="cpu")["generator"]
    expected = json.loads((place / "expected.json").read_text())["files"][file]["config"]
    beside = json.loads((place / "config.json").read_text())
    tensors = HIFIGAN.ledger_of(state).tensors

    for known in ({}, beside):  # the assumptions hold for the published forms
        config = HIFIGAN.config_from(shapes_of(tensors), known).config
        assert list(config.upsample_rates) == expected["upsample_rates"]
        assert [list(row) for row in config.resblock_dilations] == expected["resblock_dilation_sizes"]
        load_weights(Generator(config), tensors)


@pytest.mark.parametrize("folder", ["hifigan_v1_zip", "hifigan_v3_zip"])
def test_discriminators_of_the_original_hifigan_are_sized_and_filled(parity, folder):
    saved = torch.load(parity("containers") / folder / "do_00000100", weights_only=True, map_location="cpu")
    flat = {f"{kind}.{name}": tensor for kind in ("mpd", "msd") for name, tensor in saved[kind].items()}
    tensors = discriminator_tensors(flat)

    inferred = discriminator_config_from(shapes_of(tensors), {})

    load_weights(Discriminators(inferred.config), tensors)
    assert inferred.config.periods == (2, 3, 5, 7, 11)


def test_a_file_that_spells_one_layer_twice_is_refused_by_both_names():
    weights = Generator(V1).state_dict()
    twice = weights | {"conv_pre.weight_g": weights["conv_pre.parametrizations.weight.original0"]}

    with pytest.raises(CheckpointError, match=r"found conv_pre\.weight_g, conv_pre\.parametrizations"):
        HIFIGAN.ledger_of(twice)
