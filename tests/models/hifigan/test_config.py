"""Contradictions are refused where a config is made."""

import json
from dataclasses import asdict

import pytest

from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"upsample_rates": (8, 8)}, "2 upsample_rates for 4"),
        ({"upsample_rates": (8, 8, 2, 5)}, "not 4 for 5"),
        ({"upsample_kernels": (16, 16, 4, 5)}, "not 5 for 2"),
        ({"resblock_kernels": (3,)}, "1 resblock_kernels for 3"),
        ({"resblock_kernels": (3, 7, 10)}, "must be odd"),
        ({"initial_channels": 24}, "cannot be halved 4 times"),
        ({"istft_n_fft_samples": 15}, "must be even"),
    ],
)
def test_a_generator_that_cannot_be_is_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        GeneratorConfig(**sizes)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"width": 0.0}, "between 0 and 1"),
        ({"periods": (2, 2)}, "different numbers"),
        ({"periods": (1, 2)}, "above 1"),
        ({"period_channels": (3,)}, "5 period_channels"),
        ({"scale_groups": (1, 3, 16, 16, 16, 16, 1)}, "3 groups do not divide 128"),
    ],
)
def test_discriminators_that_cannot_be_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        DiscriminatorConfig(**sizes)


def test_the_inverse_stft_has_its_share_of_the_hop():
    config = GeneratorConfig(upsample_rates=(8, 8), upsample_kernels=(16, 16), istft_n_fft_samples=16)

    assert (config.istft_hop_samples, config.hop_samples) == (4, 256)
    assert GeneratorConfig().hop_samples == 256


def test_discriminator_sizes_survive_json():
    config = DiscriminatorConfig(width=1 / 8, periods=(2, 3))
    plain = json.loads(json.dumps(asdict(config)))

    again = DiscriminatorConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()})

    assert again == config
    assert again.period_channels == (4, 16, 64, 128, 128)
