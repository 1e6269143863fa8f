"""What training a UnivNet minimises: magnitudes through three windows and adversarial losses, in two turns.

The values of its paper (https://arxiv.org/abs/2106.07889) and of its trainers, for whoever sets them:

    AdamW, learning rate 1e-4, betas 0.5 and 0.9             https://github.com/maum-ai/univnet, Coqui's TTS
    weight decay 0.01, or 0                                  the first (torch's default); Coqui's TTS
    weight 2.5 of the magnitudes                             both
    the generator alone in the first 200,000 steps           the paper (as issue 4 of the first quotes it) and
                                                             Coqui's; the first begins with both, and measures
                                                             the paper's quality all the same
    batches of 32 segments of 16,384 samples (64 frames)     the first; Coqui's takes 8,192 samples

Who tunes a vocoder that speaks already has no use for the generator alone, but for discriminators that are
ahead of it: `discriminators_first_steps`.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.audio.mel import MelSpec
from retimbre.errors import DataError, RecipeError
from retimbre.models.description import Description
from retimbre.models.hifigan.batch import VocoderBatch, VocoderItem
from retimbre.models.univnet.batch import fewest_frames
from retimbre.models.univnet.discriminators import UnivNetJudges
from retimbre.models.univnet.loss import Pair, adversarial_loss, by_length, judges_loss, stft_loss
from retimbre.models.univnet.model import UnivNet
from retimbre.nn.judges import Wave
from retimbre.recipe.training import Training
from retimbre.training.adversarial import Adversarial, vocoder_job
from retimbre.training.job import Job
from retimbre.training.objective import Progress


class UnivNetObjective(Adversarial):
    """Adversarial training of a UnivNet."""

    def __init__(
        self,
        generator: UnivNet,
        discriminators: UnivNetJudges,
        mel: MelSpec,
        settings: Training,
        validation: Mapping[str, VocoderItem],
    ) -> None:
        super().__init__(generator, discriminators, mel, settings, validation)
        self.generator: UnivNet = generator
        self.discriminators: UnivNetJudges = discriminators

    def begin(self, batch: VocoderBatch, progress: Progress) -> list[Pair]:
        """What was generated from noise, beside what was recorded; padding is cut off."""
        spec, n_frames = batch.spec, batch.n_frames
        shape = (len(spec), self.generator.config.noise_dim, spec.shape[2])
        noise = torch.randn(shape).to(spec.device)  # drawn here, so that a resumed run draws the same
        is_padded = bool((n_frames < spec.shape[2]).any())
        with torch.set_grad_enabled(self.generator_learns(progress)):
            wave: Wave = self.generator(spec, noise, n_frames if is_padded else None)
        return by_length(batch.wave, wave, n_frames * self.mel.hop_samples)

    def _judge(self, batch: VocoderBatch, shared: list[Pair], progress: Progress) -> dict[str, Tensor]:
        """The losses of the discriminators."""
        return {"adversarial": judges_loss(shared, self.discriminators)}

    def _generate(self, batch: VocoderBatch, shared: list[Pair], progress: Progress) -> dict[str, Tensor]:
        """The losses of the generator."""
        weights = self.settings.loss
        losses = {"stft": weights.stft * stft_loss(shared)}
        if self.is_adversarial(progress):
            losses["adversarial"] = weights.adversarial * adversarial_loss(shared, self.discriminators)
        return losses

    def spoken(self, item: VocoderItem, number: int) -> Float[Tensor, "samples"]:
        """A whole utterance with the silence behind it; always from the same noise."""
        spec = item.spec.unsqueeze(0)
        noise = self.generator.noise_for(spec, torch.Generator().manual_seed(number))
        device = next(self.generator.parameters()).device
        return self.generator.speak(spec.to(device), noise.to(device)).squeeze(0).squeeze(0).cpu()

    def measured(self, real: Wave, generated: Wave) -> dict[str, float]:
        """The distance of magnitudes, without its weight."""
        return {"stft": float(stft_loss([Pair(real=real, fake=generated)]))}


def univnet_job(
    generator: UnivNet,
    discriminators: UnivNetJudges,
    description: Description,
    settings: Training,
    *,
    training: Sequence[VocoderItem],
    validation: Mapping[str, VocoderItem],
) -> Job:
    """A UnivNet with its training items and validation utterances, ready for the loop.

    Args:
        generator: With its weight norm.
        discriminators: New ones, or those of the file that it comes from.
        description: Of the generator; its spectrogram is not mapped to -1..1.
        settings: Of the losses, `stft` and `adversarial` count.
        training: From `models.univnet.batch.item_of`.
        validation: The same.

    Raises:
        DataError: an utterance is too short.
        RecipeError: the segments are.
    """
    mel = description.output_mel
    _require_long_enough([*training, *validation.values()], settings, mel)
    objective = UnivNetObjective(generator, discriminators, mel, settings, validation)
    return vocoder_job(
        objective,
        description,
        training,
        periods=discriminators.config.periods,
        shown="generator/stft",
        pads_short=False,
    )


def _require_long_enough(items: Sequence[VocoderItem], settings: Training, mel: MelSpec) -> None:
    fewest = fewest_frames(mel.hop_samples)
    if settings.segment_frames < fewest:
        raise RecipeError(
            "the segments are too short for the windows of the losses",
            expected=f"training.segment_frames of at least {fewest}",
            found=str(settings.segment_frames),
            do="32 or 64 is usual",
        )
    short = [item.n_frames for item in items if item.n_frames < fewest]
    if short:
        raise DataError(
            f"{len(short)} utterances are too short to train a vocoder on",
            expected=f"at least {fewest} frames",
            found=f"{min(short)} in the shortest",
            do="leave them out of the list",
        )
