"""The door to the Hugging Face hub or a mirror of it (HF_ENDPOINT): nothing else imports huggingface_hub.

Its `hf_hub_download` begins anew after an interruption, makes a path of what the server calls the content,
and deletes the old file before it has the new one. So only its two requests are used, HEAD for the facts and
GET with a range; what arrives is written here. No token is ever sent: what is fetched is open to everybody.
"""

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path

import httpx2
from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import logging
from huggingface_hub.utils._fixes import WeakFileLock
from huggingface_hub.utils.tqdm import silent_tqdm

from retimbre import __version__
from retimbre.checkpoint.released import Released
from retimbre.errors import FetchError

OFFICIAL = "https://huggingface.co"
# Of every request. By default the hub is told what else is installed here; and bytes shall come as they are.
HEADERS = {"user-agent": f"retimbre/{__version__}", "accept-encoding": "identity"}
COMMIT, SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
OnBytes = Callable[[int], None]  # how many there are


@dataclass(frozen=True, kw_only=True)
class Remote:
    """What the server says of a file before it sends it; none of it is proven."""

    url: str
    commit: str | None
    etag: str
    size_bytes: int | None

    @property
    def announced_sha256(self) -> str | None:
        """Of large files the hub's name for the content is its hash."""
        return self.etag if SHA256.fullmatch(self.etag) else None


def is_offline() -> bool:
    """Did the user forbid connections, by HF_HUB_OFFLINE?"""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def address(file: Released, revision: str) -> str:
    """Where a browser would find the file."""
    endpoint = (os.environ.get("HF_ENDPOINT") or OFFICIAL).rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise FetchError(
            "HF_ENDPOINT is not the address of a server", expected=f"as in {OFFICIAL}", found=endpoint
        )
    return hf_hub_url(file.repository, file.path, revision=revision, endpoint=endpoint)


def look_up(file: Released, revision: str, *, do: str) -> Remote:
    """Commit, size and the server's name for the content.

    Args:
        do: What the user can do where this fails.

    Raises:
        FetchError: if the server does not tell.
    """
    logging.set_verbosity(ERROR)  # its warnings are said by us, in one line
    with _in_words(file, revision, do):
        found = get_hf_file_metadata(address(file, revision), headers=HEADERS, token=False)
    commit = found.commit_hash if found.commit_hash and COMMIT.fullmatch(found.commit_hash) else None
    size = found.size if found.size is not None and found.size >= 0 else None
    # From now on by the commit: a branch may move between this request and the next.
    url = address(file, commit or revision)
    return Remote(url=url, commit=commit, etag=found.etag or "", size_bytes=size)


def download(
    file: Released, remote: Remote, part: Path, *, limit_bytes: int, on_bytes: OnBytes, do: str
) -> None:
    """Fill `part`: what it holds already is not asked for again, and it keeps what arrives before a failure.

    Raises:
        FetchError: if the server does not send the file, or sends more than `limit_bytes`.
    """
    have = part.stat().st_size if part.exists() else 0
    if have and (remote.size_bytes is None or have > remote.size_bytes):
        part.unlink()  # nothing tells where it ends, or it is something else
    with _in_words(file, remote.commit or file.revision, do), _Bounded(part, limit_bytes, on_bytes) as sink:
        http_get(
            remote.url,
            sink,
            resume_size=sink.tell(),
            headers=HEADERS,
            expected_size=remote.size_bytes,
            tqdm_class=silent_tqdm,
        )


def alone(lock: Path) -> AbstractContextManager[object]:
    """Wait until no other process holds `lock`, then hold it for a block."""
    return WeakFileLock(lock)


class _Bounded(io.BufferedRandom):
    """A file that is gone on with at its end, tells how much it holds, and refuses more than it may hold."""

    def __init__(self, path: Path, limit_bytes: int, on_bytes: OnBytes) -> None:
        path.touch()
        super().__init__(io.FileIO(path, "r+"))
        self.seek(0, io.SEEK_END)
        self._path, self._limit_bytes, self._on_bytes = path, limit_bytes, on_bytes

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        if self.tell() + len(data) > self._limit_bytes:
            self._path.unlink(missing_ok=True)
            raise FetchError(
                "the server sends more than it announced or than the disk can take",
                expected=f"at most {self._limit_bytes:,} bytes",
                found="more",
                do="try again later, or another server (HF_ENDPOINT)",
            )
        written = super().write(data)
        self._on_bytes(self.tell())
        return written


@contextmanager
def _in_words(file: Released, revision: str, do: str) -> Iterator[None]:
    """Whatever goes wrong on the way to the server and back, as one sentence."""
    try:
        yield
    except RevisionNotFoundError:
        raise FetchError(
            f"{file.repository} has no revision '{revision}'", do="name a commit, a branch or a tag of it"
        ) from None
    except RemoteEntryNotFoundError:
        raise FetchError(f"{file.repository} has no {file.path} at revision {revision}", do=do) from None
    except HfHubHTTPError as error:
        raise _refused(file, error.response.status_code, do) from None
    except (httpx2.NetworkError, httpx2.TimeoutException, httpx2.ProxyError, OfflineModeIsEnabled) as error:
        raise no_connection(file, str(error), do) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        raise _nonsense(file, error, do) from None
    except OSError as error:
        if error.errno is not None:
            raise  # of the disk, not of the server
        raise _nonsense(file, error, do) from None


def no_connection(file: Released, why: str, do: str) -> FetchError:
    """The server cannot be reached."""
    return FetchError(
        f"there is no connection to fetch {file.local_name}",
        found=why or None,
        do=f"try again with one, or {do}",
    )


def _refused(file: Released, status: int, do: str) -> FetchError:
    if status in (401, 403, 404):
        what = f"the server does not give {file.path} of {file.repository} to everybody, or has none"
        return FetchError(what, found=f"HTTP {status}", do=do)
    return FetchError(
        f"the server failed to send {file.local_name}", found=f"HTTP {status}", do=f"try again later, or {do}"
    )


def _nonsense(file: Released, error: Exception, do: str) -> FetchError:
    said = " ".join(str(error).split())[:200]
    what = f"the server did not send {file.local_name} as announced"
    return FetchError(what, found=said or type(error).__name__, do=f"run the command again, or {do}")
