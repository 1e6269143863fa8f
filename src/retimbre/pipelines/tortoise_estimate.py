"""How long will it take to speak, and how much memory? A few steps of each stage are timed beforehand."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from retimbre.models.tortoise_diffusion.samplers import denoiser, schedule_for
from retimbre.pipelines.tortoise import Sentence, Speaker
from retimbre.pipelines.tortoise_networks import others_precision
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import CODES_HZ, Drawing, Seeds, n_frames_of

CHARACTERS_PER_S = 15  # of English speech at about 160 words a minute
LONGEST_SHARE = 1.3  # how much longer the longest candidate of a batch usually is
N_TIMED = 3
WEIGHT_BYTES: Mapping[str, int] = {"float32": 4, "bfloat16": 2, "int8": 1}
FLOAT_BYTES = 4
OWN_BYTES = 600 << 20  # of Python and torch, and of numbers in between


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds by stage, and bytes of memory at the highest."""

    seconds: Mapping[str, float]
    n_bytes: int

    @property
    def total_s(self) -> float:
        """Of all stages."""
        return sum(self.seconds.values())

    def to_text(self, free_bytes: int | None) -> str:
        """One line for people."""
        stages = ", ".join(f"{name} {duration(took)}" for name, took in self.seconds.items())
        room = "" if free_bytes is None else f" of {free_bytes / 1e9:.1f} GB that are free"
        return f"about {duration(self.total_s)} ({stages}); {self.n_bytes / 1e9:.1f} GB of memory{room}"


def estimate(speaker: Speaker, sentences: Sequence[Sentence], settings: Settings, n_best: int) -> Estimate:
    """What speaking these sentences will take on this machine as it is now."""
    n_codes = [_likely_codes(sentence, settings) for sentence in sentences]
    most = max(n_codes)
    longest = next(each for each, n in zip(sentences, n_codes, strict=True) if n == most)
    n_rows = min(settings.batch_size, settings.n_drawn)
    n_batches = -(-settings.n_drawn // settings.batch_size)
    seconds = {
        "candidates": _step_s(speaker, longest, settings, n_rows) * n_batches * LONGEST_SHARE * sum(n_codes)
    }
    if settings.n_drawn > 1:
        seconds["ranking"] = _ranking_s(speaker, settings) * settings.n_drawn * len(sentences)
    if speaker.decoder == "diffusion":
        share = sum(n_codes) / most  # a step takes about as long as its frames are many
        seconds["spec"] = _denoising_s(speaker, settings, most) * settings.n_steps * n_best * share
    return Estimate(seconds=seconds, n_bytes=_memory(speaker, settings, n_rows, longest, most))


def free_memory(device: str) -> int | None:
    """Bytes that can be taken without harm; None where the system does not say."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def duration(seconds: float) -> str:
    """As people say it."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _likely_codes(sentence: Sentence, settings: Settings) -> int:
    codes_per_s = CODES_HZ / 1024
    likely = int(len(sentence.readable.text) / CHARACTERS_PER_S * codes_per_s) + 10
    return min(likely, settings.max_codes)


def _step_s(speaker: Speaker, sentence: Sentence, settings: Settings, n_rows: int) -> float:
    symbols = torch.tensor(sentence.readable.rows)
    drawing = Drawing(
        speaker.networks.ar,
        speaker.voice.auto,
        symbols,
        candidates=range(n_rows),
        settings=settings,
        seeds=Seeds(seed=0),
    )
    return _shortest(drawing.decoding.step, min(N_TIMED, drawing.max_codes))


@torch.no_grad()
def _ranking_s(speaker: Speaker, settings: Settings) -> float:
    ranker = speaker.networks.ranker
    n = min(settings.max_codes, speaker.networks.ar.config.max_codes)
    codes = torch.zeros(1, n, dtype=torch.long, device=next(ranker.parameters()).device)
    return _shortest(lambda: ranker.speech_latent(codes), 1)


@torch.no_grad()
def _denoising_s(speaker: Speaker, settings: Settings, n_codes: int) -> float:
    diffusion = speaker.networks.diffusion
    device = next(diffusion.parameters()).device
    assert speaker.voice.diffusion is not None  # a voice for this decoder has it
    latents = torch.randn(1, n_codes, diffusion.config.latent_dim, device=device)
    n_frames = n_frames_of(n_codes, speaker.mel)
    aligned = diffusion.align(latents, speaker.voice.diffusion.to(device).unsqueeze(0), n_frames)
    denoise = denoiser(
        diffusion, aligned, schedule_for(settings.sampler, settings.n_steps), guidance=settings.guidance
    )
    noisy = torch.randn(1, diffusion.config.n_mels, n_frames, device=device)
    steps = torch.zeros(1, dtype=torch.long, device=device)
    return _shortest(lambda: denoise(noisy, steps), 1)


def _shortest(work: Callable[[], object], n_times: int) -> float:
    took = []
    for _ in range(n_times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def _memory(speaker: Speaker, settings: Settings, n_rows: int, longest: Sentence, n_codes: int) -> int:
    files, ar = speaker.networks.files, speaker.networks.ar.config
    weights = 0
    for role in speaker.roles_used(settings):
        precision = settings.precision if role == "text-to-codes" else others_precision(settings.precision)
        weights += files.reports[role].parameters * WEIGHT_BYTES[precision]
    n_places = len(longest.readable.rows) + n_rows * 2 * n_codes  # room is doubled whenever it is used up
    return weights + 2 * ar.n_layers * n_places * ar.dim * FLOAT_BYTES + OWN_BYTES
