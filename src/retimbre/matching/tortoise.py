"""Matching of TorToiSe's chain: codes-to-spec to the tuned text-to-codes, then spec-to-wav to that."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from retimbre.errors import RecipeError
from retimbre.jobs.listener import Listener
from retimbre.matching.match import CONTROL, Matched, MatchRequest
from retimbre.matching.misfit import Misfit
from retimbre.matching.plan import Facts as VocoderFacts
from retimbre.matching.plan import Plan
from retimbre.matching.tortoise_files import TUNED, MatchFiles, Named, match_files
from retimbre.matching.tortoise_judge import Contestant, compare
from retimbre.matching.tortoise_match import TortoiseMatch
from retimbre.matching.tortoise_misfit import Drift, UnknownDrift, decoder_error, vocoder_misfit
from retimbre.matching.tortoise_plan import n_judged, plan_decoder, plan_vocoder
from retimbre.matching.tortoise_result import WORDS, ReportFacts, report_of
from retimbre.matching.tortoise_runs import require_same_match, trained
from retimbre.matching.tortoise_sound import delay_of
from retimbre.models.adapter import read_adapter
from retimbre.models.load import Loaded, load_model
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.pipelines.fit import network_in
from retimbre.pipelines.tortoise_target import Spec
from retimbre.recipe.read import read_recipe
from retimbre.report.build import build_report
from retimbre.training.possible import require_meant
from retimbre.training.run import Finished, require_unused, run_folder, stored_recipe
from retimbre.training.tortoise_build import produce_specs, sampling_of, voices_of
from retimbre.training.tortoise_facts import device_facts, facts_of
from retimbre.training.tortoise_material import prepare_tortoise
from retimbre.training.train import describe


def match_tortoise(request: MatchRequest, *, listener: Listener) -> Matched:
    """Match a decoder or a vocoder to what the tuned stage before it really gives, and measure the gain."""
    require_meant(request.recipe)
    if not request.is_resumed:
        require_unused(request.recipe)
    files = match_files(
        request.recipe,
        Named(tuned=request.spec_model, untuned=request.base_spec_model, vocoder=request.vocoder),
    )
    is_begun = request.is_resumed and require_same_match(request, files)
    match = _prepared(request, files, listener)
    misfit = _decoder_misfit(match) if match.is_decoder else _vocoder_misfit(match)
    listener.say("Misfit", misfit.sentence)
    if not (misfit.can_help or request.is_forced or is_begun):
        listener.say("Not worth it", "nothing was trained; --anyway trains all the same")
        return Matched(run=run_folder(match.recipe), model=files.base, report=None, sentence=misfit.sentence)
    plan = _plan(match)
    runs = trained(match, plan)
    if any(run.was_interrupted for run in runs):
        return Matched(run=runs[0].run, model=runs[0].model, report=None, was_interrupted=True)
    return _conclude(match, misfit, plan, runs)


def _prepared(request: MatchRequest, files: MatchFiles, listener: Listener) -> TortoiseMatch:
    """Say what is matched to what, and prepare the recordings."""
    base = load_model(files.base)
    for role, path in files.training.paths.items():
        kind = ", tuned" if role == TUNED[files.recipe.stage] else ""
        told = describe(base.description, base) if path == files.base else path.parent.name
        listener.say(role[:1].upper() + role[1:], f"{path.name}{kind}: {told}")
    for role, path in files.untuned.items():
        listener.say("Untuned", f"{role}: {path}")
    material = prepare_tortoise(
        files.recipe, files=files.training, listener=listener, device=str(request.device)
    )
    if not material.held_out:
        raise RecipeError(
            "nothing is held out to judge a match on",
            expected="data.held_out, or a data.held_out_fraction",
            found="no utterances",
        )
    n_numbers = files.training.reports["codes-to-spec"].parameters
    n, how_many = n_judged(len(material.held_out), n_numbers, is_cpu="cpu" in str(request.device))
    listener.say("Judged", f"{how_many.value} held-out utterances: {how_many.reason}")
    return TortoiseMatch(
        request=request,
        files=files,
        material=material,
        judged=material.held_out[:n],
        how_many=how_many,
        listener=listener,
    )


def _decoder_misfit(match: TortoiseMatch) -> Drift | UnknownDrift:
    """The decoder on latents of the tuned text-to-codes, and on those of its base."""
    if not match.files.untuned:
        return UnknownDrift()
    decoder = network_in(match.on_device(match.files.base), DiffusionDecoder, "codes-to-spec")
    on_base, on_tuned = (
        decoder_error(
            decoder,
            match.judged,
            match.material,
            match.recipe.training,
            latents=match.latents(beside=beside),
            voices=voices_of(match.ground(), as_speaking=True),
        )
        for beside in (match.files.untuned, None)
    )
    return Drift(on_base=on_base, on_tuned=on_tuned)


def _vocoder_misfit(match: TortoiseMatch) -> Misfit:
    """The vocoder on specs that the tuned decoder produced, and on real ones."""
    produce_specs(match.ground(), match.judged)
    vocoder = match.on_device(match.files.base)
    return vocoder_misfit(
        match.judged, match.material, vocoder, _stored_specs(match, vocoder), seed=match.seed
    )


def _stored_specs(match: TortoiseMatch, vocoder: Loaded) -> dict[str, Spec]:
    store, mel = match.material.store, vocoder.description.mel
    return {one.utterance.stem: store.load_produced_spec(one.utterance, mel) for one in match.judged}


def _plan(match: TortoiseMatch) -> Plan:
    given, base = match.recipe.training, match.base()
    device = device_facts(str(match.request.device), given, base)
    facts = facts_of(match.recipe, match.material, base, device)
    if match.is_decoder:
        plan = plan_decoder(given, facts)
    else:
        mel = base.description.mel
        vocoder = VocoderFacts(
            duration_s=match.material.duration_s,
            segment_s=mel.duration_s(given.segment_frames),
            hop_samples=mel.hop_samples,
            delay=delay_of(match.on_device(match.files.base), match.judged, match.material, seed=match.seed),
            has_discriminators=bool(base.discriminators),
        )
        plan = plan_vocoder(given, facts, vocoder)
    for choice in plan.choices:
        match.listener.say("Plan", f"{choice.choice} {choice.value}: {choice.reason}")
    return replace(plan, choices=(*plan.choices, match.how_many))


def _contestants(match: TortoiseMatch, runs: Sequence[Finished]) -> list[Contestant]:
    """Base (where it is known), tuned, control (where there is one) and matched, in this order."""
    words, files = WORDS[match.recipe.stage], match.files
    found: list[tuple[str, dict[str, Spec], Loaded]] = []
    vocoder = match.on_device(files.vocoder)
    if files.untuned:
        decoder = match.on_device(files.untuned.get("codes-to-spec", files.base))
        latents = (match.made_latents if match.is_decoder else match.latents)(beside=files.untuned)
        found.append(("base", match.specs(decoder, latents), vocoder))
    by_name = dict(zip(("matched", CONTROL)[: len(runs)], runs, strict=True))  # the control may be missing
    if match.is_decoder:
        latents = match.made_latents()
        found.append(("tuned", match.specs(match.on_device(files.base), latents), vocoder))
        for name in (CONTROL, "matched"):
            if name in by_name:
                found.append((name, match.specs(_network(match, by_name[name]), latents), vocoder))
    else:
        specs = _stored_specs(match, vocoder)
        found.append(("tuned", specs, vocoder))
        for name in (CONTROL, "matched"):
            if name in by_name:
                found.append((name, specs, _network(match, by_name[name])))
    return [
        Contestant(system=words.system(name), specs=specs, vocoder=vocoder) for name, specs, vocoder in found
    ]


def _network(match: TortoiseMatch, run: Finished) -> Loaded:
    """What a run has kept; small matrices alone are put into the base."""
    device = match.request.device
    if read_recipe(stored_recipe(run.run)).training.lora is not None:
        return load_model(match.files.base, device=device, adapters=[read_adapter(run.model)])
    return load_model(run.model, device=device)


def _conclude(
    match: TortoiseMatch, misfit: Misfit | Drift | UnknownDrift, plan: Plan, runs: Sequence[Finished]
) -> Matched:
    """Judge every system on the held-out utterances and write the report."""
    words, contestants = WORDS[match.recipe.stage], _contestants(match, runs)
    comparison = compare(
        match.judged,
        match.material,
        words.system("real"),
        contestants,
        seed=match.seed,
        has_spec_error=match.is_decoder,
        listener=match.listener,
    )
    facts = ReportFacts(
        title=f"Matching report: {match.recipe.name}",
        files=match.files,
        material=match.material,
        misfit=misfit,
        plan=plan,
        sampling=sampling_of(match.recipe),
        runs=tuple(runs),
        notes=match.request.notes,
    )
    report = report_of(facts, contestants, comparison)
    path = build_report(report, runs[0].run)
    match.listener.say("Result", report.verdict.sentence)
    for detail in report.verdict.details:
        match.listener.say("", detail)
    _tell_next(match, runs[0])
    return Matched(run=runs[0].run, model=runs[0].model, report=path, sentence=report.verdict.sentence)


def _tell_next(match: TortoiseMatch, run: Finished) -> None:
    """How to speak with what was matched, and what to match then."""
    files, say = match.files, match.listener.say
    is_lora = read_recipe(stored_recipe(run.run)).training.lora is not None
    others = [
        path
        for role, path in files.training.paths.items()
        if role not in (match.recipe.stage, "wav-to-codes") and path.parent != files.folder
    ]
    words = ["retimbre", "synthesize", "from-text", files.folder]
    words += [word for path in others for word in ("--with", path)]
    words += ["--adapter" if is_lora else "--with", run.model]
    words += ["--voice", match.recipe.data.recordings, "-t", "Good morning."]
    say("Next", shlex.join(map(str, words)))
    if match.is_decoder and not is_lora:
        then = ["retimbre", "match", "vocoder.yaml", "--spec-model", run.model]
        then += ["-c", f"tortoise.text_to_codes={files.tuned}"]
        say("Next", shlex.join(map(str, then)))
        say("", f"where vocoder.yaml is a recipe of stage spec-to-wav with base: {files.vocoder}")
