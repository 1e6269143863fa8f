"""All of matching: measure the misfit, make the specs, plan, train, measure the gain, say what came of it."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import RunError
from retimbre.jobs.listener import Listener, Silent
from retimbre.matching.judge import Contestant, compare, delay_of
from retimbre.matching.misfit import Misfit, measure_misfit
from retimbre.matching.plan import Facts, Plan, make_plan
from retimbre.matching.result import BASE, CONTROLLED, MATCHED, REAL, TUNED, ReportFacts, report_of
from retimbre.matching.resumed import MATCHED_TO, FileThen, begun_in, refuse_changed
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.fit import require_fit
from retimbre.pipelines.synthesis import best_device
from retimbre.pipelines.teacher_forcing import require_known_symbols, write_produced_specs
from retimbre.recipe.read import read_recipe
from retimbre.recipe.recipe import Recipe
from retimbre.report.build import build_report
from retimbre.training.build import spec_to_wav_from
from retimbre.training.material import Material, prepare_material, require_same_lengths, without_long_texts
from retimbre.training.run import (
    Finished,
    require_unused,
    resume,
    run_folder,
    seconds_per_step,
    start,
    stored_recipe,
)
from retimbre.training.train import describe

CONTROL = "control"


@dataclass(frozen=True, kw_only=True)
class MatchRequest:
    """What is matched to what, and how.

    Args:
        recipe: Of stage spec-to-wav; its base is the vocoder. Of TorToiSe's chain also of codes-to-spec.
        spec_model: The tuned checkpoint of the stage before: text-to-spec, text-to-codes or codes-to-spec.
        base_spec_model: The one that it was tuned from, to be compared with; may be missing.
        has_control: Train a second vocoder for as long on real specs of the same recordings.
        vocoder: Through which the specs of a match of codes-to-spec are heard; None: the set's.
        budget_s: Seconds that each training may take, if they are limited.
        is_forced: Train even where matching has little to win back.
        is_resumed: Go on with a matching run that was interrupted.
        notes: Sentences for the report.
    """

    recipe: Recipe
    spec_model: Path
    base_spec_model: Path | None = None
    vocoder: Path | None = None
    has_control: bool = True
    budget_s: float | None = None
    is_forced: bool = False
    is_resumed: bool = False
    device: str = "auto"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Matched:
    """What came of it."""

    run: Path
    model: Path
    report: Path | None  # none if it was interrupted, or not worth it
    sentence: str = "stopped before the end"
    was_interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class _Pair:
    text_to_spec: Loaded
    vocoder: Loaded
    base_text_to_spec: Loaded | None


def match(request: MatchRequest, *, listener: Listener) -> Matched:
    """Match a vocoder to what a text-to-spec model really produces, and measure what that gains."""
    if request.is_resumed:
        _require_same_match(request)
    else:
        require_unused(request.recipe)
    pair = _load(request, listener)
    material = prepare_material(request.recipe, base=pair.vocoder, listener=listener)
    require_known_symbols(material.utterances, pair.text_to_spec)
    material = without_long_texts(material, request.recipe, pair.text_to_spec, listener)
    _produce_specs(request.recipe, material, pair.text_to_spec, listener)
    require_same_lengths(material, has_produced=True)
    misfit = measure_misfit(material, pair.vocoder, material.held_out)
    listener.say("Misfit", misfit.sentence)
    if not (misfit.can_help or request.is_forced):
        listener.say("Not worth it", "nothing was trained; --anyway trains all the same")
        return Matched(
            run=run_folder(request.recipe), model=pair.vocoder.path, report=None, sentence=misfit.sentence
        )
    plan = _plan(request, material, pair.vocoder)
    for choice in plan.choices:
        listener.say("Plan", f"{choice.choice} {choice.value}: {choice.reason}")
    matched = _train(request, _planned(request.recipe, plan, "produced"), material, listener)
    runs = [matched]
    if request.has_control and not matched.was_interrupted:
        recipe = _planned(request.recipe, plan, "real")
        recipe = recipe.model_copy(update={"name": CONTROL, "runs": matched.run})
        listener.say("Control", "the same steps on real specs of the same recordings")
        runs.append(_train(request, recipe, material, listener))
    if any(run.was_interrupted for run in runs):
        return Matched(run=matched.run, model=matched.model, report=None, was_interrupted=True)
    return _conclude(request, material, pair, plan, misfit, runs, listener)


def _produce_specs(recipe: Recipe, material: Material, text_to_spec: Loaded, listener: Listener) -> None:
    """What is trained on may have the recording's prosody; what judges has the model's own, as in use."""
    store = material.store
    judging, has_true_prosody = material.validation + material.held_out, _has_true_prosody(recipe)
    write_produced_specs(
        material.training, store, text_to_spec, has_true_prosody=has_true_prosody, listener=listener
    )
    write_produced_specs(judging, store, text_to_spec, listener=listener)


def _has_true_prosody(recipe: Recipe) -> bool:
    return recipe.training.produced_prosody == "recording"


def _conclude(
    request: MatchRequest,
    material: Material,
    pair: _Pair,
    plan: Plan,
    misfit: Misfit,
    runs: list[Finished],
    listener: Listener,
) -> Matched:
    """Judge every system on the held-out sentences and write the report."""
    contestants = _contestants(pair, runs)
    comparison = compare(material, REAL, contestants, listener=listener)
    report = report_of(
        ReportFacts(
            title=f"Matching report: {request.recipe.name}",
            material=material,
            misfit=misfit,
            plan=plan,
            runs=tuple(runs),
            notes=request.notes,
        ),
        contestants,
        comparison,
    )
    path = build_report(report, runs[0].run)
    listener.say("Result", report.verdict.sentence)
    for detail in report.verdict.details:
        listener.say("", detail)
    return Matched(run=runs[0].run, model=runs[0].model, report=path, sentence=report.verdict.sentence)


def _contestants(pair: _Pair, runs: list[Finished]) -> list[Contestant]:
    """Base (where it is known), tuned, control (where there is one) and matched, in this order."""
    tuned, device = pair.text_to_spec, next(pair.vocoder.model.parameters()).device
    found = []
    if pair.base_text_to_spec is not None:
        found.append(Contestant(system=BASE, text_to_spec=pair.base_text_to_spec, vocoder=pair.vocoder))
    found.append(Contestant(system=TUNED, text_to_spec=tuned, vocoder=pair.vocoder))
    for run in runs[1:]:
        found.append(
            Contestant(system=CONTROLLED, text_to_spec=tuned, vocoder=load_model(run.model, device=device))
        )
    matched = load_model(runs[0].model, device=device)
    return [*found, Contestant(system=MATCHED, text_to_spec=tuned, vocoder=matched)]


def _train(request: MatchRequest, recipe: Recipe, material: Material, listener: Listener) -> Finished:
    """One vocoder, or the rest of it; both trainings of a match begin with the same seed."""
    base = load_model(recipe.base or "")
    torch.manual_seed(recipe.training.seed)
    is_begun = request.is_resumed and (run_folder(recipe) / "recipe.yaml").is_file()
    if is_begun:
        stored = read_recipe(stored_recipe(run_folder(recipe)))
        recipe = recipe.model_copy(update={"training": stored.training})
    job = spec_to_wav_from(recipe, material, base, listener)
    lineage = {**job.description.lineage, MATCHED_TO: sha256_of(request.spec_model)}
    job = replace(job, description=replace(job.description, lineage=lineage))
    go = resume if is_begun else start
    return go(recipe, job, listener=listener, device=request.device)


def _require_same_match(request: MatchRequest) -> None:
    """A resumed match goes on with the same files and split, or its training pairs would change."""
    folder, asked = run_folder(request.recipe), request.recipe
    if (begun := begun_in(folder)) is None:
        return  # it never came to training
    files = (
        FileThen(what="vocoder", sha256=begun.lineage["base"]["sha256"], now=asked.base),
        FileThen(what="text-to-spec model", sha256=begun.lineage[MATCHED_TO], now=request.spec_model),
    )
    changed = begun.changed(asked, files)
    if _has_true_prosody(asked) != _has_true_prosody(begun.recipe):
        changed.append("training.produced_prosody")
    refuse_changed(folder, changed)


def _planned(recipe: Recipe, plan: Plan, source: str) -> Recipe:
    """The recipe with the plan's training section, on produced or on real specs, from step 0."""
    training = plan.training.model_copy(update={"spec_source": source, "continues_base": False})
    return recipe.model_copy(update={"training": training})


def _load(request: MatchRequest, listener: Listener) -> _Pair:
    recipe, device = request.recipe, best_device(request.device)
    if recipe.base is None or not recipe.base.is_file():
        raise RunError(
            "matching needs a trained vocoder",
            expected="base: FILE in the recipe, or --vocoder FILE",
            found=f"{recipe.base}" if recipe.base else "none",
        )
    text_to_spec = load_model(request.spec_model, device=device)
    vocoder = load_model(recipe.base)
    require_fit(text_to_spec, vocoder)
    base = load_model(request.base_spec_model, device=device) if request.base_spec_model else None
    if base is not None:
        require_fit(base, vocoder)
    mel = vocoder.description.mel
    listener.say(
        "Text-to-spec", f"{request.spec_model.name}: {describe(text_to_spec.description, text_to_spec)}"
    )
    listener.say("Vocoder", f"{recipe.base.name}: {describe(vocoder.description, vocoder)}")
    listener.say(
        "They fit",
        f"the same spectrogram: {mel.sample_rate_hz:,} Hz, {mel.n_fft_samples}/{mel.hop_samples}, "
        f"{mel.n_mels} bands to {mel.high_hz:,.0f} Hz",
    )
    return _Pair(text_to_spec=text_to_spec, vocoder=vocoder, base_text_to_spec=base)


def _plan(request: MatchRequest, material: Material, vocoder: Loaded) -> Plan:
    recipe, mel = request.recipe, material.mel
    facts = Facts(
        duration_s=material.duration_s,
        segment_s=mel.duration_s(recipe.training.segment_frames),
        hop_samples=material.output_mel.hop_samples,
        delay=delay_of(vocoder, material),
        has_discriminators=bool(vocoder.discriminators),
    )
    if request.budget_s:
        trial = _planned(recipe, make_plan(recipe.training, facts), "produced")
        job = spec_to_wav_from(trial, material, load_model(vocoder.path), Silent())
        seconds = seconds_per_step(trial, job, device=request.device)
        facts = replace(facts, budget_s=request.budget_s, step_s=seconds)
    return make_plan(recipe.training, facts)
