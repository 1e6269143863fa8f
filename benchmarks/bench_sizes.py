"""How long do steps of three sizes of each network take here, and what would the starter's plan cost?

The small size is the starter voice's, the large one EveryVoice's default. Each is timed in turn in one run;
its ratio to the small one is what compares between machines.
"""

from collections.abc import Callable

import torch
from bench_precision import (
    BATCH,
    STARTER_DISCRIMINATORS,
    STARTER_GENERATOR,
    STARTER_LAYERS,
    seconds,
    spec_to_wav_step,
    text_to_spec_step,
)

from retimbre.models.fastspeech2.config import ConformerSizes
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig

ROUNDS = 3
PLAN_STEPS = {"text-to-spec": 6_000, "spec-to-wav": 10_000}  # about what the starter voice has had
MIDDLE_GENERATOR = GeneratorConfig(
    resblock="1",
    upsample_rates=(8, 8),
    upsample_kernels=(16, 16),
    initial_channels=256,
    istft_n_fft_samples=16,
)
FULL_GENERATOR = GeneratorConfig()


def main() -> None:
    """Print one line per family and size."""
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, batch {BATCH}, bfloat16, best of {ROUNDS} rounds")
    text_to_spec = {
        "small": text_to_spec_step(STARTER_LAYERS),
        "middle": text_to_spec_step(ConformerSizes(n_layers=4, dim=192, feedforward_dim=768)),
        "large": text_to_spec_step(ConformerSizes(), postnet_dim=512),
    }
    tell("text-to-spec", text_to_spec)
    spec_to_wav = {
        "small": spec_to_wav_step(STARTER_GENERATOR, STARTER_DISCRIMINATORS),
        "middle": spec_to_wav_step(MIDDLE_GENERATOR, DiscriminatorConfig(width=0.25)),
        "large": spec_to_wav_step(FULL_GENERATOR, DiscriminatorConfig()),
    }
    tell("spec-to-wav", spec_to_wav)


def tell(family: str, steps: dict[str, Callable[[], None]]) -> None:
    """One line per size."""
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(ROUNDS):
        for size, step in steps.items():
            best[size] = min(best[size], seconds(step, is_bf16=True))
    n_steps = PLAN_STEPS[family]
    for size, found in best.items():
        ratio = found / best["small"]
        hours = n_steps * found / 3600
        cost = f"{ratio:5.1f} times the small one; {n_steps:,} steps: {hours:.1f} h"
        print(f"{family:<13} {size:<7} {found:7.2f} s a step, {cost}")


if __name__ == "__main__":
    main()
