"""Sizes that no network can have are refused; derived ones."""

import pytest

from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_heads": 3}, "does not divide into 3 heads"),
        ({"dim": 6, "n_heads": 1}, "multiple of 4"),
        ({"n_layers": 0}, "at least 1"),
        ({"n_conditioning_layers": 0}, "at least 1"),
        ({"dim": 1 << 20}, "dim at most 65536"),
        ({"n_code_positions": 4}, "no room between start and stop"),
        ({"n_symbol_positions": 2}, "no room between start and stop"),
        ({"n_reserved_positions": -1}, "no room between start and stop"),
        ({"start_symbol": 256}, "two different rows of 256: 256, 0"),
        ({"stop_code": 8192}, "two different rows of 8194: 8192, 8192"),
        ({"n_text_types": 2}, "equal shares of 2 types"),
        ({"dropout": 1.0}, "dropout is a share"),
    ],
)
def test_a_network_that_cannot_be_is_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        UnifiedVoiceConfig(**sizes)


@pytest.mark.parametrize(
    ("dim", "n_groups"),
    [(8, 8), (12, 4), (16, 8), (32, 16), (48, 16), (56, 8), (64, 16), (96, 32), (112, 16), (1024, 32)],
)
def test_groups_of_channels_are_those_of_the_reference(dim, n_groups):
    """Its rule: 8 up to 16 channels, 16 up to 64, else 32, halved until they divide the width."""
    assert UnifiedVoiceConfig(dim=dim, n_heads=1).n_norm_groups == n_groups


def test_the_longest_text_and_codes_leave_room_for_start_and_stop():
    config = UnifiedVoiceConfig()

    assert (config.max_symbols, config.max_codes, config.n_per_type) == (402, 604, 255)
