"""`a&b`, a name, a path or `random` -> one TortoiseVoice; networks are only loaded where they are needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from torch import nn

from retimbre.errors import StagesDoNotFit
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.tortoise_random_latent.model import RandomLatent
from retimbre.pipelines.tortoise_roles import Role
from retimbre.pipelines.tortoise_voice_cache import VoiceCache
from retimbre.pipelines.tortoise_voice_files import voice_from_file
from retimbre.pipelines.tortoise_voice_names import FoundVoice, find_voices
from retimbre.pipelines.tortoise_voices import TortoiseVoice, blended, random_voice, voice_from_clips

AUTO: Role = "text-to-codes"
DIFFUSION: Role = "codes-to-spec"  # the roles of the networks that hear recordings
RANDOM_AUTO: Role = "random-voice-ar"
RANDOM_DIFFUSION: Role = "random-voice-diffusion"
Kind = TypeVar("Kind", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class VoiceNetworks:
    """The networks that voices are made with.

    Args:
        load: Role -> network in evaluation mode; asked when the network is needed.
        hash_of: Role -> the SHA-256 of its file, and whatever else decides what it computes (such as what
            the user has stated about it).
        has_diffusion: False where the sound is made without diffusion: then voices have one latent.
    """

    load: Callable[[Role], nn.Module]
    hash_of: Callable[[Role], str]
    has_diffusion: bool = True

    @property
    def hearing(self) -> tuple[Role, ...]:
        """Roles of the networks that hear recordings."""
        return (AUTO, DIFFUSION)[: 1 + self.has_diffusion]

    @property
    def drawing(self) -> tuple[Role, ...]:
        """Roles of the networks that make random voices."""
        return (RANDOM_AUTO, RANDOM_DIFFUSION)[: 1 + self.has_diffusion]

    def hashes(self, roles: Sequence[Role]) -> dict[str, str]:
        """Of some networks, by their roles."""
        return {role: self.hash_of(role) for role in roles}

    def loaded(self, role: Role, kind: type[Kind]) -> Kind:
        """One of them.

        Raises:
            StagesDoNotFit: if it is another kind of network.
        """
        network = self.load(role)
        if isinstance(network, kind):
            return network
        raise StagesDoNotFit(
            f"{role} cannot be played by this network",
            expected=kind.__name__,
            found=type(network).__name__,
            do="'retimbre inspect FILE' says what a file is",
        )


def make_voice(
    wanted: str,
    *,
    networks: VoiceNetworks,
    seed: int,
    folders: Sequence[Path] = (),
    cache: VoiceCache | None = None,
    listener: Listener | None = None,
) -> TortoiseVoice:
    """The voice that somebody wants: see `find_voices` and `blended`.

    Args:
        seed: Where six seconds are cut from longer recordings; of random voices, which.
        folders: Where voices are known by their names.
        cache: Where voices are kept; None keeps none.

    Raises:
        DataError: there is no such voice.
        AudioError: a recording of it cannot be used.
        CheckpointError: a saved voice cannot be used.
        StagesDoNotFit: voices of different models are to be blended.
    """
    listener = listener or Silent()
    voices = []
    for number, found in enumerate(find_voices(wanted, folders=folders)):
        if found.is_random:
            voices.append(_random(networks, seed + number))  # random&random are two voices
        elif found.file:
            voices.append(_opened(found, found.file, networks, listener))
        else:
            voices.append(_heard(found, networks, seed, cache, listener))
    return blended(voices)


def _random(networks: VoiceNetworks, seed: int) -> TortoiseVoice:
    diffusion = networks.loaded(RANDOM_DIFFUSION, RandomLatent) if networks.has_diffusion else None
    auto = networks.loaded(RANDOM_AUTO, RandomLatent)
    return random_voice(auto, diffusion, seed=seed, hashes=networks.hashes(networks.drawing))


def _opened(found: FoundVoice, file: Path, networks: VoiceNetworks, listener: Listener) -> TortoiseVoice:
    voice = replace(voice_from_file(file), name=found.name)
    for role in voice.other_networks(networks.hearing, networks.hash_of):
        listener.say("Voice", f"{found.name} was heard by another {role} network; it may sound different")
    return voice


def _heard(
    found: FoundVoice, networks: VoiceNetworks, seed: int, cache: VoiceCache | None, listener: Listener
) -> TortoiseVoice:
    hashes = networks.hashes(networks.hearing)

    def hear() -> TortoiseVoice:
        return voice_from_clips(
            found.recordings,
            ar=networks.loaded(AUTO, UnifiedVoice),
            diffusion=networks.loaded(DIFFUSION, DiffusionDecoder) if networks.has_diffusion else None,
            seed=seed,
            hashes=hashes,
            listener=listener,
        )

    if cache is None:
        return replace(hear(), name=found.name)
    kept = cache.voice(found.recordings, hear, hashes=hashes, seed=seed, listener=listener)
    return replace(kept, name=found.name)
