"""Noise is added as in the reference, in as many steps as are wanted."""

import pytest
import torch

from retimbre.models.tortoise_diffusion.schedule import schedule_by_ratio, shorter_schedule, trained_schedule


def test_fewer_steps_are_those_of_the_reference(io, meta):
    schedule = shorter_schedule(meta["sampler"]["steps"])

    assert schedule.timesteps.tolist() == io["sampler_timestep_map"].tolist()
    torch.testing.assert_close(schedule.betas, io["sampler_betas"], atol=0.0, rtol=1e-12)


def test_all_steps_are_those_of_training():
    every, trained = shorter_schedule(4000), trained_schedule()

    assert torch.equal(every.timesteps, trained.timesteps)
    assert torch.equal(every.kept, trained.kept)
    assert (trained.betas[[0, -1]] - torch.tensor([2.5e-5, 5e-3], dtype=torch.float64)).abs().max() < 1e-12
    assert trained.kept[-1] < 1e-4  # nothing but noise


@pytest.mark.parametrize("n_steps", [1, 2, 31, 37, 80, 3999])
def test_steps_are_spread_evenly_and_halves_are_rounded_as_in_the_original(n_steps):
    place, expected = 0.0, []
    for _ in range(n_steps):
        expected.append(round(place))
        place += 3999 / max(1, n_steps - 1)

    assert shorter_schedule(n_steps).timesteps.tolist() == expected


@pytest.mark.parametrize("spread", [shorter_schedule, schedule_by_ratio])
@pytest.mark.parametrize("n_steps", [0, 4001])
def test_more_steps_than_were_trained_are_refused(n_steps, spread):
    with pytest.raises(ValueError, match="1 to 4000"):
        spread(n_steps)


@pytest.mark.parametrize("n_steps", [2, 5, 10, 30])
def test_the_ratio_of_spec_to_noise_grows_evenly_from_step_to_step(n_steps):
    schedule, trained = schedule_by_ratio(n_steps), trained_schedule()

    assert schedule.timesteps[[0, -1]].tolist() == [0, 3999]
    assert torch.equal(schedule.kept, trained.kept[schedule.timesteps])
    amplitude, noise = schedule.kept.sqrt(), (1 - schedule.kept).sqrt()
    grown = -(amplitude / noise).log().diff()
    largest = (
        -(trained.kept.sqrt() / (1 - trained.kept).sqrt()).log()[:3].diff().max()
    )  # no finer steps exist
    torch.testing.assert_close(grown, torch.full_like(grown, grown.mean()), atol=float(largest), rtol=0.0)


@pytest.mark.parametrize("n_steps", [1, 80, 400, 3999, 4000])
def test_no_step_is_taken_twice(n_steps):
    timesteps = schedule_by_ratio(n_steps).timesteps

    assert len(timesteps) == n_steps
    assert bool((timesteps.diff() > 0).all())
    assert timesteps[0] == 0
    assert n_steps == 1 or timesteps[-1] == 3999


def test_noise_that_was_added_can_be_taken_away():
    schedule, clean, noise = trained_schedule(), torch.rand(3, 5, 7) * 2 - 1, torch.randn(3, 5, 7)
    steps = torch.tensor([0, 1000, 2500])

    noisy = schedule.noised(clean, noise, steps)

    torch.testing.assert_close(schedule.clean(noisy, noise, steps), clean, atol=1e-4, rtol=0)
    torch.testing.assert_close(schedule.noise(noisy, clean, steps), noise, atol=1e-3, rtol=0)
