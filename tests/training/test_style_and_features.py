"""Networks with style tokens and with phonological features, from scratch: the same as EveryVoice's."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from retimbre.errors import RecipeError
from retimbre.jobs.listener import Silent
from retimbre.models.fastspeech2.from_shapes import FEATURES, theirs
from retimbre.models.load import load_model
from retimbre.pipelines.everyvoice import speak_spec
from retimbre.pipelines.request import Request
from retimbre.pipelines.synthesis import synthesize_texts
from retimbre.recipe.read import read_recipe
from retimbre.text.features import symbol_features
from retimbre.training.journal import read_journal
from retimbre.training.train import continue_training, stage_job, train_stage

EVERYVOICE = Path(__file__).parents[1] / "fixtures" / "everyvoice"
SHAPES = json.loads((EVERYVOICE / "shapes.json").read_text(encoding="utf-8"))
FEW_STEPS = (
    *("training.max_steps=4", "training.val_check_interval=2"),
    *("training.ckpt_epochs=null", "training.ckpt_steps=2", "training.log_every_steps=1"),
)
TWO_STEPS = (*FEW_STEPS, "training.max_steps=2")
BOTH = (
    "model.use_global_style_token_module=true",
    "model.target_text_representation_level=phonological_features",
)


@pytest.fixture
def recipe(parity, tmp_path):
    """The text-to-spec file of a project: recipe("model.multispeaker=true")."""
    if not (tmp_path / "project").exists():
        for name in ("project", "recordings"):
            shutil.copytree(parity("everyvoice_project") / name, tmp_path / name)
    path = tmp_path / "project" / "config" / "everyvoice-text-to-spec.yaml"
    return lambda *overrides: read_recipe(path, overrides)


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_names_and_shapes_are_those_of_everyvoice_for_the_same_file(kind, recipe):
    asked = SHAPES[kind]
    # EveryVoice counts the speakers and languages that it is given; the list has one of each.
    job = stage_job(recipe(*asked["overrides"], *FEW_STEPS), listener=Silent())
    tensors = theirs(job.objective.model.state_dict())

    assert {name: list(tensor.shape) for name, tensor in tensors.items()} == asked["shapes"]
    assert list(job.description.symbols) == asked["symbols"]


def test_features_are_those_of_the_symbols_with_the_files_own_punctuation(recipe):
    own = ('text.symbols.punctuation.commas=[",", "、"]', 'text.symbols.silence=["<SIL>", "<P>"]')
    job = stage_job(recipe(BOTH[1], *own, *FEW_STEPS), listener=Silent())
    features, symbols = job.objective.model.text_input_layer.features, job.description.symbols
    row = {symbol: features[number] for number, symbol in enumerate(symbols)}

    assert row["、"].equal(row[","])
    assert row["<P>"].equal(row["<SIL>"])
    assert row["、"].any()
    assert row["ŋ"].equal(symbol_features(["ŋ"])[0])
    assert not row["ŋ"].equal(row["n"])
    assert job.description.text_level == "phones"


def test_kinds_of_punctuation_without_features_are_refused(recipe):
    with pytest.raises(RecipeError, match="'big_breaks' has no phonological features"):
        recipe(BOTH[1], "text.symbols.punctuation={big_breaks: ['.']}")


def test_letters_have_no_features(recipe_file):
    with pytest.raises(RecipeError, match="reads_features is only for phones"):
        stage_job(
            read_recipe(recipe_file("text-to-spec"), ["text_to_spec.reads_features=true"]), listener=Silent()
        )


def test_such_a_network_learns_speaks_and_follows_a_style(recipe, tmp_path):
    faster = ("training.optimizer.warmup_steps=2", "training.optimizer.learning_rate=0.02")
    finished = train_stage(recipe(*BOTH, *FEW_STEPS, "training.max_steps=16", *faster), device="cpu")
    losses = [line["model/spec"] for line in read_journal(finished.run, kind="training")]
    loaded = load_model(finished.model)

    assert losses[-1] < 0.8 * losses[0]
    assert loaded.model.config.style is not None
    assert loaded.model.config.n_features == 43
    again = load_file(finished.model)
    assert again[FEATURES].equal(loaded.model.text_input_layer.features)
    assert speak_spec("a pen", loaded, language=None).spec.isfinite().all()
    recordings = sorted((tmp_path / "recordings").rglob("*.wav"))[:2]
    spoken = []
    for number, recording in enumerate((None, *recordings)):
        request = Request(
            texts=("a pen",),
            output_types=("spec",),
            output_dir=tmp_path / f"out{number}",
            style_reference=recording,
        )
        (path,) = synthesize_texts(finished.model, request)
        spoken.append(torch.load(path, weights_only=True))
    for one, other in ((0, 1), (1, 2)):
        n_frames = min(spoken[one].shape[1], spoken[other].shape[1])
        assert not spoken[one][:, :n_frames].allclose(spoken[other][:, :n_frames], atol=1e-6)


def test_a_resumed_run_of_such_a_network_ends_in_the_same_bits(recipe, compare):
    whole = train_stage(recipe(*BOTH, *FEW_STEPS, "name=whole"), device="cpu")
    parts = train_stage(recipe(*BOTH, *TWO_STEPS, "name=parts"), device="cpu")
    continue_training(recipe(*BOTH, *FEW_STEPS, "name=parts"), device="cpu")
    path = parts.run / "metrics.jsonl"
    kept = [line for line in path.read_text().splitlines() if '"resumed"' not in line]
    path.write_text("".join(line + "\n" for line in kept))

    assert compare(whole.run, parts.run) == []
