"""A whole EveryVoice project is trained as it is, and nothing of it changes."""

import shutil

import pytest

from building.listeners import Heard
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import RunError
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe
from retimbre.training.material import prepare_material
from retimbre.training.state import complete_checkpoints
from retimbre.training.train import continue_training, stage_job, train_stage

EXPERIMENT = "logs_and_checkpoints/FeaturePredictionExperiment"
VOCODER = "logs_and_checkpoints/VocoderExperiment/base/checkpoints/last.ckpt"
TWO_STEPS = ("training.max_steps=2", "training.val_check_interval=2")
OF_A_VOCODER = ("training.max_steps=4", "training.val_check_interval=2")  # EveryVoice counts each twice
TINY_DISCRIMINATORS = ("discriminators.width=0.02",)


@pytest.fixture
def project(parity, tmp_path):
    """A copy of the project; afterwards it must be as it was, but for our own folder."""
    source = parity("everyvoice_project")
    for name in ("project", "recordings"):
        shutil.copytree(source / name, tmp_path / name)
    before = digests(tmp_path)
    yield tmp_path / "project"
    assert digests(tmp_path) == before


def digests(folder):
    files = (path for path in sorted(folder.rglob("*")) if (folder / "project" / "runs") not in path.parents)
    return {
        path.relative_to(folder): sha256_of(path) if path.is_file() else None
        for path in files
        if path.name != "runs"
    }


def recipe_of(project, stage, *overrides):
    return read_recipe(project / "config" / f"everyvoice-{stage}.yaml", overrides)


def trained(project, stage, *overrides):
    listener = Heard()
    recipe = recipe_of(project, stage, *overrides)
    finished = train_stage(recipe, listener=listener, device="cpu")
    return recipe, finished, load_model(finished.model), listener


def test_text_to_spec_is_trained_from_scratch(project):
    recipe, finished, loaded, listener = trained(
        project, "text-to-spec", *TWO_STEPS, "model.use_postnet=false", "model.multispeaker=true"
    )
    config, described = loaded.model.config, loaded.description

    assert finished.progress.step == 2
    assert finished.run == project / "runs" / "FeaturePredictionExperiment-base"
    assert (config.dim, config.encoder.n_layers, config.encoder.kernel) == (32, 1, 9)
    assert (config.duration.n_layers, config.n_pitch_bins, config.n_energy_bins) == (2, 32, 32)
    assert config.n_speakers == 1
    assert described.speakers == ("speaker_0",)
    assert (
        described.symbols
        == load_model(project / EXPERIMENT / "base/checkpoints/last.ckpt").description.symbols
    )
    assert described.lineage["data"]["utterances"] == 2
    others = [one["list"] for one in described.lineage["data"]["other_lists"]]
    assert others == ["training_filelist.psv", "validation_filelist.psv"]
    assert listener.line("Data").endswith("1 to choose the best weights by, 1 held out")


def test_the_split_of_the_lists_is_kept_exactly(project):
    material = prepare_material(recipe_of(project, "text-to-spec"))

    assert [u.basename for u in material.training] == ["LJ001-0011", "LJ002-0035"]
    chosen = {u.basename for u in (*material.validation, *material.held_out)}
    assert chosen == {"LJ001-0002", "LJ014-0285"}
    assert {u.label for u in material.utterances} == {"ljmini"}
    assert material.store.root == project / "runs" / "preprocessed"


def test_text_to_spec_goes_on_with_steps_and_optimiser_where_its_block_is_the_same(project):
    base = project / EXPERIMENT / "nopostnet/checkpoints/last.ckpt"
    given = (f"training.finetune_checkpoint={base}", "training.val_check_interval=2")
    recipe, finished, loaded, listener = trained(project, "text-to-spec", *given, "training.max_steps=12")

    assert recipe.training.continues_base
    assert finished.progress.step == 12
    assert loaded.description.step in (10, 12)
    assert loaded.description.stats == load_model(base).description.stats
    assert listener.line("Continued").startswith("Continued: last.ckpt from its step 10")
    assert "text_to_spec.has_postnet False (the recipe: True)" in listener.line("The base counts")
    longer = recipe_of(project, "text-to-spec", *given, "training.max_steps=13")
    assert continue_training(longer, device="cpu").progress.step == 13
    assert [folder.name for folder in complete_checkpoints(finished.run)][-1] == "step-000013"


def test_symbols_that_the_files_list_are_added_to_a_checkpoint_if_the_texts_have_them(project):
    base = project / EXPERIMENT / "nopostnet/checkpoints/last.ckpt"
    given = (f"training.finetune_checkpoint={base}", "training.val_check_interval=2")
    listed = 'text.symbols.more_characters=["th", "zz", "ß"]'
    _, finished, loaded, listener = trained(project, "text-to-spec", *given, listed, "training.max_steps=12")
    known = load_model(base).description.symbols

    assert listener.line("Added").startswith("Added: 'th' (new) begins as ")
    assert listener.line("Not added") == (
        "Not added: 'zz', 'ß': no text has them, so nothing would teach them"
    )
    assert "tensors begin anew" not in listener.line("Continued")
    assert loaded.description.symbols == (*known, "th")
    assert loaded.description.lineage["added"] == [listener.line("Added").removeprefix("Added: ")]
    longer = recipe_of(project, "text-to-spec", *given, listed, "training.max_steps=13")
    assert continue_training(longer, device="cpu").progress.step == 13


def test_a_checkpoint_of_the_same_files_needs_nothing_new(project):
    base = project / EXPERIMENT / "nopostnet/checkpoints/last.ckpt"
    recipe = recipe_of(project, "text-to-spec", f"training.finetune_checkpoint={base}")
    listener = Heard()
    job = stage_job(
        recipe.model_copy(update={"training": recipe.training.model_copy(update={"continues_base": False})}),
        listener=listener,
    )

    assert job.description.symbols == load_model(base).description.symbols
    assert not any(line.startswith(("Added", "Not added")) for line in listener.said)


def test_with_another_optimiser_block_only_the_weights_are_taken_over(project):
    base = project / EXPERIMENT / "base/checkpoints/last.ckpt"
    recipe, finished, _, listener = trained(
        project,
        "text-to-spec",
        *TWO_STEPS,
        f"training.finetune_checkpoint={base}",
        "training.optimizer.learning_rate=0.0001",
    )

    assert not recipe.training.continues_base
    assert finished.progress.step == 2
    assert not any(line.startswith(("Continued", "The base counts")) for line in listener.said)


def test_a_checkpoint_that_has_all_its_steps_is_not_trained_again(project):
    base = project / EXPERIMENT / "base/checkpoints/last.ckpt"

    with pytest.raises(RunError, match=r"trained for 40 steps already.*max_steps\) above 40, found 40"):
        train_stage(recipe_of(project, "text-to-spec", f"training.finetune_checkpoint={base}"), device="cpu")


def test_a_vocoder_is_trained_from_its_full_checkpoint(project):
    _, finished, loaded, listener = trained(project, "spec-to-wav", *OF_A_VOCODER)

    assert finished.progress.step == 2
    assert loaded.discriminators.keys() == load_model(project / VOCODER).discriminators.keys()
    assert not any(line.startswith("Discriminators") for line in listener.said)


def test_a_vocoder_is_matched_by_hand_from_an_exported_generator(project):
    recipe, finished, loaded, listener = trained(
        project,
        "spec-to-wav",
        *OF_A_VOCODER,
        *TINY_DISCRIMINATORS,
        "training.finetune=True",
        f"training.finetune_checkpoint={project / 'exported.ckpt'}",
    )

    assert recipe.training.spec_source == "produced"
    assert recipe.training.frozen
    assert (
        "nothing of the discriminators: they are new and know nothing (7 names are passed over)"
        in listener.line("Frozen")
    )
    told = listener.line("EveryVoice")
    assert "its audio, 4 produced specs and 0 durations" in told
    assert told.endswith("(4 compared)")
    assert finished.progress.step == 2
    assert loaded.discriminators
    assert (project / "runs" / "preprocessed-adopted" / "synthesized_spec").is_dir()
    assert not (project / "runs" / "preprocessed").exists()
