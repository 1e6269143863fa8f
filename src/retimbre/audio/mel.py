"""MelSpec: the one definition of a spectrogram; waveform -> spec.

Axes used in this file:
    batch    any number of leading axes, also none
    samples  of a waveform
    frames   columns of a spectrogram
    bins     of the Fourier transform, n_fft_samples // 2 + 1
    mels     bands of the spectrogram
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack

import torch
from jaxtyping import Complex, Float
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from torch.nn import functional

from retimbre.audio import filterbank
from retimbre.errors import AudioError, DataError, StagesDoNotFit

Value = TypeVar("Value", float, Tensor)


class Centring(StrEnum):
    """Where frame k lies: centred on sample k * hop, or half a hop later."""

    CENTRED = "centred"
    SHIFTED = "shifted"


class MelScale(StrEnum):
    """Which curve turns hertz into mels."""

    HTK = "htk"
    SLANEY = "slaney"


class MelNorm(StrEnum):
    """How filters of different width are weighted."""

    SLANEY = "slaney"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class MelSpec:
    """What the numbers in a mel spectrogram mean, and how many frames a waveform has.

    Frame k is centred on sample k * hop, or on k * hop + hop / 2 if the frames are SHIFTED. A stored spec
    belongs to a whole recording of N * hop samples and has N frames (N + 1 where the last one, which is
    centred on the end of the recording, is kept). So its frames a..b go with samples a * hop..b * hop.
    """

    sample_rate_hz: int
    n_fft_samples: int
    window_samples: int
    hop_samples: int
    n_mels: int
    low_hz: float
    high_hz: float
    centring: Centring
    power: float  # 1.0 magnitude, 2.0 energy
    mel_scale: MelScale
    mel_norm: MelNorm
    padding: str = "reflect"  # what the edges of a waveform are continued with; or "constant": zeros
    power_floor: float = 0.0  # added to the squared magnitude before its root (1e-9 in HiFi-GAN's)
    log_floor: float = 1e-5  # smallest value before the logarithm
    logarithm: str = "natural"
    log_range: tuple[float, float] | None = None  # mapped linearly to -1..1 after the logarithm, if given
    band_divisors: tuple[float, ...] = ()  # TorToiSe divides each band by one of 80 norms
    drops_last_frame: bool = False  # EveryVoice keeps samples // hop frames, others one more
    cuts_at_full_scale: bool = False  # TorToiSe's UnivNet front end cuts samples beyond -1..1 first

    def __post_init__(self) -> None:
        if self.hop_samples > self.window_samples:
            raise ValueError(
                f"hop_samples ({self.hop_samples}) is larger than window_samples "
                f"({self.window_samples}): samples between frames would be lost"
            )
        if self.window_samples > self.n_fft_samples:
            raise ValueError(
                f"window_samples ({self.window_samples}) is larger than n_fft_samples ({self.n_fft_samples})"
            )
        top_hz = self.sample_rate_hz / 2
        if self.high_hz > top_hz:
            raise ValueError(
                f"high_hz ({self.high_hz}) is above half the sample rate of {self.sample_rate_hz} Hz"
            )
        if self.band_divisors and len(self.band_divisors) != self.n_mels:
            raise ValueError(f"{len(self.band_divisors)} band_divisors for {self.n_mels} mels")
        if self.padding not in ("reflect", "constant"):
            raise ValueError(f"padding is 'reflect' or 'constant', not {self.padding!r}")
        if self.logarithm != "natural":
            raise ValueError(f"logarithm is 'natural', not {self.logarithm!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "MelSpec":
        """The MelSpec that `to_dict` described, also after a trip through JSON."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise DataError(
                "a description of a spectrogram has fields that this version does not know",
                found=", ".join(unknown),
                do="use the version of retimbre that wrote the file, or a newer one",
            )
        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc']))} {fault['msg']}" for fault in error.errors())
            raise DataError(
                "a description of a spectrogram makes no sense", found="; ".join(faults).strip()
            ) from error

    def frames_in(self, n_samples: int) -> int:
        """Frames of a waveform of `n_samples`: the one place where this is decided."""
        if self.centring is Centring.SHIFTED or self.drops_last_frame:
            return n_samples // self.hop_samples
        return 1 + n_samples // self.hop_samples

    def duration_s(self, n_frames: int) -> float:
        """How long `n_frames` sound, in seconds."""
        return n_frames * self.hop_samples / self.sample_rate_hz

    def at_rate(self, sample_rate_hz: int) -> "MelSpec":
        """The same frames and bands of the same sound at another sample rate.

        Transform, window and hop last as long as before, so that frame k of both is of the same moment.

        Raises:
            ValueError: if it is no whole multiple of this one's.
        """
        times, rest = divmod(sample_rate_hz, self.sample_rate_hz)
        if rest or not times:
            raise ValueError(f"{sample_rate_hz} Hz is no whole multiple of {self.sample_rate_hz} Hz")
        return replace(
            self,
            sample_rate_hz=sample_rate_hz,
            n_fft_samples=self.n_fft_samples * times,
            window_samples=self.window_samples * times,
            hop_samples=self.hop_samples * times,
        )

    @property
    def edge_samples(self) -> tuple[int, int]:
        """How many samples are made up before the first and after the last one of a waveform."""
        total = self.n_fft_samples
        if self.centring is Centring.SHIFTED:
            total -= self.hop_samples
        return total // 2, total - total // 2

    @property
    def fewest_samples(self) -> int:
        """The shortest waveform that has a spectrogram."""
        needed = 1 if self.frames_in(0) else self.hop_samples
        if self.padding == "reflect":  # the edge sample itself is not repeated
            needed = max(needed, max(self.edge_samples) + 1)
        return needed

    def require_long_enough(self, n_samples: int) -> None:
        """Raise AudioError if a waveform of `n_samples` is shorter than its edges need, or than one frame."""
        if n_samples < self.fewest_samples:
            raise AudioError(
                "a recording is too short for a spectrogram",
                expected=f"at least {self.fewest_samples} samples "
                f"({self.fewest_samples / self.sample_rate_hz:.3f} s)",
                found=str(n_samples),
                do="leave it out, or add silence to its end",
            )

    @property
    def silence(self) -> float:
        """The value of a silent cell, before band divisors: never zero, which is loud."""
        floor = math.log(self.log_floor)
        return _to_range(floor, self.log_range) if self.log_range else floor

    def differences(self, other: "MelSpec") -> dict[str, tuple[object, object]]:
        """Fields whose values differ, as {name: (ours, theirs)}."""
        ours, theirs = asdict(self), asdict(other)
        return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}

    def require_same(self, other: "MelSpec", *, ours: str, theirs: str) -> None:
        """Raise StagesDoNotFit, naming each field, if `other` describes another spectrogram."""
        found = self.differences(other)
        if found:
            facts = "; ".join(f"{name} {a} against {b}" for name, (a, b) in found.items())
            raise StagesDoNotFit(
                f"{ours} and {theirs} use different spectrograms ({facts})",
                do="take a pair made for the same spectrogram; 'retimbre inspect FILE' shows it",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives the same MelSpec back."""
        values = asdict(self)
        return {name: str(value) if isinstance(value, StrEnum) else value for name, value in values.items()}


class Sizes(TypedDict, total=False):
    """What may differ between two spectrograms of one kind; the defaults are those of `mel_librosa`."""

    sample_rate_hz: int
    n_fft_samples: int
    window_samples: int
    hop_samples: int
    n_mels: int
    low_hz: float
    high_hz: float


def mel_librosa(
    *,
    sample_rate_hz: int = 22050,
    n_fft_samples: int = 1024,
    window_samples: int = 1024,
    hop_samples: int = 256,
    n_mels: int = 80,
    low_hz: float = 0.0,
    high_hz: float = 8000.0,
) -> MelSpec:
    """EveryVoice's default, `mel-librosa`: magnitudes, Slaney's curve."""
    return MelSpec(
        sample_rate_hz=sample_rate_hz,
        n_fft_samples=n_fft_samples,
        window_samples=window_samples,
        hop_samples=hop_samples,
        n_mels=n_mels,
        low_hz=low_hz,
        high_hz=high_hz,
        centring=Centring.CENTRED,
        power=1.0,
        mel_scale=MelScale.SLANEY,
        mel_norm=MelNorm.SLANEY,
        power_floor=1e-9,
        drops_last_frame=True,
    )


def everyvoice_mel(**sizes: Unpack[Sizes]) -> MelSpec:
    """EveryVoice's `mel`: energies, HTK's curve."""
    return replace(mel_librosa(**sizes), power=2.0, power_floor=0.0, mel_scale=MelScale.HTK)


def hifigan_original(**sizes: Unpack[Sizes]) -> MelSpec:
    """The original HiFi-GAN's: as `mel_librosa`, with each frame half a hop later."""
    return replace(mel_librosa(**sizes), centring=Centring.SHIFTED, drops_last_frame=False)


def tacotron_mel80() -> MelSpec:
    """Tacotron 2's 80 bands at 22,050 Hz: magnitudes without a floor, Slaney's curve, last frame kept."""
    return replace(mel_librosa(), power_floor=0.0, drops_last_frame=False, cuts_at_full_scale=True)


def tortoise_mel80(band_divisors: tuple[float, ...]) -> MelSpec:
    """What TorToiSe's dVAE and autoregressive model read; `band_divisors` are its 80 norms."""
    return replace(everyvoice_mel(), drops_last_frame=False, band_divisors=band_divisors)


def tortoise_univnet_mel100(*, is_normalised: bool = False) -> MelSpec:
    """What UnivNet reads; normalised to -1..1, what TorToiSe's diffusion model predicts."""
    mel = mel_librosa(sample_rate_hz=24000, n_mels=100, high_hz=12000.0)
    log_range = (-11.512925148010254, 2.3143386840820312) if is_normalised else None
    return replace(mel, power_floor=0.0, drops_last_frame=False, cuts_at_full_scale=True, log_range=log_range)


def spec_type(mel: MelSpec) -> str:
    """The word for this kind of spectrogram in file names: EveryVoice's own for its two."""
    kinds = {
        "mel-librosa": mel_librosa(),
        "mel": everyvoice_mel(),
        "mel-hifigan": hifigan_original(),
        "mel-tortoise": tortoise_mel80(()),
        "mel-tacotron": tacotron_mel80(),
    }
    return next((word for word, kind in kinds.items() if _kind_of(kind) == _kind_of(mel)), "mel-other")


def _kind_of(mel: MelSpec) -> tuple[object, ...]:
    return mel.centring, mel.power, mel.mel_scale, mel.mel_norm, mel.power_floor, mel.drops_last_frame


def log_mel(
    samples: Float[Tensor, "*batch samples"], mel: MelSpec
) -> Float[Tensor, "*batch {mel.n_mels} frames"]:
    """The spectrogram of a waveform, in float32 also under autocast; gradients flow through it.

    Raises:
        AudioError: if the waveform is shorter than `mel.fewest_samples`.
    """
    n_samples = samples.shape[-1]
    mel.require_long_enough(n_samples)
    with torch.autocast(samples.device.type, enabled=False):
        bases = _bases(mel, samples.device)
        flat = samples.reshape(-1, n_samples).float()
        if mel.cuts_at_full_scale:
            flat = flat.clamp(-1.0, 1.0)
        flat = functional.pad(flat, mel.edge_samples, mode=mel.padding)
        spectrum = torch.stft(
            flat,
            mel.n_fft_samples,
            mel.hop_samples,
            mel.window_samples,
            window=bases.window,
            center=False,
            return_complex=True,
        )
        cells = _to_power(spectrum[..., : mel.frames_in(n_samples)], mel)
        logs = (bases.filters @ cells).clamp(min=mel.log_floor).log()
        if mel.log_range:
            logs = _to_range(logs, mel.log_range)
        if mel.band_divisors:
            logs = logs / bases.divisors
    return logs.reshape(*samples.shape[:-1], *logs.shape[1:])


class _Bases(NamedTuple):
    """The constant tensors of one spectrogram on one device."""

    window: Float[Tensor, "window"]
    filters: Float[Tensor, "mels bins"]
    divisors: Float[Tensor, "bands 1"]


@lru_cache(maxsize=32)
def _bases(mel: MelSpec, device: torch.device) -> _Bases:
    # Made outside inference mode, or a later training step could not use what a synthesis has cached.
    with torch.inference_mode(False):
        return _Bases(
            window=torch.hann_window(mel.window_samples, device=device, dtype=torch.float32),
            filters=_filters(mel).to(device),
            divisors=torch.tensor(mel.band_divisors, device=device, dtype=torch.float32).unsqueeze(-1),
        )


def _filters(mel: MelSpec) -> Float[Tensor, "mels bins"]:
    curve = filterbank.HTK if mel.mel_scale is MelScale.HTK else filterbank.SLANEY
    edges_hz = filterbank.band_edges_hz(curve, n_mels=mel.n_mels, low_hz=mel.low_hz, high_hz=mel.high_hz)
    weights = filterbank.triangles(
        edges_hz,
        sample_rate_hz=mel.sample_rate_hz,
        n_fft_samples=mel.n_fft_samples,
        has_equal_area=mel.mel_norm is MelNorm.SLANEY,
    )
    return torch.tensor(weights, dtype=torch.float32, device="cpu")


def _to_power(spectrum: Complex[Tensor, "..."], mel: MelSpec) -> Float[Tensor, "..."]:
    if mel.power == 1.0 and mel.power_floor == 0.0:
        return spectrum.abs()  # its gradient is 0 in silence, where that of a square root is infinite
    energy = torch.view_as_real(spectrum).square().sum(-1) + mel.power_floor
    return energy if mel.power == 2.0 else energy ** (mel.power / 2)


def logarithms(spec: Float[Tensor, "*axes"], mel: MelSpec) -> Float[Tensor, "*axes"]:
    """A spec that is mapped to -1..1, taken back to its logarithms; any other as it is."""
    if mel.log_range is None:
        return spec
    low, high = mel.log_range
    return (spec + 1) / 2 * (high - low) + low


def _to_range(value: Value, log_range: tuple[float, float]) -> Value:
    low, high = log_range
    return 2 * (value - low) / (high - low) - 1
