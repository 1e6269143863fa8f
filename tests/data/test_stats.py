import json

import pytest
import torch

from retimbre.data.stats import Stat, Stats, measure, measure_lengths
from retimbre.errors import DataError


def test_distribution_is_that_of_all_frames_together():
    torch.manual_seed(1)
    curves = [torch.randn(n) * 30 + 200 for n in (1, 77, 500, 3)]
    stat = measure(iter(curves))
    together = torch.cat(curves).double()
    assert stat.mean == pytest.approx(float(together.mean()), rel=1e-9)
    assert stat.std == pytest.approx(float(together.std()), rel=1e-9)
    assert (stat.min, stat.max, stat.n) == (float(together.min()), float(together.max()), 4)


def test_normalised_values_come_back():
    values = torch.randn(50) * 40 + 150
    stat = measure([values])
    normalised = stat.normalise(values)
    assert float(normalised.std()) == pytest.approx(1.0, abs=1e-4)
    assert float(normalised.min()) == pytest.approx(stat.norm_min, abs=1e-4)
    assert float(normalised.max()) == pytest.approx(stat.norm_max, abs=1e-4)
    torch.testing.assert_close(stat.denormalise(normalised), values)


def test_constant_curve_normalises_to_zero():
    stat = measure([torch.full((9,), 120.0)])
    assert stat.normalise(torch.full((3,), 120.0)).tolist() == [0.0, 0.0, 0.0]


def test_everyvoices_file_is_read_and_written(shared):
    theirs = json.loads((shared / "parity/everyvoice_project/project/preprocessed/stats.json").read_text())
    ours = Stats.from_dict(theirs).to_dict()
    assert ours.keys() == theirs.keys()
    for name, numbers in theirs.items():
        assert ours[name] == pytest.approx(numbers, rel=1e-5)
    assert Stats.from_dict(json.loads(json.dumps(ours))) == Stats.from_dict(ours)


def test_lengths_of_texts_are_everyvoices(shared):
    theirs = json.loads((shared / "parity/everyvoice_project/project/preprocessed/stats.json").read_text())[
        "character_length"
    ]
    stat = measure_lengths(["x" * n for n in (30, 74, 18, 60)])
    assert stat.to_dict() == pytest.approx(theirs, rel=1e-6)


def test_file_without_lengths_is_read():
    stat = measure([torch.randn(5)])
    stats = Stats.from_dict({"pitch": stat.to_dict(), "energy": stat.to_dict()})
    assert stats.character_length is None


@pytest.mark.parametrize("bad", [{}, {"mean": "high"}, None])
def test_damaged_statistics_are_refused(bad):
    with pytest.raises(DataError):
        Stats.from_dict({"pitch": bad, "energy": measure([torch.randn(4)]).to_dict()})


def test_statistics_that_are_not_finite_are_refused():
    stat = measure([torch.randn(4)]).to_dict() | {"std": float("nan")}
    with pytest.raises(DataError, match="not finite"):
        Stat.from_dict(stat)


def test_nothing_cannot_be_measured():
    with pytest.raises(DataError, match="nothing to measure"):
        measure([])
