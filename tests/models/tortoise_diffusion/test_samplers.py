"""Specs are found in noise as by the reference, and as the papers say."""

import copy

import pytest
import torch

from retimbre.models.tortoise_diffusion import samplers
from retimbre.models.tortoise_diffusion.samplers import (
    denoiser,
    noise_from,
    sampled,
    sampled_without_noise,
    schedule_for,
    solved,
    spec_from_noise,
)
from retimbre.models.tortoise_diffusion.schedule import schedule_by_ratio, shorter_schedule
from retimbre.nn.packing import packed

TOLERANCE = {"atol": 5e-3, "rtol": 0.0}
NAMES = ["ddpm", "ddim", "dpm++2m"]


@pytest.fixture
def denoise(reference, io, meta):
    schedule = shorter_schedule(meta["sampler"]["steps"])
    guidance = float(meta["sampler"]["conditioning_free_k"])
    return denoiser(reference, io["aligned_from_latents"][:1], schedule, guidance=guidance)


def test_a_spec_is_sampled_as_by_the_reference(denoise, io, meta):
    schedule = shorter_schedule(meta["sampler"]["steps"])
    noises = iter(io["sampler_noises"])

    found = sampled(denoise, io["sampler_x_T"], schedule, new_noise=lambda spec: next(noises))

    torch.testing.assert_close(found, io["sampler_p_sample_loop"], **TOLERANCE)


def test_a_spec_is_found_without_new_noise_as_by_the_reference(denoise, io, meta):
    schedule = shorter_schedule(meta["sampler"]["steps"])

    found = sampled_without_noise(denoise, io["sampler_x_T"], schedule)

    torch.testing.assert_close(found, io["sampler_ddim_eta0"], **TOLERANCE)


@pytest.mark.parametrize("n_steps", [1, 2, 9])
@pytest.mark.parametrize("way", [sampled, sampled_without_noise, solved])
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
    exact, schedule = copy.deepcopy(tiny).double(), shorter_schedule(5)
    aligned, noisy = (torch.randn(1, dim, 6, dtype=torch.float64) for dim in (8, 5))
    plain = denoiser(exact, aligned, schedule, guidance=0.0)(noisy, torch.tensor([0]))
    guided = denoiser(exact, aligned, schedule, guidance=samplers.GUIDANCE)(noisy, torch.tensor([0]))
    untold = exact(noisy, schedule.timesteps[:1], exact.unconditioned(1, 6))

    torch.testing.assert_close(guided[:, :5], 3 * plain[:, :5] - 2 * untold[:, :5])
    torch.testing.assert_close(guided[:, 5:], plain[:, 5:])


SPREAD = 0.1  # of normally distributed specs, for which everything can be written down


def knowing_gaussians(schedule):
    """The best outputs there can be where specs are normally distributed."""

    def outputs(noisy, steps):
        kept = schedule.kept[steps].view(-1, 1, 1)
        clean = kept.sqrt() * SPREAD**2 * noisy / (kept * SPREAD**2 + 1 - kept)
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        return torch.cat([noise, torch.zeros_like(noise)], dim=1)

    return outputs


def true_gaussian(start, schedule):
    """Where the differential equation leads from `start` to step 0, and what is believed clean there."""
    last, first = schedule.kept[-1], schedule.kept[0]
    variances = [kept * SPREAD**2 + 1 - kept for kept in (last, first)]
    return start * (variances[1] / variances[0]).sqrt() * first.sqrt() * SPREAD**2 / variances[1]


def errors(way, counts):
    found = []
    for n_steps in counts:
        schedule, start = (
            schedule_by_ratio(n_steps),
            torch.linspace(-2, 2, 12, dtype=torch.float64).view(1, 3, 4),
        )
        spec, true = way(knowing_gaussians(schedule), start, schedule), true_gaussian(start, schedule)
        found.append(float((spec - true).abs().max() / true.abs().max()))
    return found


def test_twice_the_steps_of_the_solver_are_four_times_as_exact():
    found = errors(solved, [20, 40, 80])

    assert found[0] / found[1] > 3.2
    assert found[1] / found[2] > 3.2


def test_the_solver_is_more_exact_than_ten_times_as_many_steps_of_the_simple_way():
    assert errors(solved, [20])[0] < errors(sampled_without_noise, [100])[0]
    first_order = errors(sampled_without_noise, [20, 40])
    assert 1.6 < first_order[0] / first_order[1] < 2.4


def test_the_solver_follows_its_paper():
    """Algorithm 2 of DPM-Solver++, in float64, for outputs that are anything but linear."""
    torch.manual_seed(6)
    schedule, start = schedule_by_ratio(9), torch.randn(2, 3, 5, dtype=torch.float64)

    def outputs(noisy, steps):
        return torch.cat([(1.7 * noisy).sin() + 0.1 * steps.view(-1, 1, 1), noisy], dim=1)

    found = solved(outputs, start, schedule)

    alpha = schedule.kept.flip(0).sqrt()
    sigma = (1 - schedule.kept.flip(0)).sqrt()
    time = (alpha / sigma).log()
    x, clean = start, []
    for i in range(9):
        noise = outputs(x, torch.full((2,), 8 - i))[:, :3]
        clean.append(((x - sigma[i] * noise) / alpha[i]).clamp(-1, 1))
        if i == 8:
            break
        h = time[i + 1] - time[i]
        d = clean[i]
        if i:
            r = (time[i] - time[i - 1]) / h
            d = (1 + 1 / (2 * r)) * clean[i] - 1 / (2 * r) * clean[i - 1]
        x = sigma[i + 1] / sigma[i] * x - alpha[i + 1] * (torch.exp(-h) - 1) * d
    torch.testing.assert_close(found, clean[-1], atol=1e-4, rtol=0.0)
    assert (clean[-1].abs() == 1).any()  # so the clamp was of account
    assert (clean[-1].abs() < 1).any()


@pytest.mark.parametrize("name", NAMES)
def test_who_watches_is_told_each_step_and_can_give_up(name):
    schedule, start, seen = schedule_for(name, 4), torch.randn(1, 3, 4), []
    spec_from_noise(name, knowing_gaussians(schedule), start, schedule, watch=lambda *at: seen.append(at))

    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]

    def give_up(done, _n_steps):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spec_from_noise(name, knowing_gaussians(schedule), start, schedule, watch=give_up)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_gives_one_spec(name):
    schedule = schedule_for(name, 6)

    def spec(seed):
        noise = noise_from(torch.Generator().manual_seed(seed))
        start = noise(torch.empty(2, 3, 4))
        return spec_from_noise(name, knowing_gaussians(schedule), start, schedule, new_noise=noise)

    assert torch.equal(spec(1), spec(1))
    assert (spec(1) - spec(2)).abs().max() > 1e-3


@torch.no_grad()
def test_a_packed_network_finds_the_same_spec(reference, io, meta):
    n_steps, guidance = meta["sampler"]["steps"], float(meta["sampler"]["conditioning_free_k"])
    schedule, noises = shorter_schedule(n_steps), iter(io["sampler_noises"])
    denoise = denoiser(packed(reference), io["aligned_from_latents"][:1], schedule, guidance=guidance)

    found = sampled(denoise, io["sampler_x_T"], schedule, new_noise=lambda spec: next(noises))

    torch.testing.assert_close(found, io["sampler_p_sample_loop"], **TOLERANCE)


@torch.no_grad()
def test_guidance_fades_with_the_noise_however_the_steps_are_spread(tiny):
    exact = copy.deepcopy(tiny).double()
    aligned, noisy = (torch.randn(1, dim, 6, dtype=torch.float64) for dim in (8, 5))
    by_ratio = schedule_by_ratio(5)
    # TorToiSe counts steps; where they are not evenly spread, the trained ones are what counts.
    for schedule, depths in (
        (shorter_schedule(5), [0, 0.2, 0.4, 0.6, 0.8]),
        (by_ratio, by_ratio.timesteps / 4000),
    ):
        for step, depth in enumerate(depths):
            steps = torch.tensor([step])
            told, guided = (denoiser(exact, aligned, schedule, guidance=g)(noisy, steps) for g in (0.0, 2.0))
            untold = exact(noisy, schedule.timesteps[steps], exact.unconditioned(1, 6))
            expected = told + 2 * (1 - depth) * (told - untold)
            torch.testing.assert_close(guided[:, :5], expected[:, :5], atol=1e-6, rtol=1e-6)
