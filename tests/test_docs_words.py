"""What the documentation says agrees with the code: tables, measures, messages, names, links, the map."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin
from xml.etree import ElementTree

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import retimbre
from retimbre.audio.mel import mel_librosa
from retimbre.evaluate.interval import FEWEST_PAIRS
from retimbre.evaluate.measures import DECODER_MEASURES, FREE_RUNNING_MEASURES, MCD, MEASURES, Measure
from retimbre.matching import plan
from retimbre.models.description import Description
from retimbre.pipelines.delay import Delay
from retimbre.recipe.recipe import Data, Recipe
from retimbre.recipe.training import Training

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS]
GUIDE = ROOT / "docs" / "fine-tuning.md"


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def flat(text: str) -> str:
    """Without line breaks: a paragraph may be wrapped anywhere."""
    return " ".join(text.split())


# ---- tables that are made of the code ----------------------------------------------------------------------


def sections(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """A recipe and its sections, as (dotted name, model)."""
    yield prefix.rstrip("."), model
    for name, field in model.model_fields.items():
        may_be_none = get_args(field.annotation)[1:] == (type(None),)
        kind = get_args(field.annotation)[0] if may_be_none else field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from sections(kind, f"{prefix}{name}.")


def recipe_rows(name: str, model: type[BaseModel]) -> list[str]:
    """The table rows of one section."""
    fields = {
        key: field
        for key, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
    }
    start = f"{name}." if name else ""
    return [
        f"| `{start}{key}` | {default_of(field)} | {unit_of(key, field)} | {field.description} |"
        for key, field in fields.items()
    ]


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value in ("", {}, ()):
        return "none"
    return f"`{as_yaml(value)}`"


def as_yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    if isinstance(value, str) and yaml.safe_load(value) != value:
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, float) else str(value)


def unit_of(key: str, field: FieldInfo) -> str:
    """What its name says, or the words that it may hold."""
    choices = [arg for arg in (field.annotation, *get_args(field.annotation)) if get_origin(arg) is Literal]
    if choices:
        return ", ".join(f"`{as_yaml(word)}`" for word in get_args(choices[0]))
    units = {"_s": "seconds", "_hz": "hertz", "_samples": "samples", "_frames": "frames", "steps": "steps"}
    if "_step" in key and not key.endswith("steps"):
        return "steps"
    return next((unit for ending, unit in units.items() if key.endswith(ending)), "")


@pytest.mark.parametrize(("name", "model"), list(sections()), ids=lambda value: str(value))
def test_every_key_of_a_recipe_is_documented_as_it_is(name, model):
    page = text_of(ROOT / "docs" / "recipes.md")
    heading = f"\n## {name or 'The run'}\n"
    assert heading in page
    table = page.partition(heading)[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]

    assert rows == recipe_rows(name, model)


def test_every_measure_is_documented_in_the_words_of_the_code():
    page = text_of(ROOT / "docs" / "measures.md")
    found = {part.partition("\n")[0]: flat(part.partition("\n")[2]) for part in page.split("\n## ")[1:]}

    every = dict.fromkeys((*MEASURES, *FREE_RUNNING_MEASURES, *DECODER_MEASURES))
    assert found == {measure.name[:1].upper() + measure.name[1:]: described(measure) for measure in every}
    assert MEASURES[0] == MCD  # "the first below": the one that the verdict goes by


def described(measure: Measure) -> str:
    how = "lower" if measure.lower_is_better else "higher"
    start = f"`{measure.key}`, {measure.unit}, {how} is better."
    return f"{start} {measure.definition} **Blind spot:** {measure.blind_spot}"


def test_the_description_is_documented_key_by_key():
    page = text_of(ROOT / "docs" / "formats.md").partition("## The description")[2].partition("\n## ")[0]
    documented = [
        key for row in re.findall(r"^\| (`.*?) \|", page, re.M) for key in re.findall(r"`(\w+)`", row)
    ]
    described = Description(family="hifigan", sizes={}, spectrogram=mel_librosa())

    assert documented == list(described.to_dict())


def steps_planned_for(duration_s: float) -> int:
    """Of a match with the default settings and EveryVoice's usual spectrogram."""
    mel, settings = mel_librosa(), Training()
    facts = plan.Facts(
        duration_s=duration_s,
        segment_s=mel.duration_s(settings.segment_frames),
        hop_samples=mel.hop_samples,
        delay=Delay(n_samples=0, correlation=0.9),
        has_discriminators=True,
    )
    return plan.make_plan(settings, facts).training.steps


def test_the_steps_that_the_guide_names_are_those_that_a_match_plans():
    rows = re.findall(r"^\| (\d+) (minute|hour)s? \| ([\d,]+) \|$", text_of(GUIDE), re.M)
    seconds = {"minute": 60.0, "hour": 3600.0}

    assert len(rows) == 5
    for number, unit, steps in rows:
        assert int(steps.replace(",", "")) == steps_planned_for(int(number) * seconds[unit])


def test_the_numbers_in_the_guide_are_those_of_the_code():
    settings, limits = Training(), Data.model_fields
    low_s, high_s = limits["min_duration_s"].default, limits["max_duration_s"].default
    page = flat(text_of(GUIDE))
    for sentence in (
        f"passes {plan.PASSES} times over the speech",
        f"between {plan.FEWEST_STEPS} and {plan.MOST_STEPS:,} steps",
        f"match of {plan.LONG_RUN_STEPS:,} steps or more | 2e-5",
        f"batch of {settings.batch_size} segments of {settings.segment_frames} frames",
        f"every {settings.validate_every_steps} steps",
        f"Recordings from {low_s:g} to {high_s:g} seconds",
    ):
        assert sentence in page
    assert FEWEST_PAIRS == 6  # "Below six held-out utterances nothing is claimed."


def test_the_recipes_in_the_guide_are_the_ready_ones():
    ready = {text_of(path) for path in (ROOT / "recipes").glob("*.yaml")}
    shown = re.findall(r"^```yaml\n(.*?)^```$", text_of(GUIDE), re.M | re.S)

    assert len(shown) == 2
    assert set(shown) <= ready


def test_every_key_that_a_page_mentions_is_a_key():
    known = {f"{name}.{key}" for name, model in sections() for key in model.model_fields}
    known |= {"training.finetune", "training.max_steps"}  # EveryVoice's
    for page in PAGES:
        keys = re.findall(r"`((?:data|training)\.[a-z_.]+)[`=]|-c ([a-z_]+\.[a-z_.]+)=", text_of(page))
        assert {a or b for a, b in keys} <= known, page.name


def test_every_message_that_the_page_quotes_is_one_of_ours():
    page = text_of(ROOT / "docs" / "troubleshooting.md")
    quoted = re.findall(r"^\| (`.*?) \| \[", page, re.M)
    messages = [part for row in quoted for part in re.findall(r"`(.+?)`", row)]
    ours = [constant for path in (ROOT / "src").rglob("*.py") for constant in strings_of(path)]

    assert len(messages) > 8
    assert [message for message in messages if not any(message in text for text in ours)] == []


def strings_of(path: Path) -> Iterator[str]:
    """Every text in a source file, f-strings in their fixed parts."""
    for node in ast.walk(ast.parse(text_of(path))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


# ---- links, drawings, names --------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Headings as GitHub makes addresses of them."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_file_and_to_a_heading_in_it(page):
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)(?:#([^)\s]+))?\)", text_of(page)):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


@pytest.mark.parametrize("drawing", sorted((ROOT / "docs").glob("*.svg")), ids=lambda path: path.name)
def test_a_drawing_says_what_it_shows_and_is_readable_on_light_and_dark_pages(drawing):
    text = text_of(drawing)
    root = ElementTree.fromstring(text)
    name = "{http://www.w3.org/2000/svg}"

    assert root.find(f"{name}title") is not None
    assert root.find(f"{name}desc") is not None
    assert len(root.findall(f"{name}text")) > 5  # words, not shapes of words
    assert "prefers-color-scheme: dark" in text
    assert any(f"]({drawing.name})" in text_of(page) for page in DOCS)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")  # shows nothing from elsewhere


def test_the_public_names_are_the_documented_ones():
    rows = re.findall(r"^\| `(\w+)` \|", text_of(ROOT / "docs" / "python.md"), re.M)

    assert sorted(rows) == sorted(retimbre.__all__)
    assert all(hasattr(retimbre, name) for name in rows)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, retimbre; assert not {'torch', 'numpy', 'pydantic'} & sys.modules.keys(), 'heavy'"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_module_is_on_the_map():
    page = text_of(ROOT / "docs" / "layout.md")
    for path in (ROOT / "src" / "retimbre").rglob("*"):
        if path.suffix in (".py", ".js", ".css") and path.name != "__init__.py":
            assert re.search(rf"^ +{re.escape(path.name)} ", page, re.M), path
