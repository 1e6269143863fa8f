"""DL-Art-School's side of bench_tortoise_training.py: its module, from its own folder, in its environment.

    PYTHON benchmarks/tortoise_training_theirs.py TASK.json PATH

Its module of text-to-codes imports some packages that it does not need; where they are missing, stand-ins
take their place. Its 8-bit optimiser is left out, as it does itself where bitsandbytes is not there.
"""

import sys
import types
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from tortoise_child import Kept, Run, Task, serve

warnings.simplefilter("ignore")
UNUSED = ("audio2numpy", "bitsandbytes", "cv2", "munch", "paramiko", "scp", "torchvision")
RATE, BETAS, DECAY, CLIP_NORM = 1e-5, (0.9, 0.96), 1e-2, 4.0

task = Task.read(Path(sys.argv[1]))
sizes = task.kwargs["sizes"]
kept = Kept()


class StandIns(MetaPathFinder, Loader):
    """Modules that are imported and not used."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Of a package that is missing, and of all its modules."""
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in self._names else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Something that has every name."""
        return MagicMock(__path__=[], __name__=spec.name, __spec__=spec)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to do."""


def prepare_imports(folder: Path) -> None:
    """Let its modules be found, and what a newer torch has no more."""
    sys.path.insert(0, str(folder / "codes"))
    former = types.ModuleType("torch._six")
    former.inf, former.string_classes = float("inf"), (str,)  # type: ignore[attr-defined]
    sys.modules.setdefault("torch._six", former)
    sys.meta_path.append(StandIns([name for name in UNUSED if find_spec(name) is None]))
    import maybe_bnb

    maybe_bnb.nn.Linear, maybe_bnb.nn.Embedding = nn.Linear, nn.Embedding


prepare_imports(Path(sys.argv[2]))

from models.audio.tts.unified_voice2 import UnifiedVoice  # noqa: E402
from utils import util  # noqa: E402


def network() -> nn.Module:
    """As its example has it, with random weights and with all its checkpointing."""
    torch.manual_seed(0)
    util.loaded_options = {"checkpointing_enabled": True}
    return UnifiedVoice(
        layers=sizes["layers"],
        model_dim=sizes["dim"],
        heads=sizes["heads"],
        max_text_tokens=402,
        max_mel_tokens=604,
        max_conditioning_inputs=2,
        checkpointing=True,
    ).train()


def step(kind: str) -> Run:
    """Forward, backward, clipping and AdamW."""
    model = kept.get("network", network)
    optimiser = kept.get(
        "optimiser", partial(torch.optim.AdamW, model.parameters(), RATE, BETAS, 1e-8, DECAY)
    )
    clips, symbols, codes = (task.inputs[name] for name in ("clips", "symbols", "codes"))
    lengths = [torch.full((len(symbols),), n) for n in (symbols.shape[1], codes.shape[1])]

    @torch.enable_grad()
    def run() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16"):
            # It multiplies the lengths of the sounds in place.
            of_text, of_codes, _ = model(clips, symbols, lengths[0], codes.clone(), lengths[1].clone())
        loss = 0.01 * of_text + of_codes
        loss.backward()
        clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimiser.step()
        return loss.detach()

    return run


STAGES = {
    (stage, kind): partial(step, kind)
    for stage, kinds in {"step": ("float32", "bfloat16"), "float32": ("float32",)}.items()
    for kind in kinds
}

if __name__ == "__main__":
    serve("theirs", STAGES, task, kept)
