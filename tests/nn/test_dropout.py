import pytest
import torch

from retimbre.nn.dropout import Dropout, drop


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_as_many_elements_are_dropped_as_asked_and_the_mean_stays(probability):
    torch.manual_seed(0)
    dropped = drop(torch.ones(301, 1003), probability)

    assert dropped.eq(0).float().mean().item() == pytest.approx(probability, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert len(dropped.unique()) == 2


def test_elements_are_dropped_independently():
    torch.manual_seed(0)
    kept = drop(torch.ones(400_000), 0.5).ne(0).float().view(-1, 4)

    together = torch.corrcoef(kept.T) - torch.eye(4)

    assert together.abs().max() < 0.02


def test_gradients_pass_where_elements_do():
    x = torch.randn(5, 7, 3, requires_grad=True)
    y = drop(x, 0.3)
    y.sum().backward()

    assert (x.grad.ne(0) == y.ne(0)).all()


def test_it_repeats_with_the_same_seed_and_keeps_the_kind_of_number():
    x = torch.randn(11, dtype=torch.bfloat16)
    first, second = (torch.random.manual_seed(7) and drop(x, 0.5) for _ in range(2))

    assert first.dtype == torch.bfloat16
    assert first.equal(second)


def test_outside_training_and_at_0_nothing_is_dropped():
    x = torch.randn(3, 5)

    assert Dropout(0.5).eval()(x).equal(x)
    assert Dropout(0.0)(x).equal(x)
    assert Dropout(1.0)(x).eq(0).all()
