"""Losses against float64 by hand, over real samples only, and what they move."""

import numpy as np
import pytest
import torch

from building.magnitudes import magnitudes_by_hand
from retimbre.models.univnet.config import JudgesConfig
from retimbre.models.univnet.discriminators import UnivNetJudges
from retimbre.models.univnet.loss import Pair, adversarial_loss, by_length, judges_loss, stft_loss
from retimbre.models.univnet.magnitudes import RESOLUTIONS
from retimbre.nn.judges import Judgement, Judges

HOP = 256


def waves(*lengths, seed=1):
    """A batch padded with something loud, which must not count."""
    draw = torch.Generator().manual_seed(seed)
    wave = torch.full((len(lengths), 1, max(lengths)), 9.0)
    for row, length in enumerate(lengths):
        wave[row, 0, :length] = 0.2 * torch.randn(length, generator=draw)
    return wave


def stft_by_hand(real, fake):
    """Of several recordings of any length, all cells at once."""
    total = 0.0
    for resolution in RESOLUTIONS:
        ours = [magnitudes_by_hand(samples.double().numpy(), resolution).ravel() for samples in real]
        theirs = [magnitudes_by_hand(samples.double().numpy(), resolution).ravel() for samples in fake]
        one, other = np.concatenate(ours), np.concatenate(theirs)
        convergence = np.sqrt(((one - other) ** 2).sum()) / np.sqrt((one**2).sum())
        total += convergence + np.abs(np.log(one) - np.log(other)).mean()
    return total / len(RESOLUTIONS)


@pytest.fixture(scope="module")
def judges():
    torch.manual_seed(2)
    return UnivNetJudges(JudgesConfig(width=1 / 32, periods=(2, 3)))


@pytest.mark.parametrize("lengths", [(2048,), (1500, 1500), (2048, 1280, 1792, 1280)])
def test_the_loss_of_magnitudes_is_that_of_real_samples_alone(lengths):
    real, fake = waves(*lengths, seed=1), waves(*lengths, seed=2)

    found = stft_loss(by_length(real, fake, torch.tensor(lengths)))

    cut = [[row[0, :n] for row, n in zip(wave, lengths, strict=True)] for wave in (real, fake)]
    assert found.item() == pytest.approx(stft_by_hand(*cut), rel=2e-4)


def test_a_generator_that_repeats_the_recording_has_no_loss_and_a_finite_gradient():
    wave = waves(2000, 1300)
    fake = wave.clone().requires_grad_()

    loss = stft_loss(by_length(wave, fake, torch.tensor([2000, 1300])))
    loss.backward()

    assert loss.item() == 0
    assert fake.grad.isfinite().all()


def test_a_silent_recording_has_a_finite_loss():
    silent, fake = torch.zeros(1, 1, 1500), waves(1500).requires_grad_()

    loss = stft_loss([Pair(real=silent, fake=fake)])
    loss.backward()

    assert loss.isfinite()
    assert fake.grad.isfinite().all()


def test_segments_of_one_length_come_together():
    real, fake = waves(1500, 1300, 1500, 1400, seed=1), waves(1500, 1300, 1500, 1400, seed=2)

    pairs = by_length(real, fake, torch.tensor([1500, 1300, 1500, 1400]))

    assert [tuple(pair.real.shape) for pair in pairs] == [(1, 1, 1300), (1, 1, 1400), (2, 1, 1500)]
    assert [pair.share for pair in pairs] == [0.25, 0.25, 0.5]
    assert pairs[2].real.equal(real[[0, 2]])
    assert pairs[0].fake.equal(fake[1:2, :, :1300])


class Fixed(Judges):
    """Two discriminators that see the mean of a waveform, and half of it."""

    def forward(self, wave):
        mean = wave.mean(-1)
        return [Judgement(score=mean, features=(mean,)), Judgement(score=mean / 2, features=(mean,))]


def test_adversarial_losses_are_least_squares_and_means_over_the_discriminators():
    pair = Pair(real=torch.full((3, 1, 8), 0.5), fake=torch.full((3, 1, 8), 0.2))

    of_judges, of_generator = judges_loss([pair], Fixed()), adversarial_loss([pair], Fixed())

    assert of_judges.item() == pytest.approx((0.5**2 + 0.75**2 + 0.2**2 + 0.1**2) / 2)
    assert of_generator.item() == pytest.approx((0.8**2 + 0.9**2) / 2)


@pytest.mark.parametrize("loss", [judges_loss, adversarial_loss])
def test_a_padded_batch_is_judged_as_its_segments_alone(judges, loss):
    lengths = (2048, 1280, 1792)
    real, fake = waves(*lengths, seed=3), waves(*lengths, seed=4)

    together = loss(by_length(real, fake, torch.tensor(lengths)), judges)

    alone = [
        loss([Pair(real=real[row : row + 1, :, :n], fake=fake[row : row + 1, :, :n])], judges)
        for row, n in enumerate(lengths)
    ]
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_each_turn_moves_its_own_side_only(judges):
    real, fake = waves(1500), waves(1500, seed=2).requires_grad_()
    pairs = [Pair(real=real, fake=fake)]

    judges.zero_grad()
    judges_loss(pairs, judges).backward()
    assert fake.grad is None
    assert all(parameter.grad.abs().sum() > 0 for parameter in judges.parameters())

    judges.zero_grad()
    adversarial_loss(pairs, judges).backward()
    assert fake.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in judges.parameters())
    assert all(parameter.requires_grad for parameter in judges.parameters())


def test_losses_are_float32_under_autocast(judges):
    pairs = [Pair(real=waves(1500), fake=waves(1500, seed=2))]
    plain = [stft_loss(pairs), judges_loss(pairs, judges), adversarial_loss(pairs, judges)]

    with torch.autocast("cpu", torch.bfloat16):
        mixed = [stft_loss(pairs), judges_loss(pairs, judges), adversarial_loss(pairs, judges)]

    assert {loss.dtype for loss in mixed} == {torch.float32}
    assert mixed[0].equal(plain[0])
    torch.testing.assert_close(mixed[1:], plain[1:], rtol=0.05, atol=0.02)
