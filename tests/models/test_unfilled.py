"""Networks that are built to be filled: nothing is drawn, and nothing of what was in the memory stays."""

import pytest
import torch

from building.models import generator_config, text_to_spec_config
from building.tortoise_set import PARTS
from retimbre.checkpoint.fill import load_weights
from retimbre.errors import CheckpointError
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.config import StyleSizes
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.unfilled import unfilled_network

STYLE = StyleSizes(n_tokens=3, n_heads=2)
FAMILIES = [(part.family, part.config) for part in PARTS.values()] + [
    (HIFIGAN, generator_config()),  # its inverse STFT has constants that no file holds
    (
        HIFIGAN,
        generator_config(istft_n_fft_samples=None, upsample_rates=(8, 8, 4), upsample_kernels=(16, 16, 8)),
    ),
    (FASTSPEECH2, text_to_spec_config(n_symbols=9)),
    (FASTSPEECH2, text_to_spec_config(n_symbols=9, n_features=5, n_speakers=3, style=STYLE)),
]


@pytest.fixture
def memory_of_nan():
    """All memory that nobody has written to holds NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


def everything(model):
    """Parameters and buffers, those that no file holds among them."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.usefixtures("memory_of_nan")
@pytest.mark.parametrize(("family", "config"), FAMILIES, ids=lambda each: getattr(each, "name", ""))
def test_nothing_of_the_memory_stays_in_any_family(family, config):
    torch.manual_seed(4)
    usual = everything(family.build(config))
    weights = family.build(config).state_dict()

    model = unfilled_network(family.build, config)
    left = [name for name, tensor in model.named_parameters() if tensor.isnan().any()]
    load_weights(model, weights)

    filled = everything(model)
    assert left
    assert filled.keys() == usual.keys()
    for name, tensor in filled.items():
        assert tensor.equal(weights.get(name, usual[name])), name
        assert tensor.requires_grad == usual[name].requires_grad


@pytest.mark.usefixtures("memory_of_nan")
def test_no_weight_is_drawn():
    before = torch.get_rng_state()

    model = unfilled_network(TORTOISE_AR.build, PARTS["autoregressive"].config)

    assert torch.get_rng_state().equal(before)
    assert model.mel_head.weight.isnan().all()


def test_after_a_network_weights_are_drawn_as_ever():
    unfilled_network(TORTOISE_AR.build, PARTS["autoregressive"].config)
    layer = torch.nn.Linear(50, 50)
    assert layer.weight.std() > 0.05
    assert torch.nn.LayerNorm(7).weight.eq(1).all()


@pytest.mark.parametrize("name", ["final_norm.weight", "gpt.h.1.attn.c_attn.bias"])
def test_a_network_that_a_file_does_not_fill_is_refused(name):
    config = PARTS["autoregressive"].config
    weights = TORTOISE_AR.build(config).state_dict()
    del weights[name]

    with pytest.raises(CheckpointError, match=f"1 missing \\({name}\\)"):
        load_weights(unfilled_network(TORTOISE_AR.build, config), weights)
