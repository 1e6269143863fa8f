"""A DL-Art-School YAML for TorToiSe is a recipe as it is, and each of its lines is accounted for."""

import re
from pathlib import Path

import pytest
import yaml

from building.dlas import CHANGED_BY_USERS, EXAMPLES, TO_FILL, dlas_diff, dlas_file, dlas_gpt
from retimbre.errors import RecipeError
from retimbre.recipe.dlas import is_dlas
from retimbre.recipe.dlas_keys import Same, rules_of
from retimbre.recipe.read import read_recipe, recipe_notes, write_recipe

STAGES = {"gpt": "text-to-codes", "diff": "codes-to-spec"}
RATE = "steps.gpt_train.optimizer_params.lr"
LOSSES = "steps.ddpm_train.losses"
GROUPED = re.compile(r"(?:lines? [\d, -]+|command line), (?:the same here|ignored)(?: \(.*?\))?: (?=\w)(.*)")
ALONE = re.compile(r"(?:line \d+|command line), (?:honoured|changed): ([\w.]+): .+ -> .+")


@pytest.fixture
def example(tmp_path):
    """Write an example with changes into a folder like DL-Art-School's: example("gpt", {"fp16": True})."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    return lambda kind, changes=None: dlas_file(folder, kind, changes)


def leaves(section, prefix=""):
    for name, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def keys_in(notes):
    """Every key that the notes name, as often as they do."""
    found = []
    for note in notes:
        if alone := ALONE.fullmatch(note):
            found.append(alone[1])
        elif grouped := GROUPED.fullmatch(note):
            for group in grouped[1].split("; "):
                section, colon, names = group.partition(": ")
                prefix = f"{section}." if colon else ""
                found += [f"{prefix}{name}" for name in (names if colon else section).split(", ")]
    return found


def message(path, *overrides):
    with pytest.raises(RecipeError) as told:
        read_recipe(path, overrides)
    text = str(told.value)
    assert "\n" not in text
    return text


def line(path, text):
    """The number of the only line that holds a text."""
    (found,) = [n for n, one in enumerate(path.read_text().splitlines(), 1) if text in one]
    return found


def note_of(path, key, *overrides):
    return next(note for note in recipe_notes(path, overrides) if f" {key}: " in note)


# ---- the examples as they are ------------------------------------------------------------------------------


def test_the_example_of_the_autoregressive_stage_becomes_a_recipe(example, tmp_path):
    recipe = read_recipe(example("gpt"))
    data, training = recipe.data, recipe.training

    assert (recipe.stage, recipe.name) == ("text-to-codes", "my-voice")
    assert recipe.base == tmp_path / "experiments" / "autoregressive.pth"
    assert recipe.runs == tmp_path / "experiments" / "runs"
    assert (data.training_filelist, data.validation_filelist) == (
        tmp_path / "data" / "train.txt",
        tmp_path / "data" / "val.txt",
    )
    assert data.recordings == tmp_path / "data"
    assert (data.min_duration_s, data.max_duration_s) == (0.6, pytest.approx(11.6097, abs=1e-4))
    assert not data.trims_silence
    assert (recipe.tortoise.trains_as, recipe.tortoise.n_clips) == ("inference", 2)
    assert (training.steps, training.batch_size, training.batch_parts) == (50000, 128, 4)
    assert (training.validate_every_steps, training.checkpoint_every_steps) == (500, 500)
    assert (training.log_every_steps, training.keep_checkpoints) == (100, 2)
    assert (training.loss.text, training.loss.codes) == (0.01, 1.0)
    assert training.recomputes
    optimiser = training.optimiser
    assert (optimiser.name, optimiser.learning_rate, optimiser.betas) == ("adamw", 1e-5, (0.9, 0.96))
    assert (optimiser.weight_decay, optimiser.decays, optimiser.clip_norm) == (0.01, "matrices", 4.0)
    assert (optimiser.schedule, optimiser.milestones) == ("milestones", (500, 1000, 1400, 1800))
    assert (optimiser.gamma, optimiser.warmup_steps) == (0.5, 0)


def test_the_example_of_the_diffusion_stage_becomes_a_recipe(example, tmp_path):
    recipe = read_recipe(example("diff"))
    training = recipe.training

    assert (recipe.stage, recipe.name) == ("codes-to-spec", "my-voice-diffusion")
    assert recipe.base == Path.home() / ".cache" / "tortoise" / "models" / "diffusion_decoder.pth"
    assert recipe.tortoise.text_to_codes == tmp_path / "experiments" / "tuned.pth"
    assert (recipe.tortoise.n_clips, recipe.data.max_duration_s) == (1, 10.0)
    assert (training.batch_size, training.batch_parts) == (32, 8)
    loss = training.loss
    assert (loss.noise, loss.variance, loss.first_guess, loss.noise_from_step) == (1, 1, 1, 200)
    assert (training.optimiser.betas, training.optimiser.weight_decay) == ((0.9, 0.999), 0.001)
    assert (training.optimiser.milestones, training.optimiser.gamma) == ((99999999,), 0.2)
    assert training.optimiser.clip_norm == 1.0


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("trains_as", ["inference", "dlas"])
def test_every_line_is_accounted_for_exactly_once(example, kind, trains_as):
    notes = recipe_notes(example(kind), [f"tortoise.trains_as={trains_as}"])
    named = keys_in(notes)

    assert sorted(named) == sorted(leaves(EXAMPLES[kind]()))
    assert len(named) == {"gpt": 109, "diff": 155}[kind]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_numbers_of_lines_are_those_of_the_file(example, kind):
    path = example(kind)
    written = path.read_text(encoding="utf-8").splitlines()
    for note in recipe_notes(path):
        if alone := ALONE.fullmatch(note):
            number = int(note.split(",")[0].removeprefix("line "))
            assert written[number - 1].strip().startswith(f"{alone[1].rpartition('.')[2]}:"), note


@pytest.mark.parametrize("kind", EXAMPLES)
def test_it_is_written_as_a_recipe_of_ours_which_is_the_same(example, tmp_path, kind):
    recipe = read_recipe(example(kind))
    again = tmp_path / "again.yaml"
    again.write_text(write_recipe(recipe), encoding="utf-8")

    assert read_recipe(again) == recipe
    assert recipe_notes(again) == ()


@pytest.mark.parametrize("kind", EXAMPLES)
def test_lines_that_users_fill_in_are_named_until_they_have(example, kind):
    for key in CHANGED_BY_USERS[kind]:
        path = example(kind, {key: TO_FILL})
        if key.endswith("s.train.name") or key.endswith("s.val.name"):
            assert read_recipe(path).stage == STAGES[kind]  # a label that nothing reads
            continue
        told = message(path)
        assert f"line {line(path, TO_FILL)}: '{key}' is still to be filled in" in told
        assert f"Write '{key.rpartition('.')[2]}: …' there, or give -c {key}=…" in told
        assert read_recipe(path, [f"{key}=filled"]).stage == STAGES[kind]


def test_only_files_of_dl_art_school_are_taken_for_such(example, parity):
    project = parity("everyvoice_project") / "project" / "config"
    others = [*project.glob("*.yaml"), *Path("recipes").glob("*.yaml")]

    assert is_dlas(dlas_gpt())
    assert is_dlas(dlas_diff())
    assert others
    for path in others:
        assert not is_dlas(yaml.safe_load(path.read_text(encoding="utf-8"))), path


# ---- what is changed, and said -----------------------------------------------------------------------------


def test_training_is_corrected_unless_theirs_is_asked_for(example):
    path = example("gpt")
    corrected, theirs = recipe_notes(path), recipe_notes(path, ["tortoise.trains_as=dlas"])

    assert read_recipe(path, ["tortoise.trains_as=dlas"]).tortoise.trains_as == "dlas"
    assert "-c tortoise.trains_as=dlas trains as DL-Art-School does" in corrected[1]
    assert "which is not what speaking does" in theirs[1]
    assert "132,300 samples" in note_of(path, "datasets.train.conditioning_length")
    assert "changed" in note_of(path, "networks.gpt.kwargs.tortoise_compat")
    (same,) = [note for note in theirs if "the same here" in note]
    assert {"datasets.train.conditioning_length", "networks.gpt.kwargs.tortoise_compat"} <= set(
        keys_in([same])
    )


def test_a_stop_at_its_right_place_is_not_called_a_change(example):
    path = example("gpt", {"networks.gpt.kwargs.tortoise_compat": False})
    (same,) = [note for note in recipe_notes(path) if "the same here" in note]

    assert "networks.gpt.kwargs.tortoise_compat" in keys_in([same])
    assert "true: the stop comes after all the padding" in note_of(
        path, "networks.gpt.kwargs.tortoise_compat", "tortoise.trains_as=dlas"
    )


def test_the_diffusion_example_names_its_base_where_dl_art_school_does_not_look(example):
    path = example("diff")
    right = {"path.pretrain_model_gpt": None, "path.pretrain_model_ddpm": "../experiments/base.pth"}

    assert "looks for pretrain_model_ddpm" in note_of(path, "path.pretrain_model_gpt")
    assert "honoured" in note_of(example("diff", right), "path.pretrain_model_ddpm")


@pytest.mark.parametrize(
    ("change", "key", "value", "said"),
    [
        ({"fp16": True}, "training.precision", "bf16-mixed", "bfloat16"),
        ({"steps.gpt_train.optimizer": "lion"}, "training.optimiser.name", "lion", "honoured"),
        ({"steps.gpt_train.optimizer": "adamw_zero"}, "training.optimiser.name", "adamw", "one device"),
        (
            {RATE: "1e-5"},
            "training.optimiser.learning_rate",
            1e-5,
            "honoured",
        ),
        ({"checkpointing_enabled": False}, "training.recomputes", False, "honoured"),
        ({"train.warmup_iter": 100}, "training.optimiser.warmup_steps", 100, "honoured"),
        ({"train.manual_seed": 7}, "training.seed", 7, "honoured"),
        ({"train.ema_enabled": True}, "training.steps", 50000, "no average"),
        ({"upgrades.number_of_checkpoints_to_save": 3}, "training.keep_checkpoints", 3, "honoured"),
        ({"path.strict_load": False}, "training.steps", 50000, "fit completely"),
        ({"datasets.val.max_wav_length": 1000}, "training.steps", 50000, "255995, as in datasets.train"),
        ({"networks.gpt.which_model_G": "unified_voice3"}, "training.steps", 50000, "alignment head"),
        ({"gpu_ids": [0, 1]}, "training.steps", 50000, "first device"),
    ],
)
def test_values_arrive_and_what_is_changed_is_said(example, change, key, value, said):
    path = example("gpt", change)
    found = read_recipe(path)
    for name in key.split("."):
        found = getattr(found, name)
    (theirs,) = change

    assert found == value
    assert any(said in note and theirs in note.replace(": ", ".") for note in recipe_notes(path))


def test_a_state_of_theirs_is_begun_from_anew_and_resume_is_named(example, tmp_path):
    state = "../experiments/old/training_state/800.state"
    path = example("gpt", {"path.pretrain_model_gpt": None, "path.resume_state": state})

    assert read_recipe(path).base == tmp_path / "experiments" / "old" / "models" / "800_gpt.pth"
    assert "goes on by --resume" in note_of(path, "path.resume_state")


def test_the_dvae_is_the_one_that_their_other_file_names(example, tmp_path):
    path = example("gpt")
    key = "steps.gpt_train.injectors.to_codes.dvae_config"
    assert "beside the base" in note_of(path, key)
    assert read_recipe(path).tortoise.dvae is None
    named = {"path": {"pretrain_model_dvae": "../experiments/dvae.pth"}}
    config = tmp_path / "experiments" / "train_diffusion_vocoder_22k_level.yml"
    config.write_text(yaml.safe_dump(named), encoding="utf-8")
    (tmp_path / "experiments" / "dvae.pth").touch()

    assert read_recipe(path).tortoise.dvae == tmp_path / "experiments" / "dvae.pth"
    assert "honoured" in note_of(path, key)


def test_sizes_are_compared_with_the_checkpoint_which_counts(example, tortoise_set):
    base = str(tortoise_set / "autoregressive.pth")
    changes = {"path.pretrain_model_gpt": base, "networks.gpt.kwargs.layers": 2}
    path = example("gpt", changes)
    (same,) = [note for note in recipe_notes(path) if "the same here" in note]

    assert "networks.gpt.kwargs.layers" in keys_in([same])
    told = note_of(path, "networks.gpt.kwargs.model_dim")
    assert told.endswith("128, as autoregressive.pth has it: the checkpoint counts, not 1024")
    assert "258" in note_of(path, "networks.gpt.kwargs.number_mel_codes")


def test_sizes_of_the_diffusion_decoder_are_compared_too(example, tortoise_set):
    path = example("diff", {"path.pretrain_model_gpt": str(tortoise_set / "diffusion_decoder.pth")})

    assert "48, as" in note_of(path, "networks.ddpm.kwargs.model_channels")
    assert "1, as" in note_of(path, "networks.ddpm.kwargs.num_layers")
    (same,) = [note for note in recipe_notes(path) if "the same here" in note]
    assert {f"networks.ddpm.kwargs.{name}" for name in ("in_channels", "out_channels")} <= set(
        keys_in([same])
    )


# ---- the command line --------------------------------------------------------------------------------------


def test_the_command_line_takes_their_words_and_ours(example):
    path = example("gpt")
    words = ["train.niter=7", "training.batch_size=3", "name=other", "data.trims_silence=true"]
    recipe = read_recipe(path, words)

    assert (recipe.training.steps, recipe.training.batch_size) == (7, 3)
    assert (recipe.name, recipe.data.trims_silence) == ("other", True)
    assert note_of(path, "train.niter", *words).startswith("command line, honoured: train.niter: 7 ->")
    assert "-c training.batch_size says otherwise" in note_of(path, "datasets.train.batch_size", *words)


def test_a_base_on_the_command_line_counts(example, tmp_path):
    path = example("gpt", {"path.pretrain_model_gpt": None})

    assert "nothing says which checkpoint to begin from" in message(path)
    assert read_recipe(path, [f"base={tmp_path / 'mine.pth'}"]).base == tmp_path / "mine.pth"


# ---- what is wrong, in one sentence with its line ----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"train.mega_batch_facter": 4, "train.mega_batch_factor": None}, "Write 'mega_batch_factor: 4'"),
        ({"train.nitre": 4, "train.niter": None}, "unknown key 'train.nitre'. Write 'niter: 4'"),
        (
            {"datasets.train.batchsize": 4, "datasets.train.batch_size": None},
            "unknown key 'datasets.train.batchsize'. Write 'batch_size: 4'",
        ),
        ({"train.niter": 0}, "'train.niter' is wrong: expected a whole number of at least 1, found 0"),
        ({"train.niter": "many"}, "'train.niter' is wrong"),
        (
            {"train.lr_gamma": 1.5},
            "'train.lr_gamma' is wrong: expected Input should be less than or equal to 1",
        ),
        ({"train.gen_lr_steps": [900, 500]}, "a list of steps in ascending order"),
        ({"train.default_lr_scheme": "CosineAnnealingLR_Restart"}, "-c training.optimiser.schedule=cosine"),
        ({"steps.gpt_train.optimizer": "lamb"}, "expected one of adamw, adamw_zero, lion, found 'lamb'"),
        ({RATE: "fast"}, "expected a number that is not negative"),
        ({RATE: None}, "there is no learning rate"),
        ({"steps.gpt_train.training": "ddpm"}, "expected 'gpt', which stands under 'networks'"),
        (
            {"steps.gpt_train.losses.other": {"type": "direct", "key": "x"}},
            "'other' is not one of this stage's",
        ),
        ({"steps.gpt_train.losses.mel_ce.after": 5}, "this loss counts from the first step"),
        (
            {"steps.gpt_train.injectors.to_codes.type": "mel_to_codes"},
            "expected one of torch_mel_spectrogram",
        ),
        ({"networks.gpt.which_model_G": "lucidrains_dvae"}, "expected one of unified_voice2"),
        ({"networks.other": {"type": "generator"}}, "one network is trained at a time"),
        ({"steps.other": {"training": "gpt"}}, "there is one step of training"),
        ({"datasets.train.path": ["a.txt", "b.txt"]}, "expected one list"),
        ({"name": "my voice"}, "'name' is wrong: expected letters, digits"),
        ({"fp16": "yes please"}, "'fp16' is wrong: expected true or false"),
    ],
)
def test_a_wrong_value_ends_in_one_sentence_with_its_line(example, change, told):
    path = example("gpt", change)
    found = message(path)

    assert told in found
    assert found.startswith(f"{path}, line ")


def test_losses_that_begin_at_different_steps_are_refused(example):
    told = message(example("diff", {f"{LOSSES}.var_loss.after": 300}))

    assert "begin together: expected the same 'after' in both, found 200 and 300" in told
    assert "l2" in message(example("diff", {f"{LOSSES}.mel_surrogate.criterion": "l1"}))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_what_cannot_be_chosen_here_is_refused_or_said(example, kind):
    network = {"gpt": "gpt", "diff": "ddpm"}[kind]
    rules = rules_of(STAGES[kind], network)
    n_refused = n_told = 0
    for key in leaves(EXAMPLES[kind]()):
        pattern = re.sub(r"^(steps\.\w+\.(?:injectors|losses))\.\w+", r"\1.*", key)
        pattern = re.sub(r"^(steps|networks)\.\w+", r"\1.*", pattern)
        rule = rules[pattern]
        if not isinstance(rule, Same):
            continue
        path = example(kind, {key: "something else"})
        if rule.refuses:
            assert f": '{key}' is wrong: expected {rule.otherwise}" in message(path)
            n_refused += 1
        else:
            assert "changed" in note_of(path, key)
            n_told += 1
    assert n_refused > 10
    assert n_told > 5


def every_key(section, prefix=""):
    for name, value in section.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from every_key(value, f"{prefix}{name}.")


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("odd", [5, [], {"a": 1}], ids=repr)
def test_whatever_stands_somewhere_there_is_a_recipe_or_one_sentence(example, kind, odd):
    keys = list(every_key(EXAMPLES[kind]()))
    sections = [key for key in keys if any(other.startswith(f"{key}.") for other in keys)]
    for key in dict.fromkeys(sections + keys[::15] + [key for key in keys if key.endswith("_G")]):
        assert outcome(example(kind, {key: odd})) in (STAGES[kind], "one sentence"), key


def outcome(path):
    try:
        return read_recipe(path).stage
    except RecipeError as error:
        return "several lines" if "\n" in str(error) else "one sentence"


def test_what_is_of_another_part_of_dl_art_school_is_ignored_and_said(example):
    path = example("gpt", {"automatic_rewiring": {"plan": "b"}})

    assert any("does not know it): automatic_rewiring: plan" in note for note in recipe_notes(path))
