"""Is bfloat16 faster than float32 on this machine, for a training step of each family?

Both are measured in turn, several times, in one run; the ratio of the smallest times is what counts, because
other work on the machine only ever adds time.
"""

import time
from collections.abc import Callable

import torch

from retimbre.audio.mel import mel_librosa
from retimbre.models.fastspeech2.batch import Item, collate
from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, PredictorSizes
from retimbre.models.fastspeech2.loss import LossWeights, text_to_spec_losses
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.loss import (
    discriminator_loss,
    feature_loss,
    generator_adversarial_loss,
    mel_loss_from_segments,
)
from retimbre.models.hifigan.model import Generator

ROUNDS = 4
N_SYMBOLS, N_FRAMES, BATCH = 60, 300, 8
SEGMENT_FRAMES = 32


STARTER_LAYERS = ConformerSizes(n_layers=3, dim=128, feedforward_dim=512)
STARTER_GENERATOR = GeneratorConfig(
    resblock="2",
    upsample_rates=(8, 8),
    upsample_kernels=(16, 16),
    initial_channels=256,
    resblock_kernels=(3, 7),
    resblock_dilations=((1, 3), (1, 3)),
    istft_n_fft_samples=16,
)
STARTER_DISCRIMINATORS = DiscriminatorConfig(width=0.125, periods=(2, 3, 5), n_scales=1)


def text_to_spec_step(
    layers: ConformerSizes = STARTER_LAYERS, *, postnet_dim: int | None = None
) -> Callable[[], None]:
    """Forward, losses and backward of a fastspeech2 on random utterances."""
    predictor = PredictorSizes(dim=layers.dim)
    config = FastSpeech2Config(
        n_symbols=64,
        encoder=layers,
        decoder=layers,
        duration=predictor,
        pitch=predictor,
        energy=predictor,
        postnet_dim=postnet_dim,
    )
    model = FastSpeech2(config).train()
    items = [
        Item(
            symbols=torch.randint(1, 64, (N_SYMBOLS,)),
            spec=torch.randn(80, N_FRAMES),
            pitch=torch.randn(N_FRAMES),
            energy=torch.randn(N_FRAMES),
        )
        for _ in range(BATCH)
    ]
    batch = collate(items, pad_spec=mel_librosa().silence)

    def step() -> None:
        losses = text_to_spec_losses(model(batch), batch, LossWeights(), 1.0)
        torch.stack(list(losses.values())).sum().backward()

    return step


def spec_to_wav_step(
    sizes: GeneratorConfig = STARTER_GENERATOR, judges: DiscriminatorConfig = STARTER_DISCRIMINATORS
) -> Callable[[], None]:
    """Both turns of a vocoder on random segments."""
    mel = mel_librosa()
    generator = Generator(sizes).train()
    discriminators = Discriminators(judges).train()
    spec = torch.randn(BATCH, 80, SEGMENT_FRAMES)
    wave = 0.1 * torch.randn(BATCH, 1, SEGMENT_FRAMES * mel.hop_samples)

    def step() -> None:
        fake = generator(spec).float()
        discriminator_loss(*discriminators.compare(wave, fake.detach())).backward()
        of_real, of_fake = discriminators.teach(wave, fake)
        adversarial = generator_adversarial_loss(of_fake) + feature_loss(of_real, of_fake)
        (adversarial + 45 * mel_loss_from_segments(fake, wave, mel)).backward()

    return step


def seconds(step: Callable[[], None], *, is_bf16: bool) -> float:
    """One step, timed."""
    began = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
        step()
    return time.perf_counter() - began


def main() -> None:
    """Print one line per family."""
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, batch {BATCH}, best of {ROUNDS} rounds")
    for name, step in (("text-to-spec", text_to_spec_step()), ("spec-to-wav", spec_to_wav_step())):
        step()  # warms up
        rounds = [(seconds(step, is_bf16=False), seconds(step, is_bf16=True)) for _ in range(ROUNDS)]
        plain, half = (min(column) for column in zip(*rounds, strict=True))
        print(f"{name:<13} float32 {plain:.3f} s, bfloat16 {half:.3f} s a step: ratio {plain / half:.2f}")


if __name__ == "__main__":
    main()
