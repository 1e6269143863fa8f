"""Adapters over a file, as if they had learnt: every number of theirs has a say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from retimbre.checkpoint.digest import sha256_of
from retimbre.models.load import load_model
from retimbre.recipe.training import Lora, Training
from retimbre.training.learner import Learner, learner_of

CONTACT = "Ann Ahn <ann@a.example>"


def learner_over(base: Path, *, seed: int = 1, contact: str = CONTACT, **lora: Any) -> Learner:
    """The network of a file with small matrices beside its large ones: learner_over(path, rank=2)."""
    read = load_model(base)
    lineage = {
        "contact": contact,
        "base": {"file": base.name, "sha256": sha256_of(base)},
        "data": {"list": "filelist.psv", "utterances": 3},
    }
    described = replace(read.description, lineage=lineage)
    learner = learner_of(read.model, described, Training(lora=Lora(**{"rank": 2, "alpha": 3.0, **lora})))
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in learner.part.parameters():
            tensor.normal_(std=0.2)
    return learner


def save_adapter(path: Path, base: Path, *, step: int = 40, **wished: Any) -> Path:
    """A file of such matrices: save_adapter(tmp_path / "a.safetensors", base, seed=2)."""
    learner_over(base, **wished).keep(path, step)
    return path
