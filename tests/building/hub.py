"""A server on this machine that answers like the Hugging Face hub: HEAD and GET of a file."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

NO_MORE = 50_000_000  # bytes of an endless body: a test that fails must not fill the disk
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What it has, how it behaves, and what it was asked; all may be changed while it runs."""

    files: dict[str, bytes] = field(default_factory=dict)  # 'REPOSITORY/PATH' -> content
    revisions: set[str] = field(default_factory=lambda: {"main", COMMIT})
    address: str = ""
    commit: str | None = COMMIT
    etag: str | None = None  # instead of the hash
    status: int | None = None  # of every answer
    moved_to: str | None = None  # where GET, and HEAD too, are sent
    length: int | None = None  # announced instead of the true one
    only_head_lies: bool = False
    tells_no_length: bool = False
    cut_after: int | None = None  # bytes of a body, then the connection ends
    hangs_after: int | None = None  # bytes of a body, then nothing until `release`
    is_endless: bool = False
    ignores_range: bool = False
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)  # bytes of each body
    release: threading.Event = field(default_factory=threading.Event)
    hanging: threading.Event = field(default_factory=threading.Event)

    def gets(self) -> list[dict[str, str]]:
        """The headers of each GET."""
        return [headers for method, _, headers in self.asked if method == "GET"]


@contextlib.contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serve on a free port of this machine for a block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:  # noqa: N802
            self.answer(with_body=False)

        def do_GET(self) -> None:  # noqa: N802
            with contextlib.suppress(ConnectionError):
                self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            hub.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            repository, _, rest = unquote(self.path).lstrip("/").partition("/resolve/")
            revision, _, path = rest.partition("/")
            content = hub.files.get(f"{repository}/{path}")
            if hub.status is not None:
                self.refuse(hub.status)
            elif revision not in hub.revisions:
                self.refuse(404, "RevisionNotFound")
            elif content is None:
                self.refuse(404, "EntryNotFound")
            else:
                self.give(content, with_body=with_body)

        def refuse(self, status: int, code: str = "") -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def give(self, content: bytes, *, with_body: bool) -> None:
            start = self.start_of_range()
            moved = hub.moved_to is not None
            self.send_response(302 if moved else 206 if start else 200)
            etag = hub.etag or sha256(content).hexdigest()
            self.send_header("ETag", f'"{etag}"')
            if hub.commit:
                self.send_header("X-Repo-Commit", hub.commit)
            if moved:
                self.send_header("Location", hub.moved_to or "")
                self.send_header("X-Linked-Size", str(len(content)))
                self.send_header("X-Linked-ETag", f'"{etag}"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_header("Accept-Ranges", "bytes")
            lies = hub.length is not None and not (with_body and hub.only_head_lies)
            length = hub.length if lies else len(content) - start
            if not hub.tells_no_length and not (hub.is_endless and with_body):
                self.send_header("Content-Length", str(length))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if with_body:
                self.send_body(content[start:])

        def start_of_range(self) -> int:
            asked = self.headers.get("Range", "")
            return 0 if hub.ignores_range or not asked else int(asked.removeprefix("bytes=").rstrip("-"))

        def send_body(self, body: bytes) -> None:
            if hub.hangs_after is not None:
                self.write(body[: hub.hangs_after])
                hub.hanging.set()
                hub.release.wait(30)
                return
            if hub.cut_after is not None:
                self.write(body[: hub.cut_after])
                return
            self.write(body)
            while hub.is_endless and sum(hub.sent) < NO_MORE:
                self.write(body)

        def write(self, data: bytes) -> None:
            hub.sent.append(len(data))  # before it goes: who has it finds it counted
            self.wfile.write(data)
            self.wfile.flush()

    return Handler
