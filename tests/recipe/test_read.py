"""Reading recipes: every mistake is one sentence that names it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retimbre.errors import RecipeError
from retimbre.recipe.read import parse_recipe, read_recipe, write_recipe
from retimbre.recipe.recipe import Recipe

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))
TEXT = """\
# What is trained.
stage: spec-to-wav
name: mine
data:
  recordings: wavs
  filelist: lists/metadata.csv
training:
  steps: 100
  optimiser:
    learning_rate: 1e-4
"""


@pytest.fixture
def write(tmp_path):
    """Write a recipe: write(TEXT), write(TEXT, "steps", "stepz")."""

    def recipe(text, old="", new=""):
        assert old in text
        path = tmp_path / "recipe.yaml"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    return recipe


def message(path, *overrides):
    with pytest.raises(RecipeError) as told:
        read_recipe(path, overrides)
    text = str(told.value)
    assert "\n" not in text
    return text.replace(str(path), "recipe.yaml")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_ready_recipe_loads(path):
    recipe = read_recipe(path)

    assert recipe.name
    assert recipe.data.recordings.is_absolute()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_what_is_written_reads_the_same_again(path, tmp_path):
    recipe = read_recipe(path)
    again = tmp_path / "elsewhere" / "recipe.yaml"
    again.parent.mkdir()
    again.write_text(write_recipe(recipe), encoding="utf-8")

    assert read_recipe(again) == recipe


@settings(max_examples=40, deadline=None)
@given(
    name=st.from_regex(r"[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,20}", fullmatch=True),
    contact=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=30),
    characters=st.text(alphabet="aäßñ'\"#:-{}[]&*!|>%@ ", min_size=1, max_size=20),
    rule=st.text(alphabet="ab\\.*:#'\"{ ", max_size=10),
    rate=st.floats(1e-9, 1.0),
)
def test_any_text_and_number_survives_writing_and_reading(name, contact, characters, rule, rate):
    import yaml

    raw = {
        "stage": "text-to-spec",
        "name": name,
        "contact": contact,
        "data": {"recordings": "/a b", "filelist": "/é:#"},
        "text": {"characters": characters, "to_replace": {rule: rule}},
        "training": {"optimiser": {"learning_rate": rate, "betas": [0.5, rate]}},
    }
    recipe = parse_recipe(raw, source="test")

    assert parse_recipe(yaml.safe_load(write_recipe(recipe)), source="test") == recipe


def test_defaults_fill_what_is_not_said(write):
    recipe = read_recipe(write(TEXT))

    assert recipe.training.steps == 100
    assert recipe.training.optimiser.learning_rate == 1e-4
    assert recipe.training.optimiser.betas == (0.9, 0.98)
    assert recipe.base is None


def test_paths_are_seen_from_the_folder_of_the_recipe(write, tmp_path, monkeypatch):
    path = write(TEXT)
    monkeypatch.chdir("/")
    recipe = read_recipe(path, ["base=../bases/a.ckpt", "data.preprocessed=/elsewhere"])

    assert recipe.data.recordings == tmp_path / "wavs"
    assert recipe.data.filelist == tmp_path / "lists" / "metadata.csv"
    assert recipe.data.preprocessed == Path("/elsewhere")
    assert recipe.runs == tmp_path / "runs"
    assert recipe.base == tmp_path / ".." / "bases" / "a.ckpt"


def test_a_relative_path_to_a_recipe_gives_absolute_paths(write, tmp_path, monkeypatch):
    write(TEXT)
    monkeypatch.chdir(tmp_path)

    assert read_recipe(Path("recipe.yaml")).runs == tmp_path / "runs"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("steps", "stepz", "line 8: unknown key 'training.stepz'. Write 'steps: 100'"),
        ("name", "nam", "line 3: unknown key 'nam'. Write 'name: mine'"),
        (
            "recordings",
            "recording",
            "line 5: unknown key 'data.recording' (and 1 more). Write 'recordings: w",
        ),
        (
            "  steps",
            "  zzzz: 1\n  steps",
            "line 8: unknown key 'training.zzzz'. Known here are adversarial_from",
        ),
        (
            "learning_rate",
            "learning-rate",
            "line 10: unknown key 'training.optimiser.learning-rate'. Write 'learning_rate: 1e-4'",
        ),
    ],
)
def test_an_unknown_key_names_its_line_and_the_nearest_known_one(write, old, new, expected):
    assert message(write(TEXT, old, new)).startswith(f"recipe.yaml, {expected}")


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        (
            "  filelist: lists/metadata.csv\n",
            "line 4: 'data.filelist' is missing. Add 'filelist: …' under 'data'",
        ),
        ("stage: spec-to-wav\n", "recipe.yaml: 'stage' is missing. Add 'stage: …' at the top level"),
    ],
)
def test_a_missing_key_names_where_it_belongs(write, old, expected):
    assert expected in message(write(TEXT, old, ""))


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "found"),
    [
        ("steps: 100", "steps: many", 8, "training.steps", "'many'"),
        ("steps: 100", "steps: 0", 8, "training.steps", "0"),
        ("steps: 100", "steps: 2.5", 8, "training.steps", "2.5"),
        ("steps: 100", "steps: [1]", 8, "training.steps", r"\[1\]"),
        ("spec-to-wav", "vocoder", 2, "stage", "'vocoder'"),
        ("name: mine", "name: a/b", 3, "name", "'a/b'"),
        ("name: mine", "name: ../up", 3, "name", "'../up'"),
        ("1e-4", "-1", 10, "training.optimiser.learning_rate", "-1"),
        (TEXT[TEXT.index("training:") :], "training: 5\n", 7, "training", "5"),
    ],
)
def test_a_wrong_value_names_what_was_expected_and_found(write, old, new, line, key, found):
    text = message(write(TEXT, old, new))

    assert text.startswith(f"recipe.yaml, line {line}: '{key}' is wrong")
    assert ": expected " in text
    assert f"found {found}".replace("\\", "") in text


def test_a_wrong_stage_names_the_possible_ones(write):
    assert "'text-to-spec', 'spec-to-wav', 'text-to-codes', 'codes-to-spec' or 'wav-to-codes'" in message(
        write(TEXT, "spec-to-wav", "vocoder")
    )


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\tstage: x"])
def test_what_is_no_yaml_names_the_line(write, text):
    assert "recipe.yaml, line 1 is not readable as YAML" in message(write(text))


@pytest.mark.parametrize(("text", "found"), [("", "NoneType"), ("- a", "list"), ("word", "str")])
def test_what_is_no_mapping_is_no_recipe(write, text, found):
    assert f"is not a recipe: expected a mapping of keys, found {found}" in message(write(text))


def test_a_file_that_is_not_utf_8_is_not_readable(write, tmp_path):
    path = write(TEXT)
    path.write_bytes(TEXT.encode() + b"contact: J\xf6rg\n")

    assert "is not readable as YAML" in message(path)


def test_a_recipe_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"there is no recipe .*none\.yaml\. Check the spelling"):
        read_recipe(tmp_path / "none.yaml")


def test_no_tag_in_a_recipe_runs_anything(write, tmp_path):
    path = write(TEXT, "mine", f"!!python/object/apply:os.mkdir ['{tmp_path}/made']")

    assert "is not readable as YAML" in message(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("training.steps=7", lambda r: r.training.steps == 7),
        ("training.optimiser.betas=[0.1, 0.2]", lambda r: r.training.optimiser.betas == (0.1, 0.2)),
        ("training.optimiser.learning_rate=2e-5", lambda r: r.training.optimiser.learning_rate == 2e-5),
        ("training.frozen=[encoder, decoder.a]", lambda r: r.training.frozen == ("encoder", "decoder.a")),
        ("training.loss.attn_ctc=0.5", lambda r: r.training.loss.attn_ctc == 0.5),
        ("data.held_out=[a, b]", lambda r: r.data.held_out == ("a", "b")),
        ("text.to_replace={x=y: z}", lambda r: r.text.to_replace == {"x=y": "z"}),
        ("contact=me=you=us", lambda r: r.contact == "me=you=us"),
        ("contact='2024'", lambda r: r.contact == "2024"),
        ("text.characters=ab c", lambda r: r.text.characters == "ab c"),
        (" name =b", lambda r: r.name == "b"),
        ("data.trims_silence=false", lambda r: r.data.trims_silence is False),
        ("base=null", lambda r: r.base is None),
    ],
)
def test_an_override_counts_instead_of_the_file(write, override, value):
    assert value(read_recipe(write(TEXT), [override]))


def test_of_two_overrides_the_later_counts(write):
    assert read_recipe(write(TEXT), ["name=a", "training.steps=3", "name=b"]).name == "b"


def test_an_override_reaches_into_a_section_that_is_empty_or_missing(write):
    path = write(TEXT + "discriminators:\n")
    recipe = read_recipe(path, ["discriminators.width=0.5", "text_to_spec.dim=8"])

    assert recipe.discriminators.width == 0.5
    assert recipe.text_to_spec.dim == 8


@pytest.mark.parametrize("override", ["training.steps", "=5", ""])
def test_an_override_without_key_or_value_shows_how_to_write_one(write, override):
    assert message(write(TEXT), override) == (
        f"'-c {override}' is not of the form key=value. Write -c training.steps=2000"
    )


def test_an_override_below_a_value_is_refused(write):
    assert "'-c training.steps.more=1': 'steps' holds a value" in message(
        write(TEXT), "training.steps.more=1"
    )


def test_an_override_that_is_no_yaml_is_refused(write):
    assert "'-c name=[': the value is not readable as YAML" in message(write(TEXT), "name=[")


def test_a_wrong_override_is_named_as_one_and_not_by_a_line_of_the_file(write):
    assert message(write(TEXT), "training.stepz=5").startswith(
        "'-c training.stepz': unknown key 'training.stepz'. Write 'steps: 5'"
    )
    assert message(write(TEXT), "training.steps=many").startswith(
        "'-c training.steps': 'training.steps' is wrong"
    )


def test_a_mistake_in_the_file_beside_an_override_still_names_its_line(write):
    text = message(write(TEXT, "steps", "stepz"), "name=b")

    assert text.startswith("recipe.yaml, line 8: unknown key 'training.stepz'")


def test_every_field_of_a_recipe_is_described():
    def fields(model, prefix=""):
        for name, field in model.model_fields.items():
            yield prefix + name, field
            if hasattr(field.annotation, "model_fields"):
                yield from fields(field.annotation, f"{prefix}{name}.")

    assert [name for name, field in fields(Recipe) if not field.description] == []
