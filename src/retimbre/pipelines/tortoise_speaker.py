"""Who speaks: a TorToiSe set and a voice that it knows, checked before anything large is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retimbre.checkpoint.digests import Digests
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.adapter import Adapter
from retimbre.pipelines.synthesis import best_device
from retimbre.pipelines.tortoise import Speaker
from retimbre.pipelines.tortoise_networks import Networks
from retimbre.pipelines.tortoise_set import TortoiseSet, tortoise_set
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_voice_cache import VoiceCache, user_cache_folder
from retimbre.pipelines.tortoise_voice_making import make_voice
from retimbre.pipelines.tortoise_voice_names import find_voices

VOICES = "voices"  # the folder beside the models where voices are known by their names
DIGESTS = "digests.json"


@dataclass(frozen=True, kw_only=True)
class VoiceChoice:
    """Which voice, and what makes its sound.

    Args:
        voice: A folder of recordings, a recording, a saved voice, a name, `a&b`, or `random`.
        seed: Of a random voice: which; of recordings: where six seconds are cut from longer ones.
        folders: Where voices are known by their names, besides `voices` beside the models.
        decoder: `diffusion` or `hifigan`; None: the first that the models have.
        device: As `best_device` knows it.
    """

    voice: str = "random"
    seed: int = 0
    folders: tuple[Path, ...] = ()
    decoder: str | None = None
    device: str = "auto"


def open_set(
    models: Sequence[Path], assume: Mapping[str, Any] | None = None, adapters: Sequence[Adapter] = ()
) -> TortoiseSet:
    """The set in a folder or of several files, whose hashes are remembered from one time to the next."""
    digests = Digests(user_cache_folder().parent / DIGESTS)
    return tortoise_set(list(models), assume=assume, adapters=adapters, digests=digests)


def speaker_of(
    files: TortoiseSet, who: VoiceChoice, settings: Settings, listener: Listener | None = None
) -> Speaker:
    """The voice, with the networks that speak; they are read when they are needed.

    Raises:
        CheckpointError: a file is missing for it.
    """
    listener = listener or Silent()
    decoder = who.decoder or files.decoders[0]
    files.require_decoder(decoder)
    files.require_ranking(settings.n_drawn)
    folders = (*who.folders, (files.place if files.place.is_dir() else files.place.parent) / VOICES)
    if any(found.is_random for found in find_voices(who.voice, folders=folders)):
        files.require_random_voice(decoder)
    networks = Networks(
        files,
        device=best_device(who.device),
        precision=settings.precision,
        rows=min(settings.batch_size, settings.n_drawn),
        listener=listener,
    )
    voice = make_voice(
        who.voice,
        networks=networks.for_voices(has_diffusion=decoder == "diffusion"),
        seed=who.seed,
        folders=folders,
        cache=VoiceCache(folder=user_cache_folder()),
        listener=listener,
    )
    diffusion = files.reports["codes-to-spec"].config if decoder == "diffusion" else None
    voice.require_fits(files.reports["text-to-codes"].config, diffusion)
    return Speaker(networks, voice, decoder=decoder, listener=listener)
