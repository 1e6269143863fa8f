import pytest
import torch

from retimbre.models.fastspeech2.config import Level, PredictorSizes
from retimbre.models.fastspeech2.variance import Controls, VarianceAdaptor, VariancePredictor
from retimbre.nn.masks import mask_from_lengths


@pytest.mark.parametrize("is_depthwise", [True, False])
def test_padding_never_changes_a_prediction(is_depthwise):
    torch.manual_seed(0)
    sizes = PredictorSizes(n_layers=3, dim=6, kernel=5, is_depthwise=is_depthwise)
    predictor = VariancePredictor(8, sizes).eval()
    padded = torch.randn(1, 12, 8)

    alone = predictor(padded[:, :7], mask_from_lengths(torch.tensor([7]), 7))
    in_a_batch = predictor(padded, mask_from_lengths(torch.tensor([7]), 12))

    torch.testing.assert_close(in_a_batch[:, :7], alone)
    assert in_a_batch[:, 7:].eq(0).all()


def with_durations(adaptor, log_duration):
    """Every symbol is predicted to last `log_duration`."""
    with torch.no_grad():
        adaptor.duration_predictor.linear.weight.zero_()
        adaptor.duration_predictor.linear.bias.fill_(log_duration)
    return adaptor.eval()


@pytest.mark.parametrize(("control", "frames"), [(1.0, 2), (1.5, 3), (0.7, 1), (0.4, 0)])
def test_durations_are_rounded_before_they_are_stretched(tiny_config, control, frames):
    adaptor = with_durations(VarianceAdaptor(tiny_config()), 1.2)  # exp(1.2) - 1 = 2.32
    is_symbol = torch.ones(1, 4, dtype=torch.bool)

    _, prosody = adaptor(
        torch.randn(1, 4, 8), is_symbol, timing=None, truth=None, controls=Controls(duration=control)
    )

    expected = [frames] * 4 if frames else [1, 0, 0, 0]  # a spec has at least one frame
    assert prosody.timing.durations.tolist() == [expected]


def test_a_predictor_gone_wild_does_not_fill_the_memory(tiny_config):
    adaptor = with_durations(VarianceAdaptor(tiny_config()), 50.0)
    is_symbol = torch.ones(1, 2, dtype=torch.bool)

    x, _ = adaptor(torch.randn(1, 2, 8), is_symbol, timing=None, truth=None, controls=Controls())

    assert x.shape[1] == 2000


@pytest.mark.parametrize("level", Level)
def test_pitch_and_energy_obey_their_controls(tiny_config, level):
    torch.manual_seed(0)
    adaptor = with_durations(VarianceAdaptor(tiny_config(pitch_level=level, energy_level=level)), 1.2)
    x, is_symbol = torch.randn(1, 3, 8), torch.ones(1, 3, dtype=torch.bool)

    _, plain = adaptor(x, is_symbol, timing=None, truth=None, controls=Controls())
    _, changed = adaptor(x, is_symbol, timing=None, truth=None, controls=Controls(energy=2.0))

    torch.testing.assert_close(changed.energy, 2.0 * plain.energy)
    assert plain.pitch.shape == (1, 3 if level is Level.PHONE else 6)


def test_the_edges_of_bins_are_not_trained(tiny_config):
    adaptor = VarianceAdaptor(tiny_config(pitch_range=(-2.0, 4.0)))

    assert {name for name, _ in adaptor.named_parameters()}.isdisjoint({"pitch_bins", "energy_bins"})
    assert adaptor.state_dict()["pitch_bins"].tolist() == pytest.approx([-2.0, -0.8, 0.4, 1.6, 2.8, 4.0])
