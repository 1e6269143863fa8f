"""Losses equal those of the reference, and fall."""

import math

import pytest
import torch
from torch.distributions import Normal

from retimbre.models.tortoise_diffusion.batch import DiffusionBatch
from retimbre.models.tortoise_diffusion.loss import (
    Draws,
    batch_losses,
    diffusion_losses,
    drawn_for,
    log_chance,
)
from retimbre.models.tortoise_diffusion.schedule import N_TRAINED_STEPS, trained_schedule


@torch.no_grad()
def test_losses_equal_the_reference(reference, io):
    schedule, clean, noise, steps = trained_schedule(), io["train_x_start"], io["train_noise"], io["train_t"]
    noisy = schedule.noised(clean, noise, steps)
    aligned = reference.align(io["latents"], io["cond_latent_in"], clean.shape[-1])

    losses = diffusion_losses(reference(noisy, steps, aligned), clean, noise, steps, schedule)

    torch.testing.assert_close(noisy, io["train_x_t"], atol=1e-5, rtol=0)
    torch.testing.assert_close(losses["noise"], io["train_mse"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(losses["variance"], io["train_vb"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(losses["noise"] + losses["variance"], io["train_loss"], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_losses_of_a_batch_equal_the_reference(reference, io, monkeypatch):
    monkeypatch.setattr(reference, "voice", lambda clips: io["cond_latent_in"])
    clean = io["train_x_start"]
    batch = DiffusionBatch(
        latents=io["latents"], spec=clean, clips=io["cond_mel"], n_frames_in_all=2 * clean.shape[-1]
    )
    draws = Draws(steps=io["train_t"], noise=io["train_noise"], is_untold=torch.zeros(2, dtype=torch.bool))

    losses = batch_losses(reference, batch, draws, trained_schedule(), has_noise=True)

    assert batch.share == 1
    torch.testing.assert_close(losses["noise"], io["train_mse"].mean(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(losses["variance"], io["train_vb"].mean(), atol=1e-5, rtol=1e-4)
    guess = reference.first_guess(io["aligned_from_latents"])
    torch.testing.assert_close(losses["first_guess"], (guess - clean).square().mean(), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_who_is_told_nothing_is_denoised_as_guidance_does_it_and_guesses_nothing(reference, io, monkeypatch):
    monkeypatch.setattr(reference, "voice", lambda clips: io["cond_latent_in"])
    clean, schedule = io["train_x_start"], trained_schedule()
    batch = DiffusionBatch(
        latents=io["latents"], spec=clean, clips=io["cond_mel"], n_frames_in_all=2 * clean.shape[-1]
    )
    draws = Draws(steps=io["train_t"], noise=io["train_noise"], is_untold=torch.tensor([True, False]))

    losses = batch_losses(reference, batch, draws, schedule, has_noise=True)

    noisy = schedule.noised(clean, draws.noise, draws.steps)
    untold = reference(noisy, draws.steps, reference.unconditioned(2, clean.shape[-1]))
    of_untold = diffusion_losses(untold, clean, draws.noise, draws.steps, schedule)
    expected = (of_untold["noise"][0] + io["train_mse"][1]) / 2
    torch.testing.assert_close(losses["noise"], expected, atol=1e-5, rtol=1e-4)
    guess = reference.first_guess(io["aligned_from_latents"])[1]
    expected = (guess - clean[1]).square().mean() / 2
    torch.testing.assert_close(losses["first_guess"], expected, atol=1e-5, rtol=1e-4)


def test_every_depth_is_drawn_and_a_tenth_is_told_nothing():
    torch.manual_seed(5)
    draws = drawn_for(torch.empty(4000, 2, 3))

    assert draws.is_untold.float().mean() == pytest.approx(0.1, abs=0.02)
    counts = torch.histc(draws.steps.float(), bins=8, min=0, max=N_TRAINED_STEPS)
    assert counts.min() > 400
    assert counts.max() < 600
    assert draws.noise.std() == pytest.approx(1, abs=0.03)


def test_chances_are_those_of_a_normal_distribution_over_bins():
    value, mean = torch.linspace(-1, 1, 9).view(1, 1, 9), torch.full((1, 1, 9), 0.1)
    spread = 0.5
    normal = Normal(0.1, spread)
    below, above = normal.cdf(value - 1 / 255), normal.cdf(value + 1 / 255)
    below[..., 0], above[..., -1] = 0.0, 1.0

    found = log_chance(value, mean, torch.full_like(mean, spread).log() * 2)

    torch.testing.assert_close(found, (above - below).log(), atol=2e-2, rtol=0)


def test_the_variance_does_not_teach_the_noise():
    outputs = torch.randn(3, 10, 7, requires_grad=True)
    clean, noise = torch.rand(3, 5, 7) * 2 - 1, torch.randn(3, 5, 7)

    losses = diffusion_losses(outputs, clean, noise, torch.tensor([0, 9, 900]), trained_schedule())
    losses["variance"].sum().backward()

    assert outputs.grad[:, :5].eq(0).all()
    assert outputs.grad[:, 5:].isfinite().all()
    assert outputs.grad[:, 5:].ne(0).flatten(1).any(1).all()


@pytest.mark.parametrize("content", [torch.randn(2, 4, 6), torch.tensor([[1, 2, 3, 4], [10, 0, 10, 0]])])
def test_a_few_steps_on_one_batch_lower_the_loss(content, tiny):
    schedule, model = trained_schedule(), tiny.train()
    clips, clean, noise = torch.randn(2, 1, 5, 8), torch.rand(2, 5, 9) * 2 - 1, torch.randn(2, 5, 9)
    steps = torch.tensor([300, 2000])
    noisy = schedule.noised(clean, noise, steps)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)

    totals = []
    for _ in range(8):
        aligned = model.align(content, model.voice(clips), 9)
        losses = diffusion_losses(model(noisy, steps, aligned), clean, noise, steps, schedule)
        total = torch.stack(list(losses.values())).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        totals.append(total.item())

    assert totals[-1] < 0.9 * totals[0]


def test_at_step_0_the_variance_must_make_the_spec_itself_likely():
    schedule, steps = trained_schedule(), torch.tensor([0, 1])
    outputs = torch.randn(2, 10, 7)
    clean, noise = torch.rand(2, 5, 7) * 2 - 1, torch.randn(2, 5, 7)
    noisy = schedule.noised(clean, noise, steps)
    found = schedule.clean(noisy, outputs[:, :5], steps)
    surprise = -log_chance(clean, found, schedule.log_variance(outputs[:, 5:], steps)) / math.log(2)

    bits = diffusion_losses(outputs, clean, noise, steps, schedule)["variance"]

    torch.testing.assert_close(bits[0], surprise[0].mean())
    assert (bits[1] - surprise[1].mean()).abs() > 0.1
