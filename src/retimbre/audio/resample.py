"""Resample with a short windowed sinc: the filter that EveryVoice and TorToiSe resample with.

It is band-limited interpolation (https://ccrma.stanford.edu/~jos/resample/) with the default settings of
torchaudio's `functional.resample`: six zero crossings a side under a Hann window, cut-off at 0.99 of half
the lower rate.

When to use which:
    sinc_resample  Where released weights expect that filter, or to compare with those tools. TorToiSe's
                   22,050 -> 24,000 Hz is such a place: the upper ten of its 100 bands differ by about
                   0.65 (log-mel L1, speech) between the two filters.
    load_audio     For everything else (soxr, in files.py). Going down to 22,050 Hz, it keeps 10 kHz, where
                   the filter here loses 2.6 dB, and removes 11.5 kHz, which the filter here only lowers by
                   9 dB and folds back. In 80 bands up to 8 kHz that hardly shows: 0.0007 from 44,100 Hz
                   (noise).

Axes used in this file:
    samples  of a waveform
    phases   positions of a new sample between two old ones: the new rate, in lowest terms
    taps     old samples that one new sample may depend on
    blocks   spans in which all phases occur once
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError

ZERO_CROSSINGS = 6  # of the sinc, at each side
ROLLOFF = 0.99  # cut-off, as a share of half the lower rate
MOST_WEIGHTS = 2**24  # 64 MB; two rates in common use need at most a twentieth of it


def sinc_resample(audio: Audio, sample_rate_hz: int) -> Audio:
    """The same sound at another sample rate, in float32; gradients flow through it.

    The length is rounded up, so there may be one sample more than `load_audio` makes. Between the usual
    rates, full-scale speech is within 2e-5 of torchaudio's (less than a level of 16 bits), which computes
    the weights of its filter in float32; here they are computed in float64.

    Raises:
        AudioError: if there are no samples, or if the two rates have so little in common that the weights
            of all phases would not fit into memory.
    """
    if sample_rate_hz <= 0:
        raise ValueError(f"sample_rate_hz ({sample_rate_hz}) is not above zero")
    if audio.sample_rate_hz == sample_rate_hz:
        return audio
    if audio.n_samples == 0:
        raise AudioError("a recording is too short to be resampled", found="0 samples", do="leave it out")
    common = math.gcd(audio.sample_rate_hz, sample_rate_hz)
    old, new = audio.sample_rate_hz // common, sample_rate_hz // common
    _require_small(audio.sample_rate_hz, sample_rate_hz, n_weights=new * (old + 2 * _reach(old, new)))
    return Audio(samples=_interpolate(audio.samples, old, new), sample_rate_hz=sample_rate_hz)


def _interpolate(samples: Float[Tensor, "samples"], old: int, new: int) -> Float32[Tensor, "new_samples"]:
    """One convolution whose channels are the phases and whose stride is a block."""
    reach = _reach(old, new)
    with torch.autocast(samples.device.type, enabled=False):
        padded = functional.pad(samples.float(), (reach, reach + old))
        weights = _weights(old, new, samples.device)
        blocks: Float32[Tensor, "phases blocks"] = functional.conv1d(
            padded.view(1, 1, -1), weights.unsqueeze(1), stride=old
        ).squeeze(0)
    n_new_samples = -(-len(samples) * new // old)  # rounded up, without a detour over floats
    return blocks.T.reshape(-1)[:n_new_samples]


def _cutoff(old: int, new: int) -> float:
    """Zero crossings of the sinc in the time of a block."""
    return ROLLOFF * min(old, new)


def _reach(old: int, new: int) -> int:
    """How many old samples the filter reads at each side."""
    return math.ceil(ZERO_CROSSINGS * old / _cutoff(old, new))


@lru_cache(maxsize=8)
def _weights(old: int, new: int, device: torch.device) -> Float32[Tensor, "phases taps"]:
    """The filter as each phase sees it, computed in float64."""
    reach = _reach(old, new)
    # Made outside inference mode, or a later training step could not use what a synthesis has cached.
    with torch.inference_mode(False):
        taps = torch.arange(-reach, old + reach).unsqueeze(0)
        phases = torch.arange(new).unsqueeze(1)
        # Integers as long as possible: how far each tap lies from each new sample, in 1 / (old * new) blocks.
        distance = (taps * new - phases * old).double()
        crossings = distance * (_cutoff(old, new) / (old * new))
        inside = crossings.clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS) / ZERO_CROSSINGS
        hann = torch.cos(inside * (math.pi / 2)) ** 2
        weights = torch.sinc(crossings) * hann * (_cutoff(old, new) / old)
        return weights.float().to(device)


def _require_small(old_hz: int, new_hz: int, *, n_weights: int) -> None:
    if n_weights > MOST_WEIGHTS:
        raise AudioError(
            f"{old_hz} Hz cannot be resampled to {new_hz} Hz with the short filter",
            expected="two rates with a large common divisor, such as 22050 and 24000",
            found=f"a common divisor of {math.gcd(old_hz, new_hz)}",
            do="load the recording at that rate instead (load_audio takes any)",
        )
