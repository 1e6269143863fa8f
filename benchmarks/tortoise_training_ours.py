"""Our side of bench_tortoise_training.py: a step as Retimbre's loop does it.

python benchmarks/tortoise_training_ours.py TASK.json
"""

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from tortoise_child import Kept, Run, Task, serve

from retimbre.models.tortoise_ar.batch import CodesItem, collate
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.gpt2 import Projection
from retimbre.models.tortoise_ar.loss import LossWeights, text_to_codes_losses
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_ar.room import AtOnce, layers_to_recompute
from retimbre.nn.lora import Adapters, matrices_in

PROGRAM_BYTES = 800 << 20  # of Python and torch, and of numbers in between
DLAS_BYTES = 8_680_000_000  # of DL-Art-School's step, in which ours of float32 has to do
RATE, BETAS, DECAY, CLIP_NORM = 1e-5, (0.9, 0.96), 1e-2, 4.0

task = Task.read(Path(sys.argv[1]))
sizes = task.kwargs["sizes"]
kept = Kept()


def network() -> UnifiedVoice:
    """With random weights."""
    torch.manual_seed(0)
    config = UnifiedVoiceConfig(n_layers=sizes["layers"], dim=sizes["dim"], n_heads=sizes["heads"])
    return UnifiedVoice(config).train()


def step(model: UnifiedVoice, learning: Iterable[nn.Parameter], kind: str, room_bytes: int | None) -> Run:
    """Forward, backward, clipping and AdamW.

    Args:
        learning: What moves.
        room_bytes: Memory for all of this, as though the machine had no more; None: as it is.
    """
    learning = list(learning)
    optimiser = AdamW(learning, lr=RATE, betas=BETAS, weight_decay=DECAY, fused=True)
    given = zip(*(task.inputs[name] for name in ("symbols", "codes", "clips")), strict=True)
    items = [CodesItem(symbols=symbols, codes=codes, clips=clips) for symbols, codes, clips in given]
    (batch,) = collate(items, config=model.config)
    model.gpt.n_recomputed = 0 if room_bytes is None else recomputed(model, learning, kind, room_bytes)

    @torch.enable_grad()
    def run() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16"):
            loss = torch.stack([*text_to_codes_losses(model, batch, LossWeights()).values()]).sum()
        loss.backward()
        clip_grad_norm_(learning, CLIP_NORM)
        optimiser.step()
        return loss.detach()

    return run


def recomputed(model: UnifiedVoice, learning: list[nn.Parameter], kind: str, room_bytes: int) -> int:
    """How many layers have to be, beside the weights as they are."""
    at_once = AtOnce(
        n_utterances=sizes["batch"],
        n_symbols=sizes["n_symbols"] + 3,
        n_codes=sizes["n_codes"] + 1,
        n_clips=sizes["n_clips"],
        n_frames=sizes["n_frames"],
        number_bytes=2 if kind == "bfloat16" else 4,
    )
    free_bytes = room_bytes - PROGRAM_BYTES - sum(p.nbytes for p in model.parameters())
    n_learning = sum(p.numel() for p in learning)
    return layers_to_recompute(model.config, at_once, n_learning=n_learning, free_bytes=free_bytes)


def full(kind: str, room_bytes: int | None = None) -> Run:
    """All weights learn."""
    model = kept.get("network", network)
    return step(model, model.parameters(), kind, room_bytes)


def low_rank() -> Run:
    """Small matrices learn, beside all those of the transformer."""
    model = kept.get("network", network).requires_grad_(False)
    model.gpt.keep_reduced(torch.bfloat16)
    names = [name for name in matrices_in(model.gpt, (Projection,))]
    pairs = Adapters(
        model.gpt, names, rank=sizes["lora_rank"], alpha=2.0 * sizes["lora_rank"], in_by_out=(Projection,)
    )
    return step(model, pairs.parameters(), "bfloat16", sizes["lora_bytes"])


STAGES = {
    ("step", "bfloat16"): partial(full, "bfloat16"),
    ("float32", "float32"): partial(full, "float32", DLAS_BYTES),
    ("lora", "bfloat16"): low_rank,
}

if __name__ == "__main__":
    serve("ours", STAGES, task, kept)
