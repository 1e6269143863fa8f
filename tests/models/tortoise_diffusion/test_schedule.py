"""Noise is added and taken away as in the reference."""

import copy

import pytest
import torch

from retimbre.models.tortoise_diffusion import schedule as module
from retimbre.models.tortoise_diffusion.schedule import (
    denoiser,
    sampled,
    sampled_without_noise,
    shorter_schedule,
    trained_schedule,
)

TOLERANCE = {"atol": 5e-3, "rtol": 0.0}


@pytest.fixture
def denoise(reference, io, meta):
    schedule = shorter_schedule(meta["sampler"]["steps"])
    guidance = float(meta["sampler"]["conditioning_free_k"])
    return denoiser(reference, io["aligned_from_latents"][:1], schedule, guidance=guidance)


def test_fewer_steps_are_those_of_the_reference(io, meta):
    schedule = shorter_schedule(meta["sampler"]["steps"])

    assert schedule.timesteps.tolist() == io["sampler_timestep_map"].tolist()
    torch.testing.assert_close(schedule.betas, io["sampler_betas"], atol=0.0, rtol=1e-12)


def test_a_spec_is_sampled_as_by_the_reference(denoise, io, meta):
    schedule = shorter_schedule(meta["sampler"]["steps"])
    noises = iter(io["sampler_noises"])

    found = sampled(denoise, io["sampler_x_T"], schedule, new_noise=lambda spec: next(noises))

    torch.testing.assert_close(found, io["sampler_p_sample_loop"], **TOLERANCE)


def test_a_spec_is_found_without_new_noise_as_by_the_reference(denoise, io, meta):
    schedule = shorter_schedule(meta["sampler"]["steps"])

    found = sampled_without_noise(denoise, io["sampler_x_T"], schedule)

    torch.testing.assert_close(found, io["sampler_ddim_eta0"], **TOLERANCE)


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


@pytest.mark.parametrize("n_steps", [0, 4001])
def test_more_steps_than_were_trained_are_refused(n_steps):
    with pytest.raises(ValueError, match="1 to 4000"):
        shorter_schedule(n_steps)


def test_noise_that_was_added_can_be_taken_away():
    schedule, clean, noise = trained_schedule(), torch.rand(3, 5, 7) * 2 - 1, torch.randn(3, 5, 7)
    steps = torch.tensor([0, 1000, 2500])

    noisy = schedule.noised(clean, noise, steps)

    torch.testing.assert_close(schedule.clean(noisy, noise, steps), clean, atol=1e-4, rtol=0)
    torch.testing.assert_close(schedule.noise(noisy, clean, steps), noise, atol=1e-3, rtol=0)


@pytest.mark.parametrize("n_steps", [1, 2, 9])
@pytest.mark.parametrize("way", [sampled, sampled_without_noise])
def test_who_knows_the_noise_finds_the_spec(n_steps, way):
    schedule, clean = shorter_schedule(n_steps), torch.rand(2, 5, 7) * 1.8 - 0.9

    def knowing(noisy, steps):
        noise = schedule.noise(noisy, clean, steps)
        return torch.cat([noise, torch.zeros_like(noise)], dim=1)

    found = way(knowing, torch.randn(2, 5, 7), schedule)

    torch.testing.assert_close(found, clean, atol=1e-3, rtol=0)


@torch.no_grad()
def test_a_batch_is_guided_as_each_utterance_alone(tiny):
    """The original refuses batches here."""
    exact = copy.deepcopy(tiny).double()  # in single precision, tiny norms make much of the last bits
    schedule, steps = shorter_schedule(5), torch.tensor([4, 0, 2])
    aligned = torch.randn(3, 8, 6, dtype=torch.float64)
    noisy = torch.randn(3, 5, 6, dtype=torch.float64)

    together = denoiser(exact, aligned, schedule)(noisy, steps)

    for row in range(3):
        one = slice(row, row + 1)
        alone = denoiser(exact, aligned[one], schedule)(noisy[one], steps[one])
        torch.testing.assert_close(together[one], alone, atol=1e-8, rtol=1e-6)


@torch.no_grad()
def test_guidance_moves_the_noise_and_not_its_variance(tiny):
    schedule, aligned, noisy = shorter_schedule(5), torch.randn(1, 8, 6), torch.randn(1, 5, 6)
    plain = denoiser(tiny, aligned, schedule, guidance=0.0)(noisy, torch.tensor([0]))
    guided = denoiser(tiny, aligned, schedule, guidance=module.GUIDANCE)(noisy, torch.tensor([0]))
    untold = tiny(noisy, schedule.timesteps[:1], tiny.unconditioned(1, 6))

    torch.testing.assert_close(guided[:, :5], 3 * plain[:, :5] - 2 * untold[:, :5])
    assert torch.equal(guided[:, 5:], plain[:, 5:])
