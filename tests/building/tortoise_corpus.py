"""Recordings of three speakers, their list, and recipes of TorToiSe's stages over a tiny set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from building.sounds import record, vowel
from building.tortoise_set import PARTS, random_part
from retimbre.audio.mel import log_mel
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.recipe.recipe import Data, Recipe
from retimbre.recipe.tortoise import Tortoise

LINES: Mapping[str, tuple[str, str]] = {  # utterance -> speaker and text
    "a0": ("anna", "One, two."),
    "a1": ("anna", "Dr. Three speaks!"),
    "a2": ("anna", "Four and five"),
    "a3": ("anna", "the number 6"),
    "a4": ("anna", "seven; eight?"),
    "b0": ("ben", "Nine or ten."),
    "b1": ("ben", "eleven"),
    "b2": ("ben", "twelve, thirteen"),
    "b3": ("ben", "and fourteen"),
    "c0": ("carl", "alone"),
}
HELD_OUT = ("a4", "b3")


@dataclass(frozen=True)
class Corpus:
    """A folder with recordings, a list and a set of models."""

    root: Path
    models: Path

    @property
    def filelist(self) -> Path:
        """With speakers."""
        return self.root / "list.psv"

    def say(self, lines: Mapping[str, tuple[str, str]]) -> None:
        """Write the list anew."""
        rows = [f"{name}|{speaker}|{text}\n" for name, (speaker, text) in lines.items()]
        self.filelist.write_text("basename|speaker|characters\n" + "".join(rows), encoding="utf-8")

    def record(self, name: str, wave: np.ndarray) -> None:
        """Another recording of that name."""
        record(self.root / "recordings", {name: wave})

    def recipe(
        self, stage: str = "text-to-codes", *, data: Mapping[str, Any] | None = None, **tortoise: Any
    ) -> Recipe:
        """A recipe of a stage; its base is the file of the set."""
        base = {
            "text-to-codes": "autoregressive",
            "codes-to-spec": "diffusion_decoder",
            "spec-to-wav": "vocoder",
            "wav-to-codes": "dvae",
        }[stage]
        values = {
            "recordings": self.root / "recordings",
            "filelist": self.filelist,
            "preprocessed": self.root / "preprocessed",
            "held_out": HELD_OUT,
            "trims_silence": False,
            **(data or {}),
        }
        return Recipe(
            stage=stage,
            base=self.models / f"{base}.pth",
            data=Data(**values),
            tortoise=Tortoise(**tortoise),
        )


def tortoise_corpus(folder: Path, models: Path) -> Corpus:
    """Write recordings from 0.7 to 2.2 s, each of another loudness, and their list."""
    corpus = Corpus(folder, models)
    for number, name in enumerate(LINES):
        corpus.record(name, sound(0.7 + 0.16 * number, seed=number))
    corpus.say(LINES)
    return corpus


def sound(duration_s: float, *, seed: int) -> np.ndarray:
    """A vowel that changes all the time, as loud as its seed says."""
    wave = vowel(duration_s, f0_hz=100 + 15 * seed, seed=seed, gain=lambda time_s: 1.2 + np.sin(9 * time_s))
    return (0.3 + 0.05 * seed) * wave / np.abs(wave).max()


def varied_dvae(path: Path) -> Path:
    """A tiny dVAE whose entries are vectors of such sounds, so that many of them are picked."""
    config = PARTS["dvae"].config
    model = random_part(TORTOISE_DVAE, config, seed=9)
    with torch.no_grad():
        waves = [torch.from_numpy(sound(3.0, seed=seed)).float() for seed in range(4)]
        vectors = torch.cat([model.vectors(log_mel(wave, AUTO_MEL).unsqueeze(0))[0].T for wave in waves])
        model.codebook.embed.copy_(vectors[: config.n_codes].T)
    torch.save(TORTOISE_DVAE.theirs(model.state_dict()), path)
    return path
