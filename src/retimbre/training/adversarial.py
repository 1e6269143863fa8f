"""What the training of every vocoder has in common: two turns, when each takes part, and what decides."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from retimbre.audio.mel import MelSpec, log_mel
from retimbre.audio.waveform import Audio
from retimbre.evaluate.perceptual import perceptual_score
from retimbre.models.description import Description
from retimbre.models.hifigan.batch import VocoderBatch, VocoderItem, collate
from retimbre.models.load import save_model
from retimbre.nn.judges import Judges, Wave
from retimbre.recipe.training import Training
from retimbre.training.job import Job
from retimbre.training.objective import Progress, Turn, Verdict
from retimbre.training.segments import SegmentDataset

N_SHOWN = 2  # validation utterances that the journal keeps as sound and picture


class Adversarial(ABC):
    """A generator that turns specs into waveforms, against discriminators."""

    def __init__(
        self,
        generator: nn.Module,
        discriminators: Judges,
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
            Turn("discriminators", self.discriminators, self._judge, self.is_adversarial),
            Turn("generator", self.generator, self._generate, self.generator_learns),
        )

    def is_adversarial(self, progress: Progress) -> bool:
        """Have the discriminators joined?"""
        return progress.step >= self.settings.adversarial_from_step

    def generator_learns(self, progress: Progress) -> bool:
        """Not while new discriminators learn alone."""
        first = self.settings.adversarial_from_step
        return not first <= progress.step < first + self.settings.discriminators_first_steps

    @abstractmethod
    def begin(self, batch: VocoderBatch, progress: Progress) -> Any:  # noqa: ANN401
        """What both turns share: the generated waveform, computed once."""

    @abstractmethod
    def _judge(self, batch: VocoderBatch, shared: Any, progress: Progress) -> dict[str, Tensor]:  # noqa: ANN401
        """The losses of the discriminators."""

    @abstractmethod
    def _generate(self, batch: VocoderBatch, shared: Any, progress: Progress) -> dict[str, Tensor]:  # noqa: ANN401
        """The losses of the generator."""

    @abstractmethod
    def spoken(self, item: VocoderItem, number: int) -> Float[Tensor, "samples"]:
        """A whole validation utterance, the `number`-th of them, through the path that synthesis takes."""

    def measured(self, real: Wave, generated: Wave) -> dict[str, float]:
        """Further measures of a validation utterance; none, unless a family has some."""
        return {}

    def validate(self, progress: Progress) -> Verdict:
        """Whole validation utterances through the path that synthesis takes; the perceptual score decides."""
        self.generator.eval()
        rate_hz = self.mel.sample_rate_hz
        found: list[dict[str, float]] = []
        sounds: dict[str, tuple[Tensor, int]] = {}
        pictures: dict[str, Tensor] = {}
        for number, (name, item) in enumerate(self.validation.items()):
            samples = self.spoken(item, number)
            of_generated = log_mel(samples, self.mel)
            mel_error = (of_generated - log_mel(item.samples, self.mel)).abs().mean()
            score = perceptual_score(
                Audio(samples=item.samples, sample_rate_hz=rate_hz),
                Audio(samples=samples, sample_rate_hz=rate_hz),
            )
            more = self.measured(item.samples[None, None], samples[None, None])
            found.append({"mel_distance": float(mel_error), "perceptual": score, **more})
            if len(sounds) < N_SHOWN:
                sounds[f"validation/{name}"] = (samples, rate_hz)
                pictures[f"validation/{name}"] = of_generated
        self.generator.train()
        measures = {name: sum(each[name] for each in found) / len(found) for name in found[0]}
        return Verdict(measures, measures["perceptual"], pictures=pictures, sounds=sounds)


def vocoder_job(
    objective: Adversarial,
    description: Description,
    training: Sequence[VocoderItem],
    *,
    periods: Sequence[int],
    shown: str,
    pads_short: bool = True,
) -> Job:
    """A vocoder with its training items, ready for the loop.

    Args:
        objective: With its validation utterances.
        description: Of the generator.
        training: Whole utterances.
        periods: Of the discriminators: no tensor tells them.
        shown: The logged value that the progress line shows.
        pads_short: See `SegmentDataset`.
    """
    mel, settings = objective.mel, objective.settings
    dataset = SegmentDataset(
        training,
        mel,
        segment_frames=settings.segment_frames,
        seed=settings.seed,
        target_delay_samples=settings.target_delay_samples,
        pads_short=pads_short,
    )

    def keep(path: Path, step: int) -> None:
        sizes = {**description.sizes, "periods": list(periods)}
        described = replace(description, step=description.step + step, sizes=sizes)
        save_model(path, objective.generator, described, extra=objective.discriminators.state_dict())

    return Job(
        objective=objective,
        dataset=dataset,
        lengths=[dataset.frames_of(number) for number in range(len(dataset))],
        collate=partial(collate, hop_samples=mel.hop_samples, silence=mel.silence),
        description=description,
        keep=keep,
        shown=(shown,),
    )
