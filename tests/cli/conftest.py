"""A tiny project: recordings, checkpoints of both stages, recipes; and the command line, in this process."""

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from building.models import STATS, generator_config, save_text_to_spec, save_vocoder, text_to_spec_config
from building.sounds import RATE_HZ, vowel
from retimbre.audio.mel import MelSpec
from retimbre.cli.main import run
from retimbre.text.symbols import everyvoice_symbols

TEXTS = ("one two.", "three", "four five", "six", "seven, eight", "nine ten", "eleven", "twelve!")
KNOWN_LETTERS = "abcdefghijklmnoprstuvwxyz"  # no q


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what went wrong; nothing follows it, and there is no traceback."""
        assert self.code == 1, (self.code, self.err)
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert self.err.endswith(f"{lines[0]}\n"), self.err
        return lines[0]


@dataclass(frozen=True)
class Project:
    """A folder with everything that the commands need; its methods break parts of it."""

    root: Path

    recordings = property(lambda self: self.root / "recordings")
    filelist = property(lambda self: self.root / "metadata.csv")
    preprocessed = property(lambda self: self.root / "preprocessed")
    runs = property(lambda self: self.root / "runs")
    text_to_spec = property(lambda self: self.root / "text-to-spec.safetensors")
    vocoder = property(lambda self: self.root / "vocoder.safetensors")
    exported = property(lambda self: self.root / "exported.safetensors")
    tuning = property(lambda self: self.root / "text-to-spec.yaml")
    matching = property(lambda self: self.root / "spec-to-wav.yaml")

    def say(self, *texts: str) -> None:
        """Rewrite the list: the utterances u0, u1, … say these texts."""
        lines = [f"u{number}|{text}|{text}\n" for number, text in enumerate(texts)]
        self.filelist.write_text("".join(lines), encoding="utf-8")

    def record(self, name: str, wave: np.ndarray, rate_hz: int = RATE_HZ, subtype: str | None = None) -> None:
        """Replace a recording."""
        soundfile.write(self.recordings / f"{name}.wav", wave, rate_hz, subtype=subtype)

    def changed(self, recipe: Path, **changes: Any) -> Path:
        """The recipe with other values: `training__steps=3` is `training: {steps: 3}`."""
        values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        for key, value in changes.items():
            *parents, last = key.split("__")
            place = values
            for name in parents:
                place = place.setdefault(name, {})
            place[last] = value
        recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
        return recipe

    def vocoder_of(self, mel: MelSpec) -> Path:
        """A vocoder of another spectrogram."""
        path = self.root / "other.safetensors"
        return save_vocoder(path, generator_config(n_mels=mel.n_mels), mel=mel)

    def files(self, *, but: tuple[str, ...] = ()) -> dict[str, str]:
        """SHA-256 of every file by its path in the project, except for paths that begin with one of `but`."""
        paths = {str(path.relative_to(self.root)): path for path in self.root.rglob("*") if path.is_file()}
        return {
            name: hashlib.sha256(path.read_bytes()).hexdigest()
            for name, path in sorted(paths.items())
            if not name.startswith(but or ("/",))
        }


def call(*words: object) -> Ended:
    """`retimbre WORDS`, in this process."""
    out, err = io.StringIO(), io.StringIO()
    before, code = sys.argv, 0
    sys.argv = ["retimbre", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.argv = before
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def finished_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project, prepared; nothing may write into it."""
    project = Project(tmp_path_factory.mktemp("tiny") / "project")
    project.recordings.mkdir(parents=True)
    for number in range(len(TEXTS)):
        project.record(f"u{number}", voice(duration_s=0.7 + 0.05 * number, seed=number))
    project.say(*TEXTS)
    symbols = everyvoice_symbols(characters=tuple(KNOWN_LETTERS)).symbols
    save_text_to_spec(
        project.text_to_spec, text_to_spec_config(len(symbols)), symbols=symbols, stats=STATS, step=7
    )
    save_vocoder(project.vocoder, generator_config(), step=5)
    save_vocoder(project.exported, generator_config(), has_discriminators=False, step=5)
    data = {"recordings": "recordings", "filelist": "metadata.csv", "held_out": ["u1", "u4"]}
    data["trims_silence"] = False
    training = {"steps": 3, "batch_size": 2, "checkpoint_every_steps": 2, "validate_every_steps": 2}
    tuning = {"stage": "text-to-spec", "name": "tune", "base": project.text_to_spec.name}
    matching = {"stage": "spec-to-wav", "name": "match", "base": project.vocoder.name}
    matching["discriminators"] = {"width": 0.02, "periods": [2], "n_scales": 1}
    project.tuning.write_text(yaml.safe_dump(tuning | {"data": data, "training": training}))
    training = training | {"segment_frames": 16}
    project.matching.write_text(yaml.safe_dump(matching | {"data": data, "training": training}))
    ended = call("preprocess", "spec-to-wav", project.matching, "--cpus", 1)
    assert ended.code == 0, ended.err
    return project


@pytest.fixture
def project(finished_project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the prepared project; the working directory is an empty folder beside it."""
    copy = Project(tmp_path / "project")
    shutil.copytree(finished_project.root, copy.root)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return copy


@pytest.fixture(scope="session")
def retimbre() -> Callable[..., Ended]:
    """The command line: retimbre("train", …)."""
    return call


@pytest.fixture
def speak() -> Callable[..., np.ndarray]:
    """A generated voice: speak(duration_s=1.0, rate_hz=16000, seed=3)."""
    return voice


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """A place of a few kilobytes, or one that may only be read: small_disk(9, is_read_only=True)."""
    mounted: list[Path] = []

    def mount(n_kilobytes: int, *, is_read_only: bool = False) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        if is_read_only and os.geteuid() != 0:
            place.chmod(0o555)  # enough for everybody but root
            return place
        options = f"size={n_kilobytes}k{',ro' if is_read_only else ''}"
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
        try:
            subprocess.run(command, capture_output=True, text=True, check=True)
        except FileNotFoundError:
            pytest.skip("there is no command 'mount' here, so there is no disk to fill")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this user may not mount a small disk to fill: {error.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def voice(*, duration_s: float = 0.8, rate_hz: int = RATE_HZ, seed: int = 0) -> np.ndarray:
    """A vowel, higher with each seed."""
    return vowel(duration_s, f0_hz=120 + 10 * seed, seed=seed, rate_hz=rate_hz)
