from dataclasses import asdict, replace

import pytest

from retimbre.errors import CheckpointError
from retimbre.models.description import sizes_of
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.config import (
    ConformerSizes,
    FastSpeech2Config,
    Level,
    PredictorSizes,
    StyleSizes,
)

KINDS = [
    {},
    {"postnet_dim": None, "learns_alignment": False, "attention_dim": 80},
    {"n_speakers": 3, "n_languages": 2, "pitch_level": Level.FRAME, "n_mels": 9},
    {"encoder": ConformerSizes(n_layers=3, n_heads=4, dim=8, feedforward_dim=9, kernel=3, dropout=0.1)},
    {"pitch": PredictorSizes(n_layers=3, dim=5, kernel=7, is_depthwise=False, dropout=0.3)},
    {"energy_level": Level.FRAME, "n_pitch_bins": 4, "pitch_range": (-2.0, 4.0), "silence": -10.0},
    {"style": StyleSizes(n_tokens=3, n_heads=2, channels=(3, 4), summary_dim=5), "n_features": 43},
]


def shapes_of(network):
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_recovered_from_the_weights_and_our_description(tiny_config, kind):
    config = tiny_config(**kind)
    shapes = shapes_of(FASTSPEECH2.build(config))

    assert FASTSPEECH2.fits(shapes)
    for known in (asdict(config), sizes_of(config)):
        found = FASTSPEECH2.config_from(shapes, known)
        assert found.config == config
        assert found.assumed == ()


def test_what_tensors_tell_wins(tiny_config):
    shapes = shapes_of(FASTSPEECH2.build(tiny_config()))
    known = asdict(tiny_config(postnet_dim=None, n_symbols=99))

    assert FASTSPEECH2.config_from(shapes, known).config == tiny_config()


def test_what_no_tensor_tells_is_assumed_and_said(tiny_config):
    found = FASTSPEECH2.config_from(shapes_of(FASTSPEECH2.build(tiny_config())), {})

    assert found.config == replace(tiny_config(), pitch_range=(-3.0, 3.0))
    assert [(told.name, told.value) for told in found.assumed] == [
        ("encoder.heads", 2),
        ("decoder.heads", 2),
        ("pitch.level", "phone"),
        ("energy.level", "phone"),
    ]


def test_what_the_user_states_is_not_assumed(tiny_config):
    shapes = shapes_of(FASTSPEECH2.build(tiny_config()))
    stated = {"encoder.heads": 4, "decoder.heads": 1, "pitch.level": "frame", "energy.level": "phone"}
    found = FASTSPEECH2.config_from(shapes, stated)
    assert (found.config.encoder.n_heads, found.config.decoder.n_heads) == (4, 1)
    assert found.config.pitch_level == "frame"
    assert found.assumed == ()


def test_everyvoice_hyper_parameters_tell_the_rest(tiny_config):
    config = tiny_config(
        encoder=ConformerSizes(n_heads=4, dim=8, feedforward_dim=12, dropout=0.05),
        pitch=PredictorSizes(dim=6, dropout=0.25),
        energy_level=Level.FRAME,
        pitch_range=(-2.5, 4.5),
    )
    predictors = {
        "pitch": {"level": "phone", "dropout": 0.25},
        "energy": {"level": "frame", "dropout": 0.5},
        "duration": {"dropout": 0.5},
    }
    model = {
        "encoder": {"heads": 4, "dropout": 0.05},
        "decoder": {"heads": 2, "dropout": 0.2},
        "variance_predictors": predictors,
    }
    stats = {"pitch": {"norm_min": -2.5, "norm_max": 4.5}, "energy": None}

    found = FASTSPEECH2.config_from(
        shapes_of(FASTSPEECH2.build(config)), {"config": {"model": model}, "stats": stats}
    )

    assert found.config == config
    assert found.assumed == ()


def test_features_of_unknown_symbols_are_refused(tiny_config):
    shapes = shapes_of(FASTSPEECH2.build(tiny_config(n_features=43)))
    del shapes["text_input_layer.features"]

    assert FASTSPEECH2.fits(shapes)
    with pytest.raises(CheckpointError, match=r"what this network reads of a symbol.*43 of each"):
        FASTSPEECH2.config_from(shapes, {})


def test_features_that_no_weight_fits_are_refused(tiny_config):
    shapes = shapes_of(FASTSPEECH2.build(tiny_config(n_features=43)))

    with pytest.raises(CheckpointError, match="39 features"):
        FASTSPEECH2.config_from(shapes | {"text_input_layer.features": (12, 39)}, {})


def test_a_missing_tensor_is_named(tiny_config):
    shapes = shapes_of(FASTSPEECH2.build(tiny_config()))
    del shapes["text_input_layer.weight"]

    with pytest.raises(CheckpointError, match=r"'text_input_layer\.weight' with 2 axes"):
        FASTSPEECH2.config_from(shapes, {})


def test_other_tensors_do_not_fit():
    assert not FASTSPEECH2.fits({"generator.conv_pre.bias": (512,)})


def test_names_are_everyvoices(tiny_network):
    tensors = tiny_network().state_dict()

    wrapped = {f"_orig_mod.{name}": value for name, value in tensors.items()}
    for named in (FASTSPEECH2.ledger_of(tensors).tensors, FASTSPEECH2.theirs(tensors)):
        assert named.keys() == tensors.keys()
    assert FASTSPEECH2.ledger_of(wrapped).tensors.keys() == tensors.keys()


def test_everyvoice_gets_no_table_of_features(tiny_network):
    tensors = tiny_network(n_features=43).state_dict()

    assert tensors.keys() - FASTSPEECH2.theirs(tensors).keys() == {"text_input_layer.features"}


def test_contradicting_sizes_are_refused():
    with pytest.raises(ValueError, match=r"dim \(10\) must be even and divisible by n_heads \(4\)"):
        ConformerSizes(dim=10, n_heads=4)
    with pytest.raises(ValueError, match=r"divisible by style n_heads \(3\)"):
        FastSpeech2Config(n_symbols=3, style=StyleSizes(n_heads=3))
    with pytest.raises(ValueError, match=r"kernel \(4\) must be odd"):
        PredictorSizes(kernel=4)
