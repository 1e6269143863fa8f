"""Recipes that train TorToiSe's stages: the tiny set and some vowels of two speakers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from building.tortoise_corpus import HELD_OUT, Corpus

# What is trained -> its stage, the file that it begins from, and sections of its recipe.
KINDS: Mapping[str, tuple[str, str | None, Mapping[str, Any]]] = {
    "text-to-codes": ("text-to-codes", "autoregressive", {}),
    "LoRA": ("text-to-codes", "autoregressive", {"training": {"lora": {"rank": 2, "dropout": 0.2}}}),
    "codes-to-spec": ("codes-to-spec", "diffusion_decoder", {"training": {"loss": {"noise_from_step": 2}}}),
    "decoder": ("wav-to-codes", "dvae", {}),
    "new dVAE": (
        "wav-to-codes",
        None,
        {"tortoise": {"new_dvae": {"n_codes": 32, "codebook_dim": 8, "dim": 8, "n_resblocks": 1}}},
    ),
    "spec-to-wav": (
        "spec-to-wav",
        "vocoder",
        {
            "training": {"spec_source": "produced", "segment_frames": 16, "discriminators_first_steps": 1},
            "tortoise": {"sampled_steps": 2},
            "discriminators": {"width": 0.05, "periods": [2]},
        },
    ),
}


def tortoise_recipe(corpus: Corpus, path: Path, kind: str, *, name: str, runs: Path, **training: Any) -> Path:
    """Write a recipe of one of `KINDS`.

    Args:
        training: Of its section, over what the kind says.
    """
    stage, base, sections = KINDS[kind]
    content: dict[str, Any] = {
        "stage": stage,
        "name": name,
        "runs": str(runs),
        "base": str(corpus.models / f"{base}.pth") if base else None,
        "data": {
            "recordings": str(corpus.root / "recordings"),
            "filelist": str(corpus.filelist),
            "preprocessed": str(corpus.root / "preprocessed"),
            "held_out": list(HELD_OUT),
            "trims_silence": False,
        },
        **sections,
    }
    content["training"] = {**sections.get("training", {}), **training}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
