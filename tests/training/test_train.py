"""From a recipe to its run: what fits together, and what a resume may change."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from building.listeners import Heard
from retimbre.errors import CheckpointError, DataError, RecipeError, RunError
from retimbre.jobs.listener import Silent
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe
from retimbre.training.train import continue_training, stage_job, train_stage, try_training

FAMILIES = ("text-to-spec", "spec-to-wav")
SHORT = {"steps": 2, "validate_every_steps": 2, "checkpoint_every_steps": 2}


def train(path, *overrides):
    return train_stage(read_recipe(path, overrides), device="cpu")


def go_on(path, *overrides):
    return continue_training(read_recipe(path, overrides), device="cpu")


@pytest.fixture
def started(recipe_file):
    """The recipe of a run that has come to its second step."""
    path = recipe_file("spec-to-wav", **SHORT)
    train(path)
    return path


@pytest.mark.parametrize("stage", FAMILIES)
def test_a_tuned_checkpoint_can_be_tuned_again(recipe_file, stage):
    first = train(recipe_file(stage, name="first", **SHORT))
    path = recipe_file(stage, name="second", **SHORT)
    second = train(path, f"base={first.model}")
    one, other = load_model(first.model), load_model(second.model)

    assert other.description.sizes == one.description.sizes
    assert other.description.lineage["base"]["file"] == "model.safetensors"
    assert other.description.symbols == one.description.symbols
    assert other.discriminators.keys() == one.discriminators.keys()


def test_a_base_brings_its_weights_and_its_discriminators(recipe_file):
    first = train(recipe_file("spec-to-wav", name="first", **SHORT))
    recipe = read_recipe(recipe_file("spec-to-wav", name="second"), [f"base={first.model}"])
    parts = stage_job(recipe, listener=Silent()).objective.parts()
    base = load_model(first.model)

    for name, tensor in base.model.state_dict().items():
        assert parts["generator"].state_dict()[name].equal(tensor)
    for name, tensor in base.discriminators.items():
        assert parts["discriminators"].state_dict()[name].equal(tensor)


def test_a_base_of_the_other_stage_is_refused(recipe_file):
    first = train(recipe_file("spec-to-wav", name="first", **SHORT))

    with pytest.raises(
        CheckpointError, match=r"no text-to-spec checkpoint: expected .*, found hifigan \(spec-to-wav\)"
    ):
        train(recipe_file("text-to-spec"), f"base={first.model}")


def test_a_base_that_does_not_exist_is_named_with_what_to_do(recipe_file, tmp_path):
    with pytest.raises(
        RunError, match=rf"{tmp_path}/none\.ckpt does not exist.*finetune_checkpoint.*--base FILE"
    ):
        train(recipe_file("text-to-spec"), "base=none.ckpt")


def test_the_same_recipe_builds_the_same_network(recipe_file):
    for stage in FAMILIES:
        recipe = read_recipe(recipe_file(stage))
        one = stage_job(recipe, listener=Silent()).objective.parts()
        torch.rand(7)
        other = stage_job(recipe, listener=Silent()).objective.parts()
        for part in one:
            others = other[part].state_dict()
            assert all(tensor.equal(others[name]) for name, tensor in one[part].state_dict().items())


def test_held_out_utterances_are_neither_trained_on_nor_chosen_by(recipe_file):
    job = stage_job(read_recipe(recipe_file("text-to-spec")), listener=Silent())

    assert len(job.dataset) == 5
    assert len(job.objective.validation) == 1
    assert "u3--default--default" not in job.objective.validation
    names = {item.name for item in job.dataset.items} | {i.name for i in job.objective.validation.values()}
    assert names == {"u0", "u1", "u2", "u4", "u5", "u6"}


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("training.seed=7", "training.seed"),
        ("training.batch_size=3", "training.batch_size"),
        ("training.validate_every_steps=9", "training.validate_every_steps"),
        ("training.loss.mel=1", "training.loss.mel"),
        ("training.optimiser.weight_decay=0.5", "training.optimiser.weight_decay"),
        ("training.optimiser.betas=[0.5, 0.9]", "training.optimiser.betas"),
        ("data.trims_silence=false", "data.trims_silence"),
        ("data.held_out=[u1]", "data.held_out"),
        ("spec_to_wav.initial_channels=16", "spec_to_wav.initial_channels"),
        ("contact=somebody", "contact"),
        ("text.to_replace={a: b}", "text.to_replace, text.to_replace.a"),
    ],
)
def test_resuming_with_a_changed_recipe_names_the_changed_key(started, override, key):
    with pytest.raises(RunError) as told:
        go_on(started, override)

    assert f"found another {key}. " in str(told.value)
    assert "--resume continues a run and nothing else" in str(told.value)


def test_resuming_names_every_changed_key(started):
    with pytest.raises(RunError, match=r"found another data\.seed, training\.batch_size, training\.seed\."):
        go_on(started, "training.seed=7", "training.batch_size=3", "data.seed=5")


@pytest.mark.parametrize(
    "override",
    [
        "training.steps=3",
        "training.n_workers=0",
        "training.checkpoint_every_steps=1",
        "training.keep_checkpoints=1",
        "training.log_every_steps=2",
        "training.optimiser.learning_rate=0.001",
        "training.optimiser.schedule=cosine",
        "training.optimiser.clip_norm=0.1",
    ],
)
def test_length_pace_and_learning_rate_may_change_on_resume(started, override):
    assert go_on(started, override, "training.steps=3").progress.step == 3


def test_resuming_names_a_changed_base_and_stage(started, tmp_path):
    content = yaml.safe_load(started.read_text(encoding="utf-8"))
    started.write_text(yaml.safe_dump(content | {"stage": "text-to-spec"}), encoding="utf-8")

    with pytest.raises(RunError, match="found another stage, base"):
        go_on(started, "base=other.ckpt")


@pytest.fixture
def own_voices(voices, tmp_path):
    """A copy of the recordings that a test may change, and the overrides that name it."""
    folder = tmp_path / "voices"
    shutil.copytree(voices, folder, ignore=shutil.ignore_patterns("preprocessed"))
    return folder, [
        f"data.recordings={folder}",
        f"data.filelist={folder / 'metadata.csv'}",
        f"data.preprocessed={folder / 'preprocessed'}",
    ]


def test_resuming_with_a_changed_list_of_recordings_names_it(recipe_file, own_voices):
    folder, places = own_voices
    path = recipe_file("spec-to-wav", **SHORT)
    train(path, *places)
    filelist = folder / "metadata.csv"
    rows = filelist.read_text(encoding="utf-8").splitlines(keepends=True)
    filelist.write_text("".join(reversed(rows)), encoding="utf-8")

    with pytest.raises(RunError, match=rf"begun with other recordings: found another list {filelist}\. Put"):
        go_on(path, *places, "training.steps=3")


def test_resuming_with_a_recording_less_is_refused(recipe_file, own_voices):
    folder, places = own_voices
    path = recipe_file("spec-to-wav", **SHORT)
    train(path, *places)
    (folder / "u1.wav").unlink()

    with pytest.raises(RunError, match="found 4 utterances to train on instead of 5"):
        go_on(path, *places, "training.steps=3")


def test_a_list_that_has_only_moved_may_be_resumed(recipe_file, own_voices, tmp_path):
    folder, places = own_voices
    path = recipe_file("spec-to-wav", **SHORT)
    train(path, *places)
    (tmp_path / "elsewhere").mkdir()
    moved = (folder / "metadata.csv").rename(tmp_path / "elsewhere" / "metadata.csv")

    assert go_on(path, *places, f"data.filelist={moved}", "training.steps=3").progress.step == 3
    assert read_recipe(tmp_path / "runs" / "run" / "recipe.yaml").data.filelist == moved


@pytest.fixture
def divided(own_voices, tmp_path):
    """Overrides of a recipe with a second set and with lists of its own for the split."""
    folder, places = own_voices
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(folder / "u1.wav", more / "v1.wav")
    (more / "list.csv").write_text("v1|abc.\n", encoding="utf-8")
    first, second = tmp_path / "first.psv", tmp_path / "second.psv"
    first.write_text("basename|characters\nu0|abc.\nv1|abc.\nu2|abc.\n", encoding="utf-8")
    second.write_text("basename|characters\nu3|abc.\nu4|abc.\n", encoding="utf-8")
    return tmp_path, [
        *places,
        f"data.training_filelist={first}",
        f"data.validation_filelist={second}",
        f"data.adopted={tmp_path / 'theirs'}",
        f"data.more=[{{recordings: {more}, filelist: {more / 'list.csv'}}}]",
    ]


def test_a_moved_project_of_several_lists_is_resumed(recipe_file, divided):
    folder, places = divided
    train(recipe_file("spec-to-wav", **SHORT), *places)
    moved = folder / "moved"
    moved.mkdir()
    for name in ("first.psv", "second.psv", "more"):
        (folder / name).rename(moved / name)
    moves = {f"{folder}/{name}": f"{moved}/{name}" for name in ("first.psv", "second.psv", "more")}
    elsewhere = list(places)
    for old, new in moves.items():
        elsewhere = [place.replace(old, new) for place in elsewhere]

    assert elsewhere != places
    assert go_on(recipe_file("spec-to-wav", **SHORT), *elsewhere, "training.steps=3").progress.step == 3


@pytest.mark.parametrize("name", ["first.psv", "second.psv", "more/list.csv"])
def test_resuming_with_another_content_of_any_list_is_refused(recipe_file, divided, name):
    folder, places = divided
    train(recipe_file("spec-to-wav", **SHORT), *places)
    path = folder / name
    path.write_text(path.read_text(encoding="utf-8").replace("abc", "cab"), encoding="utf-8")

    with pytest.raises(
        RunError, match=r"found other contents of the lists list\.csv, first\.psv, second\.psv"
    ):
        go_on(recipe_file("spec-to-wav", **SHORT), *places, "training.steps=3")


@pytest.mark.parametrize("override", ["training.optimiser.name=adam", "training.optimiser.alpha=0.5"])
def test_the_kind_of_optimiser_stays_on_resume(started, override):
    with pytest.raises(RunError, match=f"found another {override.partition('=')[0]}"):
        go_on(started, override)


def test_an_utterance_whose_text_is_longer_than_its_sound_is_left_out_and_the_others_train(
    recipe_file, own_voices
):
    folder, places = own_voices
    filelist = folder / "metadata.csv"
    rows = filelist.read_text(encoding="utf-8").splitlines(keepends=True)
    rows[1] = "u1|" + "abc " * 40 + "\n"
    filelist.write_text("".join(rows), encoding="utf-8")
    listener = Heard()
    recipe = read_recipe(recipe_file("text-to-spec", **SHORT), places)
    finished = train_stage(recipe, listener=listener, device="cpu")

    left_out = folder / "preprocessed" / "left-out.tsv"
    assert (
        "Long texts: 1 utterances have more symbols than frames: left out, 4 remain to train on; "
        f"see {left_out}" in listener.said
    )
    assert "u1\tthe text is longer than the sound (159 symbols, " in left_out.read_text(encoding="utf-8")
    assert "u1|" not in (folder / "preprocessed" / "training_filelist.psv").read_text(encoding="utf-8")
    assert finished.progress.step == 2
    assert load_model(finished.model).description.lineage["data"]["utterances"] == 4
    longer = read_recipe(recipe_file("text-to-spec", **SHORT), [*places, "training.steps=3"])
    assert continue_training(longer, device="cpu").progress.step == 3


def test_if_every_text_is_longer_than_its_sound_nothing_can_be_trained(recipe_file, own_voices):
    folder, places = own_voices
    rows = [f"u{number}|{'abc ' * 60}\n" for number in range(7)]
    (folder / "metadata.csv").write_text("".join(rows), encoding="utf-8")

    with pytest.raises(DataError, match=r"too few utterances could be used: .* found 0 to train.*left-out"):
        train(recipe_file("text-to-spec"), *places)


def test_a_stored_recipe_can_be_resumed_itself(started, tmp_path):
    finished = go_on(tmp_path / "runs" / "run" / "recipe.yaml", "training.steps=3")

    assert finished.progress.step == 3
    assert finished.run == tmp_path / "runs" / "run"


def test_paths_seen_from_the_working_folder_are_stored_whole(recipe_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(recipe_file("spec-to-wav", **SHORT)).model_copy(update={"runs": Path("here")})

    train_stage(recipe, device="cpu")
    longer = recipe.training.model_copy(update={"steps": 3})
    finished = continue_training(recipe.model_copy(update={"training": longer}), device="cpu")

    assert finished.progress.step == 3
    assert read_recipe(tmp_path / "here" / "run" / "recipe.yaml").runs == tmp_path / "here"


def test_a_dry_run_checks_everything_and_makes_no_run(recipe_file, tmp_path):
    listener = Heard()
    seconds = try_training(read_recipe(recipe_file("spec-to-wav")), listener=listener, device="cpu")

    assert seconds > 0
    assert listener.said[-1].startswith("Dry run: ")
    assert "12 steps take 0.0 h" in listener.said[-1]
    assert not (tmp_path / "runs").exists()


def test_a_frozen_name_without_a_tensor_is_refused_before_anything_is_written(recipe_file, tmp_path):
    with pytest.raises(
        RecipeError, match=r"names 'encodr', but no tensor begins so: expected one of decoder, enc"
    ):
        train(recipe_file("text-to-spec"), "training.frozen=[encodr]")

    assert not (tmp_path / "runs").exists()


def test_frozen_parts_of_a_vocoder_are_named_with_their_part(recipe_file):
    listener = Heard()
    recipe = read_recipe(recipe_file("spec-to-wav"), ["training.frozen=[generator.conv_pre]"])
    parts = stage_job(recipe, listener=listener).objective.parts()
    frozen = [name for name, p in parts["generator"].named_parameters() if not p.requires_grad]

    assert frozen
    assert all(name.startswith("conv_pre") for name in frozen)
    assert f"Frozen: {len(frozen)} tensors do not move" in listener.said


def test_a_used_name_is_refused_before_the_material_is_prepared(recipe_file, tmp_path, monkeypatch):
    (tmp_path / "runs" / "run").mkdir(parents=True)
    (tmp_path / "runs" / "run" / "recipe.yaml").write_text("x", encoding="utf-8")
    monkeypatch.setattr("retimbre.training.train.prepare_material", None)

    with pytest.raises(RunError, match="there is a run in"):
        train(recipe_file("text-to-spec"))


def test_who_answers_for_a_voice_and_who_agreed_travels_with_the_checkpoint(recipe_file):
    words = ["contact=mail@example.org", "consent=Ada Example agreed on paper to lessons for her school"]
    finished = train_stage(read_recipe(recipe_file("text-to-spec", steps=1), words))

    lineage = load_model(finished.model).description.lineage
    assert [f"{key}={lineage[key]}" for key in ("contact", "consent")] == words


def test_nothing_is_written_of_consent_where_nothing_is_said_of_it(recipe_file):
    finished = train_stage(read_recipe(recipe_file("text-to-spec", steps=1)))

    assert "consent" not in load_model(finished.model).description.lineage
