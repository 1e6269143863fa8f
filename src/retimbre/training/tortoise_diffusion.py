"""What training TorToiSe's diffusion decoder minimises: noise, its variance, and a first guess of the spec.

It learns from the latents that the autoregressive stage has at the true codes: from those of the tuned stage
it is matched to it. Utterances are whole and never padded, so that training computes what speaking computes.

Axes used in this file:
    mels    bands of the spectrogram
    frames  of the spectrogram
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from retimbre.audio.mel import MelSpec, logarithms
from retimbre.data.store import Store
from retimbre.errors import DataError
from retimbre.models.tortoise_ar.sampling import generator_of
from retimbre.models.tortoise_diffusion.batch import DiffusionBatch, DiffusionItem, collate
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.models.tortoise_diffusion.loss import batch_losses, diffusion_losses, drawn_for
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.tortoise_diffusion.schedule import N_TRAINED_STEPS, trained_schedule
from retimbre.pipelines.produced_tortoise_specs import produced_spec
from retimbre.pipelines.teacher_forced_latents import Latents, One, Voices, voice_choice
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_target import mel_error, normalised, target_spec
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.recipe.training import Training
from retimbre.training.batching import Key, item_random
from retimbre.training.job import Job
from retimbre.training.learner import Learner
from retimbre.training.objective import Parts, Progress, Turn, Verdict

N_DEPTHS = 8  # of the noise at which a validation utterance is measured
LARGE = 512  # frames of a part, beyond which activations take more than a gigabyte at the released size
N_SAMPLED = 2  # validation utterances of which a whole spec is made
SAMPLING = Settings(sampler="dpm++2m", n_steps=10, guidance=0.0)  # quick: it shows, and decides nothing


class LatentDataset(Dataset[DiffusionItem], Generic[One]):
    """Whole utterances; which latents of them, and from whom the voice is heard, drawn anew in every pass."""

    def __init__(
        self,
        encoded: Sequence[One],
        store: Store,
        mel: MelSpec,
        *,
        latents: Latents[One],
        voices: Voices[One],
        seed: int,
    ) -> None:
        self.encoded, self.store, self.mel = encoded, store, mel
        self.latents, self.voices, self.seed = latents, voices, seed

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, key: Key) -> DiffusionItem:
        one, random = self.encoded[key.item], item_random(self.seed, key)
        variant = int(random.integers(self.latents.n_variants))
        return self._item(one, variant, self.voices.for_diffusion(one, random))

    def validation_item(self, one: One) -> DiffusionItem:
        """An utterance as it is measured, always the same."""
        return self._item(
            one, 0, self.voices.for_diffusion(one, voice_choice(self.latents.seed, one.utterance))
        )

    def _item(self, one: One, variant: int, clips: Tensor) -> DiffusionItem:
        samples = self.store.load_audio(one.utterance, AUTO_MEL).samples
        if len(samples) != one.n_samples:
            raise DataError(
                f"the prepared recording of {one.utterance.basename} has changed since it was encoded",
                expected=f"{one.n_samples:,} samples",
                found=f"{len(samples):,}",
                do="encode the recordings again",
            )
        spec = target_spec(samples, len(one.codes), self.mel)
        return DiffusionItem(latents=self.latents.of(one, variant), spec=spec, clips=clips)


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A validation utterance.

    Args:
        n_samples: Of its recording.
    """

    item: DiffusionItem
    n_samples: int


class CodesToSpecObjective:
    """Training of a decoder that finds specs in noise."""

    def __init__(
        self,
        model: DiffusionDecoder,
        settings: Training,
        validation: Mapping[str, Measured],
        *,
        learning: nn.Module,
        sampling: Settings = SAMPLING,
    ) -> None:
        self.model, self.learning = model, learning
        self.settings, self.validation = settings, validation
        self.mel, self.sampling, self.schedule = spec_of(model.config), sampling, trained_schedule()

    def parts(self) -> dict[str, nn.Module]:
        """What learns."""
        return {"model": self.learning}

    def turns(self) -> tuple[Turn, ...]:
        """One optimiser for everything that moves."""
        return (Turn("model", self.learning, self._losses),)

    def begin(self, batch: DiffusionBatch, progress: Progress) -> None:
        """Nothing is shared."""

    def _losses(self, batch: DiffusionBatch, shared: None, progress: Progress) -> dict[str, Tensor]:
        weights = self.settings.loss
        has_noise = progress.step >= weights.noise_from_step
        n_utterances, _, n_frames = batch.spec.shape
        self.model.recomputes = self.settings.recomputes and n_utterances * n_frames > LARGE
        draws = drawn_for(batch.spec)
        losses = batch_losses(self.model, batch, draws, self.schedule, has_noise=has_noise)
        counts = {
            "first_guess": weights.first_guess,
            "noise": weights.noise,
            "variance": weights.variance,
        }
        return {name: counts[name] * loss for name, loss in losses.items()}

    @torch.no_grad()
    def validate(self, progress: Progress) -> Verdict:
        """The same noise at the same depths each time, through the parts that speaking calls.

        The error of the noise decides: it is what finds the spec, and the same draws make it comparable. A
        whole spec varies with the noise that it is found in, the variance matters to one sampler alone, and
        the first guess is never heard.
        """
        self.model.eval()
        sums: dict[str, float] = {}
        for name, measured in self.validation.items():
            for loss, value in self._held_out(name, measured.item).items():
                sums[loss] = sums.get(loss, 0.0) + value * measured.item.n_frames
        n_frames = sum(measured.item.n_frames for measured in self.validation.values())
        measures = {loss: value / n_frames for loss, value in sums.items()}
        errors, pictures = [], {}
        for name, measured in list(self.validation.items())[:N_SAMPLED]:
            item = measured.item
            spec = produced_spec(
                self.model,
                item.latents,
                item.clips,
                settings=self.sampling,
                generator=generator_of(self.settings.seed, name, "sampled"),
            )
            errors.append(mel_error(spec, item.spec, measured.n_samples, self.mel))
            pictures[f"validation/{name}"] = spec
            pictures[f"recording/{name}"] = logarithms(item.spec, normalised(self.mel))
        self.model.train()
        measures["mel_error"] = sum(errors) / len(errors)
        return Verdict(measures, measures["noise"], pictures=pictures)

    def _held_out(self, name: str, item: DiffusionItem) -> dict[str, float]:
        """The means over some depths, one in each eighth of the schedule."""
        generator = generator_of(self.settings.seed, name, "validation")
        places = torch.arange(N_DEPTHS) + torch.rand(N_DEPTHS, generator=generator)
        steps = (places * N_TRAINED_STEPS / N_DEPTHS).long()
        noise = torch.randn(N_DEPTHS, *item.spec.shape, generator=generator)
        device = next(self.model.parameters()).device
        steps, noise = steps.to(device), noise.to(device)
        clean = item.spec.to(device).expand_as(noise)
        voice = self.model.voice(item.clips.to(device).unsqueeze(0))
        aligned = self.model.align(item.latents.to(device).unsqueeze(0), voice, item.n_frames)
        noisy = self.schedule.noised(clean, noise, steps)
        outputs = self.model(noisy, steps, aligned.expand(N_DEPTHS, -1, -1))
        losses = diffusion_losses(outputs, clean, noise, steps, self.schedule)
        found = {loss: float(value.mean()) for loss, value in losses.items()}
        guess = self.model.first_guess(aligned)
        return found | {"first_guess": float((guess - clean[:1]).square().mean())}


def codes_to_spec_job(
    learner: Learner[DiffusionDecoder],
    settings: Training,
    *,
    training: Sequence[One],
    validation: Sequence[One],
    store: Store,
    latents: Latents[One],
    voices: Voices[One],
    sampling: Settings = SAMPLING,
) -> Job:
    """A diffusion decoder with its utterances, ready for the loop.

    Args:
        learner: With its network in training mode.
        store: With the prepared recordings.
        latents: Of all these utterances, from the autoregressive stage that it is matched to.
        sampling: How validation utterances are spoken.
    """
    model = learner.network
    mel = spec_of(model.config)
    dataset = LatentDataset(training, store, mel, latents=latents, voices=voices, seed=settings.seed)
    measured = {
        one.utterance.stem: Measured(item=dataset.validation_item(one), n_samples=one.n_samples)
        for one in validation
    }
    objective = CodesToSpecObjective(model, settings, measured, learning=learner.part, sampling=sampling)
    most_together = -(-settings.batch_size // settings.batch_parts)

    return Job(
        objective=objective,
        dataset=dataset,
        lengths=[len(one.codes) for one in training],
        collate=partial(in_parts, most_together=most_together),
        description=learner.description,
        keep=learner.keep,
        shown=("model/noise", "model/first_guess"),
        beside=(model,),
    )


def in_parts(items: Sequence[Any], *, most_together: int) -> Parts:
    """A batch as parts of equally long utterances."""
    return Parts(collate(items, most_together=most_together))
