"""TorToiSe stage by stage: a sentence and a voice -> codes -> ranked -> latents -> spec -> waveform.

Axes used in this file:
    dim         channels of the autoregressive network
    two_dim     of the description of a voice for diffusion
    symbols     of the sentence
    candidates  different codes for one sentence
    codes       of a candidate
    mels        bands of the spec
    frames      of the spec
    samples     of the waveform
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from retimbre.audio.mel import MelSpec, logarithms, tortoise_univnet_mel100
from retimbre.errors import TextError
from retimbre.jobs.listener import Watch
from retimbre.models.tortoise_ar.config import END, UnifiedVoiceConfig
from retimbre.models.tortoise_ar.decoding import Decoding, Rows, Scores, Seen
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_ar.sampling import choose, generator_of, uniforms
from retimbre.models.tortoise_ar.speech_codes import n_until_silence, settled
from retimbre.models.tortoise_clvp.model import CLVP
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.tortoise_diffusion.samplers import denoiser, noise_from, schedule_for, spec_from_noise
from retimbre.models.tortoise_hifigan.model import LatentDecoder
from retimbre.models.univnet.model import UnivNet
from retimbre.pipelines.tortoise_settings import Settings

Symbols = Int[Tensor, "symbols"]
FRAMES_PER_CODE = 4
CODES_HZ = 22050  # sample rate of the sound that the codes stand for
NORMALISED = tortoise_univnet_mel100(is_normalised=True)


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Where all random numbers of a sentence come from; the same on every device.

    Args:
        seed: What the user gives.
        sentence: Its number in the text.
    """

    seed: int
    sentence: int = 0

    def noise(self, candidate: int, purpose: str) -> torch.Generator:
        """A generator of its own for each candidate and purpose."""
        return generator_of(self.seed, self.sentence, candidate, purpose)


class Drawing:
    """Candidates for a sentence as they are drawn, a batch at a time.

    Args:
        ar: In evaluation mode.
        voice: Its latent.
        symbols: Of the sentence.
        candidates: Their numbers: what each of them becomes depends on its own number, never on the others.
    """

    def __init__(
        self,
        ar: UnifiedVoice,
        voice: Float[Tensor, "dim"],
        symbols: Symbols,
        *,
        candidates: Sequence[int],
        settings: Settings,
        seeds: Seeds,
    ) -> None:
        self.max_codes = min(settings.max_codes, ar.config.max_codes)
        device = next(ar.parameters()).device
        self._numbers = uniforms(seeds.seed, candidates, self.max_codes, sentence=seeds.sentence).to(device)
        self._sampling, self._start = settings.sampling, ar.config.start_code
        self.decoding = Decoding(
            ar,
            voice.to(device).unsqueeze(0),
            as_read(symbols, ar).to(device),
            max_codes=self.max_codes,
            choose=self._choose,
            n_each=len(candidates),
        )

    def _choose(self, scores: Scores, seen: Seen, rows: Rows) -> Int[Tensor, "batch"]:
        # A start is no code: nothing behind could read it. Released networks give it next to no chance.
        scores[:, self._start] = scores.amin(dim=-1)
        number = seen.shape[1] - 2
        return choose(self._sampling.scores(scores, seen), self._numbers[rows, number])

    def whole(self, stop: int) -> Int[Tensor, "candidates max_codes"]:
        """All candidates as the later stages read them: with an end, and as long as the longest may be."""
        return settled(self.decoding.codes, stop, self.max_codes)


def as_read(symbols: Symbols, ar: UnifiedVoice) -> Int[Tensor, "1 symbols_and_end"]:
    """A sentence with the end that tortoise-tts puts behind it.

    Raises:
        TextError: it is longer than the network has places for.
    """
    require_places(len(symbols), ar.config)
    return functional.pad(symbols, (0, 1), value=END).unsqueeze(0)


def require_places(n_symbols: int, config: UnifiedVoiceConfig) -> None:
    """Raise TextError if a sentence of so many symbols is longer than a network has places for."""
    most = config.max_symbols - 1  # one is for the end
    if n_symbols > most:
        raise TextError(
            "a sentence is too long for this network",
            expected=f"at most {most} pieces of text",
            found=str(n_symbols),
            do="write shorter sentences, or let long ones be split",
        )


@torch.no_grad()
def ranked(
    clvp: CLVP, symbols: Symbols, codes: Int[Tensor, "candidates codes"], *, batch_size: int, watch: Watch
) -> Float[Tensor, "candidates"]:
    """How well each candidate fits the sentence: higher is better. Only scores of one sentence compare."""
    device = next(clvp.parameters()).device
    text = functional.pad(symbols, (0, 1), value=END).to(device)
    return clvp.scores(text, codes.to(device), at_a_time=batch_size, watch=watch).float().cpu()


@torch.no_grad()
def latents_of(
    ar: UnifiedVoice, voice: Float[Tensor, "dim"], symbols: Symbols, codes: Int[Tensor, "codes"]
) -> Float[Tensor, "1 heard dim"]:
    """What the network thinks at each code that will be heard: those up to the first long silence.

    tortoise-tts asks for all and cuts afterwards. No place sees those behind it, so these are the same.
    """
    device = next(ar.parameters()).device
    heard = codes[: n_until_silence(codes)].to(device).unsqueeze(0)
    return ar.latents(voice.to(device).unsqueeze(0), as_read(symbols, ar).to(device), heard)


def n_frames_of(n_codes: int, mel: MelSpec) -> int:
    """Frames of the spec of so many codes."""
    return n_codes * FRAMES_PER_CODE * mel.sample_rate_hz // CODES_HZ


@torch.no_grad()
def spec_of_latents(
    diffusion: DiffusionDecoder,
    latents: Float[Tensor, "1 heard dim"],
    voice: Float[Tensor, "two_dim"],
    *,
    settings: Settings,
    generator: torch.Generator,
    watch: Watch,
) -> Float[Tensor, "mels frames"]:
    """The spec that diffusion finds in noise, as the vocoder reads it."""
    device = next(diffusion.parameters()).device
    mel = spec_of(diffusion.config)
    n_frames = n_frames_of(latents.shape[1], mel)
    aligned = diffusion.align(latents.to(device), voice.to(device).unsqueeze(0), n_frames)
    schedule = schedule_for(settings.sampler, settings.n_steps)
    spec = spec_from_noise(
        settings.sampler,
        denoiser(diffusion, aligned, schedule, guidance=settings.guidance),
        settings.noise_scale * torch.randn(1, mel.n_mels, n_frames, generator=generator).to(device),
        schedule,
        new_noise=noise_from(generator),
        watch=watch,
    )
    return logarithms(spec[0], replace(mel, log_range=NORMALISED.log_range)).float().cpu()


@torch.no_grad()
def sound_of(
    vocoder: UnivNet, spec: Float[Tensor, "mels frames"], generator: torch.Generator
) -> Float[Tensor, "samples"]:
    """What the vocoder makes of a spec, from -1 to 1."""
    device = next(vocoder.parameters()).device
    noise = vocoder.noise_for(spec.unsqueeze(0).cpu(), generator).to(device)
    wave: Float[Tensor, "1 1 samples"] = vocoder.speak(spec.unsqueeze(0).to(device), noise)
    return wave[0, 0].clamp(-1, 1).float().cpu()


@torch.no_grad()
def sound_of_latents(
    decoder: LatentDecoder, latents: Float[Tensor, "1 heard dim"], voice: Float[Tensor, "dim"]
) -> Float[Tensor, "samples"]:
    """What the vocoder of latents makes of them, from -1 to 1."""
    device = next(decoder.parameters()).device
    wave: Float[Tensor, "1 1 samples"] = decoder(latents.to(device), voice.to(device).unsqueeze(0))
    return wave[0, 0].clamp(-1, 1).float().cpu()
