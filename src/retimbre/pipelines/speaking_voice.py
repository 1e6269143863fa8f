"""SpeakingVoice: a TorToiSe set with one voice, for Python; speak(text) -> Audio."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retimbre.audio.waveform import Audio
from retimbre.jobs.listener import Listener
from retimbre.models.adapter import read_adapter
from retimbre.pipelines.tortoise import Speaker, pieces_of, sentences_of, some_seed
from retimbre.pipelines.tortoise_settings import Settings, settings_from
from retimbre.pipelines.tortoise_speaker import VoiceChoice, open_set, speaker_of
from retimbre.pipelines.tortoise_voices import TortoiseVoice


@dataclass(frozen=True, kw_only=True)
class Take:
    """One way to speak a text, and how well it fits: higher is better; None where there was no choice."""

    audio: Audio
    score: float | None


@dataclass(frozen=True)
class SpeakingVoice:
    """What `load_voice` returns for TorToiSe's models."""

    speaker: Speaker
    settings: Settings
    language: str = "en"

    @property
    def sample_rate_hz(self) -> int:
        """Of everything that it speaks."""
        return self.speaker.mel.sample_rate_hz

    @property
    def voice(self) -> TortoiseVoice:
        """Whose latents these are."""
        return self.speaker.voice

    def speak(self, text: str, *, seed: int | None = None) -> Audio:
        """A text as sound; the same seed gives the same sound.

        Raises:
            TextError: there is nothing to speak, or a sentence is too long.
        """
        return self.takes(text, 1, seed=seed)[0].audio

    def stream(self, text: str, *, seed: int | None = None) -> Iterator[Audio]:
        """A text, sentence by sentence, each as soon as it is sound."""
        for best in self._spoken(text, 1, seed):
            yield best[0].audio

    def takes(self, text: str, n: int, *, seed: int | None = None) -> tuple[Take, ...]:
        """The `n` best ways to speak a text, best first."""
        return tuple(_joined(each) for each in zip(*self._spoken(text, n, seed), strict=True))

    def _spoken(self, text: str, n: int, seed: int | None) -> Iterator[list[Take]]:
        chosen = some_seed() if seed is None else seed
        vocabulary = self.speaker.networks.files.vocabulary
        for sentence in sentences_of(pieces_of(text, vocabulary, language=self.language)):
            best = self.speaker.spoken(sentence, self.settings, seed=chosen, n_best=n)
            yield [
                Take(audio=Audio(samples=each.samples, sample_rate_hz=self.sample_rate_hz), score=each.score)
                for each in best
            ]


def speaking_voice(
    models: Path | Sequence[Path],
    *,
    voice: str | Path = "random",
    voice_seed: int = 0,
    decoder: str | None = None,
    device: str = "cpu",
    language: str = "en",
    preset: str = "standard",
    assume: Mapping[str, Any] | None = None,
    adapters: Mapping[Path | str, float] | None = None,
    listener: Listener | None = None,
    **changes: Any,  # noqa: ANN401 (checked by Settings)
) -> SpeakingVoice:
    """A set of TorToiSe's models with a voice. (More arguments than usual: one for each thing to choose.)

    Args:
        models: Their folder, or several files; a file beside a folder takes the place of one in it.
        voice: A folder of recordings, a saved voice, a name below `voices` beside the models, `a&b`, or
            `random`.
        voice_seed: Of a random voice: which; of recordings: where six seconds are cut from longer ones.
        decoder: `diffusion` or `hifigan`; None: the first that the models have.
        language: Of the texts.
        preset: `ultra_fast`, `fast`, `standard`, `high_quality`, …
        assume: What no tensor of the autoregressive network tells.
        adapters: File of `training.lora` -> how strong it should be, 1 as it was learnt.
        changes: Single values of `Settings` that are other than in the preset.
    """
    settings = settings_from(preset, **changes)
    who = VoiceChoice(voice=str(voice), seed=voice_seed, decoder=decoder, device=device)
    over = [read_adapter(path, strength=strength) for path, strength in (adapters or {}).items()]
    files = open_set([models] if isinstance(models, Path) else models, assume, over)
    return SpeakingVoice(speaker_of(files, who, settings, listener), settings, language)


def _joined(takes: Sequence[Take]) -> Take:
    scores = [take.score for take in takes if take.score is not None]
    samples = torch.cat([take.audio.samples for take in takes])
    return Take(
        audio=Audio(samples=samples, sample_rate_hz=takes[0].audio.sample_rate_hz),
        score=sum(scores) / len(scores) if scores else None,
    )
