"""What the experiment on TorToiSe's training makes: sizes, recipes, folds, and where everything lies.

FOLDER/
  runs/dvae/, base/, <mode>-seed-<n>-fold-<n>/, diffusion…/   run folders, as any training makes them
  set/                   dvae.safetensors, random-text-to-codes.pth, text-to-codes.safetensors, …
  measures/*.json        what was measured of one checkpoint; made once
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from on_ljspeech import DATA as LJ
from on_ljspeech import RUNS

from retimbre.data.manifest import read_filelist
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.recipe.recipe import Data, Recipe, Stage
from retimbre.recipe.tortoise import NewDvae, Tortoise
from retimbre.recipe.training import LossWeights, Optimiser, Training

Mode = Literal["inference", "dlas"]
LatentsOf = Literal["base", "tuned"]
MODES: tuple[Mode, ...] = ("inference", "dlas")
SEEDS = (1, 2, 3)
N_FOLDS = 3  # 13 or 14 clips held out, 27 to learn from: each of the 41 is held out once with each seed

N_CODES = 512
DVAE = NewDvae(n_codes=N_CODES, codebook_dim=128, dim=128)
AR = UnifiedVoiceConfig(
    n_layers=8,
    dim=192,
    n_heads=3,
    n_conditioning_layers=2,
    n_codes=N_CODES + 2,
    start_code=N_CODES,
    stop_code=N_CODES + 1,
    n_code_positions=404,
)
DIFFUSION = DiffusionConfig(dim=128, n_layers=4, n_heads=2, latent_dim=AR.dim, n_codes=N_CODES + 1)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How long each part is trained.

    Args:
        tune: Of one speaker; each quarter is kept and measured. In a run of 160, validation was best at 40 in
            both modes (of 40, 80, 120 and 160; seed 1, the first fold).
        match: Of the diffusion decoder, from the base, on one speaker.
    """

    dvae: int = 4000
    base: int = 4000
    tune: int = 40
    diffusion: int = 2500
    diffusion_further: int = 3150
    match: int = 120


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """One run of text-to-codes on the unseen speaker."""

    mode: Mode
    seed: int
    fold: int

    @property
    def name(self) -> str:
        """Of its run folder."""
        return f"{self.mode}-seed-{self.seed}-fold-{self.fold}"


TUNINGS = tuple(
    Tuning(mode=mode, seed=seed, fold=fold) for seed in SEEDS for fold in range(N_FOLDS) for mode in MODES
)


ONCE_EACH = tuple(
    Tuning(mode="inference", seed=seed, fold=fold) for fold, seed in enumerate(SEEDS[:N_FOLDS])
)  # holds each clip out once


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The experiment in a folder, from a corpus.

    Args:
        corpus: From make_tortoise_corpus.py.
    """

    corpus: Path
    folder: Path = RUNS / "tortoise"
    steps: Steps = Steps()

    @property
    def files(self) -> Path:
        """What is handed from one phase to the next."""
        return self.folder / "set"

    @property
    def dvae_file(self) -> Path:
        """Makes all codes."""
        return self.files / "dvae.safetensors"

    @property
    def base_file(self) -> Path:
        """Speaks all voices but the unseen one."""
        return self.files / "text-to-codes.safetensors"

    @property
    def young_diffusion_file(self) -> Path:
        """The same, after its first steps."""
        return self.files / "codes-to-spec-young.safetensors"

    @property
    def diffusion_file(self) -> Path:
        """Makes specs of the base's latents."""
        return self.files / "codes-to-spec.safetensors"

    def tuned_file(self, tuning: Tuning) -> Path:
        """The newest weights of a run, not those that a validation chose: both modes have as many steps."""
        return self.files / f"{tuning.name}.safetensors"

    def measures(self, name: str) -> Path:
        """Where what was measured under a name is kept."""
        return self.folder / "measures" / f"{name}.json"

    def dvae(self) -> Recipe:
        """A new dVAE of all voices."""
        training = _training(
            steps=self.steps.dvae,
            batch_size=32,
            segment_frames=128,
            optimiser=_rate(5e-4, warmup=200),
            seed=1,
            **_each(self.steps.dvae // 12),
        )
        return self._on_voices("wav-to-codes", "dvae", training, tortoise=Tortoise(part="all", new_dvae=DVAE))

    def base(self) -> Recipe:
        """An autoregressive stage of all voices, from random weights, trained as it will speak."""
        training = _training(
            steps=self.steps.base,
            batch_size=16,
            optimiser=_rate(1e-3, warmup=200, betas=(0.9, 0.96)),
            seed=1,
            precision="bf16-mixed",
            patience=2,  # of 155 minutes it has heard enough before the last step
            **_each(self.steps.base // 16),
        )
        random = self.files / "random-text-to-codes.pth"
        return self._on_voices("text-to-codes", "base", training, base=random, tortoise=self._beside())

    def tuned(self, tuning: Tuning) -> Recipe:
        """The base, tuned to the unseen speaker; both modes differ in `trains_as` alone."""
        training = _training(
            steps=self.steps.tune,
            batch_size=8,
            optimiser=Optimiser(
                learning_rate=2e-4,
                betas=(0.9, 0.96),
                weight_decay=0.01,
                decays="matrices",
                warmup_steps=10,
                schedule="constant",
                clip_norm=4.0,
            ),
            seed=tuning.seed,
            precision="bf16-mixed",
            **_each(self.steps.tune // 4, keep=5),
        )
        return self.on_unseen(
            "text-to-codes",
            tuning.name,
            tuning.fold,
            training,
            base=self.base_file,
            tortoise=self._beside(trains_as=tuning.mode),
        )

    def diffusion(self) -> Recipe:
        """A diffusion decoder of all voices, on the latents of the base."""
        training = _training(
            steps=self.steps.diffusion,
            batch_size=8,
            optimiser=_rate(3e-4, warmup=200),
            seed=1,
            **_each(self.steps.diffusion // 8),
        )
        random = self.files / "random-codes-to-spec.pth"
        tortoise = self._beside(text_to_codes=self.base_file)
        return self._on_voices("codes-to-spec", "diffusion", training, base=random, tortoise=tortoise)

    def diffusion_further(self) -> Recipe:
        """The same at a higher rate: after the first steps, what it makes of noise is no speech yet."""
        training = _training(
            steps=self.steps.diffusion_further,
            batch_size=4,
            optimiser=_rate(1e-3, warmup=200),
            seed=2,
            loss=LossWeights(noise_from_step=0),
            **_each(self.steps.diffusion_further // 6),
        )
        tortoise = self._beside(text_to_codes=self.base_file)
        return self._on_voices(
            "codes-to-spec", "diffusion-further", training, base=self.young_diffusion_file, tortoise=tortoise
        )

    def matched_file(self, tuning: Tuning, *, to: LatentsOf) -> Path:
        """The newest weights of such a run."""
        return self.files / f"{self.matched(tuning, to=to).name}.safetensors"

    def matched(self, tuning: Tuning, *, to: LatentsOf) -> Recipe:
        """The diffusion decoder, tuned to the unseen speaker on latents of the base, or of the tuned stage.

        Both have as many steps on the same recordings; only whose latents they learn from differs.
        """
        training = _training(
            steps=self.steps.match,
            batch_size=8,
            optimiser=Optimiser(learning_rate=1e-4, warmup_steps=10, schedule="constant", clip_norm=1.0),
            seed=tuning.seed,
            loss=LossWeights(noise_from_step=0),  # the base knows noise already
            **_each(self.steps.match // 2),
        )
        latents = self.tuned_file(tuning) if to == "tuned" else self.base_file
        name = f"diffusion-on-{to}-seed-{tuning.seed}-fold-{tuning.fold}"
        tortoise = self._beside(text_to_codes=latents)
        return self.on_unseen(
            "codes-to-spec", name, tuning.fold, training, base=self.diffusion_file, tortoise=tortoise
        )

    def on_unseen(
        self, stage: Stage, name: str, fold: int, training: Training, *, base: Path, tortoise: Tortoise
    ) -> Recipe:
        """A recipe on real speech of the speaker whom no base has heard."""
        data = Data(
            recordings=LJ / "wavs",
            filelist=LJ / "metadata.csv",
            preprocessed=self.folder / "unseen" / name,
            held_out=held_out(fold),
        )
        runs = self.folder / "runs"
        return Recipe(
            stage=stage, name=name, runs=runs, base=base, data=data, training=training, tortoise=tortoise
        )

    def _on_voices(
        self, stage: Stage, name: str, training: Training, *, tortoise: Tortoise, base: Path | None = None
    ) -> Recipe:
        data = Data(
            recordings=self.corpus / "wavs",
            filelist=self.corpus / "metadata.psv",
            preprocessed=self.folder / "voices",
            held_out_fraction=0.02,
            validation_fraction=0.02,
        )
        runs = self.folder / "runs"
        return Recipe(
            stage=stage, name=name, runs=runs, base=base, data=data, training=training, tortoise=tortoise
        )

    def _beside(self, **more: Any) -> Tortoise:  # noqa: ANN401 - keys of the section
        return Tortoise(dvae=self.dvae_file, n_clips=2, **more)


def held_out(fold: int) -> tuple[str, ...]:
    """Every third clip of the list: no fold has all long ones, or all of one chapter."""
    names = [one.basename for one in read_filelist(LJ / "metadata.csv")]
    return tuple(names[fold::N_FOLDS])


def written(path: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    """What was measured; None where nothing was yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Keep what was measured, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def _rate(peak: float, *, warmup: int, betas: tuple[float, float] = (0.9, 0.98)) -> Optimiser:
    return Optimiser(
        learning_rate=peak,
        betas=betas,
        weight_decay=0.01,
        decays="matrices",
        warmup_steps=warmup,
        schedule="cosine",
        clip_norm=1.0,
    )


def _each(n_steps: int, *, keep: int = 2) -> dict[str, Any]:
    n_steps = max(1, n_steps)
    return {"validate_every_steps": n_steps, "checkpoint_every_steps": n_steps, "keep_checkpoints": keep}


def _training(**given: Any) -> Training:  # noqa: ANN401 - keys of the section
    """A section that leaves nothing to the rules of training: nothing ends early, or differs by memory."""
    fixed = {"precision": "32-true", "patience": 0, "batch_parts": 1, "lora": None, "recomputes": False}
    return Training(**{**fixed, **given})
