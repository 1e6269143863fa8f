"""TrainingVoices: whom the voice of an utterance is heard from while TorToiSe's stages are trained.

As in speaking, a voice is the mean of a few recordings, six seconds of each for the autoregressive network
and the first 4.27 s for diffusion. They are other recordings of the same speaker: a network that hears its
own target learns to copy from it, which speaking never allows.

Axes used in this file:
    clips    recordings of the voice
    samples  of a part of a recording
    mels     bands of its spec
    frames   of it
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.audio.files import load_part
from retimbre.audio.mel import log_mel
from retimbre.audio.resample import sinc_resample
from retimbre.audio.waveform import Audio
from retimbre.data.store import Store
from retimbre.errors import DataError
from retimbre.pipelines.tortoise_voice_clips import (
    AUTO_MEL,
    AUTO_SAMPLES,
    DIFFUSION_MEL,
    DIFFUSION_SAMPLES,
    fitted,
)
from retimbre.pipelines.tortoise_voice_specs import is_heard_whole, load_voice_spec
from retimbre.recipe.tortoise import Tortoise
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial

# What DL-Art-School hears of the target itself, at 22,050 Hz: two seconds, and 4.64 s for diffusion.
DLAS_AUTO_SAMPLES = 44_000
DLAS_DIFFUSION_SAMPLES = DIFFUSION_SAMPLES
Clips = Float[Tensor, "clips mels frames"]


class TrainingVoices:
    """From whom a voice is heard.

    Args:
        training: Whose recordings may be heard: those that are learnt from.
        n_clips: Recordings at a time. Of a speaker with fewer, some are heard twice, in other places.
        hears_itself: The recording that is to be spoken may be among them.
        trains_as: `inference`, or `dlas`: as DL-Art-School, which hears the target alone, and other lengths.
    """

    def __init__(
        self,
        store: Store,
        training: Sequence[Encoded],
        *,
        n_clips: int,
        hears_itself: bool = False,
        trains_as: str = "inference",
    ) -> None:
        self.n_clips, self.hears_itself, self.trains_as = n_clips, hears_itself, trains_as
        self._store = store
        self._of_speaker: dict[str, list[Encoded]] = {}
        for encoded in training:
            self._of_speaker.setdefault(encoded.utterance.speaker, []).append(encoded)

    @classmethod
    def of(cls, material: TortoiseMaterial, section: Tortoise) -> "TrainingVoices":
        """As a recipe wants them."""
        return cls(
            material.store,
            material.training,
            n_clips=section.n_clips,
            hears_itself=section.hears_itself,
            trains_as=section.trains_as,
        )

    def for_auto(self, encoded: Encoded, random: np.random.Generator) -> Clips:
        """What the autoregressive network hears: 80 bands, 517 frames (`dlas`: 172), anywhere in a recording.

        Args:
            random: Equal generators draw the same recordings here and in `for_diffusion`.
        """
        return torch.stack([self._auto_spec(one, random) for one in self._drawn(encoded, random)])

    def for_diffusion(self, encoded: Encoded, random: np.random.Generator) -> Clips:
        """What the diffusion network hears: 100 bands, not normalised, the first 401 frames of a recording.

        `dlas`: 436 frames, anywhere in it.
        """
        drawn = self._drawn(encoded, random)
        if self.trains_as != "dlas":
            return torch.stack([load_voice_spec(one.utterance, self._store, DIFFUSION_MEL) for one in drawn])
        parts = [self._part(one, DLAS_DIFFUSION_SAMPLES, random) for one in drawn]
        resampled = [
            sinc_resample(
                Audio(samples=part, sample_rate_hz=AUTO_MEL.sample_rate_hz), DIFFUSION_MEL.sample_rate_hz
            )
            for part in parts
        ]
        return torch.stack([log_mel(audio.samples, DIFFUSION_MEL) for audio in resampled])

    def _drawn(self, encoded: Encoded, random: np.random.Generator) -> list[Encoded]:
        """Different recordings, as far as there are enough."""
        heard = self._heard(encoded)
        drawn: list[Encoded] = []
        while len(drawn) < self.n_clips:
            drawn += [heard[number] for number in random.permutation(len(heard))]
        return drawn[: self.n_clips]

    def _heard(self, encoded: Encoded) -> list[Encoded]:
        """All recordings that may be drawn."""
        if self.trains_as == "dlas":
            return [encoded]
        speaker, stem = encoded.utterance.speaker, encoded.utterance.stem
        others = [one for one in self._of_speaker.get(speaker, ()) if one.utterance.stem != stem]
        if self.hears_itself:
            others.append(encoded)
        if not others:
            raise DataError(
                f"nothing tells the voice of {encoded.utterance.basename}",
                expected=f"another recording of {speaker} among those that are learnt from",
                found="none",
                do="leave it out, add recordings, or set tortoise.hears_itself",
            )
        return others

    def _auto_spec(self, encoded: Encoded, random: np.random.Generator) -> Float[Tensor, "mels frames"]:
        if self.trains_as == "dlas":
            return log_mel(self._part(encoded, DLAS_AUTO_SAMPLES, random), AUTO_MEL)
        if is_heard_whole(encoded.n_samples):
            return load_voice_spec(encoded.utterance, self._store, AUTO_MEL)
        return log_mel(self._part(encoded, AUTO_SAMPLES, random), AUTO_MEL)

    def _part(
        self, encoded: Encoded, n_samples: int, random: np.random.Generator
    ) -> Float[Tensor, "{n_samples}"]:
        """So many samples anywhere in a recording; all of a shorter one, and silence after it."""
        path = self._store.audio_path(encoded.utterance, AUTO_MEL.sample_rate_hz)
        start = int(random.integers(max(0, encoded.n_samples - n_samples) + 1))
        return fitted(load_part(path, start=start, n_samples=n_samples), n_samples)
