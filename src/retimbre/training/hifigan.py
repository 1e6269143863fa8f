"""What training a vocoder minimises: mel, adversarial and feature losses, in two turns per step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import Dataset

from retimbre.audio.mel import MelSpec, log_mel
from retimbre.audio.waveform import Audio
from retimbre.evaluate.perceptual import perceptual_score
from retimbre.models.description import Description
from retimbre.models.hifigan.batch import VocoderBatch, VocoderItem, collate, cut, n_starts
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.loss import (
    discriminator_loss,
    feature_loss,
    generator_adversarial_loss,
    mel_loss_from_segments,
    multi_scale_mel_loss,
)
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import save_model
from retimbre.recipe.training import Training
from retimbre.training.batching import Key, item_random
from retimbre.training.job import Job
from retimbre.training.objective import Progress, Turn, Verdict

Wave = Float[Tensor, "batch 1 samples"]


class SegmentDataset(Dataset[VocoderItem]):
    """Random segments of whole utterances, the place drawn anew in every pass."""

    def __init__(
        self,
        items: Sequence[VocoderItem],
        mel: MelSpec,
        *,
        segment_frames: int,
        seed: int,
        target_delay_samples: int = 0,
    ) -> None:
        self.items = [replace(item, samples=delayed(item.samples, target_delay_samples)) for item in items]
        self.mel, self.segment_frames, self.seed = mel, segment_frames, seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> VocoderItem:
        item = self.items[key.item]
        start = int(item_random(self.seed, key).integers(n_starts(item, self.segment_frames)))
        return cut(
            item,
            start,
            self.segment_frames,
            hop_samples=self.mel.hop_samples,
            silence=self.mel.silence,
        )


def delayed(samples: Float[Tensor, "samples"], n_samples: int) -> Float[Tensor, "samples"]:
    """The same length, `n_samples` later (earlier if negative), with silence where nothing was."""
    if n_samples == 0:
        return samples
    moved = torch.zeros_like(samples)
    if n_samples > 0:
        moved[n_samples:] = samples[:-n_samples]
    else:
        moved[:n_samples] = samples[-n_samples:]
    return moved


class SpecToWavObjective:
    """Adversarial training of a generator that turns specs into waveforms."""

    def __init__(
        self,
        generator: Generator,
        discriminators: Discriminators,
        mel: MelSpec,
        settings: Training,
        validation: Mapping[str, VocoderItem],
    ) -> None:
        self.generator, self.discriminators = generator, discriminators
        self.mel, self.settings, self.validation = mel, settings, validation

    def parts(self) -> dict[str, nn.Module]:
        """Generator and discriminators are saved together: one without the other cannot go on."""
        return {"generator": self.generator, "discriminators": self.discriminators}

    def turns(self) -> tuple[Turn, ...]:
        """The discriminators learn first, from the waveform that the generator then answers for."""
        return (
            Turn("discriminators", self.discriminators, self._judge, self._is_adversarial),
            Turn("generator", self.generator, self._generate, self._generator_learns),
        )

    def begin(self, batch: VocoderBatch, progress: Progress) -> Wave:
        """The generated waveform, computed once for both turns."""
        with torch.set_grad_enabled(self._generator_learns(progress)):
            wave: Wave = self.generator(batch.spec).float()
        return wave

    def _is_adversarial(self, progress: Progress) -> bool:
        return progress.step >= self.settings.adversarial_from_step

    def _generator_learns(self, progress: Progress) -> bool:
        first = self.settings.adversarial_from_step
        return not first <= progress.step < first + self.settings.discriminators_first_steps

    def _judge(self, batch: VocoderBatch, fake: Wave, progress: Progress) -> dict[str, Tensor]:
        of_real, of_fake = self.discriminators.compare(batch.wave, fake.detach())
        return {"adversarial": discriminator_loss(of_real, of_fake)}

    def _generate(self, batch: VocoderBatch, fake: Wave, progress: Progress) -> dict[str, Tensor]:
        weights = self.settings.loss
        losses = {"mel": weights.mel * mel_loss_from_segments(fake, batch.wave, self.mel)}
        if weights.multi_scale:
            through_scales = multi_scale_mel_loss(fake, batch.wave, self.mel.sample_rate_hz)
            losses["multi_scale"] = weights.multi_scale * through_scales
        if self._is_adversarial(progress):
            of_real, of_fake = self.discriminators.teach(batch.wave, fake)
            losses["adversarial"] = weights.adversarial * generator_adversarial_loss(of_fake)
            losses["feature"] = feature_loss(of_real, of_fake, weight=weights.feature)
        return losses

    def validate(self, progress: Progress) -> Verdict:
        """Whole validation utterances through the path that synthesis takes; the perceptual score decides."""
        self.generator.eval()
        mel_errors, scores = [], []
        sounds: dict[str, tuple[Tensor, int]] = {}
        pictures: dict[str, Tensor] = {}
        for name, item in self.validation.items():
            spec = item.spec.unsqueeze(0).to(next(self.generator.parameters()).device)
            samples = self.generator(spec).float().squeeze(0).squeeze(0).cpu()
            real = Audio(samples=item.samples, sample_rate_hz=self.mel.sample_rate_hz)
            generated = Audio(samples=samples, sample_rate_hz=self.mel.sample_rate_hz)
            of_generated = log_mel(samples, self.mel)
            mel_errors.append(float((of_generated - log_mel(item.samples, self.mel)).abs().mean()))
            scores.append(perceptual_score(real, generated))
            if len(sounds) < 2:
                sounds[f"validation/{name}"] = (samples, self.mel.sample_rate_hz)
                pictures[f"validation/{name}"] = of_generated
        self.generator.train()
        measures = {
            "mel_distance": sum(mel_errors) / len(mel_errors),
            "perceptual": sum(scores) / len(scores),
        }
        return Verdict(measures, measures["perceptual"], pictures=pictures, sounds=sounds)


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
    dataset = SegmentDataset(
        training,
        mel,
        segment_frames=settings.segment_frames,
        seed=settings.seed,
        target_delay_samples=settings.target_delay_samples,
    )

    def keep(path: Path, step: int) -> None:
        periods = list(discriminators.config.periods)  # no tensor tells them
        described = replace(
            description, step=description.step + step, sizes={**description.sizes, "periods": periods}
        )
        save_model(path, generator, described, extra=discriminators.state_dict())

    return Job(
        objective=objective,
        dataset=dataset,
        lengths=[settings.segment_frames] * len(training),
        collate=partial(collate, hop_samples=mel.hop_samples, silence=mel.silence),
        description=description,
        keep=keep,
        shown=("generator/mel",),
    )
