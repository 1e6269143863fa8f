"""The discriminators: names, spectral norm, narrow forms, and the frozen reference."""

import json

import pytest
import torch
from safetensors.torch import load_file

from retimbre.checkpoint.fill import load_weights
from retimbre.models.hifigan.config import DiscriminatorConfig
from retimbre.models.hifigan.discriminators import Discriminators, SpectralConv1d
from retimbre.models.hifigan.loss import discriminator_loss, feature_loss, generator_adversarial_loss

TINY = DiscriminatorConfig(width=1 / 64, periods=(2, 3), n_scales=2)


def by_formula(rank, key, shape):
    """The weight that the reference was made with: pseudo-random numbers from its place (see meta.json)."""
    n = torch.Size(shape).numel()
    mixed = (torch.arange(n, dtype=torch.int64) * 2654435761 + (rank + 1) * 40503 * 65537) % 2**32
    mixed = ((mixed ^ (mixed >> 15)) * 1274126177) % 2**32
    value = (mixed ^ (mixed >> 13)).double() / 2**31 - 1
    if key.endswith("original0"):
        value = 1.5 + 0.3 * value
    elif key.endswith("bias"):
        value = 0.02 * value
    return value.float().view(shape)


@pytest.fixture(scope="module")
def reference(parity):
    """Discriminators of real size with the reference's weights, and its inputs and outputs."""
    folder = parity("discriminators")
    keys = json.loads((folder / "meta.json").read_text())["keys"]
    tensors = {
        f"{kind}.{key}": by_formula(rank, key, shapes[key])
        for kind, shapes in keys.items()
        for rank, key in enumerate(sorted(shapes))
    }
    model = Discriminators(DiscriminatorConfig()).eval()
    load_weights(model, tensors)
    for conv in model.msd.discriminators[0].modules():
        if isinstance(conv, SpectralConv1d):
            settle(conv)
    return model, load_file(folder / "io.safetensors")


@torch.no_grad()
def settle(conv):
    """The reference keeps no vectors of the spectral norm: take those that it was moving towards."""
    flat = conv.weight_orig.flatten(1)
    conv.weight_u.copy_(torch.nn.functional.normalize(flat.sum(1), dim=0))
    for _ in range(100):
        conv.weight_v.copy_(torch.nn.functional.normalize(flat.T @ conv.weight_u, dim=0))
        conv.weight_u.copy_(torch.nn.functional.normalize(flat @ conv.weight_v, dim=0))


@torch.no_grad()
def test_scores_and_losses_equal_the_frozen_reference(reference):
    model, io = reference
    for kind, part in (("mpd", model.mpd), ("msd", model.msd)):
        real, fake = part(io["real"]), part(io["fake"])
        for number, (of_real, of_fake) in enumerate(zip(real, fake, strict=True)):
            expected_real, expected_fake = (
                io[f"{kind}_score_{which}_{number}"] for which in ("real", "fake")
            )
            torch.testing.assert_close(of_real.score, expected_real, atol=2e-4, rtol=1e-5)
            torch.testing.assert_close(of_fake.score, expected_fake, atol=2e-4, rtol=1e-5)
        losses = {
            "feature_loss": feature_loss(real, fake),
            "disc_loss": discriminator_loss(real, fake),
            "gen_loss": generator_adversarial_loss(fake),
        }
        for name, loss in losses.items():
            # The first scale's features differ a little by the settled vectors (see `settle`).
            tolerance = 1e-3 if (kind, name) == ("msd", "feature_loss") else 1e-4
            torch.testing.assert_close(loss, io[f"{kind}_{name}"], atol=tolerance, rtol=1e-5)


@torch.no_grad()
def test_judging_both_at_once_equals_judging_one_by_one():
    model = Discriminators(TINY).eval()
    real, fake = torch.randn(3, 1, 1001), torch.randn(3, 1, 1001)

    both = model.compare(real, fake)

    for together, alone in zip(both, (model(real), model(fake)), strict=True):
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a.score, b.score, atol=1e-6, rtol=1e-5)
            for in_both, by_itself in zip(a.features, b.features, strict=True):
                torch.testing.assert_close(in_both, by_itself, atol=1e-6, rtol=1e-5)


def test_teaching_a_generator_gives_it_the_same_gradient_and_the_discriminators_none():
    model = Discriminators(TINY).eval()
    real, fake = torch.randn(2, 1, 900), torch.randn(2, 1, 900, requires_grad=True)
    gradients = []
    for judge in (model.compare, model.teach):
        of_real, of_fake = judge(real, fake)
        model.zero_grad()
        loss = generator_adversarial_loss(of_fake) + feature_loss(of_real, of_fake)
        gradients.extend(torch.autograd.grad(loss, fake, retain_graph=True))
    loss.backward()

    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-6, rtol=1e-4)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("width", [1 / 4, 1 / 8, 1 / 13, 1 / 64])
def test_narrow_discriminators_are_valid_and_run(width):
    model = Discriminators(DiscriminatorConfig(width=width, periods=(2, 3, 5), n_scales=1)).eval()

    judgements = model(torch.randn(1, 1, 997))

    assert [judgement.score.shape[0] for judgement in judgements] == [1, 1, 1, 1]
    assert [len(judgement.features) for judgement in judgements] == [6, 6, 6, 8]


def spectral_pair():
    """Ours and torch's older spectral norm with the same numbers."""
    torch.manual_seed(1)
    theirs = torch.nn.utils.spectral_norm(torch.nn.Conv1d(4, 6, 5, 2, padding=2, groups=2))
    ours = SpectralConv1d(4, 6, 5, 2, padding=2, groups=2)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def test_spectral_norm_takes_the_steps_that_torch_takes():
    ours, theirs = spectral_pair()
    optimisers = [torch.optim.SGD(conv.parameters(), lr=0.1) for conv in (ours, theirs)]
    for _ in range(3):
        first, second = torch.randn(2, 4, 20), torch.randn(2, 4, 20)
        for conv, optimiser in zip((ours, theirs), optimisers, strict=True):
            optimiser.zero_grad()
            (conv(first).square().mean() + conv(second).mean()).backward()
            optimiser.step()

    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, atol=1e-6, rtol=1e-5)


def test_spectral_norm_stands_still_outside_training():
    conv, _ = spectral_pair()
    before = {name: tensor.clone() for name, tensor in conv.state_dict().items()}

    conv.eval()(torch.randn(1, 4, 20))

    assert all(tensor.equal(before[name]) for name, tensor in conv.state_dict().items())


def test_spectral_norm_brings_the_largest_singular_value_to_one():
    conv, _ = spectral_pair()
    for _ in range(50):
        conv(torch.randn(1, 4, 20))

    flat = conv.weight_orig.detach().flatten(1)
    estimate = conv.weight_u @ flat @ conv.weight_v
    torch.testing.assert_close(torch.linalg.matrix_norm(flat, 2), estimate, atol=1e-4, rtol=1e-3)


def test_a_few_steps_teach_the_discriminators_to_tell_two_batches_apart():
    torch.manual_seed(2)
    model = Discriminators(TINY).train()
    real, fake = torch.randn(2, 1, 512), torch.rand(2, 1, 512)
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)

    losses = []
    for _ in range(12):
        loss = discriminator_loss(*model.compare(real, fake))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())

    assert losses[-1] < 0.8 * losses[0]


def test_both_kinds_of_norm_work_under_bfloat16_autocast():
    model = Discriminators(TINY).train()

    with torch.autocast("cpu", torch.bfloat16):
        loss = discriminator_loss(*model.compare(torch.randn(2, 1, 512), torch.randn(2, 1, 512)))
    loss.backward()

    assert loss.dtype == torch.float32
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
