"""VoiceCache: what was heard in recordings is not heard again while nothing has changed."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import AudioError, CheckpointError, DataError
from retimbre.jobs.listener import Listener, Silent
from retimbre.pipelines.tortoise_voice_clips import FRONT_END
from retimbre.pipelines.tortoise_voice_files import save_voice, voice_from_file
from retimbre.pipelines.tortoise_voices import TortoiseVoice

KEPT_AS = "kept_as"  # in `source`: the name in the cache


@dataclass(frozen=True, kw_only=True)
class VoiceCache:
    """A folder of voices, each under the hash of all that it depends on. It may be deleted at any time."""

    folder: Path

    def voice(
        self,
        paths: Sequence[Path],
        make: Callable[[], TortoiseVoice],
        *,
        hashes: Mapping[str, str],
        seed: int,
        listener: Listener | None = None,
    ) -> TortoiseVoice:
        """The voice of these recordings, made by `make` unless it is here.

        A file that is damaged, or is another voice, is made again and replaced. Where nothing can be written,
        the voice is only made.

        Args:
            make: Gives the voice of `paths` as these networks hear it with this seed.
            hashes: By the role of each network that hears: the SHA-256 of its file, and whatever else
                decides what it computes, such as what the user has stated about it.

        Raises:
            AudioError: if a recording cannot be read.
        """
        if not hashes:
            raise ValueError("hashes is empty: voices of different models would be taken for each other")
        listener = listener or Silent()
        key = _key(paths, hashes, seed)
        path = self.folder / f"{key}.safetensors"
        found = _kept(path, key, listener)
        if found:
            listener.say("Voice", f"{len(paths)} recordings, heard before ({path})")
            return found
        made = make()
        voice = replace(made, source={**made.source, KEPT_AS: key})
        try:
            save_voice(voice, path)
        except CheckpointError as error:
            listener.say("Voice", f"it is not kept for the next time: {error}")
        return voice


def user_cache_folder() -> Path:
    """Where voices are kept unless told otherwise: `retimbre/voices` in the user's folder for caches.

    Raises:
        DataError: if the system knows no home of this user.
    """
    if os.environ.get("XDG_CACHE_HOME", "").startswith("/"):
        caches = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        caches = Path(os.environ["LOCALAPPDATA"])
    else:
        caches = _home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return caches / "retimbre" / "voices"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise DataError(
            "there is no folder for voices to be kept in",
            found=str(error),
            do="set XDG_CACHE_HOME to a folder",
        ) from error


def _key(paths: Sequence[Path], hashes: Mapping[str, str], seed: int) -> str:
    """The hash of all that a voice depends on. The order of the recordings is none of it."""
    facts = [FRONT_END, seed, sorted(map(_sha256, paths)), sorted(hashes.items())]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise AudioError(f"{path} cannot be read", found=error.strerror or str(error)) from error


def _kept(path: Path, key: str, listener: Listener) -> TortoiseVoice | None:
    if not path.exists():
        return None
    try:
        voice = voice_from_file(path)
    except CheckpointError as error:
        listener.say("Voice", f"heard again, since what was kept cannot be used: {error}")
        return None
    if voice.source.get(KEPT_AS) != key:
        listener.say("Voice", f"heard again, since {path} is another voice")
        return None
    return voice
