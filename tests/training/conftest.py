"""Tiny runs: generated voices, recipes of a few steps, and a server that trains in processes one may kill."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from building.models import JUDGES, LAYERS, generator_config, text_to_spec_config
from building.sounds import record, vowel
from retimbre.audio.mel import MelSpec, log_mel, mel_librosa
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.batch import Item
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.batch import VocoderItem
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.model import Generator
from retimbre.recipe.recipe import Data, Recipe
from retimbre.recipe.training import Optimiser, Training
from retimbre.training.fastspeech2 import text_to_spec_job
from retimbre.training.freezing import freeze
from retimbre.training.hifigan import spec_to_wav_job
from retimbre.training.job import Job
from retimbre.training.run import Finished, resume, start

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"
SIZES: dict[str, dict[str, Any]] = {
    "text-to-spec": {
        "text_to_spec": {"dim": 8, "n_layers": 1, "n_heads": 2, "feedforward_dim": 16, "dropout": 0.3},
        "training": {"batch_size": 2, "optimiser": {"learning_rate": 0.01}},
    },
    "spec-to-wav": {
        "spec_to_wav": {
            "upsample_rates": [8, 8],
            "upsample_kernels": [16, 16],
            "initial_channels": 8,
            "resblock": "2",
            "resblock_kernels": [3],
            "resblock_dilations": [[1, 3]],
        },
        "discriminators": {"width": 0.02, "periods": [2], "n_scales": 1},
        "training": {"batch_size": 2, "segment_frames": 8, "optimiser": {"learning_rate": 0.01}},
    },
}
EVERY_FEW_STEPS = {
    "steps": 12,
    "log_every_steps": 1,
    "validate_every_steps": 4,
    "checkpoint_every_steps": 3,
    "keep_checkpoints": 2,
    "validate_at_most": 1,
}


def voice(duration_s: float, f0_hz: float, seed: int) -> np.ndarray:
    """A vowel between two silences."""
    return vowel(
        duration_s, f0_hz=f0_hz, seed=seed, gain=lambda time_s: np.sin(math.pi * time_s / duration_s) ** 0.5
    )


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with seven recordings and their list."""
    waves = {f"u{n}": voice(0.5 + 0.07 * n, 110 + 12 * n, seed=n) for n in range(7)}
    folder = record(tmp_path_factory.mktemp("voices"), waves)
    rows = [f"u{n}|{'abc de'[: 3 + n % 4]} {'fgh'[n % 3]}.\n" for n in range(7)]
    (folder / "metadata.csv").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture
def recipe_file(voices: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a recipe of one stage: recipe_file("spec-to-wav", name="a", steps=5)."""

    def write(stage: str, *, name: str = "run", **training: Any) -> Path:
        content = {
            "stage": stage,
            "name": name,
            "runs": str(tmp_path / "runs"),
            "data": {
                "recordings": str(voices),
                "filelist": str(voices / "metadata.csv"),
                "preprocessed": str(voices / "preprocessed"),
                "held_out": ["u3"],
            },
        } | SIZES[stage]
        content["training"] = {**SIZES[stage]["training"], **EVERY_FEW_STEPS, **training}
        path = tmp_path / f"{stage}-{name}.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    return write


@dataclass
class RunServer:
    """run_server.py in a process of its own: one training at a time."""

    folder: Path
    process: "subprocess.Popen[str]"
    last: int = 0
    is_busy: bool = field(default=False)

    @property
    def log(self) -> Path:
        """What the last trainings wrote to their terminal."""
        return self.folder / "log.txt"

    def begin(self, recipe: Path, **order: Any) -> int:
        """Start a training; its process id."""
        assert not self.is_busy
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"recipe": str(recipe), "log": str(self.log), **order}) + "\n")
        self.process.stdin.flush()
        self.is_busy = True
        self.last = int(self._answer()["process"])
        return self.last

    def end(self) -> int:
        """Wait for it; its exit status, negative if a signal ended it."""
        status = int(self._answer()["status"])
        self.is_busy = False
        return status

    def train(self, recipe: Path, **order: Any) -> None:
        """A whole training, which must succeed."""
        self.begin(recipe, **order)
        status = self.end()
        assert status == 0, self.log.read_text(encoding="utf-8")

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunServer]:
    """A server for the whole session: starting it costs as much as importing torch."""
    environment = os.environ | one_thread()
    process = subprocess.Popen(
        [sys.executable, str(HERE / "run_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    server = RunServer(tmp_path_factory.mktemp("server"), process)
    assert server._answer() == {"ready": True}
    yield server
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=60)
    assert process.stdout is not None
    process.stdout.close()


def one_thread() -> dict[str, str]:
    """Environment of a process in which sums are always taken in the same order."""
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Of a subprocess that trains."""
    return dict(os.environ) | one_thread()


def wait_for(condition: Callable[[], bool], *, at_most_s: float = 120.0) -> None:
    """Look again and again."""
    until = time.monotonic() + at_most_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("it did not happen")
        time.sleep(0.002)


@pytest.fixture
def logged_step() -> Callable[[Path, int], None]:
    """Wait until a run has logged a step: logged_step(run, 5)."""

    def wait(run: Path, step: int) -> None:
        metrics = run / "metrics.jsonl"
        wait_for(lambda: metrics.is_file() and f'"step": {step}, "kind": "training"' in metrics.read_text())

    return wait


def differences(one: Path, other: Path) -> list[str]:
    """In what two run folders differ: weights, optimisers, random generators, best scores, lines logged."""
    found = [f"{name} of {run.name}" for run in (one, other) for name in leftovers(run)]
    names = ["model.safetensors"]
    folders = [sorted(f.name for f in (run / "checkpoints").iterdir()) for run in (one, other)]
    if folders[0] != folders[1]:
        return [*found, f"checkpoints {folders[0]} and {folders[1]}"]
    for folder in folders[0]:
        names += [f"checkpoints/{folder}/{name}" for name in ("model.safetensors", "state.safetensors")]
        states = [
            json.loads((run / "checkpoints" / folder / "state.json").read_text()) for run in (one, other)
        ]
        for state in states:
            state["progress"].pop("seconds")
        found += [f"{folder}/state.json"] if states[0] != states[1] else []
    for name in names:
        found += [f"{name}: {tensor}" for tensor in unequal_tensors(one / name, other / name)]
    for name in ("latest", "metrics.jsonl", "lineage.json"):
        found += [name] if (one / name).read_text() != (other / name).read_text() else []
    return found


def unequal_tensors(one: Path, other: Path) -> list[str]:
    """Names of the tensors that are not the same in two files, bit for bit."""
    ours, theirs = load_file(one), load_file(other)
    if ours.keys() != theirs.keys():
        return [f"names {sorted(ours.keys() ^ theirs.keys())}"]
    return [name for name in ours if not same_bits(ours[name], theirs[name])]


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Also where a number is not a number."""
    return one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()


def leftovers(run: Path) -> list[str]:
    """Beginnings of files that nobody will ever finish."""
    return [str(path.relative_to(run)) for path in run.rglob(".*")]


@pytest.fixture(scope="session")
def compare() -> Callable[[Path, Path], list[str]]:
    """differences(one, other)"""
    return differences


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    """Sums are taken in the same order, and tiny networks do not wait for threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def settings() -> Callable[..., Training]:
    """Of a run of a few steps that does nothing on the way: settings(steps=4, learning_rate=0.1)."""

    def build(**changes: Any) -> Training:
        moving = {key: changes.pop(key) for key in list(changes) if key in Optimiser.model_fields}
        values: dict[str, Any] = {
            "steps": 4,
            "batch_size": 2,
            "segment_frames": 10,
            "log_every_steps": 1,
            "validate_every_steps": 1000,
            "checkpoint_every_steps": 1000,
            "optimiser": Optimiser(**({"learning_rate": 0.005} | moving)),
        }
        return Training(**(values | changes))

    return build


def tiny_mel() -> MelSpec:
    """Five bands, otherwise as EveryVoice's."""
    return mel_librosa(n_mels=5)


def recorded(n_frames: int, seed: int) -> Tensor:
    """Samples of a generated voice."""
    return torch.tensor(voice(n_frames * 256 / 22050 + 0.01, 110 + 20 * seed, seed), dtype=torch.float32)[
        : n_frames * 256
    ]


def text_to_spec_items(n: int) -> list[Item]:
    """Utterances of different length, spoken by random numbers."""
    draw = torch.Generator().manual_seed(5)
    items = []
    for number in range(n):
        n_frames = 20 + 7 * number
        items.append(
            Item(
                symbols=torch.randint(1, 12, (4 + number,), generator=draw),
                spec=torch.randn(5, n_frames, generator=draw) * 2 - 5,
                pitch=torch.randn(n_frames, generator=draw),
                energy=torch.randn(n_frames, generator=draw),
            )
        )
    return items


def spec_to_wav_items(n: int) -> list[VocoderItem]:
    """Generated voices with their specs."""
    samples = [recorded(20 + 7 * number, number) for number in range(n)]
    return [VocoderItem(spec=log_mel(wave, tiny_mel()), samples=wave) for wave in samples]


def text_to_spec(settings: Training, n_items: int) -> Job:
    """A tiny fastspeech2 with dropout and a post-net."""
    layers = replace(LAYERS, dropout=0.3)
    config = text_to_spec_config(12, n_mels=5, encoder=layers, decoder=layers, postnet_dim=6)
    model = FastSpeech2(config).train()
    freeze(model, settings.frozen)
    *training, held = text_to_spec_items(n_items + 1)
    description = Description(family="fastspeech2", sizes=sizes_of(config), spectrogram=tiny_mel())
    return text_to_spec_job(model, description, settings, training=training, validation={"held": held})


def spec_to_wav(settings: Training, n_items: int) -> Job:
    """A tiny hifigan with two discriminators."""
    config = generator_config(n_mels=5, resblock="2", resblock_dilations=((1, 3),))
    generator = Generator(config).train()
    discriminators = Discriminators(JUDGES).train()
    freeze(nn.ModuleDict({"generator": generator, "discriminators": discriminators}), settings.frozen)
    *training, held = spec_to_wav_items(n_items + 1)
    description = Description(family="hifigan", sizes=sizes_of(config), spectrogram=tiny_mel())
    return spec_to_wav_job(
        generator, discriminators, description, settings, training=training, validation={"held": held}
    )


@pytest.fixture
def tiny_job() -> Callable[..., Job]:
    """A tiny network with its data, the same each time: tiny_job("spec-to-wav", settings())."""

    def build(stage: str, settings: Training, *, n_items: int = 5) -> Job:
        torch.manual_seed(settings.seed)
        return (text_to_spec if stage == "text-to-spec" else spec_to_wav)(settings, n_items)

    return build


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe whose recordings nobody needs, because its job is at hand."""

    def build(stage: str, settings: Training, *, name: str = "run") -> Recipe:
        nothing = tmp_path / "nothing"
        data = Data(recordings=nothing, filelist=nothing)
        return Recipe(stage=stage, name=name, runs=tmp_path / "runs", data=data, training=settings)

    return build


@pytest.fixture
def begin(tiny_job: Callable[..., Job], tiny_recipe: Callable[..., Recipe]) -> Callable[..., Finished]:
    """Start a run of a tiny network: begin("spec-to-wav", settings())."""

    def run(stage, chosen, *, name="run", listener=None, is_resumed=False, change=lambda job: job):
        job = change(tiny_job(stage, chosen))
        how = resume if is_resumed else start
        return how(tiny_recipe(stage, chosen, name=name), job, listener=listener, device="cpu")

    return run
