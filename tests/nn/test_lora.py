"""Small matrices beside large ones: at first nothing changes, only they learn, and they can be folded in."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from retimbre.models.tortoise_ar.gpt2 import Head, Projection
from retimbre.nn.conv import ConvOverTime
from retimbre.nn.lora import Adapters, folded_in, matrices_in

IN_BY_OUT = (Projection,)
LAYERS = {
    "linear": lambda: nn.Linear(6, 9),
    "without bias": lambda: nn.Linear(6, 9, bias=False),
    "head": lambda: Head(6, 9),
    "projection": lambda: Projection(6, 9),
    "square projection": lambda: Projection(6, 6),
    "over time": lambda: ConvOverTime(6, 9),
    "convolution": lambda: nn.Conv1d(6, 9, 1),
}


def network_with(kind):
    torch.manual_seed(3)
    network = nn.ModuleDict({"layer": LAYERS[kind]()})
    with torch.no_grad():
        for tensor in network.parameters():
            tensor.normal_()
    return network


def input_for(kind, *, batch=2, places=5):
    x = torch.randn(batch, places, 6)
    return x.transpose(1, 2).contiguous() if kind == "convolution" else x


def adapters_of(network, *, rank=2, alpha=3.0, dropout=0.0, is_learnt=True):
    made = Adapters(network, ["layer"], rank=rank, alpha=alpha, dropout=dropout, in_by_out=IN_BY_OUT)
    if is_learnt:
        with torch.no_grad():
            for tensor in made.parameters():
                tensor.normal_()
    return made


def pairs_of(adapters):
    return {name: (p.lora_A.weight, p.lora_B.weight) for name, p in adapters.by_layer().items()}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_at_the_beginning_every_bit_of_the_output_is_that_of_the_base(kind, dtype):
    network = network_with(kind).to(dtype)
    x = input_for(kind).to(dtype)
    before = network["layer"](x)

    adapters_of(network, is_learnt=False)

    after = network["layer"](x)
    assert after.dtype == dtype
    assert torch.equal(after, before)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(("batch", "places"), [(2, 5), (1, 1), (3, 7)])
def test_what_is_added_is_alpha_over_rank_times_b_times_a(kind, batch, places):
    network = network_with(kind)
    x = input_for(kind, batch=batch, places=places)
    before = network["layer"](x)

    adapters = adapters_of(network, rank=4, alpha=3.0)

    down, up = (tensor.double() for tensor in pairs_of(adapters)["layer"])
    last = x.transpose(1, 2) if kind == "convolution" else x
    expected = 0.75 * (last.double() @ down.T) @ up.T
    expected = expected.transpose(1, 2) if kind == "convolution" else expected
    torch.testing.assert_close(network["layer"](x).double(), before + expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_folded_weights_give_what_the_adapters_gave(kind):
    network = network_with(kind)
    adapters = adapters_of(network)
    x = input_for(kind)
    with_adapters = network["layer"](x)

    weights = folded_in(
        network.state_dict(), pairs_of(adapters), factor=1.5, matrices=matrices_in(network, IN_BY_OUT)
    )
    plain = network_with(kind)
    plain.load_state_dict(weights)

    torch.testing.assert_close(plain["layer"](x), with_adapters, atol=2e-5, rtol=1e-5)
    assert not torch.equal(plain["layer"](x), network_with(kind)["layer"](x))
    kept = {name: tensor for name, tensor in weights.items() if not name.endswith(".weight")}
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in kept.items())


def test_folding_keeps_half_precision_and_rounds_once():
    network = network_with("projection").half()
    adapters = adapters_of(network)

    weights = folded_in(
        network.state_dict(), pairs_of(adapters), factor=1.5, matrices=matrices_in(network, IN_BY_OUT)
    )

    down, up = (tensor.double() for tensor in pairs_of(adapters)["layer"])
    exact = network["layer"].weight.double() + 1.5 * (up @ down).T
    assert weights["layer.weight"].dtype == torch.float16
    assert (weights["layer.weight"].double() - exact).abs().max() <= exact.abs().max() * 2**-11


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_the_small_matrices_learn_and_they_are_of_float32(kind, dtype):
    network = network_with(kind).to(dtype)
    adapters = adapters_of(network)

    network["layer"](input_for(kind).to(dtype)).float().square().sum().backward()

    assert all(tensor.grad is None for tensor in network.parameters())
    assert all(t.dtype == t.grad.dtype == torch.float32 and t.grad.any() for t in adapters.parameters())
    assert not any(name.startswith("layer") for name in adapters.state_dict())
    assert set(network.state_dict()) <= {"layer.weight", "layer.bias"}


def test_under_gradient_checkpointing_the_gradients_are_the_same_with_dropout_too():
    found = []
    for is_recomputed in (False, True):
        network = network_with("projection")
        adapters = adapters_of(network, dropout=0.5)
        x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(9)
        layer = network["layer"]
        result = checkpoint(layer, x, use_reentrant=False) if is_recomputed else layer(x)
        result.square().sum().backward()
        found.append([tensor.grad for tensor in adapters.parameters()])

    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_under_autocast_to_bfloat16_gradients_reach_the_small_matrices():
    network = network_with("projection")
    adapters = adapters_of(network)

    with torch.autocast("cpu", torch.bfloat16):
        result = network["layer"](torch.randn(2, 5, 6))
    result.float().sum().backward()

    assert result.dtype == torch.bfloat16
    assert all(tensor.grad.dtype == torch.float32 and tensor.grad.any() for tensor in adapters.parameters())


class Rounding(nn.Linear):
    """Keeps its weight in bfloat16 and gives such numbers, whatever it reads."""

    def forward(self, x):
        return super().forward(x.to(self.weight.dtype))


def test_what_comes_out_keeps_the_type_that_the_layer_gives():
    network = nn.ModuleDict({"layer": Rounding(6, 9).bfloat16()})
    x = torch.randn(2, 5, 6)
    before = network["layer"](x)
    adapters = adapters_of(network)

    after = network["layer"](x)

    assert after.dtype == before.dtype == torch.bfloat16
    down, up = pairs_of(adapters)["layer"]
    expected = before.float() + 1.5 * (x @ down.T) @ up.T
    assert (after.float() - expected).abs().max() < 2**-6 * expected.abs().max()


def test_dropout_is_of_training_alone_and_follows_the_network():
    network = network_with("linear")
    adapters_of(network, dropout=0.5)
    x = torch.randn(4, 50, 6)

    trained = [network.train()["layer"](x) for _ in range(2)]
    spoken = [network.eval()["layer"](x) for _ in range(2)]

    assert not torch.equal(*trained)
    assert torch.equal(*spoken)
    # Half of what it reads is lost, and the rest counts twice: on average nothing changes.
    many = torch.stack([network.train()["layer"](x) for _ in range(400)]).mean(0)
    assert (many - spoken[0]).abs().mean() < 0.15 * spoken[0].abs().mean()


def test_the_base_alone_can_be_heard_for_a_while_or_for_good():
    network = network_with("over time")
    x = torch.randn(1, 3, 6)
    base = network["layer"](x)
    adapters = adapters_of(network)
    together = network["layer"](x)

    with adapters.away():
        assert torch.equal(network["layer"](x), base)
    assert torch.equal(network["layer"](x), together)
    adapters.remove()
    assert torch.equal(network["layer"](x), base)
    assert not torch.equal(together, base)


def test_moved_adapters_take_the_network_along_but_not_its_numbers():
    network = network_with("linear").bfloat16()
    adapters = adapters_of(network)

    adapters.to("meta")

    assert network["layer"].weight.device.type == "meta"
    assert network["layer"].weight.dtype == torch.bfloat16
    assert all(tensor.dtype == torch.float32 for tensor in adapters.parameters())


def test_layers_that_are_no_matrix_have_no_adapter():
    network = nn.ModuleDict(
        {
            "neighbours": nn.Conv1d(4, 4, 3, padding=1),
            "frames": ConvOverTime(4, 4, 3),
            "groups": nn.Conv1d(4, 4, 1, groups=2),
            "steps": nn.Conv1d(4, 4, 1, stride=2),
            "wider": nn.Conv1d(4, 4, 1, padding=1),
            "table": nn.Embedding(4, 4),
            "norm": nn.LayerNorm(4),
            "matrix": nn.Linear(4, 5),
        }
    )

    assert list(matrices_in(network)) == ["matrix"]
    assert list(matrices_in(network_with("projection"))) == []
