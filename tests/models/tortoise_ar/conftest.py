"""A tiny network, and how a file becomes one: what is dropped, its sizes, its weights."""

import json
from functools import cache

import pytest
import torch

from retimbre.checkpoint.ledger import Ledger
from retimbre.checkpoint.read import read
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice

TINY = UnifiedVoiceConfig(
    n_layers=2,
    dim=16,
    n_heads=2,
    n_conditioning_layers=2,
    n_symbols=12,
    n_codes=20,
    n_symbol_positions=14,
    n_code_positions=17,
    start_symbol=11,
    start_code=18,
    stop_code=19,
)


@pytest.fixture(scope="session")
def tiny():
    """Every tensor has other numbers, those that begin as zero too."""
    torch.manual_seed(7)
    model = UnifiedVoice(TINY).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.2)
    return model


@pytest.fixture(scope="session")
def opened():
    """Path, and what the user states -> ledger, Inferred and the network of the file; none to be changed."""

    @cache
    def open_file(path, **stated):
        ledger = Ledger(read(path).tensors)
        ledger.strip("module.", "DataParallel")
        TORTOISE_AR.take(ledger)
        shapes = {name: tuple(tensor.shape) for name, tensor in ledger.tensors.items()}
        inferred = TORTOISE_AR.config_from(shapes, stated)
        model = TORTOISE_AR.build(inferred.config)
        model.load_state_dict(ledger.tensors)
        return ledger, inferred, model.eval()

    return open_file


@pytest.fixture(scope="session")
def expected(parity):
    """Folder of containers -> name of each file of this family -> path and entry of expected.json."""

    def entries(*folders):
        found = {}
        for folder in folders:
            at = parity("containers") / folder
            for name, entry in json.loads((at / "expected.json").read_text())["files"].items():
                if entry["family"] == "tortoise-ar":
                    found[f"{folder}/{name}"] = (at / name, entry)
        return found

    return entries
