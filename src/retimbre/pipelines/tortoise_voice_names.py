"""What somebody calls a voice -> where it is: recordings, a saved voice, or none, for a random one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from retimbre.data.manifest import SOUND_ENDINGS
from retimbre.errors import DataError

RANDOM = "random"
AND = "&"  # between the names of voices whose mean is asked for
VOICE_ENDINGS = (".safetensors", ".pth")
N_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class FoundVoice:
    """Where a voice is: one of `recordings` and `file`, or neither for a random one."""

    name: str
    recordings: tuple[Path, ...] = ()
    file: Path | None = None

    @property
    def is_random(self) -> bool:
        """Whether nobody has this voice."""
        return not self.recordings and self.file is None


def find_voices(wanted: str, *, folders: Sequence[Path]) -> tuple[FoundVoice, ...]:
    """The voices of `a&b`, or the one that is wanted; a path with & in it that exists is one."""
    if _exists(Path(wanted)):
        return (find_voice(wanted, folders=folders),)
    return tuple(find_voice(name.strip(), folders=folders) for name in wanted.split(AND))


def find_voice(wanted: str, *, folders: Sequence[Path]) -> FoundVoice:
    """A voice by its path, by its name below one of `folders` (the first that has it), or `random`.

    A path is a recording, a saved voice, or a folder of recordings or of one saved voice; names begin where
    these lie. To hear a folder that is called `random`, write `./random`.

    Raises:
        DataError: if nothing is there, or nothing of use, or both recordings and a saved voice.
    """
    if wanted == RANDOM:
        return FoundVoice(name=RANDOM)
    path = next((path for path in _places(wanted, folders) if _exists(path)), None)
    if not wanted or path is None:
        raise _unknown(wanted, folders)
    return _in_folder(path) if path.is_dir() else _of_file(path)


def voice_names(folders: Sequence[Path]) -> tuple[str, ...]:
    """The names below the folders, sorted."""
    names = set[str]()
    for folder in folders:
        for path in _seen(folder) if folder.is_dir() else ():
            if path.is_dir():
                names.add(path.name)
            elif path.suffix.lower() in VOICE_ENDINGS:
                names.add(path.stem)
    return tuple(sorted(names))


def _places(wanted: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Where it may be, the likeliest first. A name never leads out of the folders."""
    yield Path(wanted)
    if Path(wanted).name != wanted:
        return
    for folder in folders:
        yield from (folder / wanted, *(folder / f"{wanted}{ending}" for ending in VOICE_ENDINGS))


def _in_folder(folder: Path) -> FoundVoice:
    recordings = _of_kind(folder, SOUND_ENDINGS)
    files = _of_kind(folder, VOICE_ENDINGS)
    name = folder.resolve().name
    if recordings and not files:
        return FoundVoice(name=name, recordings=recordings)
    if len(files) == 1 and not recordings:
        return FoundVoice(name=name, file=files[0])
    shown = [path.name for path in (*files, *recordings)][:N_SHOWN]
    raise DataError(
        f"{folder} is no voice",
        expected=f"recordings ({_listed(SOUND_ENDINGS)}), or one saved voice ({_listed(VOICE_ENDINGS)})",
        found=_listed(shown) or "none of them",
        do="keep either in it" if files else "put recordings of the voice into it",
    )


def _of_file(path: Path) -> FoundVoice:
    if path.suffix.lower() in SOUND_ENDINGS:
        return FoundVoice(name=path.stem, recordings=(path,))
    return FoundVoice(name=path.stem, file=path)


def _of_kind(folder: Path, endings: Sequence[str]) -> tuple[Path, ...]:
    return tuple(path for path in _seen(folder) if path.suffix.lower() in endings and path.is_file())


def _seen(folder: Path) -> list[Path]:
    """What is not hidden: archives of macOS hold a `._name.wav` beside each `name.wav`."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be looked into", found=error.strerror or str(error)) from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a whole sentence is too long for a name
        return False


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)


def _unknown(wanted: str, folders: Sequence[Path]) -> DataError:
    names = voice_names(folders)
    near = get_close_matches(wanted, names, n=1)
    more = f" and {len(names) - N_SHOWN} more" if len(names) > N_SHOWN else ""
    below = _listed(map(str, folders)) or "no folder of voices"
    return DataError(
        f"there is no voice '{wanted}'",
        expected=f"a path, {RANDOM}, or a name below {below}",
        found=_listed(names[:N_SHOWN]) + more if names else "no voices there",
        do=f"write {near[0]}" if near else "name a folder with recordings of the voice",
    )
