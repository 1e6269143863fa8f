"""What training a vocoder minimises: mel, adversarial and feature losses, in two turns per step."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.audio.mel import MelSpec
from retimbre.models.description import Description
from retimbre.models.hifigan.batch import VocoderBatch, VocoderItem
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.loss import (
    discriminator_loss,
    feature_loss,
    generator_adversarial_loss,
    mel_loss_from_segments,
    multi_scale_mel_loss,
)
from retimbre.models.hifigan.model import Generator
from retimbre.nn.judges import Wave
from retimbre.recipe.training import Training
from retimbre.training.adversarial import Adversarial, vocoder_job
from retimbre.training.job import Job
from retimbre.training.objective import Progress


class SpecToWavObjective(Adversarial):
    """Adversarial training of a generator that turns specs into waveforms."""

    def __init__(
        self,
        generator: Generator,
        discriminators: Discriminators,
        mel: MelSpec,
        settings: Training,
        validation: Mapping[str, VocoderItem],
    ) -> None:
        super().__init__(generator, discriminators, mel, settings, validation)
        self.generator: Generator = generator
        self.discriminators: Discriminators = discriminators

    def begin(self, batch: VocoderBatch, progress: Progress) -> Wave:
        """The generated waveform, computed once for both turns."""
        with torch.set_grad_enabled(self.generator_learns(progress)):
            wave: Wave = self.generator(batch.spec).float()
        return wave

    def _judge(self, batch: VocoderBatch, fake: Wave, progress: Progress) -> dict[str, Tensor]:
        of_real, of_fake = self.discriminators.compare(batch.wave, fake.detach())
        return {"adversarial": discriminator_loss(of_real, of_fake)}

    def _generate(self, batch: VocoderBatch, fake: Wave, progress: Progress) -> dict[str, Tensor]:
        weights = self.settings.loss
        losses = {"mel": weights.mel * mel_loss_from_segments(fake, batch.wave, self.mel)}
        if weights.multi_scale:
            through_scales = multi_scale_mel_loss(fake, batch.wave, self.mel.sample_rate_hz)
            losses["multi_scale"] = weights.multi_scale * through_scales
        if self.is_adversarial(progress):
            of_real, of_fake = self.discriminators.teach(batch.wave, fake)
            losses["adversarial"] = weights.adversarial * generator_adversarial_loss(of_fake)
            losses["feature"] = feature_loss(of_real, of_fake, weight=weights.feature)
        return losses

    def spoken(self, item: VocoderItem, number: int) -> Float[Tensor, "samples"]:
        """A whole utterance."""
        spec = item.spec.unsqueeze(0).to(next(self.generator.parameters()).device)
        wave: Wave = self.generator(spec).float()
        return wave.squeeze(0).squeeze(0).cpu()


def spec_to_wav_job(
    generator: Generator,
    discriminators: Discriminators,
    description: Description,
    settings: Training,
    *,
    training: Sequence[VocoderItem],
    validation: Mapping[str, VocoderItem],
) -> Job:
    """A vocoder with its training items and validation utterances, ready for the loop."""
    mel = description.output_mel
    objective = SpecToWavObjective(generator, discriminators, mel, settings, validation)
    return vocoder_job(
        objective,
        description,
        training,
        periods=discriminators.config.periods,
        shown="generator/mel",
    )
