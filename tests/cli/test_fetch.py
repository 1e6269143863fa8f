"""The command fetches, lists and explains; without a network it still says what to do."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from huggingface_hub import close_session

from building.hub import COMMIT, Hub, running
from retimbre.checkpoint.released import RELEASED, chosen

CONTENT = os.urandom(5000)


@pytest.fixture(autouse=True)
def no_internet(monkeypatch, tmp_path):
    """Nobody listens at this address, and the working directory is empty."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    close_session()


@pytest.fixture
def hub(monkeypatch):
    """A hub that has a file under each released name; all are wrong where a checksum is known."""
    files = {f"{file.repository}/{file.path}": CONTENT for file in RELEASED}
    with running(Hub(files=files, revisions={COMMIT, *(file.revision for file in RELEASED)})) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def test_a_collection_comes_into_a_folder_of_its_name(hub, retimbre, tmp_path):
    ended = retimbre("fetch", "hifigan")

    assert ended.code == 0, ended.err
    folder = tmp_path / "here" / "models" / "hifigan"
    assert sorted(path.name for path in folder.glob("[!.]*")) == [
        "config.json",
        "do_02500000",
        "fetched.json",
        "g_02500000",
    ]
    assert ended.out.count("\n") == 3
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert f"models/hifigan/g_02500000: fetched, 5.0 kB, commit {COMMIT[:8]}" in ended.out
    assert f"sha256 {digest} found; there is no known one" in ended.out
    assert "MIT" in ended.out
    assert "Fetch" in ended.err  # progress


def test_one_file_comes_into_a_folder_of_the_users(hub, retimbre, tmp_path):
    ended = retimbre("fetch", "tortoise", "vocoder", "-o", "a/b", "--json")

    assert ended.code == 0, ended.err
    (fetched,) = json.loads(ended.out)
    assert (tmp_path / "here" / "a" / "b" / "vocoder.pth").read_bytes() == CONTENT
    assert fetched["path"] == "a/b/vocoder.pth"
    assert fetched["status"] == "fetched"
    assert fetched["is_checksum_known"] is False
    again = json.loads(retimbre("fetch", "tortoise", "vocoder", "-o", "a/b", "--json").out)
    assert again == [fetched | {"status": "already there"}]


def test_each_file_is_asked_for_at_its_revision_or_at_the_users(hub, retimbre):
    retimbre("fetch", "tortoise", "hifidecoder", "-o", "known")
    hub.revisions.add("v2")
    retimbre("fetch", "tortoise", "hifidecoder", "-o", "own", "--revision", "v2")

    asked = [path.split("/")[4] for method, path, _ in hub.asked if method == "HEAD"]
    assert asked == [chosen("tortoise", ["hifidecoder"])[0].revision, "v2"]


def test_a_wrong_file_ends_in_one_line(hub, retimbre, tmp_path):
    ended = retimbre("fetch", "tortoise", "dvae")

    assert "a990825371506c16bcf0e8167bf24ccf82f65bb6a1dbcbfcf058d76f9b197e35" in ended.error
    names = [path.name for path in (tmp_path / "here" / "models" / "tortoise").glob("[!.]*")]
    assert names == [f"dvae.pth.wrong-{hashlib.sha256(CONTENT).hexdigest()[:8]}"]


def test_without_a_network_the_line_says_what_to_do(retimbre):
    error = retimbre("fetch", "tortoise", "mel_norms").error

    assert "no connection" in error
    assert "models/tortoise/mel_norms.pth" in error
    assert "1f69422a8a8f344c4fca2f0c6b8d41d2151d6615b7321e48e6bb15ae949b119c" in error


def test_names_that_are_not_there_are_answered(retimbre):
    assert "Did you mean tortoise?" in retimbre("fetch", "tortois").error
    assert "Did you mean clvp2?" in retimbre("fetch", "tortoise", "clvp").error
    assert "say what to fetch: expected tortoise, hifigan" in retimbre("fetch").error


def test_the_list_needs_no_network(retimbre):
    ended = retimbre("fetch", "--list")

    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0].split() == ["name", "file", "size", "checksum", "licence", "what"]
    assert len(lines) == len(RELEASED) + 1
    (dvae,) = [line for line in lines if line.startswith("tortoise  dvae ")]
    assert "240 MB" in dvae
    assert "known" in dvae
    assert retimbre("fetch", "hifigan", "--list").out.count("\n") == 4
    listed = json.loads(retimbre("fetch", "tortoise", "dvae", "--list", "--json").out)
    assert listed[0]["revision"] == "3704aea61678e7e468a06d8eea121dba368a798e"


def test_help_and_list_load_nothing_that_they_do_not_need():
    code = """
import sys
from retimbre.cli.main import run
for words in (["fetch", "--help"], ["fetch", "--list"]):
    sys.argv = ["retimbre", *words]
    try:
        run()
    except SystemExit as end:
        assert not end.code, end.code
heavy = {"torch", "huggingface_hub", "httpx2"} & sys.modules.keys()
assert not heavy, heavy
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr


def test_after_ctrl_c_the_rest_is_enough(hub, retimbre, tmp_path):
    content = os.urandom(25 * 1024**2)
    hub.files["Manmay/tortoise-tts/vocoder.pth"] = content
    hub.hangs_after = 21 * 1024**2
    command = [sys.executable, "-m", "retimbre", "fetch", "tortoise", "vocoder"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has what it runs in the background ignore Ctrl-C, and that is handed down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert hub.hanging.wait(120), process.poll()
        folder = tmp_path / "here/models/tortoise/.incomplete"
        while sum(path.stat().st_size for path in folder.iterdir()) < 20 * 1024**2:
            time.sleep(0.01)  # two chunks of 10 MiB are written soon
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    hub.hangs_after = None
    hub.sent.clear()

    assert retimbre("fetch", "tortoise", "vocoder").code == 0
    assert hub.sent == [5 * 1024**2]
    assert (tmp_path / "here/models/tortoise/vocoder.pth").read_bytes() == content
