"""The section `training` of a recipe: how long, how fast, on how much at once, and what each loss counts."""

from typing import Literal

from pydantic import Field

from retimbre.recipe.section import Section

Distance = Literal["mse", "mae"]


class LossWeights(Section):
    """What each part of the loss counts. Defaults are EveryVoice's."""

    spec: float = Field(1.0, ge=0, description="Mel loss before the post-net (text-to-spec).")
    postnet: float = Field(1.0, ge=0, description="Mel loss after the post-net (text-to-spec).")
    pitch: float = Field(0.1, ge=0, description="Pitch predictor.")
    energy: float = Field(0.1, ge=0, description="Energy predictor.")
    duration: float = Field(0.1, ge=0, description="Duration predictor.")
    attn_ctc: float = Field(0.1, ge=0, description="Alignment, forward-sum loss.")
    attn_bin: float = Field(0.1, ge=0, description="Alignment, binarisation, at its full strength.")
    attn_bin_from_step: int = Field(0, ge=0, description="Step at which binarisation starts to grow.")
    attn_bin_full_step: int = Field(1000, ge=1, description="Step at which binarisation is at full strength.")
    mel: float = Field(45.0, ge=0, description="Mel loss of the vocoder.")
    multi_scale: float = Field(
        0.0,
        ge=0,
        description="Mel loss of the vocoder through seven windows; 15 in BigVGAN-v2.",
    )
    feature: float = Field(2.0, ge=0, description="Feature matching of the vocoder.")
    adversarial: float = Field(1.0, ge=0, description="Adversarial loss of the vocoder.")
    spec_distance: Distance = Field("mse", description="How the text-to-spec mel losses measure.")
    pitch_distance: Distance = Field("mse", description="How the loss of pitch measures.")
    energy_distance: Distance = Field("mse", description="How the loss of energy measures.")
    duration_distance: Distance = Field("mse", description="How the loss of durations measures.")
    text: float = Field(0.01, ge=0, description="The next symbol of the text (text-to-codes).")
    codes: float = Field(1.0, ge=0, description="The next code (text-to-codes).")
    noise: float = Field(1.0, ge=0, description="The noise in a noisy spec (codes-to-spec).")
    variance: float = Field(1.0, ge=0, description="How wide its noise may be (codes-to-spec).")
    first_guess: float = Field(1.0, ge=0, description="The spec without any diffusion (codes-to-spec).")
    noise_from_step: int = Field(
        200,
        ge=0,
        description="Step from which noise and variance count; before it only the first guess does.",
    )
    reconstruction: float = Field(1.0, ge=0, description="The spec through the code book (wav-to-codes).")
    commitment: float = Field(1.0, ge=0, description="Vectors near their entries (wav-to-codes).")
    stft: float = Field(
        2.5, ge=0, description="Magnitudes through several windows (spec-to-wav of TorToiSe)."
    )


class Optimiser(Section):
    """How weights move. Defaults are for fine-tuning, not for training from scratch."""

    name: Literal["adamw", "adam", "rms", "adamw8bit", "lion"] = Field(
        "adamw", description="Which one; adamw8bit needs bitsandbytes and a GPU."
    )
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate, per optimiser step.")
    betas: tuple[float, float] = Field((0.9, 0.98), description="Decay of the two averages of Adam(W).")
    alpha: float = Field(0.99, ge=0, lt=1, description="Decay of the average of RMSprop.")
    eps: float = Field(1e-8, gt=0, description="Added to the denominator.")
    weight_decay: float = Field(0.01, ge=0, description="Weight decay; decoupled in AdamW.")
    decays: Literal["everything", "matrices"] = Field(
        "everything", description="What decays: `matrices` spares biases, norms and embeddings."
    )
    schedule: Literal["constant", "noam", "exponential", "cosine", "milestones"] = Field(
        "constant", description="How the learning rate goes on after the warm-up."
    )
    milestones: tuple[int, ...] = Field((), description="Steps at which the rate of 'milestones' falls.")
    gamma: float = Field(0.5, gt=0, le=1, description="Factor at each of them.")
    schedule_steps: int | None = Field(
        None, gt=0, description="Length of a cosine's fall; none: the steps of the run."
    )
    warmup_steps: int = Field(0, ge=0, description="Steps of linear warm-up.")
    decay: float = Field(0.999, gt=0, le=1, description="Factor per 1,000 steps for 'exponential'.")
    clip_norm: float = Field(1.0, gt=0, description="Largest L2 norm of one optimiser's gradients together.")


class Lora(Section):
    """Small matrices beside the large ones: only they learn (https://arxiv.org/abs/2106.09685)."""

    rank: int = Field(4, gt=0, description="Rows and columns between the two of them.")
    alpha: float = Field(8.0, gt=0, description="What they add is multiplied by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Of what they read.")
    targets: tuple[str, ...] = Field(
        ("attention", "feed-forward"), description="Groups of matrices that get them."
    )


class Training(Section):
    """How long, how many at once, and what is written when."""

    steps: int = Field(5000, gt=0, description="Optimiser steps in all (a vocoder's two turns count as one).")
    batch_size: int = Field(8, gt=0, description="Utterances (or segments) per step.")
    batch_parts: int = Field(
        1,
        gt=0,
        description="A batch goes through the network in so many parts: less memory, the same result.",
    )
    segment_frames: int = Field(32, gt=0, description="Length of a vocoder's training segment, in frames.")
    optimiser: Optimiser = Field(Optimiser(), description="How weights move.")
    loss: LossWeights = Field(LossWeights(), description="What each loss counts.")
    seed: int = Field(1234, description="Seed of everything random in the run.")
    precision: Literal["32-true", "bf16-mixed"] = Field("32-true", description="Numbers in the forward pass.")
    n_workers: int = Field(0, ge=0, description="Processes that load data; results do not depend on it.")
    discriminators_first_steps: int = Field(
        0, ge=0, description="Steps in which only the discriminators learn (for a generator that has none)."
    )
    adversarial_from_step: int = Field(
        0, ge=0, description="Step at which discriminators join; before it only the mel loss counts."
    )
    continues_base: bool = Field(
        False,
        description="Go on with the steps and the optimisers of an EveryVoice base, too.",
    )
    frozen: tuple[str, ...] = Field((), description="Tensor names, or their beginnings, that do not move.")
    moving: tuple[str, ...] = Field(
        (), description="Named groups of a TorToiSe network that learn; none: all of it."
    )
    lora: Lora | None = Field(None, description="Learn small matrices beside the weights instead of these.")
    recomputes: bool = Field(
        True, description="TorToiSe: compute activations again in the backward pass where memory is short."
    )
    memory_gb: float | None = Field(
        None, gt=0, description="TorToiSe: plan for so much memory in all; none: what is free."
    )
    patience: int = Field(
        0, ge=0, description="Stop after so many validations without a better one; 0: never."
    )
    spec_source: Literal["real", "produced"] = Field(
        "real", description="What a vocoder hears: real specs, or what text-to-spec produced (matching)."
    )
    produced_prosody: Literal["model", "recording"] = Field(
        "recording", description="Whose pitch and energy the produced specs that matching trains on have."
    )
    target_delay_samples: int = Field(
        0, description="How late a vocoder's target comes: the delay that it has learnt and is to keep."
    )
    log_every_steps: int = Field(20, gt=0, description="One line in metrics.jsonl per so many steps.")
    validate_every_steps: int = Field(
        500, gt=0, description="The validation utterances are measured so often."
    )
    validate_at_most: int = Field(12, gt=0, description="So many validation utterances at most.")
    samples: int = Field(
        8, ge=0, description="text-to-codes speaks a validation text so many times on the way."
    )
    checkpoint_every_steps: int = Field(500, gt=0, description="Everything is saved so often.")
    keep_checkpoints: int = Field(2, gt=0, description="So many newest complete checkpoints stay.")
