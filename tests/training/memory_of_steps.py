"""What two steps of text-to-codes take at most beside the weights, and what is counted; in a process apart.

Reads one JSON object from its arguments, writes one to its standard output.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

import torch

DIM, N_LAYERS, N_SYMBOLS, N_CODES, N_CLIPS = 512, 8, 60, 200, 2


def steps(order: dict[str, Any]) -> dict[str, float]:
    """Megabytes measured, and counted for these layers, and for a plan that recomputes every one."""
    from retimbre.models.tortoise_ar.batch import CodesItem, collate
    from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
    from retimbre.models.tortoise_ar.loss import LossWeights, text_to_codes_losses
    from retimbre.models.tortoise_ar.model import UnifiedVoice
    from retimbre.models.tortoise_ar.room import (
        layer_bytes,
        learning_bytes,
        other_bytes,
        recomputed_layer_bytes,
    )
    from retimbre.recipe.training import Training
    from retimbre.training.learner import attach
    from retimbre.training.tortoise_facts import VOICE_FRAMES, needs
    from retimbre.training.tortoise_recomputing import largest_part

    torch.set_num_threads(1)
    settings = Training(**order["training"])
    config = UnifiedVoiceConfig(dim=DIM, n_layers=N_LAYERS, n_heads=DIM // 64, n_conditioning_layers=4)
    model = UnifiedVoice(config).train()
    learning = attach(model, settings.lora, "tortoise_ar") if settings.lora else model
    parameters = [parameter for parameter in learning.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-6)
    draw = torch.Generator().manual_seed(1)

    def item(n_symbols: int, n_codes: int, n_frames: int) -> CodesItem:
        return CodesItem(
            symbols=torch.randint(1, 255, (n_symbols,), generator=draw),
            codes=torch.randint(0, 8192, (n_codes,), generator=draw),
            clips=torch.randn(N_CLIPS, 80, n_frames, generator=draw),
        )

    def learn(items: list[CodesItem], *, moves: bool = True) -> None:
        optimiser.zero_grad(set_to_none=True)
        for part in collate(items, config=config, n_parts=settings.batch_parts):
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16-mixed"):
                losses = text_to_codes_losses(model, part, LossWeights(text=0.01, codes=1.0))
            if moves:
                torch.stack([loss.float() for loss in losses.values()]).sum().backward()
        if moves:
            optimiser.step()

    learn([item(3, 2, 20)], moves=False)  # what libraries load
    items = [item(N_SYMBOLS, N_CODES, VOICE_FRAMES) for _ in range(settings.batch_size)]
    model.gpt.n_recomputed = order["n_recomputed"]
    before = resident_bytes()
    for _ in range(2):
        learn(items)
    measured = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before

    at_once = largest_part(
        settings, lengths=[(N_SYMBOLS, N_CODES)] * len(items), clips=(N_CLIPS, VOICE_FRAMES)
    )
    n, whole = order["n_recomputed"], layer_bytes(config, at_once)
    kept = other_bytes(config, at_once) + (N_LAYERS - n) * whole + (whole if n else 0)
    kept += n * recomputed_layer_bytes(config, at_once)
    n_learning = sum(parameter.numel() for parameter in parameters)
    one = largest_part(
        settings.model_copy(update={"batch_size": 1}),
        lengths=[(N_SYMBOLS, N_CODES)],
        clips=(N_CLIPS, VOICE_FRAMES),
    )
    least = needs(config, one, 0, n_learning)
    planned = least.fixed_bytes + at_once.n_utterances * least.per_utterance_bytes
    counted = learning_bytes(n_learning, kept, has_more_parts=settings.batch_parts > 1)
    return {"measured": measured / 1e6, "counted": counted / 1e6, "planned": planned / 1e6}


def resident_bytes() -> int:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    print(json.dumps(steps(json.loads(sys.argv[1]))))
