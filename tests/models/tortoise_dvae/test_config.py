"""Sizes that contradict each other are refused, and lengths follow from them."""

import pytest

from retimbre.models.tortoise_dvae.config import DvaeConfig


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_codes": 0}, "n_codes 0"),
        ({"stride": 4}, r"stride \(4\) is larger than kernel \(3\)"),
        ({"n_layers": 40}, "n_layers"),
    ],
)
def test_sizes_that_make_no_network_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        DvaeConfig(**sizes)


@pytest.mark.parametrize(
    ("n_frames", "n_codes"), [(1000, 250), (997, 250), (517, 130), (173, 44), (5, 2), (1, 1)]
)
def test_the_released_network_has_a_code_for_each_four_frames_rounded_up(n_frames, n_codes):
    assert DvaeConfig().codes_in(n_frames) == n_codes
    assert DvaeConfig().frames_in(n_codes) == 4 * n_codes
