"""One step of training a vocoder, with discriminators of real size, against EveryVoice's numbers.

What differs here on purpose:

- The mel loss compares equal moments. EveryVoice's is one frame out of step.
- The gradient of the generator is clipped, like that of the discriminators. EveryVoice clips only theirs.
- In their own turn the discriminators see recorded and generated segments at once, so that a spectral norm
  takes one power iteration there where EveryVoice takes two. Once its vectors have converged, as they have in
  the reference, that changes no number.

The numbers and their tolerances are described in tests/fixtures/everyvoice/README.md.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.utils import get_total_norm
from torch.optim import AdamW

from retimbre.audio.mel import log_mel, mel_librosa
from retimbre.checkpoint.fill import load_weights
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.hifigan.batch import VocoderBatch
from retimbre.models.hifigan.config import DiscriminatorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import config_from
from retimbre.models.hifigan.loss import discriminator_loss, feature_loss, generator_adversarial_loss
from retimbre.models.hifigan.model import Generator
from retimbre.recipe.training import Optimiser, Training
from retimbre.training.fabric import make_fabric
from retimbre.training.hifigan import SpecToWavObjective
from retimbre.training.loop import train_steps
from retimbre.training.objective import Progress

FOLDER = Path(__file__).parents[2] / "fixtures" / "everyvoice" / "hifigan_step"
MEL = mel_librosa()
HOP, N_FRAMES, MEL_WEIGHT = 256, 32, 45.0
N_PERIODS = 5
SETTINGS = Training(
    steps=1, optimiser=Optimiser(learning_rate=1e-4, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.01)
)


@dataclass(frozen=True)
class Reference:
    """Both networks in training mode, and EveryVoice's tensors."""

    generator: Generator
    discriminators: Discriminators
    io: dict
    weights: dict
    meta: dict

    @property
    def batch(self):
        return VocoderBatch(
            spec=self.io["in_spec"],
            wave=self.io["in_wave"].unsqueeze(1),
            n_frames=torch.tensor([N_FRAMES]),
        )

    @property
    def objective(self):
        return SpecToWavObjective(self.generator, self.discriminators, MEL, SETTINGS, {})

    def named(self, start):
        return {n.removeprefix(start): tensor for n, tensor in self.io.items() if n.startswith(start)}


def by_formula(rank, key, shape):
    """Weights that need no file: pseudo-random numbers from their place (the rule is in meta.json)."""
    n = int(np.prod(shape))
    mixed = np.arange(n, dtype=np.uint32) * np.uint32(2654435761)
    mixed += np.uint32((rank + 1) * 40503 * 65537 % 2**32)
    mixed ^= mixed >> 15
    mixed *= np.uint32(1274126177)
    mixed ^= mixed >> 13
    values = torch.from_numpy(mixed / 2**31 - 1)
    if key.endswith("original0"):
        values = 1.5 + 0.3 * values
    elif key.endswith("bias"):
        values = 0.02 * values
    return values.float().view(shape)


def generator_of(weights, meta):
    generator = {name: tensor for name, tensor in weights.items() if name.startswith("generator.")}
    tensors = HIFIGAN.ledger_of(generator).tensors
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    generator = Generator(config_from(shapes, meta).config)
    load_weights(generator, tensors)
    return generator.train()


def discriminators_of(weights):
    """Also the vectors of the spectral norm are stored; they have converged."""
    discriminators = Discriminators(DiscriminatorConfig())
    tensors = {}
    for kind in ("mpd.", "msd."):
        state = {name: t for name, t in discriminators.state_dict().items() if name.startswith(kind)}
        for rank, name in enumerate(sorted(state)):
            is_stored = name in weights
            tensors[name] = weights[name] if is_stored else by_formula(rank, name, state[name].shape)
    load_weights(discriminators, tensors)
    return discriminators.train()


def new_reference():
    weights, meta = load_file(FOLDER / "weights.safetensors"), json.loads((FOLDER / "meta.json").read_text())
    io = load_file(FOLDER / "io.safetensors")
    return Reference(generator_of(weights, meta), discriminators_of(weights), io, weights, meta)


@pytest.fixture(scope="module")
def networks():
    return new_reference()


@pytest.fixture
def reference(networks):
    """No test that takes it moves a weight."""
    networks.generator.zero_grad()
    networks.discriminators.zero_grad()
    return networks


def assert_gradients(module, expected):
    """Each within 1e-4 of its tensor's largest value."""
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    assert expected
    for name, theirs in expected.items():
        torch.testing.assert_close(found[name], theirs, atol=1e-4 * theirs.abs().max().item(), rtol=0)


def norm_of_gradients(module):
    return get_total_norm(parameter.grad for parameter in module.parameters()).item()


def is_near(theirs, rel=1e-4):
    return pytest.approx(theirs.item(), rel=rel)


def all_frames(wave):
    """Also the one on the end, which prepared specs do not keep: 33 for 8,192 samples."""
    return log_mel(wave.flatten(0, 1), replace(MEL, drops_last_frame=False))


def test_the_segment_is_cut_from_the_spec_of_the_whole_recording(reference):
    io, start = reference.io, reference.meta["segment_start_frame"]
    whole = io["in_full_wave"]

    spec = log_mel(whole, MEL)[:, start : start + N_FRAMES]

    torch.testing.assert_close(spec, io["in_spec"][0], atol=1e-3, rtol=0)
    assert whole[start * HOP : (start + N_FRAMES) * HOP].equal(io["in_wave"][0])


@torch.no_grad()
def test_the_wave_and_its_log_mels_are_the_reference(reference):
    batch, io = reference.batch, reference.io

    wave = reference.objective.begin(batch, Progress())

    torch.testing.assert_close(wave, io["wave"], atol=5e-5, rtol=0)
    torch.testing.assert_close(all_frames(wave), io["mel_generated"], atol=1e-3, rtol=0)
    torch.testing.assert_close(all_frames(batch.wave), io["mel_segment"], atol=1e-3, rtol=0)


def shifted_mel_loss(wave, spec):
    """As EveryVoice trains: frame k of the recording against frame k + 1 of what was generated."""
    return MEL_WEIGHT * (all_frames(wave)[..., 1:] - spec).abs().mean()


def test_the_mel_loss_compares_equal_moments_and_everyvoices_does_not(reference):
    batch, io = reference.batch, reference.io
    wave = reference.generator(batch.spec)

    aligned = reference.objective._generate(batch, wave, Progress(step=-1))["mel"]
    aligned.backward()

    of_generated = log_mel(wave.detach()[:, 0], MEL)
    assert aligned.item() == is_near(io["loss_mel_aligned"])
    assert MEL_WEIGHT * (of_generated - batch.spec).abs().mean().item() == is_near(io["loss_mel_file"])
    assert shifted_mel_loss(wave.detach(), batch.spec).item() == is_near(io["loss_mel_everyvoice"])
    assert_gradients(reference.generator, reference.named("grad_mel.generator."))
    assert norm_of_gradients(reference.generator) == is_near(io["grad_norm_mel"])


def test_the_turn_of_the_discriminators_has_the_reference_losses_and_gradients(reference):
    batch, io, objective = reference.batch, reference.io, reference.objective
    with torch.no_grad():
        real, fake = reference.discriminators.compare(batch.wave, io["wave"])

    (loss,) = objective._judge(batch, io["wave"], Progress()).values()
    loss.backward()

    assert loss.item() == is_near(io["loss_disc"])
    assert discriminator_loss(real[:N_PERIODS], fake[:N_PERIODS]).item() == is_near(io["loss_disc_mpd"])
    assert discriminator_loss(real[N_PERIODS:], fake[N_PERIODS:]).item() == is_near(io["loss_disc_msd"])
    for number, (of_real, of_fake) in enumerate(zip(real, fake, strict=True)):
        assert (1 - of_real.score).square().mean().item() == is_near(io["disc_real_each"][number])
        assert of_fake.score.square().mean().item() == is_near(io["disc_fake_each"][number])
    assert_gradients(reference.discriminators, reference.named("grad_disc."))
    assert norm_of_gradients(reference.discriminators) == is_near(io["grad_norm_disc"])


def test_the_turn_of_the_generator_has_the_reference_losses_and_gradients(reference):
    batch, io = reference.batch, reference.io
    wave = reference.generator(batch.spec)
    wave.retain_grad()

    losses = reference.objective._generate(batch, wave, Progress())
    (losses["adversarial"] + losses["feature"]).backward()

    found = losses["adversarial"].item() + losses["feature"].item()
    assert found == is_near(io["loss_adversarial_and_feature"])
    adversarial = io["loss_adversarial_mpd"] + io["loss_adversarial_msd"]
    assert losses["adversarial"].item() == is_near(adversarial)
    assert losses["feature"].item() == is_near(io["loss_feature_mpd"] + io["loss_feature_msd"])
    assert losses["mel"].item() == is_near(io["loss_mel_aligned"])
    of_wave = io["grad_wave_judged"]
    torch.testing.assert_close(wave.grad, of_wave, atol=1e-4 * of_wave.abs().max().item(), rtol=0)
    assert_gradients(reference.generator, reference.named("grad_judged.generator."))
    assert norm_of_gradients(reference.generator) == is_near(io["grad_norm_judged"])


@torch.no_grad()
def test_a_spectral_norm_takes_one_power_iteration_for_each_pass(reference):
    batch, io, multi_scale = reference.batch, reference.io, reference.discriminators.msd
    state = reference.discriminators.state_dict()
    warm = {name: tensor.clone() for name, tensor in state.items() if name.endswith(("weight_u", "weight_v"))}
    for name, start in reference.named("cold.").items():
        state[name].copy_(start)

    loss = discriminator_loss(multi_scale(batch.wave), multi_scale(io["wave"]))

    assert loss.item() == is_near(io["cold_loss_disc_msd"])
    for name, theirs in reference.named("cold_after.").items():
        torch.testing.assert_close(state[name], theirs, atol=1e-5, rtol=0)
    for name, tensor in warm.items():
        state[name].copy_(tensor)


def adamw(module):
    o = SETTINGS.optimiser
    return AdamW(
        module.parameters(), lr=1.0, betas=o.betas, eps=o.eps, weight_decay=o.weight_decay, fused=True
    )


def assert_after_step(module, expected):
    """One step moves each value by its gradient's sign, which near 0 may be the other one."""
    state = module.state_dict()
    assert expected
    for name, theirs in expected.items():
        difference = (state[name] - theirs).abs()
        assert difference.max() < 3e-4, name
        assert difference.median() < 1e-6, name


@pytest.fixture(scope="module")
def stepped():
    """Networks after one step of the training loop, and what it logged."""
    reference, logged = new_reference(), {}
    optimisers = {
        "discriminators": adamw(reference.discriminators),
        "generator": adamw(reference.generator),
    }
    train_steps(
        make_fabric(precision="32-true", accelerator="cpu"),
        reference.objective,
        optimisers,
        [reference.batch],
        Progress(),
        SETTINGS,
        after_step=lambda progress, values: (logged.update(values), progress)[1],
    )
    return reference, logged


@pytest.mark.slow
def test_a_step_of_our_loop_moves_the_discriminators_as_everyvoice_does(stepped):
    reference, logged = stepped
    theirs = reference.named("step.")
    expected = reference.named("after_step.")
    assert_after_step(
        reference.discriminators, {n: t for n, t in expected.items() if not n.startswith("generator.")}
    )

    assert logged["discriminators/adversarial"] == is_near(theirs["disc.d_loss_total"], 1e-3)
    assert logged["discriminators/gradient_norm"] == is_near(reference.io["grad_norm_disc"])


@pytest.mark.slow
def test_the_generator_then_answers_to_the_moved_discriminators_and_its_gradient_is_clipped(stepped):
    reference, logged = stepped
    theirs, clip_norm = reference.named("step."), SETTINGS.optimiser.clip_norm

    adversarial, feature = (theirs[f"gen.loss_{kind}_f"] + theirs[f"gen.loss_{kind}_s"] for kind in KINDS)
    assert logged["generator/adversarial"] == is_near(adversarial, 1e-3)
    assert logged["generator/feature"] == is_near(feature, 1e-3)
    assert logged["generator/mel"] == is_near(reference.io["loss_mel_aligned"])
    assert logged["generator/gradient_norm"] > 2 * clip_norm
    assert norm_of_gradients(reference.generator) == pytest.approx(clip_norm, rel=1e-4)


KINDS = ("gen", "fmap")


@pytest.mark.slow
def test_with_the_shifted_mel_loss_and_no_clipping_the_generator_moves_as_everyvoices(stepped):
    reference, _ = stepped
    theirs, batch = reference.named("step."), reference.batch
    generator = generator_of(reference.weights, reference.meta)
    optimiser = adamw(generator)
    optimiser.param_groups[0]["lr"] = SETTINGS.optimiser.learning_rate

    wave = generator(batch.spec)
    real, fake = reference.discriminators.teach(batch.wave, wave)
    mel_loss = shifted_mel_loss(wave, batch.spec)
    loss = generator_adversarial_loss(fake) + feature_loss(real, fake) + mel_loss
    loss.backward()
    optimiser.step()

    assert loss.item() == is_near(theirs["gen.gen_loss_total"], 1e-3)
    assert mel_loss.item() / MEL_WEIGHT == is_near(theirs["gen.mel_spec_error"], 1e-3)
    expected = reference.named("after_step.generator.")
    assert_after_step(generator, expected)
