"""A config that cannot be is refused."""

import pytest

from retimbre.audio.mel import tortoise_univnet_mel100
from retimbre.models.tortoise_diffusion.config import DiffusionConfig, norm_groups, spec_of


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_layers": 0}, "n_layers must be at least 1"),
        ({"dim": 40, "n_heads": 16}, "no whole multiple of n_heads"),
        ({"dim": 6, "n_heads": 2}, "the fewest groups of a norm"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        DiffusionConfig(**sizes)


@pytest.mark.parametrize(
    ("dim", "groups"),
    [(8, 8), (12, 4), (16, 8), (32, 16), (40, 8), (64, 16), (72, 8), (80, 16), (1024, 32), (2048, 32)],
)
def test_channels_are_divided_into_as_many_groups_as_in_tortoise(dim, groups):
    assert norm_groups(dim) == groups


def test_the_next_stage_reads_what_univnet_reads():
    assert spec_of(DiffusionConfig()) == tortoise_univnet_mel100()
    assert spec_of(DiffusionConfig(n_mels=80)).n_mels == 80
