"""What the documentation tells to type, runs: every command, every piece of Python, every example."""

import contextlib
import io
import re
import runpy
import shlex
import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase

import pytest
import soundfile
import yaml

from building.adapters import save_adapter
from building.conversion import EVERYVOICE_SIZES
from building.models import STATS, generator_config, save_text_to_spec, save_vocoder, text_to_spec_config
from building.sounds import record, vowel
from building.tortoise_set import tiny_tortoise_set
from retimbre.cli.main import run
from retimbre.matching import plan, quickstart
from retimbre.pipelines.tortoise_settings import PRESETS, Settings
from retimbre.starter import find
from retimbre.text.normalise import TextRules
from retimbre.text.symbols import everyvoice_symbols

ROOT = Path(__file__).resolve().parents[1]
README, GUIDE, PYTHON = ROOT / "README.md", ROOT / "docs" / "fine-tuning.md", ROOT / "docs" / "python.md"
SPEAKING = ROOT / "docs" / "speaking.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FROM_EVERYVOICE = ROOT / "docs" / "from-everyvoice.md"  # needs a project of EveryVoice: its own test
# The guide itself is the fixture `guided`.
WITH_COMMANDS = [page for page in PAGES if page not in (GUIDE, FROM_EVERYVOICE)]

# Commands that no test runs, each with its reason.
NOT_RUN = {
    ". .venv/bin/activate": "belongs to the shell; the tests run in such an environment already",
    "tensorboard --logdir runs": "a server of another project; that runs/*/events are written is tested",
    "retimbre fetch tortoise dvae": "needs the internet; tests/cli/test_fetch.py has a server of its own",
    "retimbre fetch hifigan": "the same",
    "retimbre fetch tortoise": "the same",
    "retimbre inspect models/tortoise/autoregressive.pth --assume heads=16": "needs a released file; "
    "tests/cli/test_inspect.py states heads of a small one",
    "retimbre inspect models/tortoise/autoregressive.pth models/tortoise/dvae.pth --probe clip.wav "
    '--text "What is said in it."': "the same; tests/pipelines/test_probe.py trains a small one first",
}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Command:
    """One line of a block of commands."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line)

    @property
    def run_name(self) -> str | None:
        """The run that it makes, if it makes a new one."""
        words = self.words
        if words[1] not in ("train", "match") or {"--resume", "--dry-run"} & set(words):
            return None
        named = [word.removeprefix("name=") for word in words if word.startswith("name=")]
        recipes = [ROOT / "recipes" / word for word in words if word.endswith(".yaml")]
        ready = [yaml.safe_load(text_of(path))["name"] for path in recipes if path.is_file()]
        return (*named, *ready, "my-voice")[0]

    @property
    def shortened(self) -> list[str]:
        """The same with a few steps, and trained even if tiny models have nothing to gain."""
        words = self.words[1:]
        is_longer = "--resume" in words and any(word.startswith("training.steps=") for word in words)
        steps = 3 if is_longer else 2
        short = [
            "-c",
            f"training.steps={steps}",
            "-c",
            "training.batch_size=2",
            "-c",
            "training.segment_frames=16",
        ]
        return {
            "train": [*words, *short],
            "match": [*words, *short, "--anyway"],
            "quickstart": [*words, "--minutes", "0.5"],
        }.get(words[0], words)


def blocks(page: Path, *kinds: str) -> list[str]:
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text_of(page), re.M | re.S)
    return [textwrap.dedent(text) for _, kind, text in found if kind in kinds]


def commands(page: Path) -> list[Command]:
    """What a reader would type: each line of a sh block, and each line after '$ ' in a console block."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    for block in blocks(page, "console"):
        lines += [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    return [Command(page.name, line.partition(" #")[0].strip()) for line in lines if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_run_or_named_with_a_reason(page):
    targets = re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), re.M)
    for command in commands(page):
        program, *rest = command.words
        if program == "make":
            assert set(rest) <= set(targets), command.line
        else:
            assert program == "retimbre" or command.line in NOT_RUN, command.line
    for block in blocks(page, ""):
        assert not re.search(r"^(\$ )?(retimbre|make) ", block, re.M), (
            f"say which kind of block this is: {block}"
        )


def call(words: list[str]) -> str:
    """`retimbre WORDS` in this process; empty, or what went wrong."""
    out, err, before, code = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = ["retimbre", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.argv = before
    return f"{shlex.join(words)}\n{err.getvalue()}" if code else ""


def run_all(page: Path, folder: Path) -> list[str]:
    """Every retimbre command of a page, in its order, in a project folder; what went wrong."""
    for block in blocks(page, "yaml"):
        first = block.partition("\n")[0].removeprefix("# ")
        ready = [path.name for path in (ROOT / "recipes").glob("*.yaml") if text_of(path) == block]
        (folder / (ready or [first])[0]).write_text(block, encoding="utf-8")
    ours = [command for command in commands(page) if command.words[0] == "retimbre"]
    todo = [command for command in ours if command.line not in NOT_RUN]
    for command in todo:
        if command.run_name:  # the page starts without its own runs, and may not make one twice
            shutil.rmtree(folder / "runs" / command.run_name, ignore_errors=True)
    with contextlib.chdir(folder):
        return [problem for command in todo if (problem := call(command.shortened))]


def shorten(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Plans and the quickstart stop after a few steps, and the starter voice is a tiny one."""
    patch.setattr(plan, "FEWEST_STEPS", 2)
    patch.setattr(plan, "MOST_STEPS", 2)
    patch.setattr(quickstart, "MOST_TUNING_STEPS", 2)
    patch.setattr(find, "FOLDER", folder / "starter")
    patch.setitem(PRESETS, "fast", Settings(n_drawn=3, n_steps=2, max_codes=20))
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """The folder that the guide asks for, with tiny checkpoints and generated recordings."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    for name in ("checkpoints", "starter"):
        (folder / name).mkdir(parents=True)
    record(folder / "wavs", {f"u{n}": vowel(0.8, f0_hz=120 + 8 * n, seed=n) for n in range(9)})
    lines = [f"u{n}|{'one two three'[: 5 + n]}\n" for n in range(9)]
    (folder / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    (folder / "texts.txt").write_text("one.\ntwo three.\n", encoding="utf-8")
    symbols, rules = everyvoice_symbols(characters=ascii_lowercase).symbols, TextRules(cleaners=("lower",))
    text_to_spec = save_text_to_spec(
        folder / "starter" / "text_to_spec.safetensors",
        text_to_spec_config(len(symbols), **EVERYVOICE_SIZES),
        symbols=symbols,
        text_rules=rules,
        stats=STATS,
    )
    vocoder = save_vocoder(folder / "starter" / "spec_to_wav.safetensors", generator_config())
    tiny_tortoise_set(folder / "models" / "tortoise")
    for seed, name in enumerate(("ann", "bob")):
        over = folder / "models" / "tortoise" / "autoregressive.pth"
        save_adapter(folder / "adapters" / f"{name}.safetensors", over, seed=seed)
    record(folder / "my-recordings", {"u0": vowel(1.2, f0_hz=120, seed=0)})
    shutil.copy(text_to_spec, folder / "checkpoints" / "text-to-spec.ckpt")  # content decides, not the ending
    shutil.copy(vocoder, folder / "checkpoints" / "vocoder.ckpt")
    return folder


@pytest.fixture(scope="session")
def guided(project) -> tuple[Path, list[str]]:
    """The same folder after every command of the guide, and what went wrong; nothing may write into it."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, project)
        problems = run_all(GUIDE, project)
    kept = project.with_name("kept")
    shutil.copytree(project, kept)
    return kept, problems


@pytest.fixture
def restored(guided, project, monkeypatch) -> Path:
    """The project as the guide left it, as working directory; at its own place, which its runs remember."""
    shutil.rmtree(project)
    shutil.copytree(guided[0], project)
    shorten(monkeypatch, project)
    monkeypatch.chdir(project)
    return project


def test_the_commands_of_the_guide_run(guided):
    folder, problems = guided

    assert not problems, "\n".join(problems)
    for promised in (
        "preprocessed/left-out.tsv",
        "runs/my-voice/model.safetensors",
        "runs/my-voice-matched/report.html",
        "runs/my-voice-matched/control/model.safetensors",
        "synthesis_output/wav",
        "spoken/wav",
    ):
        assert (folder / promised).exists(), promised
    assert next((folder / "runs" / "my-voice" / "events").iterdir()).stat().st_size > 0  # for TensorBoard


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_commands_of_the_other_pages_run(page, restored):
    problems = run_all(page, restored)

    assert not problems, "\n".join(problems)
    if page == README:
        assert (restored / "quickstart" / "match" / "report.html").is_file()


def test_everything_in_a_run_and_in_the_training_material_is_documented(guided):
    page = text_of(ROOT / "docs" / "formats.md")
    folder = guided[0]
    checkpoint = next((folder / "runs" / "my-voice" / "checkpoints").iterdir())
    for place in (folder / "runs" / "my-voice-matched", folder / "preprocessed", checkpoint):
        for path in place.iterdir():
            assert f"`{path.name}`" in page or f"`{path.name}/" in page, path


@pytest.mark.parametrize("page", [README, PYTHON, SPEAKING], ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, restored):
    for block in blocks(page, "python"):
        exec(compile(block, page.name, "exec"), {})

    assert (restored / "morning.wav").stat().st_size > 44


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
@pytest.mark.parametrize("is_default", [True, False], ids=["starter", "own"])
def test_an_example_runs(script, is_default, restored, monkeypatch, capsys):
    voice, vocoder = "runs/my-voice/model.safetensors", "runs/my-voice-matched/model.safetensors"
    arguments = {"speak.py": ["--vocoder", vocoder], "audition.py": ["checkpoints/vocoder.ckpt", vocoder]}
    own = ["--voice", voice, *arguments[script.name]]
    monkeypatch.setattr(sys, "argv", [script.name, *([] if is_default else own)])
    runpy.run_path(str(script), run_name="__main__")

    written = re.findall(r"^(\S+\.wav):", capsys.readouterr().out, re.M)
    assert written
    assert all(soundfile.info(restored / path).frames > 0 for path in written)
