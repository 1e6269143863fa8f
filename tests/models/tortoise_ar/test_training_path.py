"""How the network learns: recomputation and reduced numbers change nothing, or as little as is said."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from models.tortoise_ar.conftest import TINY
from retimbre.models.tortoise_ar.model import UnifiedVoice

WIDER = replace(TINY, n_layers=4, dim=64, n_heads=4, n_symbol_positions=80, n_code_positions=140)


def network(config):
    torch.manual_seed(7)
    model = UnifiedVoice(config).train()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.05)
    return model


def loss_of(model, *, seed=3):
    """Of random utterances, with the same dropout for the same seed."""
    torch.manual_seed(11)
    config = model.config
    kind = next(model.parameters()).dtype
    clips = torch.randn(3, 2, 80, 17).to(kind)
    symbols, codes = (
        torch.randint(1, config.start_symbol, (3, 9)),
        torch.randint(0, config.start_code, (3, 70)),
    )
    text, sound = model.framed_symbols(symbols), model.framed_codes(codes)
    torch.manual_seed(seed)
    logits = model(model.conditioning_latent(clips), text[:, :-1], sound[:, :-1])
    return 0.01 * functional.cross_entropy(logits.symbols.flatten(0, 1).to(kind), text[:, 1:].flatten()) + (
        functional.cross_entropy(logits.codes.flatten(0, 1).to(kind), sound[:, 1:].flatten())
    )


def learnt(model, *, reduced=False, seed=3):
    """The loss, the gradients by name, and where the generator of random numbers then is."""
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        loss = loss_of(model, seed=seed)
    state = torch.get_rng_state()
    loss.backward()
    assert torch.get_rng_state().equal(state)  # recomputing leaves it as it was
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}, state


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("n_recomputed", [1, 4, 99])
def test_recomputing_changes_not_a_bit(n_recomputed, reduced):
    model = network(WIDER)
    loss, gradients, state = learnt(model, reduced=reduced)
    model.gpt.n_recomputed = n_recomputed
    again, recomputed, state_after = learnt(model, reduced=reduced)

    assert loss.equal(again)
    assert state.equal(state_after)
    assert all(gradient.equal(recomputed[name]) for name, gradient in gradients.items())


def test_recomputing_keeps_less_for_the_gradients():
    model, kept = network(WIDER), []
    for n_recomputed in (0, 2, 4):
        model.gpt.n_recomputed = n_recomputed
        numbers = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, n=numbers: n.append(t.nbytes) or t, lambda t: t
        ):
            loss_of(model)
        kept.append(sum(numbers))

    assert kept[2] < 0.8 * kept[1] < 0.8 * 0.8 * kept[0]


def test_other_seeds_drop_other_numbers():
    model = network(WIDER)
    assert not loss_of(model, seed=3).equal(loss_of(model, seed=4))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_reduced_numbers_lead_the_same_way_as_exact_ones(seed):
    """The loss within 0.1 %; each gradient within 2 % of its length, dropout and all."""
    model = network(WIDER)
    loss, gradients, _ = learnt(model, reduced=True, seed=seed)
    true, exact, _ = learnt(network(WIDER).double(), seed=seed)

    assert float(loss) == pytest.approx(float(true), rel=1e-3)
    for name, gradient in gradients.items():
        off = (gradient.double() - exact[name]).norm() / exact[name].norm()
        assert off < 0.02, name


def test_gradients_of_float32_are_exact_to_five_digits():
    loss, gradients, _ = learnt(network(WIDER))
    true, exact, _ = learnt(network(WIDER).double())

    assert float(loss) == pytest.approx(float(true), rel=1e-6)
    for name, gradient in gradients.items():
        assert (gradient.double() - exact[name]).norm() < 1e-5 * exact[name].norm(), name


def test_what_is_learnt_from_is_what_speaks():
    model = network(replace(WIDER, dropout=0.0))
    torch.testing.assert_close(loss_of(model), loss_of(model.eval()))


def test_frozen_weights_kept_in_bfloat16_alone_change_nothing_under_autocast():
    model = network(WIDER)
    model.gpt.requires_grad_(False)
    loss, gradients, _ = learnt(model, reduced=True)
    model.gpt.keep_reduced(torch.bfloat16)
    again, kept, _ = learnt(model, reduced=True)

    assert model.gpt.h[0].mlp.c_fc.weight.dtype == torch.bfloat16
    assert loss.equal(again)
    assert all(gradient is None or gradient.equal(kept[name]) for name, gradient in gradients.items())
    assert sum(gradient is not None for gradient in gradients.values()) > 10
    plain, exact = (loss_of(each).item() for each in (model, network(WIDER)))  # without autocast, too
    assert plain == pytest.approx(exact, rel=2e-3)


def test_weights_that_learn_are_never_reduced():
    model = network(WIDER)
    model.gpt.h[1].requires_grad_(False)
    model.gpt.keep_reduced(torch.bfloat16)

    kinds = [layer.mlp.c_fc.weight.dtype for layer in model.gpt.h]
    assert kinds == [torch.float32, torch.bfloat16, torch.float32, torch.float32]
    assert model.gpt.h[1].ln_1.weight.dtype == torch.float32
