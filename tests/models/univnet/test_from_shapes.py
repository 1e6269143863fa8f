"""UnivNet's sizes from shapes, the spellings of its names, and single damaged tensors."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file

from building.explained import explained, shapes_of
from building.mutations import mutations
from retimbre.audio.mel import tortoise_univnet_mel100
from retimbre.checkpoint.keys import folded
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.model import Generator
from retimbre.models.univnet import UNIVNET
from retimbre.models.univnet.config import UnivNetConfig
from retimbre.models.univnet.model import UnivNet

SMALL = UnivNetConfig(n_mels=5, noise_dim=3, dim=4)
ODD = UnivNetConfig(
    n_mels=4, noise_dim=2, dim=3, strides=(3, 5), dilations=(2, 1, 4), predictor_kernel=5, slope=0.1
)
ONE_STAGE = UnivNetConfig(n_mels=6, noise_dim=7, dim=2, strides=(4,), dilations=(1,), predictor_kernel=1)
FORMS = pytest.mark.parametrize("config", [SMALL, ODD, ONE_STAGE], ids=["released form", "odd", "one stage"])


def tensors_of(config):
    torch.manual_seed(5)
    return UnivNet(config).state_dict()


@pytest.fixture
def container(parity):
    """The vocoder of a models folder, and what is to be found in it."""
    folder = parity("containers") / "tortoise_models"
    return folder / "vocoder.pth", json.loads((folder / "expected.json").read_text())["files"]["vocoder.pth"]


@FORMS
def test_size_is_recovered_from_the_weights(config):
    stated = {"dilations": list(config.dilations), "lReLU_slope": config.slope}

    inferred, _ = explained(UNIVNET, tensors_of(config), stated)

    assert inferred.config == config
    assert [assumption.name for assumption in inferred.assumed] == ["strides"]


def test_what_no_tensor_tells_is_assumed_and_said():
    inferred, _ = explained(UNIVNET, tensors_of(SMALL))

    assert inferred.config == SMALL
    assert {each.name: each.value for each in inferred.assumed} == {
        "strides": [8, 8, 4],
        "dilations": [1, 3, 9, 27],
        "lReLU_slope": 0.2,
    }


@FORMS
def test_our_own_description_tells_everything(config):
    as_json = json.loads(json.dumps(asdict(config)))

    inferred, _ = explained(UNIVNET, tensors_of(config), as_json)

    assert (inferred.config, inferred.assumed) == (config, ())


def test_a_frozen_network_of_tortoise_is_sized(parity):
    meta = json.loads((parity("univnet") / "meta.json").read_text())

    inferred, _ = explained(UNIVNET, load_file(parity("univnet") / "weights.safetensors"))

    assert UNIVNET.reference_kwargs(inferred.config) == meta["kwargs"]


def test_a_file_as_tortoise_has_it_is_sized(container):
    path, expected = container
    contents = read(path)

    inferred, ledger = explained(UNIVNET, contents.tensors)

    kwargs = UNIVNET.reference_kwargs(inferred.config)
    assert contents.weights_at == expected["weights_at"]
    assert kwargs == expected["kwargs"]
    assert all(rule["right"] for rule in expected["assumed"].values())
    assert {each.name: each.value for each in inferred.assumed} == {
        name: rule["gives"] for name, rule in expected["assumed"].items()
    }
    told = {
        "dilations_count": len(inferred.config.dilations),
        "stack_count": len(inferred.config.strides),
        "strides_from_kernel": list(inferred.config.strides),
    }
    assert expected["derived"] == {name: (kwargs | told)[name] for name in expected["derived"]}
    assert {entry.fate for entry in ledger.entries()} == {"matched", "renamed"}
    assert not ledger.dropped()


def test_tensors_come_back_bit_for_bit_in_tortoises_order(container):
    tensors = read(container[0]).tensors
    inferred, ledger = explained(UNIVNET, tensors)
    network = UNIVNET.build(inferred.config)
    network.load_state_dict(ledger.tensors)

    back = UNIVNET.theirs(network.state_dict())

    assert list(sorted(back)) == sorted(tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_every_spelling_of_weight_norm_gives_the_same_sound():
    model, spec, noise = UnivNet(SMALL).eval(), torch.randn(1, 5, 6), torch.randn(1, 3, 6)
    weights = model.state_dict()

    for tensors in (weights, UNIVNET.theirs(weights), folded(weights)):
        inferred, ledger = explained(UNIVNET, tensors)
        again = UNIVNET.build(inferred.config).eval()
        again.load_state_dict(ledger.tensors)
        torch.testing.assert_close(again(spec, noise), model(spec, noise), atol=1e-6, rtol=1e-5)
        assert UNIVNET.fits(shapes_of(tensors))


def test_a_split_weight_says_why_it_has_another_name():
    _, ledger = explained(UNIVNET, folded(tensors_of(SMALL)))

    (entry,) = [entry for entry in ledger.entries() if entry.name == "conv_pre.weight"]
    assert entry.fate == "renamed"
    assert entry.why == "its weight norm was folded away: split into length and direction again"


def test_half_precision_stays_half_precision():
    halves = {name: tensor.half() for name, tensor in UNIVNET.theirs(tensors_of(SMALL)).items()}

    inferred, ledger = explained(UNIVNET, halves)

    assert inferred.config == SMALL
    assert {tensor.dtype for tensor in ledger.tensors.values()} == {torch.float16}


@pytest.mark.parametrize("spelling", [UNIVNET.theirs, folded, dict], ids=["older", "folded", "ours"])
def test_a_single_damaged_tensor_is_named(spelling):
    config = replace(SMALL, dilations=(1, 3))
    tensors = {name: tensor.to("meta") for name, tensor in spelling(tensors_of(config)).items()}
    noise = [name for name in tensors if name.startswith("conv_pre.") and tensors[name].dim() == 3]
    free = {
        name: (1,) for name in noise if tensors[name].shape[1] > 1
    }  # nothing else tells the noise's width
    n_tried = 0

    for mutation in mutations(tensors, free=free):
        assert UNIVNET.fits(shapes_of(mutation.tensors))
        with pytest.raises(CheckpointError) as error:
            explained(UNIVNET, mutation.tensors)
        layer = mutation.named.partition(".parametrizations")[0].partition(".weight")[0]
        assert (mutation.named if spelling is UNIVNET.theirs else layer) in str(error.value), mutation[:2]
        n_tried += 1
    assert n_tried > 4 * len(tensors)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        (
            {"dilations": [1, 3, 9]},
            "'dilations' .* expected a list of 4 whole numbers .* found \\[1, 3, 9\\]",
        ),
        ({"dilations": "1, 3, 9, 27"}, "'dilations' does not fit"),
        ({"dilations": [1, 3, 9, 0]}, "'dilations' does not fit"),
        ({"dilations": [1, 3, 9, True]}, "'dilations' does not fit"),
        ({"dilations": [1, 3, 9, 1 << 40]}, "'dilations' does not fit"),
        ({"strides": None}, "'strides' does not fit"),
        ({"strides": [8, 8]}, "expected a list of 3 whole numbers"),
        ({"strides": [8, 8, 2]}, "res_stack.2.convt_pre.1.weight_v"),
        ({"lReLU_slope": "0.2"}, "'lReLU_slope' .* a number from 0 to below 1, found '0.2'"),
        ({"lReLU_slope": float("nan")}, "'lReLU_slope' does not fit"),
        ({"lReLU_slope": -1}, "'lReLU_slope' does not fit"),
    ],
)
def test_a_statement_that_makes_no_sense_is_refused(stated, said):
    with pytest.raises(CheckpointError, match=said):
        explained(UNIVNET, UNIVNET.theirs(tensors_of(SMALL)), stated)


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"res_stack.0.kernel_predictor.x": (1,), "res_stack.0.convt_pre.x": (1,)},
        {"res_stack.99999999.convt_pre.1.bias": (4,), "res_stack.0.kernel_predictor.bias_conv.bias": (4,)},
        {f"res_stack.{stage}.convt_pre.1.bias": (1,) for stage in range(40)}
        | {f"res_stack.0.conv_blocks.{layer}.1.bias": (1,) for layer in range(40)},
        {name: () for name in tensors_of(SMALL)},
        {name: (0, 0, 0) for name in tensors_of(SMALL)},
        {name: (1 << 40, 1 << 40, 1 << 40) for name in tensors_of(SMALL)},
    ],
    ids=["nothing", "other parts", "a large number", "too many parts", "no axes", "empty", "huge"],
)
def test_nonsense_ends_in_one_line(shapes):
    with pytest.raises(CheckpointError):
        UNIVNET.config_from(shapes, {})


def test_only_a_univnet_is_taken_for_one():
    shapes = shapes_of(tensors_of(SMALL))
    hifigan = shapes_of(Generator(GeneratorConfig(n_mels=5, initial_channels=16)).state_dict())

    assert UNIVNET.fits(shapes)
    assert not UNIVNET.fits(hifigan)
    assert not UNIVNET.fits({f"generator.{name}": shape for name, shape in shapes.items()})
    assert not UNIVNET.fits({})


def test_the_released_size_is_that_of_the_released_file():
    with torch.device("meta"):
        network = UnivNet(UnivNetConfig())

    assert sum(parameter.numel() for parameter in network.parameters()) == 14_865_506
    assert len(network.state_dict()) == 132
    assert network.config.hop_samples == 256


def test_it_reads_tortoises_spectrogram():
    assert UNIVNET.mel(UnivNetConfig()) == tortoise_univnet_mel100()
    assert UNIVNET.mel(replace(SMALL, strides=(8, 8, 2))).hop_samples == 128


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strides": ()}, "at least one stage"),
        ({"dilations": (1, 0)}, "every size must be from 1 to 65,536"),
        ({"dim": 1 << 20}, "every size must be from 1 to 65,536"),
        ({"predictor_kernel": 4}, "predictor_kernel must be odd"),
        ({"slope": 1.5}, "slope must be from 0 to below 1"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **changes)
