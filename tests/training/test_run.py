"""Starting, stopping and going on with a run."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from building.listeners import Heard
from retimbre.errors import CheckpointError, NoRoom, RecipeError, RunError
from retimbre.models.load import load_model
from retimbre.recipe.read import read_recipe
from retimbre.training.objective import Verdict
from retimbre.training.optimisers import Lion, optimiser_of
from retimbre.training.run import require_unused, run_folder, seconds_per_step, start
from retimbre.training.state import complete_checkpoints

FAMILIES = ("text-to-spec", "spec-to-wav")


class Recorder:
    """Keeps what it is told, and may do something at one step."""

    def __init__(self, at=None, act=None):
        self.said, self.steps = [], []
        self.at, self.act = at, act

    def say(self, label, text):
        self.said.append(f"{label}: {text}")

    def progress(self, task, done, total, note=""):
        self.steps.append(done)
        if done == self.at:
            self.act()


def checkpoint(run, step):
    return load_file(run / "checkpoints" / f"step-{step:06d}" / "model.safetensors")


def is_same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def lines(run, kind):
    content = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, content) if line["kind"] == kind]


@pytest.mark.parametrize("stage", FAMILIES)
def test_a_run_folder_holds_everything_by_its_name(begin, settings, stage):
    finished = begin(stage, settings(steps=4, checkpoint_every_steps=2))

    assert sorted(path.name for path in finished.run.iterdir()) == [
        "checkpoints",
        "events",
        "latest",
        "lineage.json",
        "lock",
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
        "recipe.yaml",
        *(["samples"] if stage == "spec-to-wav" else []),  # a spec has no sound
    ]
    assert [path.name for path in sorted((finished.run / "checkpoints").iterdir())] == [
        "step-000002",
        "step-000004",
    ]
    assert not finished.was_interrupted
    assert finished.progress.step == 4
    assert load_model(finished.model).stage == stage


def test_a_used_folder_is_refused_and_untouched(begin, settings, tiny_recipe):
    finished = begin("text-to-spec", settings(steps=1))
    before = {path: path.stat().st_mtime_ns for path in finished.run.rglob("*")}

    with pytest.raises(RunError) as told:
        begin("text-to-spec", settings(steps=1))

    assert str(told.value) == (
        f"there is a run in {finished.run} already. "
        "Go on with it by --resume, or name a new one: -c name=run-2"
    )
    assert {path: path.stat().st_mtime_ns for path in finished.run.rglob("*")} == before


def test_a_folder_with_anything_in_it_is_used(tiny_recipe, settings):
    recipe = tiny_recipe("text-to-spec", settings())
    folder = run_folder(recipe)
    folder.mkdir(parents=True)
    require_unused(recipe)
    (folder / ".recipe.yaml.01ab.part").write_text("na", encoding="utf-8")
    (folder / "lock").touch()
    require_unused(recipe)
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(RunError):
        require_unused(recipe)


def test_there_must_be_a_run_to_resume(begin, settings):
    with pytest.raises(RunError, match=r"there is no run to resume in .*run\. Start it without --resume"):
        begin("text-to-spec", settings(), is_resumed=True)


@pytest.mark.parametrize("stage", FAMILIES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_to_the_same_end(begin, settings, stage, number):
    chosen = settings(steps=6)
    whole = begin(stage, chosen, name="whole")
    listener = Recorder(at=3, act=lambda: signal.raise_signal(number))

    stopped = begin(stage, chosen, listener=listener)
    assert stopped.was_interrupted
    assert stopped.progress.step == 3
    assert (stopped.run / "latest").read_text(encoding="utf-8") == "step-000003\n"
    assert any(text.startswith("Stopping: after this step") for text in listener.said)
    assert "Stopped: at step 3; everything is saved, go on with --resume" in listener.said

    listener = Recorder()
    finished = begin(stage, chosen, is_resumed=True, listener=listener)
    assert "Resumed: at step 3 of 6" in listener.said
    assert listener.steps == [4, 5, 6]
    assert not finished.was_interrupted
    assert is_same(checkpoint(finished.run, 6), checkpoint(whole.run, 6))
    assert lines(finished.run, "training") == lines(whole.run, "training")
    assert lines(finished.run, "validation") == lines(whole.run, "validation")


@pytest.mark.parametrize("stage", FAMILIES)
def test_ctrl_c_stops_the_process_which_saves_first(
    server, recipe_file, logged_step, compare, tmp_path, stage
):
    server.train(recipe_file(stage, name="whole"))
    recipe = recipe_file(stage)
    process = server.begin(recipe)
    logged_step(tmp_path / "runs" / "run", 4)
    os.kill(process, signal.SIGINT)
    assert server.end() == 130
    stopped_at = int((tmp_path / "runs" / "run" / "latest").read_text(encoding="utf-8")[5:])
    assert 4 <= stopped_at < 12
    server.train(recipe)

    assert compare(tmp_path / "runs" / "whole", tmp_path / "runs" / "run") == []


def test_a_second_signal_ends_the_run_at_once(begin, settings):
    before = signal.getsignal(signal.SIGINT)  # a job in the background ignores it

    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        begin("text-to-spec", settings(steps=6, checkpoint_every_steps=2), listener=Recorder(at=3, act=twice))

    assert signal.getsignal(signal.SIGINT) is before


def test_after_a_run_the_signals_have_their_old_meaning(begin, settings):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    begin("text-to-spec", settings(steps=1))

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("stage", FAMILIES)
def test_validation_disturbs_no_random_numbers(begin, settings, stage):
    often = begin(stage, settings(steps=5, validate_every_steps=1), name="often")
    seldom = begin(stage, settings(steps=5, validate_every_steps=1000), name="seldom")

    assert len(lines(often.run, "validation")) == 6
    assert len(lines(seldom.run, "validation")) == 2
    assert is_same(checkpoint(often.run, 5), checkpoint(seldom.run, 5))


@pytest.mark.parametrize("stage", FAMILIES)
def test_saving_often_or_seldom_changes_no_weight(begin, settings, stage):
    often = begin(stage, settings(steps=5, checkpoint_every_steps=1, log_every_steps=3), name="often")
    seldom = begin(stage, settings(steps=5), name="seldom")

    assert is_same(checkpoint(often.run, 5), checkpoint(seldom.run, 5))


OPTIMISERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "rms": torch.optim.RMSprop, "lion": Lion}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_run_of_each_optimiser_goes_on_to_the_same_end(begin, settings, name, tiny_job):
    chosen = {"name": name, "alpha": 0.9, "betas": (0.7, 0.8), "eps": 1e-6, "weight_decay": 0.1}
    whole = begin("text-to-spec", settings(steps=4, checkpoint_every_steps=2, **chosen), name="whole")
    begin("text-to-spec", settings(steps=2, checkpoint_every_steps=2, **chosen))
    resumed = begin("text-to-spec", settings(steps=4, checkpoint_every_steps=2, **chosen), is_resumed=True)
    (turn,) = tiny_job("text-to-spec", settings()).objective.turns()
    optimiser = optimiser_of(turn, settings(**chosen).optimiser)
    (group,) = optimiser.param_groups

    assert is_same(checkpoint(whole.run, 4), checkpoint(resumed.run, 4))
    assert type(optimiser) is OPTIMISERS[name]
    assert name == "lion" or group["eps"] == 1e-6
    assert group["weight_decay"] == 0.1
    assert group["alpha"] == 0.9 if name == "rms" else group["betas"] == (0.7, 0.8)


def test_another_seed_gives_other_weights(begin, settings):
    one = begin("text-to-spec", settings(seed=1), name="one")
    other = begin("text-to-spec", settings(seed=2), name="other")

    assert not is_same(checkpoint(one.run, 4), checkpoint(other.run, 4))


class Judged:
    """An objective whose validation scores are given beforehand."""

    def __init__(self, objective, scores):
        self.objective, self.scores = objective, dict(enumerate(scores))

    def parts(self):
        return self.objective.parts()

    def turns(self):
        return self.objective.turns()

    def begin(self, batch, progress):
        return self.objective.begin(batch, progress)

    def validate(self, progress):
        return Verdict({"measure": 1.0}, self.scores[progress.step])


def judged(*scores):
    return lambda job: replace(job, objective=Judged(job.objective, scores))


def kept_step(run):
    return load_model(run / "model.safetensors").description.step


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((9.0, 5.0, 3.0, 4.0, 6.0), 2),
        ((1.0, 5.0, 3.0, 4.0, 6.0), 0),
        ((9.0, 5.0, 5.0, 4.5, 4.0), 4),
        ((9.0, 5.0, 5.0, 5.0, 5.0), 1),
        ((float("nan"), 5.0, 6.0, float("nan"), 7.0), 1),
    ],
)
def test_the_best_weights_are_kept_and_stay_when_later_ones_are_worse(begin, settings, scores, best):
    chosen = settings(steps=4, validate_every_steps=1, checkpoint_every_steps=1, keep_checkpoints=5)
    finished = begin("text-to-spec", chosen, change=judged(*scores))

    assert (finished.progress.best_step, finished.progress.best_score) == (best, scores[best])
    assert kept_step(finished.run) == best
    if best:
        kept = load_file(finished.model)
        expected = checkpoint(finished.run, best)
        assert is_same(kept, {name.removeprefix("model."): tensor for name, tensor in expected.items()})


@pytest.mark.parametrize(("scores", "last"), [((9.0, 3.0, 4.0, 5.0, 1.0), 3), ((9.0, 3.0, 4.0, 2.0, 5.0), 4)])
def test_over_training_stops_the_run_and_keeps_the_best(begin, settings, scores, last):
    chosen = settings(steps=4, validate_every_steps=1, checkpoint_every_steps=4, patience=2)
    listener = Heard()
    finished = begin("text-to-spec", chosen, change=judged(*scores), listener=listener)

    best = scores.index(min(scores[: last + 1]))
    assert (finished.progress.step, finished.was_interrupted) == (last, False)
    assert kept_step(finished.run) == best
    assert [path.name for path in complete_checkpoints(finished.run)] == [f"step-{last:06d}"]
    assert bool(listener.of("Over-training")) == (last == 3)


def test_a_run_that_has_overtrained_stays_at_its_end_when_it_is_resumed(begin, settings):
    chosen = settings(steps=4, validate_every_steps=1, patience=2)
    change = judged(9.0, 3.0, 4.0, 5.0, 1.0)
    before = begin("text-to-spec", chosen, change=change)
    after = begin("text-to-spec", chosen, change=change, is_resumed=True)

    assert (after.progress.step, after.was_interrupted) == (before.progress.step, False)
    assert is_same(checkpoint(after.run, 3), checkpoint(before.run, 3))


def test_a_resumed_run_remembers_the_best_score(begin, settings):
    scores = judged(9.0, 2.0, 5.0, 4.0, 3.0)
    chosen = settings(steps=4, validate_every_steps=1)
    stop = Recorder(at=2, act=lambda: signal.raise_signal(signal.SIGINT))
    begin("text-to-spec", chosen, change=scores, listener=stop)
    finished = begin("text-to-spec", chosen, change=scores, is_resumed=True)

    assert finished.progress.best_step == 1
    assert kept_step(finished.run) == 1


def test_no_step_is_logged_twice_after_a_resume(begin, settings):
    chosen = settings(steps=7, validate_every_steps=2, checkpoint_every_steps=3)

    def crash():
        raise RuntimeError("the lights went out")

    for at in (2, 5, 5):
        with pytest.raises(RuntimeError):
            begin("text-to-spec", chosen, listener=Recorder(at=at, act=crash), is_resumed=at != 2)
    finished = begin("text-to-spec", chosen, is_resumed=True)

    assert [line["step"] for line in lines(finished.run, "training")] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["step"] for line in lines(finished.run, "validation")] == [0, 2, 4, 6, 7]


def test_a_run_that_died_before_its_first_checkpoint_begins_again(begin, settings):
    def crash():
        raise RuntimeError("the lights went out")

    with pytest.raises(RuntimeError):
        begin("text-to-spec", settings(), listener=Recorder(at=2, act=crash))
    listener = Recorder()
    finished = begin("text-to-spec", settings(), listener=listener, is_resumed=True)
    whole = begin("text-to-spec", settings(), name="whole")

    assert listener.steps == [1, 2, 3, 4]
    assert is_same(checkpoint(finished.run, 4), checkpoint(whole.run, 4))


def test_a_damaged_checkpoint_is_told_and_the_run_still_ends_the_same(begin, settings):
    chosen = settings(steps=6, checkpoint_every_steps=2, keep_checkpoints=3)
    whole = begin("text-to-spec", chosen, name="whole")
    stop = Recorder(at=5, act=lambda: signal.raise_signal(signal.SIGINT))
    run = begin("text-to-spec", chosen, listener=stop).run
    path = run / "checkpoints" / "step-000005" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1])

    listener = Recorder()
    begin("text-to-spec", chosen, is_resumed=True, listener=listener)

    assert listener.said[0] == (
        "Checkpoint: step-000005 is damaged (state.safetensors changed since it was written): "
        "the one before it is used"
    )
    assert "Resumed: at step 4 of 6" in listener.said
    assert is_same(checkpoint(run, 6), checkpoint(whole.run, 6))


def test_a_longer_run_goes_on_from_where_a_shorter_one_ended(begin, settings):
    begin("text-to-spec", settings(steps=3))
    finished = begin("text-to-spec", settings(steps=6), is_resumed=True)
    whole = begin("text-to-spec", settings(steps=6), name="whole")

    assert finished.progress.step == 6
    assert is_same(checkpoint(finished.run, 6), checkpoint(whole.run, 6))


def test_resuming_a_run_that_is_over_changes_nothing(begin, settings):
    chosen = settings(steps=3)
    finished = begin("text-to-spec", chosen)
    before = checkpoint(finished.run, 3), (finished.run / "metrics.jsonl").read_text(encoding="utf-8")
    listener = Recorder()
    begin("text-to-spec", chosen, is_resumed=True, listener=listener)

    assert listener.steps == []
    assert is_same(checkpoint(finished.run, 3), before[0])
    assert (finished.run / "metrics.jsonl").read_text(encoding="utf-8") == before[1]


def test_the_progress_line_shows_losses_and_the_best_validation(begin, settings):
    notes = []

    class Noting(Recorder):
        def progress(self, task, done, total, note=""):
            notes.append((task, done, total, note))

    begin("text-to-spec", settings(steps=2), listener=Noting(), change=judged(3.25, 0, 5.0))

    assert [note[:3] for note in notes] == [("Training", 1, 2), ("Training", 2, 2)]
    assert notes[0][3].startswith("model/spec ")
    assert notes[1][3].endswith("; validation 3.250 (best, at 0)")


def test_a_run_whose_checkpoints_would_not_fit_leaves_an_empty_folder(begin, settings, tmp_path, monkeypatch):
    def none(folder, needed):
        raise NoRoom("too little room")

    with monkeypatch.context() as patch:
        patch.setattr("retimbre.training.run.require_room", none)
        with pytest.raises(NoRoom):
            begin("text-to-spec", settings(steps=1))

    assert list((tmp_path / "runs" / "run").iterdir()) == []
    begin("text-to-spec", settings(steps=1))


def test_a_disk_that_is_full_when_the_best_weights_are_kept_ends_in_one_line(begin, settings, tmp_path):
    def full(path, step):
        raise CheckpointError(f"{path} cannot be written", found="[Errno 28] No space left on device")

    with pytest.raises(
        NoRoom, match="the disk is full: the weights of step 0, the best so far, could not be written"
    ):
        begin("text-to-spec", settings(), change=lambda job: replace(job, keep=full))


def test_a_recipe_that_freezes_a_whole_part_is_refused(begin, settings):
    with pytest.raises(RecipeError, match=r"training\.frozen leaves nothing of the discriminators to learn"):
        begin("spec-to-wav", settings(frozen=("discriminators",)))


def test_seconds_per_step_are_measured_without_writing(tiny_job, tiny_recipe, settings, tmp_path):
    chosen = settings()
    seconds = seconds_per_step(
        tiny_recipe("spec-to-wav", chosen), tiny_job("spec-to-wav", chosen), n_steps=3, device="cpu"
    )

    assert 0 < seconds < 20
    assert list(tmp_path.iterdir()) == []


def test_the_stored_recipe_gives_the_same_run_again(begin, settings, tiny_recipe, tiny_job):
    chosen = settings(steps=3)
    first = begin("spec-to-wav", chosen)
    stored = read_recipe(first.run / "recipe.yaml", ["name=again"])
    again = start(stored, tiny_job("spec-to-wav", stored.training), device="cpu")

    expected = tiny_recipe("spec-to-wav", chosen, name="again").resolved_against(Path.cwd())
    assert stored == expected
    assert is_same(checkpoint(again.run, 3), checkpoint(first.run, 3))


def test_a_run_leaves_no_pickle_behind(begin, settings):
    run = begin("spec-to-wav", settings(steps=2)).run

    for path in run.rglob("*"):
        if path.is_file() and path.parent.name != "events":
            assert path.suffix in {".safetensors", ".json", ".jsonl", ".yaml", ".wav", ""}
            assert not path.read_bytes().startswith(b"\x80")
