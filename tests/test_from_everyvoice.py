"""The page for people who come from EveryVoice, walked through in a project of EveryVoice 0.5.0."""

import hashlib
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from retimbre.cli.main import run

PAGE = Path(__file__).resolve().parents[1] / "docs" / "from-everyvoice.md"


def digests(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shortened(words):
    short = {"train": ["-c", "training.max_steps=4"], "match": ["-c", "training.max_steps=4", "--anyway"]}
    return words + short.get(words[0], [])


def test_every_command_of_the_page_works_and_leaves_the_project_as_it_was(
    parity, tmp_path, monkeypatch, capsys
):
    shutil.copytree(parity("everyvoice_project"), tmp_path / "everyvoice")
    project = tmp_path / "everyvoice" / "project"
    before = digests(tmp_path)
    monkeypatch.chdir(project)
    block = re.search(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines = block.group(1).splitlines()

    assert len(lines) == 5
    for line in lines:
        program, *words = shlex.split(line)
        monkeypatch.setattr(sys, "argv", [program, *shortened(words)])
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code in (0, None), capsys.readouterr().err

    after = digests(tmp_path)
    assert before.items() <= after.items()
    ours = {path.relative_to("everyvoice/project").parts[0] for path in after.keys() - before.keys()}
    assert ours == {"runs", "synthesis_output"}
    assert (project / "runs" / "VocoderExperiment-base-matched" / "report.html").is_file()
