"""What a recipe adds to its base: only what is asked for, told, trained, spoken, and resumed bit for bit."""

import json

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from building.listeners import Heard
from retimbre.cli.main import app
from retimbre.errors import DataError, RecipeError, RetimbreError, TextError
from retimbre.jobs.listener import Silent
from retimbre.models.fastspeech2.batch import text_batch
from retimbre.models.load import load_model
from retimbre.pipelines.everyvoice import speak_spec
from retimbre.recipe.read import read_recipe
from retimbre.training.train import continue_training, stage_job, train_stage

SHORT = {"steps": 4, "validate_every_steps": 2, "checkpoint_every_steps": 2}
NEW = (
    'new.symbols=["ŋ", "5", "€"]',
    "new.speakers=[eve]",
    "new.languages=[fra]",
    "new.begin_as={eve: default}",
)


@pytest.fixture
def base(recipe_file):
    """A model of letters with one voice."""
    return train_stage(read_recipe(recipe_file("text-to-spec", name="base", **SHORT)), device="cpu").model


@pytest.fixture
def recipe(base, recipe_file, voices, tmp_path):
    """A recipe with that base; its list: one word with ŋ, one with 5, two voices and two languages."""
    rows = ["basename|characters|speaker|language"]
    for number in range(7):
        word = "siŋ 5." if number in (2, 5) else "abc."
        who = ("eve", "fra") if number % 2 else ("default", "default")
        rows.append(f"u{number}|{word}|{who[0]}|{who[1]}")
    filelist = tmp_path / "new.psv"
    filelist.write_text("\n".join(rows) + "\n", encoding="utf-8")

    def build(*overrides, name="more", **training):
        path = recipe_file("text-to-spec", name=name, **{**SHORT, **training})
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        values["base"] = str(base)
        values["data"] |= {"filelist": str(filelist), "preprocessed": str(tmp_path / "prepared")}
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return read_recipe(path, overrides)

    build.filelist = filelist
    return build


def test_what_is_asked_for_is_added_and_what_was_there_is_untouched(base, recipe):
    listener = Heard()
    old = load_model(base)
    job = stage_job(recipe(*NEW), listener=listener)
    model, described = job.objective.model, job.description

    assert described.symbols == (*old.description.symbols, "ŋ", "5")
    assert described.speakers == ("default", "eve")
    assert described.languages == ("default", "fra")
    for name, tensor in old.model.state_dict().items():
        grown = model.state_dict()[name]
        assert (grown[: len(tensor)] if tensor.ndim else grown).equal(tensor), name
    assert listener.of("Added") == [
        "'ŋ' (new) begins as 'm' (nearest, distance 1.0)",
        "'5' (new) begins as the mean of all symbols (it resembles none of them)",
        "speaker 'eve' (new) begins as 'default'",
        "language 'fra' (new) begins as 'default'",
    ]
    assert listener.of("Not added") == ["'€': no text has them, so nothing would teach them"]
    assert described.lineage["added"] == listener.of("Added")
    rows = {item.name: (item.speaker, item.language) for item in job.dataset.items}
    assert {rows[name] for name in rows if int(name[1]) % 2} == {(1, 1)}
    assert {rows[name] for name in rows if not int(name[1]) % 2} == {(0, 0)}


def test_a_run_with_new_rows_is_trained_spoken_and_tuned_again(base, recipe, recipe_file):
    finished = train_stage(recipe(*NEW), device="cpu")
    loaded, begun = load_model(finished.model), load_model(base)

    assert json.loads((finished.run / "lineage.json").read_text(encoding="utf-8"))["added"]
    assert loaded.description.lineage["added"][0].startswith("'ŋ' (new) begins as 'm'")
    spoken = speak_spec("siŋ 5.", loaded, speaker="eve", language="fra")
    assert spoken.spec.isfinite().all()
    assert len(loaded.description.symbols) == len(begun.description.symbols) + 2

    listener = Heard()
    again = recipe(*NEW, f"base={finished.model}", name="again")
    job = stage_job(again, listener=listener)
    assert listener.of("Added") == []  # it is there already
    assert "added" not in job.description.lineage
    assert job.description.symbols == loaded.description.symbols


def test_new_rows_learn(recipe):
    job = stage_job(recipe(*NEW), listener=Silent())
    before = job.objective.model.text_input_layer.weight[-2:].clone()
    speakers = job.objective.model.speaker_embedding.weight.clone()
    finished = train_stage(recipe(*NEW), device="cpu")
    after = load_file(finished.run / "checkpoints" / "step-000004" / "model.safetensors")

    symbols, voices = (after[f"model.{name}.weight"] for name in ("text_input_layer", "speaker_embedding"))
    assert not symbols[-2:].isclose(before, atol=1e-4).all(1).any()
    assert not voices.isclose(speakers, atol=1e-4).all(1).any()


def test_a_resumed_run_with_new_rows_ends_in_the_same_bits(recipe, compare):
    whole = train_stage(recipe(*NEW, name="whole"), device="cpu")
    parts = train_stage(recipe(*NEW, name="parts", steps=2), device="cpu")
    continue_training(recipe(*NEW, name="parts"), device="cpu")
    lines = [(run.run / "metrics.jsonl").read_text().splitlines() for run in (whole, parts)]

    kept = [line for line in lines[1] if '"resumed"' not in line]
    (parts.run / "metrics.jsonl").write_text("".join(line + "\n" for line in kept))
    assert compare(whole.run, parts.run) == []


def test_what_was_added_cannot_change_on_resume(recipe):
    train_stage(recipe(*NEW), device="cpu")

    with pytest.raises(RetimbreError, match=r"found another new\.speakers"):
        continue_training(recipe(NEW[0], "new.languages=[fra]"), device="cpu")


def test_unasked_symbols_are_an_error_whose_last_line_adds_them(recipe):
    asked = ("new.speakers=[eve]", "new.languages=[fra]")
    with pytest.raises(TextError) as told:
        stage_job(recipe(*asked), listener=Silent())

    assert "'5' in u2, u5" in str(told.value)
    (override,) = [part for part in str(told.value).split("'") if part.startswith("new.symbols=")]
    assert override == 'new.symbols=["5", "ŋ"]'
    job = stage_job(recipe(*asked, override), listener=Silent())
    assert job.description.symbols[-2:] == ("5", "ŋ")


def test_symbols_that_are_lacking_are_named_with_their_marks(recipe):
    text = recipe.filelist.read_text(encoding="utf-8").replace("siŋ 5.", "sá 'e̱'")
    recipe.filelist.write_text(text, encoding="utf-8")

    with pytest.raises(TextError) as told:
        stage_job(recipe("new.speakers=[eve]", "new.languages=[fra]"), listener=Silent())

    assert 'new.symbols=["e̱", "á"]' in str(told.value)


def test_a_newcomer_with_one_voice_need_not_name_it(base, recipe):
    listener = Heard()
    job = stage_job(recipe(NEW[0]), listener=listener)

    assert job.description.speakers == ("default",)
    assert job.objective.model.speaker_embedding is None
    assert listener.of("One speaker") == []
    assert {item.speaker for item in job.dataset.items} == {0}


def test_several_voices_that_are_learnt_as_one_are_told(recipe):
    text = recipe.filelist.read_text(encoding="utf-8").replace("|default|default", "|bob|default")
    recipe.filelist.write_text(text, encoding="utf-8")
    listener = Heard()
    stage_job(recipe(NEW[0]), listener=listener)

    (line,) = listener.of("One speaker")
    assert line.startswith("'bob', 'eve' are learnt as one; to tell them apart, add them: -c 'new.speakers=")


def test_a_base_that_tells_voices_apart_asks_for_those_it_lacks(recipe):
    finished = train_stage(recipe(*NEW), device="cpu")
    text = recipe.filelist.read_text(encoding="utf-8").replace("|default|", "|bob|")
    recipe.filelist.write_text(text, encoding="utf-8")
    given = f"base={finished.model}"

    with pytest.raises(DataError, match=r"the base has no speaker 'bob'.*-c 'new\.speakers=\[\"bob\"\]'"):
        stage_job(recipe(given, name="third"), listener=Silent())
    listener = Heard()
    job = stage_job(recipe(given, 'new.speakers=["bob"]', name="third"), listener=listener)
    assert job.description.speakers == ("default", "eve", "bob")
    assert listener.of("Added") == ["speaker 'bob' (new) begins as the mean of 2 speakers"]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["new.speakers=[max]"], r"no utterance has the speaker 'max': .*found 'default', 'eve'"),
        (["new.languages=[deu]"], r"no utterance has the language 'deu'"),
        ([NEW[0], "new.begin_as={q: b}"], r"new\.begin_as: 'q' is not added"),
        ([NEW[0], "new.begin_as={ŋ: ß}"], r"'ŋ' cannot begin as 'ß'"),
        (["base=null", NEW[0]], r"'new\.symbols' has nothing to be added to.*found no base"),
    ],
)
def test_what_cannot_be_added_is_refused(recipe, overrides, named):
    with pytest.raises(RetimbreError, match=named):
        stage_job(recipe(*overrides), listener=Silent())


def test_a_vocoder_has_nothing_to_add_to(recipe_file):
    recipe = read_recipe(recipe_file("spec-to-wav"), ["new.symbols=[a]"])

    with pytest.raises(RecipeError, match=r"found a recipe of spec-to-wav.*Take the section 'new' out"):
        stage_job(recipe, listener=Silent())


def test_a_listed_table_adds_what_the_texts_have_and_says_what_not(base, recipe):
    listener, table = Heard(), list(load_model(base).description.symbols)
    listed = json.dumps([*table, "ŋ", "5", "ß"])
    asked = ("new.speakers=[eve]", "new.languages=[fra]", f"text.symbols={listed}")
    job = stage_job(recipe(*asked), listener=listener)

    assert job.description.symbols == (*table, "ŋ", "5")
    assert listener.of("Not added") == ["'ß': no text has them, so nothing would teach them"]

    listener = Heard()
    with pytest.raises(TextError, match="no symbols for some of the texts"):
        stage_job(recipe(*asked, "text.level=phones"), listener=listener)
    assert "it reads characters: the phones are not added" in listener.of("The base counts")


def test_the_command_line_trains_and_speaks_with_what_is_new(base, recipe, tmp_path):
    path = tmp_path / "text-to-spec-more.yaml"
    recipe()
    words = ["train", "text-to-spec", str(path), *[word for one in NEW for word in ("-c", one)]]
    runner = CliRunner()
    ended = runner.invoke(app, [*words, "--accelerator", "cpu"], catch_exceptions=False)

    assert ended.exit_code == 0, ended.stderr
    assert "'ŋ' (new) begins as 'm'" in ended.stderr
    assert "speaker 'eve' (new) begins as 'default'" in ended.stderr
    model = ended.stdout.strip()
    said = ["synthesize", "from-text", model, "-t", "siŋ 5.", "-s", "eve", "-l", "fra", "-O", "spec"]
    spoken = runner.invoke(app, [*said, "-o", str(tmp_path / "out")], catch_exceptions=False)
    assert spoken.exit_code == 0, spoken.stderr
    assert list((tmp_path / "out").rglob("*eve--fra*.pt"))


@torch.no_grad()
def test_old_texts_sound_the_same_to_the_last_bit_before_the_first_step(base, recipe):
    old, job = load_model(base), stage_job(recipe(*NEW), listener=Silent())
    text = text_batch([[5, 6, 1, 7]])

    assert job.objective.model.eval().speak(text).spec.equal(old.model.speak(text).spec)
