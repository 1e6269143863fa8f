"""What the repository says about itself is true: map, versions, licences, links, a fast command line."""

import importlib.metadata
import re
import resource
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "retimbre"
TARGETS = {"quickstart", "test", "test-slow", "check", "bench", "starter", "docs", "clean"}

# What may be installed although its licence is not a permissive one, or not stated in its metadata.
LICENCE_EXCEPTIONS = {
    "soxr": "LGPL-2.1: a library of its own, installed beside Retimbre by pip and replaceable by the user",
    "text-unidecode": "offered under the Artistic License or the GPL: the first is what it is used under",
    "pyworld-prebuilt": "states no licence in its metadata; the LICENSE file in the package is MIT",
}


@cache
def repository_files() -> tuple[Path, ...]:
    """Every file under version control or about to be; in an unpacked archive, all that are not ignored."""
    if not (ROOT / ".git").exists():
        return tuple(path for path in ROOT.rglob("*") if path.is_file() and not is_ignored(path))
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def is_ignored(path: Path) -> bool:
    """Is it in a folder that .gitignore names? (Its lines name folders alone, some only at the top.)"""
    folders = path.relative_to(ROOT).parts[:-1]
    for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split():
        name = line.strip("/")
        if any(fnmatch(folder, name) for folder in folders[: 1 if line.startswith("/") else None]):
            return True
    return False


def text_of(path: Path) -> str:
    """The text of a file, or nothing for one that holds no text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def drawn_paths() -> list[str]:
    """Paths in the tree of docs/layout.md: two spaces of indentation a level, then a name, then words."""
    tree = re.search(r"```text\n(.*?)```", (ROOT / "docs" / "layout.md").read_text(encoding="utf-8"), re.S)
    assert tree is not None
    folders: list[str] = []
    paths = []
    for line in filter(str.strip, tree.group(1).splitlines()):
        level = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:level], line.split()[0]]
        paths.append("".join(folders))
    return paths


def pinned() -> dict[str, str]:
    """Name and exact version of every line of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def licence_of(name: str) -> str:
    """What a package's metadata says, in the newest of the three fields that it uses."""
    facts = importlib.metadata.metadata(name)
    classified = " ".join(re.findall(r"^License :: (.*)$", "\n".join(facts.get_all("Classifier", [])), re.M))
    return facts.get("License-Expression") or classified or facts.get("License", "").split("\n")[0]


@pytest.mark.parametrize("path", drawn_paths())
def test_every_path_on_the_map_exists(path):
    assert (ROOT / path).exists()


def test_every_package_is_on_the_map():
    packages = {f"{file.parent.relative_to(ROOT)}/" for file in SOURCE.rglob("__init__.py")}

    assert packages <= set(drawn_paths())


def test_the_makefile_has_the_promised_targets_and_no_other():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M)) == TARGETS


def test_every_dependency_is_pinned_to_a_version_that_is_allowed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for line in project["dependencies"] + extras["train"] + extras["dev"]:
        needed = Requirement(line)
        assert pinned()[canonicalize_name(needed.name)] in needed.specifier, line


@pytest.mark.parametrize("name", sorted(pinned()))
def test_no_dependency_has_a_licence_that_would_bind_us(name):
    try:
        licence = licence_of(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed here, so what it says of its licence is not, either")
    if name in LICENCE_EXCEPTIONS:
        return
    assert licence, f"{name} states no licence"
    assert not re.search(r"GPL|General Public", licence), f"{name}: {licence}"


def test_no_file_speaks_of_one_machine():
    # Written in two parts, so that this file does not name them itself.
    places = "|".join(["wo" + "rk", "ro" + "ot", "fa" + "rm"])
    pattern = re.compile(rf"(?<![\w.~-])/(?:{places})/")
    found = [str(path.relative_to(ROOT)) for path in repository_files() if pattern.search(text_of(path))]

    assert found == []


def test_links_between_documents_lead_somewhere():
    links = [
        (path, target)
        for path in repository_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s:]+)[^):]*\)", text_of(path))  # a colon: an address elsewhere
    ]

    assert [f"{path.name}: {target}" for path, target in links if not (path.parent / target).exists()] == []


HELP = """
import sys
sys.argv = ["retimbre", "--help"]
from retimbre.cli.main import run
try:
    run()
except SystemExit as end:
    assert not end.code, end.code
heavy = sorted({"torch", "pydantic", "numpy", "scipy"} & sys.modules.keys())
assert not heavy, heavy
"""


def cpu_s_of_help() -> float:
    """Processor seconds, user and system, of a fresh interpreter that prints the help."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", HELP], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_loads_nothing_heavy():
    ended = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert "Usage" in ended.stdout


def test_help_is_instant():
    assert min(cpu_s_of_help() for _ in range(3)) < 0.5
