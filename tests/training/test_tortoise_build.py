"""From a recipe of one of TorToiSe's stages to its run: what is decided, what learns, what is refused."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from building.listeners import Heard
from building.tortoise_corpus import LINES, sound, tortoise_corpus
from building.tortoise_runs import KINDS, tortoise_recipe
from building.tortoise_set import PARTS, save_part
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import CheckpointError, RecipeError, RunError, StagesDoNotFit
from retimbre.models.adapter import read_adapter
from retimbre.models.load import load_model
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.recipe.read import read_recipe
from retimbre.training import tortoise_build
from retimbre.training.some_steps import prepare_as_asked
from retimbre.training.tortoise_facts import Device
from retimbre.training.train import continue_training, train_stage, try_training

SHORT = {"steps": 2, "batch_size": 3, "validate_at_most": 1, "samples": 0, "log_every_steps": 1}
ROOMY = Device(free_bytes=10**11, has_bfloat16=False, holds_weights=True)


@pytest.fixture(autouse=True)
def few_words(monkeypatch, tmp_path):
    """One sentence of the base instead of four, the machine's memory not looked at, hashes kept aside."""
    from retimbre.training import tortoise_forgetting

    monkeypatch.setattr(tortoise_forgetting, "SENTENCES", tortoise_forgetting.SENTENCES[:1])
    monkeypatch.setattr(tortoise_build, "device_facts", lambda *asked: ROOMY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def prepared(tortoise_set, tmp_path_factory):
    """A corpus whose material is made when it is first wanted."""
    return tortoise_corpus(tmp_path_factory.mktemp("corpus"), tortoise_set)


@pytest.fixture
def own(tortoise_set, tmp_path):
    """A corpus and a set of files that a test may change."""
    return tortoise_corpus(tmp_path / "corpus", shutil.copytree(tortoise_set, tmp_path / "models"))


@pytest.fixture
def recipe(prepared, tmp_path):
    """A recipe of a kind: recipe("LoRA", "name=other", steps=3)."""

    def build(kind, *overrides, corpus=prepared, **training):
        path = tmp_path / f"{kind}.yaml"
        settings = {**SHORT, **training}
        tortoise_recipe(corpus, path, kind, name="run", runs=tmp_path / "runs", **settings)
        return read_recipe(path, overrides)

    return build


@pytest.fixture
def learn():
    """Train: learn(recipe, is_resumed=True) -> how it ended, and what was said."""

    def run(recipe, *, is_resumed=False):
        listener = Heard()
        how = continue_training if is_resumed else train_stage
        return how(recipe, listener=listener, device="cpu"), listener

    return run


@pytest.fixture(scope="module")
def known():
    """Kind -> its first run."""
    return {}


@pytest.fixture
def learnt(known, recipe, learn):
    """The first run of a kind, made once, and what was said: learnt("LoRA")."""

    def run(kind):
        if kind not in known:
            known[kind] = learn(recipe(kind, "contact=mail@example.org", "consent=Anna agreed"))
        return known[kind]

    return run


def checkpoint(run, step):
    return load_file(run / "checkpoints" / f"step-{step:06d}" / "model.safetensors")


def is_same(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def training_lines(run):
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["kind"] == "training"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_complete_and_its_stored_recipe_gives_it_again(learnt, learn, kind):
    finished, _ = learnt(kind)
    stored = read_recipe(finished.run / "recipe.yaml", ["name=again"])
    again, listener = learn(stored)

    names = {path.name for path in finished.run.iterdir()}
    assert names >= {
        "checkpoints",
        "latest",
        "lineage.json",
        "metrics.jsonl",
        "model.safetensors",
        "recipe.yaml",
    }
    assert is_same(checkpoint(finished.run, 2), checkpoint(again.run, 2))
    for name in ("metrics.jsonl", "lineage.json"):
        assert (finished.run / name).read_text() == (again.run / name).read_text(), name
    assert load_file(finished.model).keys() == load_file(again.model).keys()
    assert all(plan.endswith("as the recipe says") for plan in listener.of("Plan") if "method" not in plan)


@pytest.mark.parametrize("kind", ["text-to-codes", "codes-to-spec", "decoder", "spec-to-wav"])
def test_what_the_recipe_leaves_open_is_told_with_its_reason_and_stored(learnt, kind):
    finished, listener = learnt(kind)
    stored = read_recipe(finished.run / "recipe.yaml").training
    rule = {"text-to-codes": "1e-05 at 128", "codes-to-spec": "1e-05 at 32", "decoder": "0.0005 at 32"}

    plan = {text.partition(":")[0] for text in listener.of("Plan")}
    assert f"learning rate {stored.optimiser.learning_rate:g}" in plan
    assert any(rule.get(kind, "0.0001 at 32") in text for text in listener.of("Plan"))
    assert "steps 2" in plan
    assert f"patience {stored.patience}" in plan
    assert stored.optimiser.schedule == "cosine"
    assert stored.model_fields_set == set(type(stored).model_fields)


def test_a_resumed_run_keeps_the_plan_that_it_was_begun_with_whatever_the_memory_and_the_rules_are_now(
    recipe, learn, monkeypatch
):
    whole, _ = learn(recipe("text-to-codes", "name=whole", steps=3))
    begun, _ = learn(recipe("text-to-codes", steps=3, batch_size=3))
    before = read_recipe(begun.run / "recipe.yaml")
    shutil.rmtree(begun.run / "checkpoints" / "step-000003", ignore_errors=True)
    short = Device(free_bytes=10**6, has_bfloat16=True, holds_weights=True)
    monkeypatch.setattr(tortoise_build, "device_facts", lambda *asked: short)
    monkeypatch.setattr("retimbre.training.tortoise_plan.PATIENCE", 99)
    monkeypatch.setattr("retimbre.training.tortoise_plan.LARGE", 1)

    again, listener = learn(recipe("text-to-codes", steps=3, batch_size=3), is_resumed=True)

    assert listener.of("Plan") == []
    assert read_recipe(again.run / "recipe.yaml") == before
    assert is_same(checkpoint(again.run, 3), checkpoint(whole.run, 3))


def test_a_memory_that_is_too_small_for_all_weights_makes_small_matrices_of_it(recipe, learn, monkeypatch):
    tight = Device(free_bytes=12_000_000, has_bfloat16=False, holds_weights=True)
    monkeypatch.setattr(tortoise_build, "device_facts", lambda *asked: tight)

    finished, listener = learn(recipe("text-to-codes"))

    (method,) = [plan for plan in listener.of("Plan") if plan.startswith("method")]
    assert method == "method LoRA of rank 4: all weights need 0.0 GB, 0.0 GB are free"
    assert read_recipe(finished.run / "recipe.yaml").training.lora is not None
    assert read_adapter(finished.model).description.rank == 4


@pytest.fixture
def without_dropout(monkeypatch):
    """The network drops nothing: what it drops depends on who goes through it together."""
    network_of = tortoise_build._network

    def quiet(ground, kind):
        network = network_of(ground, kind)
        for module in network.modules():
            if hasattr(module, "dropout"):
                module.dropout = 0.0
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        return network

    monkeypatch.setattr(tortoise_build, "_network", quiet)


def test_layers_that_are_recomputed_learn_the_same_bit_for_bit(recipe, learn, monkeypatch):
    whole, _ = learn(recipe("text-to-codes", "name=whole", batch_parts=1))
    monkeypatch.setattr(tortoise_build, "device_facts", lambda *asked: replace(ROOMY, free_bytes=10**6))
    lean, _ = learn(recipe("text-to-codes", "name=lean", batch_parts=1, lora=None))

    assert is_same(checkpoint(lean.run, 2), checkpoint(whole.run, 2))


@pytest.mark.usefixtures("without_dropout")
def test_a_batch_in_parts_learns_the_same_to_rounding_also_where_the_last_one_is_smaller(recipe, learn):
    whole, _ = learn(recipe("text-to-codes", "name=whole", batch_parts=1))
    parted, listener = learn(recipe("text-to-codes", "name=parted", batch_parts=2))

    assert any(text.startswith("parts of a batch 2") for text in listener.of("Plan"))
    expected = checkpoint(whole.run, 2)
    for name, tensor in checkpoint(parted.run, 2).items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, expected[name], atol=3e-5, rtol=1e-4)
    for one, other in zip(training_lines(parted.run), training_lines(whole.run), strict=True):
        assert one["model/total"] == pytest.approx(other["model/total"], rel=1e-4)


def test_small_matrices_alone_are_saved_and_a_resume_wants_their_base(own, recipe, learn):
    finished, _ = learn(recipe("LoRA", corpus=own))
    saved = [name for name in checkpoint(finished.run, 2) if name.startswith("model.")]
    n_numbers = sum(tensor.numel() for name, tensor in checkpoint(finished.run, 2).items() if name in saved)

    assert all("down" in name or "up" in name or "lora" in name.lower() for name in saved), saved
    assert finished.model.stat().st_size < 4 * n_numbers + 20_000
    description = read_adapter(finished.model).description
    base = own.models / "autoregressive.pth"
    assert description.base.sha256 == sha256_of(base)
    assert load_model(base, adapters=[read_adapter(finished.model)]).description.family == "tortoise_ar"

    save_part(base, PARTS["autoregressive"].family, PARTS["autoregressive"].config, seed=99)
    with pytest.raises(RunError, match="small matrices beside another base"):
        learn(recipe("LoRA", corpus=own, steps=3), is_resumed=True)


def test_only_the_groups_that_are_to_move_do(recipe, learn, tortoise_set):
    finished, _ = learn(recipe("text-to-codes", moving=["voice"], optimiser={"learning_rate": 0.01}))
    before = load_model(tortoise_set / "autoregressive.pth").model.state_dict()
    after = {name.removeprefix("model."): one for name, one in checkpoint(finished.run, 2).items()}

    moved = {name for name, tensor in before.items() if not after[name].equal(tensor)}
    assert moved
    assert all(name.startswith("conditioning_encoder.") for name in moved)


@pytest.mark.parametrize("kind", ["text-to-codes", "codes-to-spec", "decoder", "spec-to-wav"])
def test_bfloat16_learns_on_a_cpu(recipe, learn, kind):
    finished, listener = learn(recipe(kind, precision="bf16-mixed", steps=1))

    assert "numbers bf16-mixed: as the recipe says" in listener.of("Plan")
    tensors = load_file(finished.model).values()
    assert all(tensor.dtype != torch.bfloat16 and tensor.isfinite().all() for tensor in tensors)


def test_every_utterance_that_cannot_be_used_is_listed_with_its_reason(own, recipe, learn):
    own.say({**LINES, "a0": ("anna", "…"), "x9": ("anna", "not there")})
    own.record("b0", sound(0.01, seed=3))
    finished, listener = learn(recipe("text-to-codes", corpus=own))

    listed = (own.root / "preprocessed" / "left-out.tsv").read_text(encoding="utf-8").splitlines()
    reasons = dict(line.split("\t")[:2] for line in listed[1:])
    assert reasons.keys() >= {"a0", "b0", "c0"}
    assert "no other recording of the speaker (carl)" in reasons["c0"]
    (told,) = listener.of("Left out")
    assert told.startswith(f"{len(reasons)}: ")
    n_learnt = load_model(finished.model).description.lineage["data"]["utterances"]
    assert n_learnt == len(LINES) - 3 - 2 - 1  # unusable, held out, chosen by


def test_validation_measures_no_more_utterances_than_it_may(recipe):
    settings = recipe("decoder", "data.validation_fraction=0.9", validate_at_most=2)
    _, job = tortoise_build.tortoise_job(settings, load_model(settings.base), listener=Heard())

    assert len(job.objective.validation) == 2


def test_over_training_ends_a_run(recipe, learn):
    rate = {"learning_rate": 3.0, "schedule": "constant"}  # far too high
    finished, listener = learn(
        recipe("decoder", steps=30, patience=2, validate_every_steps=1, optimiser=rate, seed=3)
    )

    assert finished.progress.step < 30
    assert not finished.was_interrupted
    assert any("no better validation in 2 of them" in text for text in listener.of("Over-training"))


@pytest.mark.parametrize("kind", KINDS)
def test_where_a_network_comes_from_travels_with_it(learnt, prepared, kind):
    finished, _ = learnt(kind)
    if kind == "LoRA":
        lineage = read_adapter(finished.model).description.lineage
    else:
        lineage = load_model(finished.model).description.lineage
    stage, base, _ = KINDS[kind]
    learnt_with = {
        "text-to-codes": {"wav-to-codes": "dvae"},
        "codes-to-spec": {"wav-to-codes": "dvae", "text-to-codes": "autoregressive"},
        "wav-to-codes": {},
        "spec-to-wav": {
            "wav-to-codes": "dvae",
            "text-to-codes": "autoregressive",
            "codes-to-spec": "diffusion_decoder",
        },
    }[stage]

    assert json.loads((finished.run / "lineage.json").read_text()) == lineage
    assert (lineage["contact"], lineage["consent"]) == ("mail@example.org", "Anna agreed")
    files = {role: f"{name}.pth" for role, name in learnt_with.items()}
    assert {role: facts["file"] for role, facts in lineage.get("learnt_with", {}).items()} == files
    for facts in lineage.get("learnt_with", {}).values():
        assert facts["sha256"] == sha256_of(prepared.models / facts["file"])
    assert lineage["data"]["sha256"] == sha256_of(prepared.filelist)
    if base:
        assert lineage["base"]["sha256"] == sha256_of(prepared.models / f"{base}.pth")
    else:
        assert lineage["base"] is None


def test_a_run_goes_on_only_with_the_files_that_it_was_begun_with(own, recipe, learn):
    learn(recipe("codes-to-spec", corpus=own))
    save_part(
        own.models / "autoregressive.pth",
        PARTS["autoregressive"].family,
        PARTS["autoregressive"].config,
        seed=98,
    )

    with pytest.raises(RunError, match=r"begun with another text-to-codes.*autoregressive\.pth"):
        learn(recipe("codes-to-spec", corpus=own, steps=3), is_resumed=True)


def test_preparing_before_changes_nothing(own, recipe, learn, tortoise_set, tmp_path):
    other = tortoise_corpus(tmp_path / "other", own.models)
    for kind in ("codes-to-spec", "spec-to-wav"):
        prepare_as_asked(
            recipe(kind, corpus=own),
            steps=(),
            is_tried=False,
            is_overwritten=False,
            n_workers=1,
            listener=Heard(),
        )
        prepared, listener = learn(recipe(kind, f"name={kind}-prepared", corpus=own))
        fresh, _ = learn(recipe(kind, f"name={kind}-fresh", corpus=other))

        assert any("0 encoded now" in text for text in listener.of("Codes"))
        assert is_same(checkpoint(prepared.run, 2), checkpoint(fresh.run, 2))


def test_a_dry_run_tells_the_plan_and_makes_no_run(recipe, tmp_path):
    listener = Heard()
    assert try_training(recipe("decoder"), listener=listener, device="cpu") > 0

    assert listener.of("Plan")
    assert listener.said[-1].startswith("Dry run: ")
    assert not (tmp_path / "runs").exists()


REFUSED = {
    "a base of another stage": (
        "text-to-codes",
        ["base=diffusion_decoder.pth"],
        (CheckpointError, r"diffusion_decoder\.pth is no text-to-codes checkpoint"),
    ),
    "no base": ("codes-to-spec", ["base=null"], (RecipeError, "codes-to-spec is tuned from a base")),
    "all of a known dVAE": (
        "decoder",
        ["tortoise.part=all"],
        (RecipeError, r"dvae\.pth cannot be trained further as a whole: with another encoder or code book"),
    ),
    "the decoder of none": ("new dVAE", ["tortoise.part=decoder"], (RecipeError, "there is no dVAE whose")),
    "another way to train": (
        "codes-to-spec",
        ["tortoise.trains_as=dlas"],
        (RecipeError, "only text-to-codes is trained as DL-Art-School"),
    ),
    "no such group": (
        "text-to-codes",
        ["training.moving=[voices]"],
        (RecipeError, "training.moving names 'voices', which is no group"),
    ),
    "matrices and groups": (
        "LoRA",
        ["training.moving=[voice]"],
        (RecipeError, "training.lora learns small matrices and nothing else"),
    ),
    "small matrices of a dVAE": ("decoder", ["training.lora={}"], (RecipeError, "training.lora is for")),
    "small matrices of a vocoder": (
        "spec-to-wav",
        ["training.lora={}"],
        (RecipeError, "training.lora is for"),
    ),
    "groups of a vocoder": ("spec-to-wav", ["training.moving=[x]"], (RecipeError, "training.moving is for")),
    "nothing of a tensor": (
        "text-to-codes",
        ["training.frozen=[gtp]"],
        (RecipeError, "training.frozen names 'gtp', but no tensor begins so"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused_before_anything_is_prepared(
    case, recipe, learn, prepared, tmp_path, monkeypatch
):
    kind, overrides, (error, text) = REFUSED[case]
    monkeypatch.setattr(tortoise_build, "prepare_tortoise", None)

    with pytest.raises(error, match=text):
        learn(recipe(kind, *(one.replace("base=d", f"base={prepared.models}/d") for one in overrides)))

    assert not (tmp_path / "runs").exists()


def test_without_a_dvae_nothing_is_encoded(own, recipe, learn):
    (own.models / "dvae.pth").unlink()

    with pytest.raises(
        RecipeError, match="needs wav-to-codes, and nothing plays it.*retimbre fetch tortoise dvae"
    ):
        learn(recipe("text-to-codes", corpus=own))


def test_the_dvae_of_another_set_is_refused(own, recipe, learn):
    config = DvaeConfig(n_codes=1024, codebook_dim=512, dim=8, n_resblocks=1)
    save_part(own.models / "dvae.pth", PARTS["dvae"].family, config)

    with pytest.raises(StagesDoNotFit) as told:
        learn(recipe("text-to-codes", corpus=own))

    for part in (
        "dvae.pth and autoregressive.pth do not belong together",
        "expected a codebook of 256 codes (mel_embedding.weight has 258 rows: codes, start, stop)",
        "found codebook.embed with 1,024 codes (512 × 1,024): this is an XTTS v2 dVAE",
    ):
        assert part in str(told.value)
