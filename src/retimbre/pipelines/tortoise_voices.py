"""TortoiseVoice: what TorToiSe's networks keep of a voice. From recordings, from nothing, or from others.

Axes used in this file:
    dim      of the autoregressive network's latent
    two_dim  of the diffusion network's: a scale and a shift for each of its channels
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from retimbre.errors import StagesDoNotFit
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.tortoise_random_latent.model import RandomLatent
from retimbre.pipelines.tortoise_roles import Role
from retimbre.pipelines.tortoise_voice_clips import FRONT_END, clips_of, notes_on

NETWORKS = "networks"  # in `source`: the hash of each network by its role
BLEND = "blend"  # in `source`: the sources of the voices that it is the mean of
NO_HASHES: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True, eq=False)
class TortoiseVoice:
    """Two latents, float32 on the CPU.

    Args:
        name: What the user calls it; `a&b` is the mean of two.
        auto: For the autoregressive network.
        diffusion: For the diffusion network; None where a voice was heard without one.
        source: What it came from, as plain values for JSON: recordings by their SHA-256, seed, networks.
    """

    name: str
    auto: Float[Tensor, "dim"]
    diffusion: Float[Tensor, "two_dim"] | None
    source: Mapping[str, Any]

    @property
    def widths(self) -> list[int]:
        """How many numbers each of its latents has."""
        return [len(latent) for latent in (self.auto, self.diffusion) if latent is not None]

    def require_fits(self, auto: UnifiedVoiceConfig, diffusion: DiffusionConfig | None) -> None:
        """Raise StagesDoNotFit where these networks read latents of other widths.

        Args:
            diffusion: None where nothing but the autoregressive network reads the voice.
        """
        expected = [auto.dim, *([diffusion.voice_dim] if diffusion else [])]
        found = self.widths[: len(expected)]
        if expected != found:
            raise StagesDoNotFit(
                f"the voice '{self.name}' is not one of these models",
                expected=f"latents of {_listed(expected)} numbers",
                found=_listed(found) + ("" if len(found) == len(expected) else ", none for diffusion"),
                do="make it again from its recordings with these models",
            )

    def other_networks(self, roles: Sequence[Role], hash_of: Callable[[Role], str]) -> tuple[Role, ...]:
        """Which of these roles a network of other weights played when the voice was heard.

        Args:
            hash_of: As for `source`; only asked about roles whose network is known.
        """
        heard_by = _heard_by(self.source)
        known = {role: {one[role] for one in heard_by if isinstance(one.get(role), str)} for role in roles}
        return tuple(role for role, digests in known.items() if digests and digests != {hash_of(role)})


def _heard_by(source: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The hashes in a source, which may come from a file and then hold anything in any place."""
    parts = source.get(BLEND)
    each = parts if isinstance(parts, list) else [source]
    found = [one.get(NETWORKS) for one in each if isinstance(one, Mapping)]
    return [networks for networks in found if isinstance(networks, Mapping)]


def voice_from_clips(
    paths: Sequence[Path | str],
    *,
    ar: UnifiedVoice,
    diffusion: DiffusionDecoder | None,
    seed: int,
    name: str = "voice",
    hashes: Mapping[str, str] = NO_HASHES,
    listener: Listener | None = None,
) -> TortoiseVoice:
    """The mean of what the networks hear in each recording.

    Args:
        diffusion: None where the sound is made without one.
        seed: Where six seconds are cut from a longer recording.
        hashes: SHA-256 of the networks' files by their roles, to be kept in `source`.
        listener: Hears what is odd about the recordings, and how far it is.

    Raises:
        AudioError: naming every recording that cannot be used.
    """
    listener = listener or Silent()
    clips = clips_of([Path(path) for path in paths], seed=seed)
    for note in notes_on(clips):
        listener.say("Voice", note)
    autos, diffusions = [], []
    for number, clip in enumerate(clips, start=1):
        autos.append(_heard(ar, clip.auto_spec()))
        if diffusion:
            diffusions.append(_heard(diffusion, clip.diffusion_spec()))
        listener.progress("Voice", number, len(clips), clip.path.name)
    source = {
        "recordings": [{"sha256": clip.sha256, "duration_s": round(clip.duration_s, 3)} for clip in clips],
        "seed": seed,
        "front_end": FRONT_END,
        NETWORKS: dict(hashes),
    }
    return TortoiseVoice(
        name=name, auto=_mean(autos), diffusion=_mean(diffusions) if diffusions else None, source=source
    )


@torch.no_grad()
def random_voice(
    auto_net: RandomLatent,
    diffusion_net: RandomLatent | None,
    *,
    seed: int,
    name: str = "random",
    hashes: Mapping[str, str] = NO_HASHES,
) -> TortoiseVoice:
    """A voice that nobody has; the same seed gives the same one on every device.

    The noise is what TorToiSe draws after `torch.manual_seed(seed)`: first for `auto_net`, then for
    `diffusion_net`.
    """
    generator = torch.Generator().manual_seed(seed)
    auto = _drawn(auto_net, generator)
    return TortoiseVoice(
        name=name,
        auto=auto,
        diffusion=_drawn(diffusion_net, generator) if diffusion_net else None,
        source={"random": {"seed": seed}, NETWORKS: dict(hashes)},
    )


def blended(voices: Sequence[TortoiseVoice]) -> TortoiseVoice:
    """The mean of several voices; each counts the same, however many recordings it was made from.

    Raises:
        StagesDoNotFit: if they are of different models.
    """
    if not voices:
        raise ValueError("there is no voice to blend")
    first, *others = voices
    for other in others:
        if first.widths != other.widths:
            raise StagesDoNotFit(
                f"the voices '{first.name}' and '{other.name}' cannot be blended",
                expected=f"latents of {_listed(first.widths)} numbers in both",
                found=_listed(other.widths),
                do="make both from recordings with the same models",
            )
    if not others:
        return first
    diffusions = [voice.diffusion for voice in voices if voice.diffusion is not None]
    return TortoiseVoice(
        name="&".join(voice.name for voice in voices),
        auto=_mean([voice.auto for voice in voices]),
        diffusion=_mean(diffusions) if diffusions else None,
        source={BLEND: [{"name": voice.name, **voice.source} for voice in voices]},
    )


@torch.no_grad()
def _heard(
    network: UnifiedVoice | DiffusionDecoder, spec: Float[Tensor, "mels frames"]
) -> Float[Tensor, "numbers"]:
    """What one recording is to a network."""
    clips = _like(network, spec)[None, None]
    latent = network.conditioning_latent(clips) if isinstance(network, UnifiedVoice) else network.voice(clips)
    return latent[0].float().cpu()


def _drawn(network: RandomLatent, generator: torch.Generator) -> Float[Tensor, "numbers"]:
    noise = torch.randn(1, network.config.dim, generator=generator)
    latent: Float[Tensor, "1 numbers"] = network(_like(network, noise))
    return latent[0].float().cpu()


def _like(network: nn.Module, numbers: Tensor) -> Tensor:
    """On the network's device, in its precision."""
    weight = next(network.parameters())
    return numbers.to(weight.device, weight.dtype)


def _mean(latents: Sequence[Float[Tensor, "numbers"]]) -> Float[Tensor, "numbers"]:
    return torch.stack(list(latents)).mean(dim=0)


def _listed(widths: Sequence[int]) -> str:
    return " and ".join(f"{width:,}" for width in widths)
