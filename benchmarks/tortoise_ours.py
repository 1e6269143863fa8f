"""Our side of bench_tortoise.py: every call of Retimbre that is timed.

python benchmarks/tortoise_ours.py TASK.json
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from tortoise_child import Kept, Run, Task, serve

from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.decoding import Rows, Scores, Seen, decode, most_likely, without_repeats
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_clvp.model import CLVP
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.tortoise_diffusion.samplers import denoiser
from retimbre.models.tortoise_diffusion.schedule import shorter_schedule
from retimbre.models.univnet.model import UnivNet
from retimbre.nn.packed import Precision
from retimbre.nn.packing import packed
from retimbre.pipelines.tortoise import Sentence, Speaker
from retimbre.pipelines.tortoise_networks import Networks
from retimbre.pipelines.tortoise_set import tortoise_set
from retimbre.pipelines.tortoise_settings import settings_from
from retimbre.pipelines.tortoise_voices import TortoiseVoice
from retimbre.text.readable import Readable

GUIDED_STEPS, GUIDED_STEP, GUIDANCE = 80, 8, 2.0  # late: much noise would hide what differs
PENALTY = 2.0
SEED = 1

task = Task.read(Path(sys.argv[1]))
kept = Kept()


def loaded(name: str) -> Any:  # noqa: ANN401 - the family's own network
    """The network of a file, read once for a stage."""
    return kept.get(name, lambda: load_model(task.folder / f"{name}.pth").model)


def speaking(precision: Precision, rows: int = 1) -> UnifiedVoice:
    """The autoregressive network as it is laid out for speaking."""

    def make() -> UnifiedVoice:
        network = load_model(task.folder / "autoregressive.pth").model
        network.pack(precision, rows=rows)
        return network

    return kept.get(f"autoregressive {precision} {rows}", make)


def likeliest(scores: Scores, seen: Seen, _: Rows) -> Tensor:
    """The best code after the penalty on repeats, so that codes vary and can be compared."""
    return most_likely(without_repeats(scores, seen, PENALTY))


def decoded(network: UnifiedVoice, batch: int, *, remember: bool = True) -> Run:
    """Codes for a text."""

    def run() -> Tensor:
        return decode(
            network,
            task.inputs["voice"],
            task.inputs["symbols"],
            max_codes=task.n_codes,
            choose=likeliest,
            n_each=batch,
            remember=remember,
        )

    return run


def latents(precision: Precision) -> Run:
    """What the network thinks at each code."""
    network = speaking(precision)
    inputs = [task.inputs[name] for name in ("voice", "symbols", "codes")]
    return torch.no_grad()(lambda: network.latents(*inputs))


def denoising(precision: Precision) -> DiffusionDecoder:
    """The diffusion decoder as it is laid out for speaking."""
    return kept.get(
        f"diffusion {precision}", lambda: packed(loaded("diffusion_decoder"), precision, rows=512)
    )


def aligned(network: DiffusionDecoder) -> Tensor:
    """What no step changes."""
    return network.align(task.inputs["latents"], task.inputs["two_voices"], task.inputs["noisy"].shape[-1])


def diffusion_call(precision: Precision) -> Run:
    """The network, once."""
    network = denoising(precision)
    known = aligned(network)
    return lambda: network(task.inputs["noisy"], task.inputs["timesteps"], known).float()


def guided_step(precision: Precision) -> Run:
    """What the spec is without its noise, drawn away from that of nothing said."""
    network = denoising(precision)
    schedule, noisy = shorter_schedule(GUIDED_STEPS), task.inputs["noisy"]
    denoise = denoiser(network, aligned(network), schedule, guidance=GUIDANCE)
    steps = torch.tensor([GUIDED_STEP])

    def run() -> Tensor:
        found = denoise(noisy, steps).float()
        return schedule.clean(noisy, found.chunk(2, dim=1)[0], steps).clamp(-1, 1)

    return run


def ranking(precision: Precision) -> Run:
    """The score of each candidate."""
    network = kept.get(
        f"ranker {precision}", lambda: packed(cast(CLVP, loaded("clvp2")), precision, rows=512)
    )
    return lambda: network.scores(task.inputs["symbols"][0], task.inputs["candidates"]).float()


def vocoder() -> UnivNet:
    """Without weight norm."""

    def make() -> UnivNet:
        network = load_model(task.folder / "vocoder.pth").model
        network.remove_weight_norm()
        return network

    return kept.get("folded vocoder", make)


def sound() -> Run:
    """A spec as a waveform."""
    network = vocoder()
    return lambda: network.speak(task.inputs["spec"], task.inputs["noise"])


def random_voices() -> Run:
    """Both latents of a voice that nobody has."""
    networks: dict[str, nn.Module] = {name: loaded(name) for name in ("rlg_auto", "rlg_diffuser")}
    return lambda: torch.cat([network(task.inputs[name]) for name, network in networks.items()], dim=1)


def sentence(precision: Precision) -> Run:
    """A whole sentence by the preset `ultra_fast`: the best of a batch, 30 steps."""
    files = tortoise_set(task.folder)
    networks = Networks(files, precision=precision, rows=task.batch)
    source = {"made_by": "this benchmark"}
    voice = TortoiseVoice(
        name="random", auto=task.inputs["voice"][0], diffusion=task.inputs["two_voices"][0], source=source
    )
    speaker = Speaker(networks, voice)
    settings = settings_from("ultra_fast", n_drawn=task.batch, n_steps=task.n_steps, precision=precision)
    readable = Readable(text="a sentence", rows=tuple(task.inputs["symbols"][0].tolist()))
    text = Sentence(number=0, total=1, readable=readable)
    return lambda: next(speaker.spoken(text, settings, seed=SEED)).samples.view(1, 1, -1)


STAGES: dict[tuple[str, str], Callable[[], Run]] = {
    ("same-codes", "float32"): lambda: decoded(speaking("float32"), 1),
    ("same-codes", "uncached"): lambda: decoded(loaded("autoregressive"), 1, remember=False),
    ("decode-1", "float32"): lambda: decoded(speaking("float32"), 1),
    ("decode-1", "bfloat16"): lambda: decoded(speaking("bfloat16"), 1),
    ("decode-1", "int8"): lambda: decoded(speaking("int8"), 1),
    ("decode-16", "float32"): lambda: decoded(speaking("float32", task.batch), task.batch),
    ("decode-16", "bfloat16"): lambda: decoded(speaking("bfloat16", task.batch), task.batch),
    ("decode-16", "int8"): lambda: decoded(speaking("int8", task.batch), task.batch),
    ("latents", "float32"): lambda: latents("float32"),
    ("latents", "bfloat16"): lambda: latents("bfloat16"),
    ("latents", "int8"): lambda: latents("int8"),
    ("diffusion-call", "float32"): lambda: diffusion_call("float32"),
    ("diffusion-call", "bfloat16"): lambda: diffusion_call("bfloat16"),
    ("guided-step", "float32"): lambda: guided_step("float32"),
    ("guided-step", "bfloat16"): lambda: guided_step("bfloat16"),
    ("clvp", "float32"): lambda: ranking("float32"),
    ("clvp", "bfloat16"): lambda: ranking("bfloat16"),
    ("univnet", "float32"): sound,
    ("random-voices", "float32"): random_voices,
    ("sentence", "float32"): lambda: sentence("float32"),
    ("sentence", "bfloat16"): lambda: sentence("bfloat16"),
}

if __name__ == "__main__":
    serve("ours", STAGES, task, kept)
