"""UnivNet's discriminators: published sizes, shapes, gradients, and their sizes from a file."""

import json
from dataclasses import replace

import pytest
import torch

from building.explained import shapes_of
from building.mutations import mutations
from retimbre.checkpoint.keys import folded, older_weight_norm
from retimbre.errors import CheckpointError
from retimbre.models.complete import network_outline, require_complete
from retimbre.models.univnet import UNIVNET
from retimbre.models.univnet.config import JudgesConfig, UnivNetConfig
from retimbre.models.univnet.discriminators import UnivNetJudges
from retimbre.models.univnet.from_shapes import judges_config_from
from retimbre.models.univnet.magnitudes import FEWEST_SAMPLES, RESOLUTIONS
from retimbre.models.univnet.model import UnivNet

TINY = JudgesConfig(width=1 / 32, periods=(2, 3))


def judges_of(config):
    torch.manual_seed(4)
    return UnivNetJudges(config)


def test_the_default_is_the_published_size():
    with torch.device("meta"):
        judges = UnivNetJudges(JudgesConfig())
    shapes = shapes_of(judges.state_dict())

    def direction(layer):
        return shapes[f"{layer}.parametrizations.weight.original1"]

    of_spectrum = [direction(f"mrd.discriminators.2.convs.{n}") for n in range(5)]
    assert of_spectrum == [(32, 1, 3, 9), *[(32, 32, 3, 9)] * 3, (32, 32, 3, 3)]
    assert direction("mrd.discriminators.0.conv_post") == (1, 32, 3, 3)
    of_period = [direction(f"mpd.discriminators.4.convs.{n}")[:2] for n in range(5)]
    assert of_period == [(64, 1), (128, 64), (256, 128), (512, 256), (1024, 512)]
    assert [judge.period for judge in judges.mpd.discriminators] == [2, 3, 5, 7, 11]


@pytest.mark.parametrize("n_samples", [FEWEST_SAMPLES, 1280, 4097])
def test_each_gives_one_judgement_of_waveforms_of_any_length(n_samples):
    judgements = judges_of(TINY)(torch.randn(2, 1, n_samples))

    assert len(judgements) == len(RESOLUTIONS) + 2
    for judgement, resolution in zip(judgements[: len(RESOLUTIONS)], RESOLUTIONS, strict=True):
        n_bins, n_frames = resolution.n_fft_samples // 2 + 1, n_samples // resolution.hop_samples + 1
        columns = [n_frames, -(-n_frames // 2), -(-n_frames // 4), *[-(-n_frames // 8)] * 3]
        assert [feature.shape[2:] for feature in judgement.features] == [(n_bins, n) for n in columns]
        assert judgement.score.shape == (2, n_bins * columns[-1])
    rows = -(-n_samples // 3)
    assert judgements[4].features[0].shape == (2, 2, -(-rows // 3), 3)


def test_a_waveform_is_judged_the_same_in_any_company():
    judges, waves = judges_of(TINY), torch.randn(3, 1, 1500)

    together, alone = judges(waves), judges(waves[1:2])

    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.score[1:2], other.score, rtol=1e-4, atol=1e-5)


def test_every_discriminator_tells_the_generator_what_to_change():
    judges = judges_of(TINY)
    for judge in [*judges.mrd.discriminators, *judges.mpd.discriminators]:
        wave = torch.randn(1, 1, 1500, requires_grad=True)
        judge(wave).score.sum().backward()

        assert wave.grad.abs().sum() > 0


def test_a_gradient_reaches_every_tensor():
    judges = judges_of(TINY)

    torch.stack([each.score.square().sum() for each in judges(torch.randn(2, 1, 1500))]).sum().backward()

    assert all(parameter.grad.abs().sum() > 0 for parameter in judges.parameters())


def test_a_width_narrows_all_channels_and_leaves_at_least_one():
    assert JudgesConfig(width=0.25).period_channels == (16, 32, 64, 128, 256)
    assert JudgesConfig(width=0.25).spectrum_channels == 8
    assert (JudgesConfig(width=1e-4).period_channels, JudgesConfig(width=1e-4).spectrum_channels) == (
        (1,) * 5,
        1,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 0.0}, "width is a share between 0 and 1"),
        ({"width": 1.5}, "width is a share between 0 and 1"),
        ({"periods": ()}, "periods must be different numbers above 1"),
        ({"periods": (2, 2)}, "periods must be different numbers above 1"),
        ({"periods": (1, 2)}, "periods must be different numbers above 1"),
        ({"period_channels": (1, 2)}, "5 period_channels are needed"),
        ({"spectrum_channels": 1 << 17}, "every size must be from 1 to 65,536"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        JudgesConfig(**changes)


@pytest.mark.parametrize("config", [TINY, JudgesConfig(width=0.1)], ids=["two periods", "published periods"])
def test_size_is_recovered_from_the_weights(config):
    shapes = shapes_of(judges_of(config).state_dict())

    known = judges_config_from(shapes, {"periods": json.loads(json.dumps(config.periods))})
    unknown = judges_config_from(shapes, {})

    assert (known.config, known.assumed) == (config, ())
    assert [each.name for each in unknown.assumed] == ["periods"]
    assert replace(unknown.config, periods=config.periods) == config


@pytest.mark.parametrize("spelling", [older_weight_norm, folded, dict], ids=["older", "folded", "ours"])
def test_a_file_may_hold_them_beside_the_generator_in_every_spelling(spelling):
    judges = judges_of(TINY)
    generator = UnivNet(UnivNetConfig(n_mels=5, noise_dim=3, dim=4))
    tensors = spelling({**generator.state_dict(), **judges.state_dict()})

    ledger = UNIVNET.ledger_of(tensors)
    aside = ledger.only_aside().tensors
    again = judges_of(TINY)
    again.load_state_dict(aside)

    assert ledger.tensors.keys() == generator.state_dict().keys()
    wave = torch.randn(1, 1, 1500)
    for one, other in zip(judges(wave), again(wave), strict=True):
        torch.testing.assert_close(one.score, other.score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spelling", [older_weight_norm, folded, dict], ids=["older", "folded", "ours"])
def test_a_single_damaged_tensor_is_refused(spelling):
    tensors = {name: tensor.to("meta") for name, tensor in spelling(judges_of(TINY).state_dict()).items()}

    assert read_from(tensors) == TINY
    for mutation in mutations(tensors):
        with pytest.raises(CheckpointError):
            read_from(mutation.tensors)


def read_from(tensors):
    """The sizes of what a file holds, which must be whole."""
    ledger = UNIVNET.ledger_of(tensors).only_aside()
    config = judges_config_from(shapes_of(ledger.tensors), {"periods": [2, 3]}).config
    require_complete("set", network_outline(UnivNetJudges, config), ledger)
    return config


@pytest.mark.parametrize(
    ("periods", "said"),
    [([2], "expected a list of 2 whole numbers"), ("2, 3", "'periods' does not fit"), ([2, 2], "contradict")],
)
def test_periods_that_make_no_sense_are_refused(periods, said):
    with pytest.raises(CheckpointError, match=said):
        judges_config_from(shapes_of(judges_of(TINY).state_dict()), {"periods": periods})


def test_no_discriminators_are_told_so():
    with pytest.raises(CheckpointError, match="this file has no complete discriminators"):
        judges_config_from({}, {})
