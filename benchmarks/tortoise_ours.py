"""Our side of bench_tortoise.py: every call of Retimbre that is timed.

python benchmarks/tortoise_ours.py TASK.json
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from tortoise_child import Kept, Run, Task, serve

from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.decoding import Rows, Scores, Seen, decode, most_likely, without_repeats
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_clvp.model import CLVP
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.tortoise_diffusion.schedule import denoiser, sampled, shorter_schedule
from retimbre.models.univnet.model import UnivNet
from retimbre.nn.packed import Precision

GUIDED_STEPS, GUIDED_STEP, GUIDANCE = 80, 8, 2.0  # late: much noise would hide what differs
TEMPERATURE, TOP_P, TOP_K, PENALTY = 0.8, 0.8, 50, 2.0
MOST_CODES = 500  # of a sentence; TorToiSe ranks and reads all of them
SILENCE, N_SILENT, END = 83, 8, (45, 45, 248)
SAMPLE_RATE_HZ, CODE_RATE_HZ, CODE_FRAMES = 24000, 22050, 4
LOWEST, HIGHEST = -11.512925148010254, 2.3143386840820312  # of the spec, for -1 and 1
SEED = 1

task = Task.read(Path(sys.argv[1]))
kept = Kept()


def loaded(name: str) -> Any:  # noqa: ANN401 - the family's own network
    """The network of a file, read once for a stage."""
    return kept.get(name, lambda: load_model(task.folder / f"{name}.pth").model)


def reduced(kind: str) -> AbstractContextManager[Any]:
    """Autocast, where it is asked for."""
    return torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16")


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


def aligned(network: DiffusionDecoder) -> Tensor:
    """What no step changes."""
    return network.align(task.inputs["latents"], task.inputs["two_voices"], task.inputs["noisy"].shape[-1])


def diffusion_call(kind: str) -> Run:
    """The network, once."""
    network = cast(DiffusionDecoder, loaded("diffusion_decoder"))
    known = aligned(network)

    def run() -> Tensor:
        with reduced(kind):
            return network(task.inputs["noisy"], task.inputs["timesteps"], known).float()

    return run


def guided_step(kind: str) -> Run:
    """What the spec is without its noise, drawn away from that of nothing said."""
    network = cast(DiffusionDecoder, loaded("diffusion_decoder"))
    schedule, noisy = shorter_schedule(GUIDED_STEPS), task.inputs["noisy"]
    denoise = denoiser(network, aligned(network), schedule, guidance=GUIDANCE)
    steps = torch.tensor([GUIDED_STEP])

    def run() -> Tensor:
        with reduced(kind):
            found = denoise(noisy, steps).float()
        return schedule.clean(noisy, found.chunk(2, dim=1)[0], steps).clamp(-1, 1)

    return run


def scores(network: CLVP, symbols: Tensor, candidates: Tensor) -> Tensor:
    """How well each fits the text, which is read once."""
    of_text = network.text_latent(symbols)
    return (of_text * network.speech_latent(candidates)).sum(-1) * network.temperature.exp()


def ranking(kind: str) -> Run:
    """The score of each candidate."""
    network = cast(CLVP, loaded("clvp2"))

    def run() -> Tensor:
        with reduced(kind):
            return scores(network, task.inputs["symbols"], task.inputs["candidates"]).float()

    return run


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


def sentence() -> Run:
    """A whole sentence as TorToiSe's preset `ultra_fast` makes it: the best of a batch, 30 steps."""
    network, ranker = cast(UnifiedVoice, loaded("autoregressive")), cast(CLVP, loaded("clvp2"))
    diffusion, speaker = cast(DiffusionDecoder, loaded("diffusion_decoder")), vocoder()
    schedule = shorter_schedule(task.n_steps)
    voice, two_voices = task.inputs["voice"], task.inputs["two_voices"]
    symbols = functional.pad(task.inputs["symbols"], (0, 1))  # TorToiSe's program adds one stop of its own

    def run() -> Tensor:
        generator = torch.Generator().manual_seed(SEED)
        torch.manual_seed(SEED)
        codes = decode(
            network,
            voice.repeat(task.batch, 1),
            symbols.repeat(task.batch, 1),
            max_codes=MOST_CODES,
            choose=drawn(generator),
        )
        codes = settled(codes, network.config.stop_code)
        best = codes[scores(ranker, symbols, codes).argmax()].unsqueeze(0)
        heard = network.latents(voice, symbols, best)[:, : until_silence(best[0])]
        n_frames = heard.shape[1] * CODE_FRAMES * SAMPLE_RATE_HZ // CODE_RATE_HZ
        start = torch.randn(1, diffusion.config.n_mels, n_frames, generator=generator)
        known = diffusion.align(heard, two_voices, n_frames)
        spec = sampled(denoiser(diffusion, known, schedule, guidance=0.0), start, schedule)
        spec = (spec + 1) / 2 * (HIGHEST - LOWEST) + LOWEST
        return speaker.speak(spec, speaker.noise_for(spec, generator))

    return run


def settled(codes: Tensor, stop: int) -> Tensor:
    """Filled up to the longest, with silence from each stop on and the end that TorToiSe has trained with."""
    codes = functional.pad(codes, (0, MOST_CODES - codes.shape[1]), value=stop)
    has_stopped = (codes == stop).cumsum(1) > 0
    codes = codes.masked_fill(has_stopped, SILENCE)
    codes[:, -len(END) :] = torch.where(has_stopped[:, -1:], torch.tensor(END), codes[:, -len(END) :])
    return codes


def until_silence(codes: Tensor) -> int:
    """Codes until the first long silence is long enough."""
    run = 0
    for place, code in enumerate(codes.tolist()):
        run = run + 1 if code == SILENCE else 0
        if run > N_SILENT:
            return place
    return len(codes)


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
    ("sentence", "float32"): sentence,
}

if __name__ == "__main__":
    serve("ours", STAGES, task, kept)
