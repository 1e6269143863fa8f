"""The decoder's sizes from shapes, the spellings of its names, and single damaged tensors."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from building.explained import explained, shapes_of
from building.mutations import mutations
from retimbre.checkpoint.keys import folded
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.model import Generator
from retimbre.models.tortoise_hifigan import TORTOISE_HIFIGAN
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.tortoise_hifigan.model import LatentDecoder

SMALL = LatentDecoderConfig(latent_dim=6, conditioning_dim=5, initial_channels=16)
SHORT_BLOCKS = LatentDecoderConfig(
    latent_dim=3,
    conditioning_dim=7,
    resblock="2",
    upsample_rates=(5, 3, 2),
    upsample_kernels=(11, 7, 4),
    initial_channels=8,
    resblock_kernels=(3, 5),
    resblock_dilations=((1, 3), (1, 3)),
)
FORMS = pytest.mark.parametrize("config", [SMALL, SHORT_BLOCKS], ids=["released form", "short blocks"])


def tensors_of(config):
    torch.manual_seed(5)
    return LatentDecoder(config).state_dict()


@pytest.fixture
def container(parity):
    """The decoder of a models folder, and what is to be found in it."""
    folder = parity("containers") / "tortoise_models"
    return folder / "hifidecoder.pth", json.loads((folder / "expected.json").read_text())["files"][
        "hifidecoder.pth"
    ]


@FORMS
def test_size_is_recovered_from_the_weights(config):
    inferred, _ = explained(TORTOISE_HIFIGAN, tensors_of(config))

    assert inferred.config == config
    assert {each.name: each.value for each in inferred.assumed} == {
        "upsample_factors": list(config.upsample_rates),
        "resblock_dilation_sizes": list(map(list, config.resblock_dilations)),
    }


@FORMS
def test_our_own_description_tells_everything(config):
    config = replace(
        config, resblock_dilations=tuple((1, *row[1:-1], 9) for row in config.resblock_dilations)
    )
    as_json = json.loads(json.dumps(asdict(config)))

    inferred, _ = explained(TORTOISE_HIFIGAN, tensors_of(config), as_json)

    assert (inferred.config, inferred.assumed) == (config, ())


def test_what_somebody_states_wins_over_the_rule():
    config = replace(SMALL, upsample_rates=(4, 8, 4, 2), resblock_dilations=((1, 2, 4), (1, 2, 4), (1, 6, 9)))
    stated = {
        "upsample_factors": [4, 8, 4, 2],
        "resblock_dilation_sizes": [[1, 2, 4], [1, 2, 4], [1, 6, 9]],
    }

    assert explained(TORTOISE_HIFIGAN, tensors_of(config), stated)[0].config == config


def test_a_file_as_tortoise_has_it_is_sized(container):
    path, expected = container
    contents = read(path)

    inferred, ledger = explained(TORTOISE_HIFIGAN, contents.tensors)

    kwargs = TORTOISE_HIFIGAN.reference_kwargs(inferred.config)
    assert contents.weights_at == expected["weights_at"]
    assert kwargs == expected["kwargs"]
    assert all(rule["right"] for rule in expected["assumed"].values())
    assert {each.name: each.value for each in inferred.assumed} == {
        name: rule["gives"] for name, rule in expected["assumed"].items()
    }
    assert expected["derived"] == {name: kwargs[name] for name in expected["derived"]}
    assert {entry.fate for entry in ledger.entries()} == {"matched", "renamed"}
    assert not ledger.dropped()


def test_tensors_come_back_bit_for_bit(container):
    tensors = read(container[0]).tensors
    inferred, ledger = explained(TORTOISE_HIFIGAN, tensors)
    network = TORTOISE_HIFIGAN.build(inferred.config)
    network.load_state_dict(ledger.tensors)

    back = TORTOISE_HIFIGAN.theirs(network.state_dict())

    assert sorted(back) == sorted(tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_every_spelling_of_weight_norm_gives_the_same_sound():
    model, latents, voice = LatentDecoder(SMALL).eval(), torch.randn(1, 6, 6), torch.randn(1, 5)
    weights = model.state_dict()

    for tensors in (weights, TORTOISE_HIFIGAN.theirs(weights), folded(weights)):
        inferred, ledger = explained(TORTOISE_HIFIGAN, tensors)
        again = TORTOISE_HIFIGAN.build(inferred.config).eval()
        again.load_state_dict(ledger.tensors)
        torch.testing.assert_close(again(latents, voice), model(latents, voice), atol=1e-6, rtol=1e-5)
        assert TORTOISE_HIFIGAN.fits(shapes_of(tensors))


def test_half_precision_stays_half_precision():
    halves = {name: tensor.half() for name, tensor in TORTOISE_HIFIGAN.theirs(tensors_of(SMALL)).items()}

    inferred, ledger = explained(TORTOISE_HIFIGAN, halves)

    assert inferred.config == SMALL
    assert {tensor.dtype for tensor in ledger.tensors.values()} == {torch.float16}


@pytest.mark.parametrize("spelling", [TORTOISE_HIFIGAN.theirs, folded, dict], ids=["older", "folded", "ours"])
def test_a_single_damaged_tensor_is_named(spelling):
    config = replace(
        SMALL,
        upsample_rates=(8, 4, 2),
        upsample_kernels=(16, 8, 4),
        resblock_kernels=(3, 7),
        resblock_dilations=((1, 3), (1, 3)),
    )
    tensors = {name: tensor.to("meta") for name, tensor in spelling(tensors_of(config)).items()}
    first = [name for name in tensors if name.startswith("conv_pre.") and tensors[name].shape[1:] == (6, 7)]
    free = dict.fromkeys([*first, "cond_layer.weight"], (1,))  # nothing else tells what they read
    n_tried = 0

    for mutation in mutations(tensors, free=free):
        assert TORTOISE_HIFIGAN.fits(shapes_of(mutation.tensors))
        with pytest.raises(CheckpointError) as error:
            explained(TORTOISE_HIFIGAN, mutation.tensors)
        layer = mutation.named.partition(".parametrizations")[0].partition(".weight")[0]
        is_older = spelling is TORTOISE_HIFIGAN.theirs
        assert (mutation.named if is_older else layer) in str(error.value), mutation[:2]
        n_tried += 1
    assert n_tried > 4 * len(tensors)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"upsample_factors": [8, 8, 2]}, "'upsample_factors' .* expected a list of 4 whole numbers"),
        ({"upsample_factors": "8, 8, 2, 2"}, "'upsample_factors' does not fit"),
        ({"upsample_factors": [8, 8, 2, 2.0]}, "'upsample_factors' does not fit"),
        ({"upsample_factors": [32, 8, 2, 2]}, "an upsampling kernel must be its rate plus an even number"),
        ({"upsample_factors": [7, 8, 2, 2]}, "ups.0.weight_v"),
        ({"resblock_dilation_sizes": [[1, 3, 5]]}, "expected 3 lists of 3 whole numbers"),
        ({"resblock_dilation_sizes": [[1, 3], [1, 3], [1, 3]]}, "expected a list of 3 whole numbers"),
        ({"resblock_dilation_sizes": 5}, "'resblock_dilation_sizes' does not fit"),
    ],
)
def test_a_statement_that_makes_no_sense_is_refused(stated, said):
    with pytest.raises(CheckpointError, match=said):
        explained(TORTOISE_HIFIGAN, TORTOISE_HIFIGAN.theirs(tensors_of(SMALL)), stated)


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {
            "cond_layer.bias": (4,),
            "conv_pre.bias": (4,),
            "ups.0.bias": (2,),
            "resblocks.0.convs1.0.bias": (2,),
        },
        {"cond_layer.bias": (4,), "conv_pre.bias": (4,), "ups.99999999.bias": (2,), "resblocks.0.x": (2,)},
        {f"resblocks.{block}.convs1.0.bias": (1,) for block in range(40)}
        | {f"resblocks.0.convs1.{conv}.bias": (1,) for conv in range(40)}
        | {"ups.0.bias": (1,)},
        {name: () for name in tensors_of(SMALL)},
        {name: (0, 0, 0) for name in tensors_of(SMALL)},
        {name: (1 << 40, 1 << 40, 1 << 40) for name in tensors_of(SMALL)},
    ],
    ids=["nothing", "biases", "a large number", "too many parts", "no axes", "empty", "huge"],
)
def test_nonsense_ends_in_one_line(shapes):
    with pytest.raises(CheckpointError):
        TORTOISE_HIFIGAN.config_from(shapes, {})


def test_it_is_not_taken_for_another_hifigan_nor_another_for_it():
    shapes = shapes_of(tensors_of(SMALL))
    hifigan = shapes_of(Generator(GeneratorConfig(n_mels=5, initial_channels=16)).state_dict())
    xtts = shapes | {"conds.0.weight": (8, 5, 1), "conds.0.bias": (8,)}

    assert TORTOISE_HIFIGAN.fits(shapes)
    assert not HIFIGAN.fits(shapes)
    assert not TORTOISE_HIFIGAN.fits(hifigan)
    assert not TORTOISE_HIFIGAN.fits(xtts)
    assert not TORTOISE_HIFIGAN.fits({})


def test_the_released_size_is_that_of_the_released_file():
    with torch.device("meta"):
        network = LatentDecoder(LatentDecoderConfig())

    assert sum(parameter.numel() for parameter in network.parameters()) == 17_844_226
    assert len(network.state_dict()) == 236
    assert network.config.hop_samples == 256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent_dim": 0}, "every size must be from 1 to 65,536"),
        ({"conditioning_dim": 1 << 17}, "every size must be from 1 to 65,536"),
        ({"upsample_rates": (8, 8)}, "2 upsample_rates for 4 upsample_kernels"),
        ({"initial_channels": 24}, "cannot be halved 4 times"),
        ({"resblock_kernels": (), "resblock_dilations": ()}, "each stage needs a residual block"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **changes)
