"""The trainings of a match of TorToiSe's stages, begun or gone on with: what is matched, and its control."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from retimbre.matching.match import CONTROL, MatchRequest
from retimbre.matching.plan import Plan
from retimbre.matching.resumed import MATCHED_TO, FileThen, begun_in, refuse_changed
from retimbre.matching.tortoise_files import TUNED, MatchFiles
from retimbre.matching.tortoise_match import TortoiseMatch
from retimbre.matching.tortoise_result import WORDS
from retimbre.pipelines.tortoise_roles import Role
from retimbre.recipe.read import read_recipe
from retimbre.recipe.recipe import Recipe
from retimbre.recipe.training import Training
from retimbre.training.run import Finished, resume, run_folder, start, stored_recipe
from retimbre.training.tortoise_build import BUILD, Ground, with_stored_plan
from retimbre.training.train import require_same_run

LEARNT_WITH = "learnt_with"  # in lineage.json: role -> file and SHA-256 of what was beside the base


def trained(match: TortoiseMatch, plan: Plan) -> list[Finished]:
    """The matched network and, if it is wanted and can be, its control; one alone if it was interrupted."""
    runs = [_train(match, match.recipe, plan.training, beside={})]
    if not match.request.has_control or runs[0].was_interrupted:
        return runs
    if match.is_decoder and not match.files.untuned:
        match.listener.say(
            "Control", "left out: what text-to-codes was tuned from is not known (--base-spec-model FILE)"
        )
        return runs
    words = WORDS[match.recipe.stage]
    match.listener.say("Control", f"the same steps on {words.control_on} of the same recordings")
    apart = match.recipe.model_copy(update={"name": CONTROL, "runs": runs[0].run})
    beside = match.files.untuned if match.is_decoder else {}
    if match.is_decoder:
        section = apart.tortoise.model_copy(update={"text_to_codes": beside["text-to-codes"]})
        apart = apart.model_copy(update={"tortoise": section})
    return [*runs, _train(match, apart, _from(plan.training, "real"), beside=beside)]


def _train(
    match: TortoiseMatch, recipe: Recipe, planned: Training, *, beside: Mapping[Role, Path]
) -> Finished:
    """One network, or the rest of it; both trainings of a match begin with the same seed."""
    folder = run_folder(recipe)
    is_begun = match.request.is_resumed and (folder / "recipe.yaml").is_file()
    if is_begun:
        stored = read_recipe(stored_recipe(folder))
        training = with_stored_plan(match.recipe.training, stored.training)
        recipe = recipe.model_copy(update={"training": _from(training, planned.spec_source)})
        require_same_run(stored, recipe.resolved_against(Path.cwd()))
    else:
        recipe = recipe.model_copy(update={"training": planned})
    torch.manual_seed(recipe.training.seed)
    ground = replace(match.ground(recipe, beside=beside), base=match.base())
    job = BUILD[recipe.stage](ground)
    lineage = {**job.description.lineage, **_beside(match, ground, is_control=recipe.name == CONTROL)}
    job = replace(job, description=replace(job.description, lineage=lineage))
    go = resume if is_begun else start
    return go(recipe, job, listener=match.listener, device=str(match.request.device))


def _beside(match: TortoiseMatch, ground: Ground, *, is_control: bool) -> dict[str, object]:
    """What the lineage says of the files beside the base."""
    files = ground.material.files
    own = match.recipe.stage
    told: dict[str, object] = {LEARNT_WITH: files.beside(own)}
    return told if is_control else {MATCHED_TO: files.sha256(TUNED[own]), **told}


def require_same_match(request: MatchRequest, files: MatchFiles) -> bool:
    """Raise RunError unless everything is as the match was begun; was it begun at all?"""
    folder = run_folder(request.recipe)
    if (begun := begun_in(folder)) is None:
        return False
    beside = begun.lineage.get(LEARNT_WITH, {})
    then = [
        FileThen(
            what=f"base ({request.recipe.stage})", sha256=begun.lineage["base"]["sha256"], now=files.base
        )
    ]
    then += [
        FileThen(what=role, sha256=beside.get(role, {}).get("sha256"), now=path)
        for role, path in files.training.paths.items()
        if path != files.base
    ]
    control = begun_in(folder / CONTROL)
    if request.has_control and control is not None:
        untuned = control.lineage.get(LEARNT_WITH, {}).get("text-to-codes", {}).get("sha256")
        if request.recipe.stage == "codes-to-spec":
            now = files.untuned.get("text-to-codes")
            then.append(FileThen(what="untuned text-to-codes", sha256=untuned, now=now))
    refuse_changed(folder, begun.changed(request.recipe, then))
    training = with_stored_plan(request.recipe.training, begun.recipe.training)
    asked = files.recipe.model_copy(update={"training": _from(training, begun.recipe.training.spec_source)})
    require_same_run(begun.recipe, asked.resolved_against(Path.cwd()))
    return True


def _from(training: Training, source: str) -> Training:
    """The same on real or on produced specs, whatever the recipe says: a match knows."""
    return training.model_copy(update={"spec_source": source})
