"""A released file arrives whole, right and only once; a server, good or bad, can do nothing else."""

import hashlib
import json
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import close_session, constants

from building.hub import COMMIT, NO_MORE, Hub, running
from retimbre import __version__
from retimbre.checkpoint import fetching
from retimbre.checkpoint.released import Released
from retimbre.errors import FetchError, NoRoom

CHUNK = 4096  # of a download; the last one that is not whole is lost when a connection ends
CONTENT = os.urandom(50 * CHUNK + 77)
RIGHT = hashlib.sha256(CONTENT).hexdigest()
KNOWN = Released(
    collection="tortoise",
    name="dvae",
    what="a model",
    repository="some/one",
    path=".models/dvae.pth",
    sha256=RIGHT,
)
UNKNOWN = replace(KNOWN, sha256=None)


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No waiting, no cache of the user's, and no internet: whatever is not on this machine fails at once."""
    for name, value in {
        "HF_HOME": str(tmp_path / "hf-home"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_TOKEN": "hf_secret",
        "HF_HUB_OFFLINE": "",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    connect = socket.socket.connect

    def only_here(self, address):
        assert address[0] == "127.0.0.1", f"a connection to {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    yield
    close_session()
    assert not (tmp_path / "hf-home").exists()


@pytest.fixture
def hub(monkeypatch):
    """A hub that has the file."""
    with running(Hub(files={"some/one/.models/dvae.pth": CONTENT})) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


def fetch(file, folder, *, revision=None, on_progress=lambda there, whole: None):
    return fetching.fetch(file, folder, revision=revision, on_progress=on_progress)


def refusal(file, folder, **how):
    """The one line that a user reads."""
    with pytest.raises(FetchError) as error:
        fetch(file, folder, **how)
    assert "\n" not in str(error.value)
    return str(error.value)


def visible(folder):
    return sorted(path.name for path in folder.glob("[!.]*"))


def parts(folder):
    return [path for path in (folder / ".incomplete").iterdir() if path.name != "lock"]


# ---- the usual way -----------------------------------------------------------------------------------------


def test_a_file_arrives_as_a_real_file_with_its_record(hub, folder):
    fetched = fetch(KNOWN, folder)

    path = folder / "dvae.pth"
    assert path.read_bytes() == CONTENT
    assert not path.is_symlink()
    assert not parts(folder)
    assert (fetched.path, fetched.was_there, fetched.sha256, fetched.commit) == (path, False, RIGHT, COMMIT)
    entry = json.loads((folder / "fetched.json").read_text())["dvae.pth"]
    assert entry.pop("fetched_at").endswith("+00:00")
    assert entry == {
        "repository": "some/one",
        "path": ".models/dvae.pth",
        "revision": "main",
        "commit": COMMIT,
        "sha256": RIGHT,
        "size_bytes": len(CONTENT),
        "licence": "Apache-2.0",
    }


@pytest.mark.parametrize("file", [KNOWN, UNKNOWN], ids=["known", "unknown"])
def test_a_file_that_is_there_is_used_without_a_single_request(file, hub, folder):
    first = fetch(file, folder)
    n_asked = len(hub.asked)

    again = fetch(file, folder)

    assert len(hub.asked) == n_asked
    assert again == replace(first, was_there=True)


def test_a_file_put_there_by_hand_is_used_and_if_unknown_that_is_said(hub, folder):
    folder.mkdir()
    (folder / "dvae.pth").write_bytes(CONTENT)

    assert fetch(KNOWN, folder).note == ""
    assert "not fetched by Retimbre" in fetch(UNKNOWN, folder).note
    assert hub.asked == []


def test_neither_a_token_nor_what_is_installed_here_is_told(hub, folder):
    with running(Hub(files=hub.files)) as storage:
        hub.moved_to = f"{storage.address}/some/one/resolve/main/.models/dvae.pth"
        fetch(KNOWN, folder)

    assert storage.gets()
    for _, _, headers in hub.asked + storage.asked:
        assert "authorization" not in headers
        assert "hf_secret" not in str(headers)
        assert headers["user-agent"] == f"retimbre/{__version__}"


def test_a_redirect_to_a_storage_server_is_followed(hub, folder):
    with running(Hub(files=hub.files)) as storage:
        hub.moved_to = f"{storage.address}/some/one/resolve/main/.models/dvae.pth"
        fetched = fetch(KNOWN, folder)

    assert fetched.path.read_bytes() == CONTENT
    assert fetched.commit == COMMIT


def test_after_the_commit_is_known_the_file_is_asked_for_by_it(hub, folder):
    fetch(KNOWN, folder)

    assert [(method, path.split("/")[4]) for method, path, _ in hub.asked] == [
        ("HEAD", "main"),
        ("GET", COMMIT),
    ]


def test_progress_rises_to_the_whole(hub, folder):
    heard = []
    fetch(KNOWN, folder, on_progress=lambda there, whole: heard.append((there, whole)))

    assert heard == sorted(heard)
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert len(heard) == 51


def test_an_empty_file_is_a_file(hub, folder):
    hub.files["some/one/.models/dvae.pth"] = b""

    assert fetch(UNKNOWN, folder).size_bytes == 0


def test_a_server_that_tells_no_commit_is_good_enough(hub, folder):
    hub.commit = None

    assert fetch(KNOWN, folder).commit is None


# ---- interrupted -------------------------------------------------------------------------------------------


def test_a_cut_connection_is_taken_up_where_it_ended(hub, folder):
    def cut_once(there, whole):
        hub.cut_after = None

    hub.cut_after = 20 * CHUNK + 5
    fetch(KNOWN, folder, on_progress=cut_once)

    assert [headers.get("range") for headers in hub.gets()] == [None, f"bytes={20 * CHUNK}-"]
    assert hub.sent == [20 * CHUNK + 5, len(CONTENT) - 20 * CHUNK]


def interrupted(hub, folder, file=KNOWN):
    """A download that Ctrl-C ends after ten chunks."""

    def at_ten(there, whole):
        if there == 10 * CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(file, folder, on_progress=at_ten)
    hub.asked.clear()
    hub.sent.clear()


def test_the_next_call_asks_only_for_the_rest(hub, folder):
    interrupted(hub, folder)
    assert visible(folder) == []
    assert [path.stat().st_size for path in parts(folder)] == [10 * CHUNK]

    fetch(KNOWN, folder)

    assert [headers.get("range") for headers in hub.gets()] == [f"bytes={10 * CHUNK}-"]
    assert hub.sent == [len(CONTENT) - 10 * CHUNK]
    assert (folder / "dvae.pth").read_bytes() == CONTENT
    assert not parts(folder)


def test_a_server_without_ranges_sends_all_of_it_again(hub, folder):
    interrupted(hub, folder)
    hub.ignores_range = True

    assert fetch(KNOWN, folder).path.read_bytes() == CONTENT


def test_nothing_is_gone_on_with_that_the_server_has_changed_since(hub, folder):
    interrupted(hub, folder, UNKNOWN)
    hub.files["some/one/.models/dvae.pth"] = new = os.urandom(len(CONTENT))

    assert fetch(UNKNOWN, folder).path.read_bytes() == new
    assert "range" not in hub.gets()[0]
    assert not parts(folder)


def test_all_that_has_arrived_is_not_asked_for_again(hub, folder):
    interrupted(hub, folder)
    parts(folder)[0].write_bytes(CONTENT)

    fetch(KNOWN, folder)

    assert hub.gets() == []


def test_a_damaged_beginning_is_found_and_the_next_call_begins_anew(hub, folder):
    interrupted(hub, folder)
    parts(folder)[0].write_bytes(b"x" * 10 * CHUNK)

    assert "is not what it must be" in refusal(KNOWN, folder)
    assert fetch(KNOWN, folder).sha256 == RIGHT


def test_of_two_at_once_one_fetches_and_the_other_uses_it(hub, folder):
    hub.hangs_after = 0
    results, first_is_done = [], threading.Event()

    def one():
        results.append(fetch(KNOWN, folder).was_there)
        first_is_done.set()

    first = threading.Thread(target=one)
    first.start()
    assert hub.hanging.wait(10)
    second = threading.Thread(target=one)
    second.start()
    hub.hangs_after = None
    hub.release.set()
    first.join(20)
    second.join(20)

    assert sorted(results) == [False, True]
    assert (folder / "dvae.pth").read_bytes() == CONTENT
    assert sum(hub.sent) == len(CONTENT)


# ---- wrong files -------------------------------------------------------------------------------------------


def test_a_wrong_file_is_refused_and_kept_aside(hub, folder):
    hub.files["some/one/.models/dvae.pth"] = wrong = os.urandom(3000)
    digest = hashlib.sha256(wrong).hexdigest()

    said = refusal(KNOWN, folder)

    assert all(part in said for part in (RIGHT, digest, "dvae.pth", "HF_ENDPOINT"))
    assert visible(folder) == [f"dvae.pth.wrong-{digest[:8]}"]
    assert (folder / f"dvae.pth.wrong-{digest[:8]}").read_bytes() == wrong


def test_a_file_that_is_not_what_the_server_announced_is_refused_too(hub, folder):
    hub.etag = "ab" * 32

    assert "which the server announced" in refusal(UNKNOWN, folder)
    assert "dvae.pth" not in visible(folder)


@pytest.mark.parametrize("file", [KNOWN, UNKNOWN], ids=["known", "unknown"])
def test_another_file_at_its_place_stays(file, hub, folder):
    fetch(file, folder)
    (folder / "dvae.pth").write_bytes(b"my own")
    n_asked = len(hub.asked)

    said = refusal(file, folder)

    assert RIGHT in said
    assert "Move it away" in said
    assert (folder / "dvae.pth").read_bytes() == b"my own"
    assert len(hub.asked) == n_asked


def test_a_good_file_stays_where_a_newer_one_fails(hub, folder):
    fetch(UNKNOWN, folder)
    hub.revisions.add("v2")
    hub.files["some/one/.models/dvae.pth"] = b"new"
    hub.etag = "ab" * 32

    refusal(UNKNOWN, folder, revision="v2")

    assert (folder / "dvae.pth").read_bytes() == CONTENT


def test_a_file_that_changed_upstream_is_reported(hub, folder):
    fetch(UNKNOWN, folder)
    (folder / "dvae.pth").unlink()
    hub.files["some/one/.models/dvae.pth"] = b"new"

    fetched = fetch(UNKNOWN, folder)

    assert RIGHT in fetched.note
    assert "another file than the one of" in fetched.note
    assert fetch(UNKNOWN, folder).was_there


def test_another_revision_replaces_what_was_fetched_but_nothing_else(hub, folder):
    fetch(UNKNOWN, folder)
    hub.revisions.add("v2")
    hub.files["some/one/.models/dvae.pth"] = b"new"

    assert fetch(UNKNOWN, folder, revision=COMMIT).was_there
    assert fetch(UNKNOWN, folder, revision="v2").path.read_bytes() == b"new"
    (folder / "fetched.json").unlink()
    assert "is another file" in refusal(UNKNOWN, folder, revision="v3")


@pytest.mark.parametrize("text", ["{", "[]", '{"dvae.pth": {"a": 1}}', '{"dvae.pth": 3}', "[" * 9000])
def test_a_damaged_record_is_named(text, hub, folder):
    fetch(UNKNOWN, folder)
    (folder / "fetched.json").write_text(text)

    assert f"rm {folder / 'fetched.json'}" in refusal(UNKNOWN, folder)


# ---- no connection, and servers that refuse ----------------------------------------------------------------


def test_offline_a_file_that_is_there_is_used(hub, folder, monkeypatch):
    fetch(KNOWN, folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    assert fetch(KNOWN, folder).was_there


@pytest.mark.parametrize("is_forbidden", [True, False], ids=["forbidden", "no network"])
def test_offline_a_missing_file_is_named_with_its_place_and_its_hash(is_forbidden, folder, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1" if is_forbidden else "")

    said = refusal(KNOWN, folder)

    assert said.startswith("there is no connection to fetch dvae.pth")
    for part in (
        "http://127.0.0.1:9/some/one/resolve/main/.models/dvae.pth",
        str(folder / "dvae.pth"),
        RIGHT,
    ):
        assert part in said
    assert ("HF_HUB_OFFLINE" in said) == is_forbidden
    assert not folder.exists()


def test_an_unknown_revision_is_named(hub, folder):
    assert "some/one has no revision 'v9'" in refusal(KNOWN, folder, revision="v9")


def test_a_file_that_the_repository_lacks_is_named(hub, folder):
    hub.files.clear()

    assert "some/one has no .models/dvae.pth at revision main" in refusal(KNOWN, folder)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_closed_repository_is_named_with_the_way_by_hand(status, hub, folder):
    hub.status = status

    said = refusal(KNOWN, folder)
    assert f"HTTP {status}" in said
    assert "everybody" in said
    assert str(folder / "dvae.pth") in said


@pytest.mark.parametrize("status", [500, 503, 418])
def test_a_failing_server_is_one_line(status, hub, folder):
    hub.status = status

    said = refusal(KNOWN, folder)
    assert f"HTTP {status}" in said
    assert "try again later" in said.lower()


def test_a_server_that_fails_half_way_leaves_what_has_arrived(hub, folder):
    def fail(there, whole):
        hub.status = 500

    hub.cut_after = 20 * CHUNK
    assert "HTTP 500" in refusal(KNOWN, folder, on_progress=fail)
    hub.status = hub.cut_after = None
    hub.sent.clear()

    fetch(KNOWN, folder)
    assert hub.sent == [len(CONTENT) - 20 * CHUNK]


def test_only_one_file_knows_the_hub():
    sources = Path(fetching.__file__).parents[1].rglob("*.py")

    assert [
        path.name
        for path in sources
        if "import huggingface_hub" in (text := path.read_text("utf-8")) or "from huggingface_hub" in text
    ] == ["hub.py"]


# ---- hostile servers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://[", "//", "http://127.0.0.1:9/"]
)
def test_a_redirect_to_anything_but_a_web_server_leads_nowhere(place, hub, folder):
    hub.moved_to = place

    refusal(KNOWN, folder)
    assert visible(folder) == []


def test_a_redirect_in_circles_ends(hub, folder):
    hub.moved_to = "/some/one/resolve/main/.models/dvae.pth"

    assert "as announced" in refusal(KNOWN, folder)


@pytest.mark.parametrize("etag", ["../../../escaped", "/etc/escaped", "a/b/c", "x" * 5000, ".."])
def test_no_name_of_the_server_becomes_a_path(etag, hub, folder):
    hub.etag, hub.commit = etag, "../../escaped"

    fetched = fetch(KNOWN, folder)

    assert fetched.commit is None
    assert visible(folder) == ["dvae.pth", "fetched.json"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["models"]


@pytest.mark.parametrize("path", ["../escaped.pth", "a/../../escaped.pth", "/escaped.pth"])
def test_the_last_part_of_a_path_is_the_name(path, hub, folder):
    hub.files[f"some/one/{path}"] = CONTENT

    assert replace(KNOWN, path=path).local_name == "escaped.pth"


def test_an_endless_body_ends_at_the_announced_size(hub, folder):
    hub.is_endless = True

    assert "more than it announced" in refusal(KNOWN, folder)
    assert visible(folder) == []
    assert not parts(folder)
    assert sum(hub.sent) < NO_MORE


def test_an_endless_body_of_unknown_size_ends_where_the_disk_would_be_full(hub, folder, monkeypatch):
    hub.is_endless = hub.tells_no_length = True
    room = fetching.RESERVE_BYTES + 300_000
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda place: type("Usage", (), {"free": room}))

    assert "at most 300,000 bytes" in refusal(KNOWN, folder)


@pytest.mark.parametrize("length", [10, len(CONTENT) + 5000])
def test_a_length_that_lies_is_refused(length, hub, folder):
    hub.length, hub.only_head_lies = length, True

    refusal(KNOWN, folder)
    assert visible(folder) == []


def test_a_file_too_large_for_the_disk_is_refused_before_it_is_asked_for(hub, folder):
    hub.length = 10**18

    with pytest.raises(NoRoom, match="too little room for dvae.pth"):
        fetch(KNOWN, folder)
    assert hub.gets() == []


def test_an_endpoint_that_is_no_address_is_named(folder, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")

    assert "HF_ENDPOINT" in refusal(KNOWN, folder)
