"""A model's file of an EveryVoice project is a recipe as it is."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from retimbre.errors import RecipeError
from retimbre.models.hifigan.config import DiscriminatorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.recipe.read import read_recipe, recipe_notes, write_recipe

STAGES = ("text-to-spec", "spec-to-wav")


@pytest.fixture(scope="session")
def project(parity):
    return parity("everyvoice_project") / "project"


@pytest.fixture
def copied(project, tmp_path):
    """A copy of the project's configuration and lists, to be changed: its folder `config`."""
    shutil.copytree(project / "config", tmp_path / "config")
    (tmp_path / "preprocessed").mkdir()
    for name in ("training_filelist.psv", "validation_filelist.psv"):
        shutil.copy(project / "preprocessed" / name, tmp_path / "preprocessed" / name)
    shutil.copy(project / "ljmini-filelist.psv", tmp_path)
    return tmp_path / "config"


def file_of(stage, folder):
    return folder / f"everyvoice-{stage}.yaml"


def message(path, *overrides):
    with pytest.raises(RecipeError) as told:
        read_recipe(path, overrides)
    text = str(told.value)
    assert "\n" not in text
    return text


def notes_of(path, *overrides):
    return "\n".join(recipe_notes(path, overrides))


# ---- the project as it is ----------------------------------------------------------------------------------


def test_every_value_of_a_text_to_spec_file_arrives(project):
    recipe = read_recipe(file_of("text-to-spec", project / "config"))
    sizes, training = recipe.text_to_spec, recipe.training

    assert recipe.stage == "text-to-spec"
    assert recipe.base is None
    assert recipe.contact == "Example Person <person@example.org>"
    assert (sizes.dim, sizes.n_layers, sizes.n_heads, sizes.feedforward_dim, sizes.kernel) == (
        32,
        1,
        2,
        64,
        9,
    )
    assert (sizes.decoder.n_layers, sizes.decoder.feedforward_dim) == (1, 64)
    assert (sizes.pitch.n_bins, sizes.energy.n_layers, sizes.duration.n_layers) == (32, 2, 2)
    assert sizes.has_postnet
    assert not sizes.has_speakers
    assert (training.steps, training.batch_size, training.n_workers) == (40, 2, 0)
    assert training.optimiser.schedule == "noam"
    assert training.optimiser.learning_rate == 1e-3
    assert training.optimiser.betas == (0.9, 0.999)
    assert training.optimiser.warmup_steps == 20
    assert training.optimiser.weight_decay == 1e-6
    assert training.loss.attn_bin_full_step == 100  # 100 epochs of one batch of two


def test_every_value_of_a_vocoder_file_arrives(project):
    recipe = read_recipe(file_of("spec-to-wav", project / "config"))
    sizes, training = recipe.spec_to_wav, recipe.training

    assert recipe.stage == "spec-to-wav"
    assert recipe.base == project / "logs_and_checkpoints/VocoderExperiment/base/checkpoints/last.ckpt"
    assert not sizes.is_istft
    assert sizes.upsample_rates == (8, 8, 2, 2)
    assert sizes.initial_channels == 32
    assert sizes.resblock_kernels == (3,)
    assert (recipe.discriminators.periods, recipe.discriminators.n_scales) == ((2,), 1)
    assert training.steps == 20  # 40 of both optimisers together
    assert training.segment_frames == 32
    assert training.optimiser.learning_rate == 1e-5
    assert training.spec_source == "real"


@pytest.mark.parametrize("stage", STAGES)
def test_the_split_is_exactly_the_one_that_everyvoice_made(stage, project):
    data = read_recipe(file_of(stage, project / "config")).data

    assert data.training_filelist == project / "preprocessed/training_filelist.psv"
    assert data.validation_filelist == project / "preprocessed/validation_filelist.psv"
    assert data.filelist == project / "ljmini-filelist.psv"
    assert data.recordings == project.parent / "recordings" / "wavs"


@pytest.mark.parametrize("stage", STAGES)
def test_results_and_features_go_to_a_folder_of_our_own(stage, project):
    recipe = read_recipe(file_of(stage, project / "config"))

    assert recipe.runs == project / "runs"
    assert recipe.data.preprocessed == project / "runs" / "preprocessed"
    assert recipe.data.adopted == project / "preprocessed"
    assert f"results go to {recipe.runs / recipe.name}" in notes_of(file_of(stage, project / "config"))


@pytest.mark.parametrize("stage", STAGES)
def test_reading_a_project_makes_and_changes_nothing(stage, copied):
    before = sorted((path, path.stat().st_mtime_ns) for path in copied.parent.rglob("*"))
    read_recipe(file_of(stage, copied), ["training.finetune_checkpoint=null"])

    assert sorted((path, path.stat().st_mtime_ns) for path in copied.parent.rglob("*")) == before


@pytest.mark.parametrize("stage", STAGES)
def test_the_recipe_that_a_run_keeps_says_the_same(stage, project, tmp_path):
    recipe = read_recipe(file_of(stage, project / "config"))
    kept = tmp_path / "recipe.yaml"
    kept.write_text(write_recipe(recipe), encoding="utf-8")

    assert read_recipe(kept) == recipe
    assert recipe_notes(kept) == ()


@pytest.mark.parametrize("stage", STAGES)
def test_a_recipe_does_not_depend_on_the_current_folder(stage, project, tmp_path, monkeypatch):
    path = file_of(stage, project / "config")
    here = read_recipe(path)
    monkeypatch.chdir(project)

    assert read_recipe(Path("config") / path.name) == here


@pytest.mark.parametrize("stage", STAGES)
def test_what_the_wizard_writes_is_a_recipe_as_it_is(stage, parity):
    recipe = read_recipe(file_of(stage, parity("everyvoice_project") / "wizard_config"))

    assert recipe.training.steps == (100_000 if stage == "text-to-spec" else 50_000)
    assert recipe.training.batch_size == 16
    assert recipe.data.training_filelist is None  # nothing is prepared yet
    assert recipe.data.held_out_fraction == pytest.approx(0.05)
    trained = (1 - recipe.data.held_out_fraction) * (1 - recipe.data.validation_fraction)
    assert trained == pytest.approx(0.9, abs=1e-5)  # train_split


@pytest.mark.parametrize("stage", STAGES)
def test_json_says_the_same_as_yaml(stage, copied, project):
    path = file_of(stage, copied)
    overrides = ["training.finetune_checkpoint=null"]
    expected = read_recipe(path, overrides)
    for one in copied.glob("*.yaml"):
        text = json.dumps(yaml.safe_load(one.read_text(encoding="utf-8")), indent="\t").replace(
            ".yaml", ".json"
        )
        one.with_suffix(".json").write_text(text, encoding="utf-8")
        one.unlink()

    assert read_recipe(path.with_suffix(".json"), overrides) == expected


# ---- training ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        (["training.max_steps=41"], 21),
        (["training.max_steps=100", "training.generator_warmup_steps=20"], 60),
        (["training.max_steps=10", "training.generator_warmup_steps=20"], 10),
        (["training.max_steps=100", "training.max_epochs=7"], 7),
        (["training.max_steps=-1", "training.max_epochs=7"], 7),
    ],
)
def test_a_vocoder_trains_as_many_steps_as_everyvoice_would(project, overrides, steps):
    assert read_recipe(file_of("spec-to-wav", project / "config"), overrides).training.steps == steps


def test_that_both_optimisers_are_counted_is_said(project):
    path = file_of("spec-to-wav", project / "config")

    assert "40 are 20 steps here" in notes_of(path)


def test_before_the_split_is_made_epochs_are_counted_by_the_list(copied):
    shutil.rmtree(copied.parent / "preprocessed")
    path = file_of("text-to-spec", copied)

    assert read_recipe(path, ["training.max_epochs=3"]).training.steps == 3  # half of four, two in a batch
    assert "about 2 training utterances" in notes_of(path)


def test_without_any_length_of_training_nothing_begins(project):
    path = file_of("spec-to-wav", project / "config")

    assert "it is not said how long to train" in message(path, "training.max_steps=0")


def test_matching_hears_produced_specs_and_freezes_what_everyvoice_freezes(project):
    path = file_of("spec-to-wav", project / "config")
    overrides = ["training.finetune=True", "model.mpd_layers=[2, 3]", "model.msd_layers=2"]
    training = read_recipe(path, overrides).training
    discriminators = Discriminators(DiscriminatorConfig(periods=(2, 3), n_scales=2, width=0.01))
    names = [f"discriminators.{name}" for name, _ in discriminators.named_parameters()]

    assert training.spec_source == "produced"
    for prefix in training.frozen:
        assert any(name.startswith(prefix) for name in names), prefix
    kept = {n.partition(".parametrizations")[0] for n in names if not n.startswith(training.frozen)}
    assert len(training.frozen) == 2 * 3 + 2 * 4
    assert not any(".convs.0" in name or ".convs.2" in name for name in kept)


@pytest.mark.parametrize(
    ("overrides", "every", "keep"),
    [
        (["training.ckpt_epochs=null", "training.ckpt_steps=90"], 45, 1),
        (["training.ckpt_epochs=1000", "training.save_top_k_ckpts=3"], 1000, 3),
        (["training.save_top_k_ckpts=0"], 500, 1),
    ],
)
def test_checkpoints_are_kept_as_often_as_the_file_says(project, overrides, every, keep):
    training = read_recipe(file_of("spec-to-wav", project / "config"), overrides).training

    assert (training.checkpoint_every_steps, training.keep_checkpoints) == (every, keep)


def test_validation_may_come_after_a_share_of_an_epoch(project):
    path = file_of("text-to-spec", project / "config")

    assert read_recipe(path, ["training.val_check_interval=250"]).training.validate_every_steps == 250
    assert read_recipe(path, ["training.val_check_interval=1.0"]).training.validate_every_steps == 1


@pytest.mark.parametrize("name", ["adam", "adamw", "rms"])
def test_every_optimiser_is_the_one_that_is_named(copied, name):
    path = file_of("spec-to-wav", copied)
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw["training"]["finetune_checkpoint"] = None
    raw["training"]["optimizer"] = {"name": name, "learning_rate": 2e-4, "eps": 1e-6}
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    optimiser = read_recipe(path).training.optimiser

    assert (optimiser.name, optimiser.learning_rate, optimiser.eps) == (name, 2e-4, 1e-6)
    assert "here they count" in notes_of(path)


def test_a_vocoders_rate_falls_by_a_thousandth_in_each_epoch(project):
    optimiser = read_recipe(file_of("spec-to-wav", project / "config")).training.optimiser

    assert optimiser.schedule == "exponential"
    assert optimiser.decay ** (1 / 1000) == pytest.approx(0.999)  # an epoch is one step


# ---- what it starts from -----------------------------------------------------------------------------------


def test_a_checkpoint_that_is_not_there_never_means_from_scratch(copied):
    path = file_of("spec-to-wav", copied)
    text = message(path)

    assert "line 25: 'training.finetune_checkpoint' is not there" in text
    assert f"nothing at {copied.parent / 'logs_and_checkpoints'}" in text
    assert f"a relative one is seen from {copied})" in text


def test_a_checkpoint_on_the_command_line_is_seen_from_the_current_folder_or_the_files(
    copied, tmp_path, monkeypatch
):
    path, current = file_of("spec-to-wav", copied), tmp_path / "elsewhere"
    current.mkdir()
    monkeypatch.chdir(current)
    override = "training.finetune_checkpoint=a.ckpt"
    assert f"seen from {current}, then from {copied}" in message(path, override)

    (copied / "a.ckpt").touch()
    assert read_recipe(path, [override]).base == copied / "a.ckpt"
    (current / "a.ckpt").touch()
    assert read_recipe(path, [override]).base == current / "a.ckpt"


def test_the_name_that_the_guide_once_had_for_it_is_understood(copied):
    path = file_of("spec-to-wav", copied)
    (copied / "a.ckpt").touch()
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("finetune_checkpoint: ..", "finetune_ckpt: a.ckpt # .."), encoding="utf-8")

    assert read_recipe(path).base == copied / "a.ckpt"
    assert "has 'finetune_ckpt' and 'finetune_checkpoint'" in message(
        path, "training.finetune_checkpoint=b.ckpt"
    )


# ---- overrides ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("model.use_postnet=False", lambda r: not r.text_to_spec.has_postnet),
        ("training.logger.version=2", lambda r: r.name == "FeaturePredictionExperiment-2"),
        ("training.logger.version=a b/c", lambda r: r.name == "FeaturePredictionExperiment-a-b-c"),
        ("preprocessing.source_data.0.label=x", lambda r: r.data.label == "x"),
        (
            "preprocessing.source_data.0.sox_effects=[[channels, 1]]",
            lambda r: r.data.effects == ("channels 1",),
        ),
        ("contact.contact_name=a=b", lambda r: r.contact == "a=b <person@example.org>"),
        ("text.to_replace={a=b: c}", lambda r: r.text.to_replace == {"a=b": "c"}),
        ("text.symbols.x_characters=[ß]", lambda r: "ß" in r.text.symbols),
        ("training.optimizer.betas=[0.8, 0.99]", lambda r: r.training.optimiser.betas == (0.8, 0.99)),
        ("preprocessing.audio.n_mels=100", lambda r: r.spectrogram.n_mels == 100),
        ("preprocessing.audio.min_audio_length=0", lambda r: r.data.min_duration_s < 0.01),
        ("name=mine", lambda r: r.name == "mine"),
        ("training.steps=7", lambda r: r.training.steps == 7),
        ("training.optimiser.schedule=cosine", lambda r: r.training.optimiser.schedule == "cosine"),
        ("data.held_out=[a]", lambda r: r.data.held_out == ("a",)),
    ],
)
def test_an_override_may_have_everyvoices_words_or_ours(project, override, value):
    assert value(read_recipe(file_of("text-to-spec", project / "config"), [override]))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "training.max_step=5",
            "'-c training.max_step': unknown key 'training.max_step'. Write 'max_steps: 5'",
        ),
        ("preprocessing.source_data.1.label=x", "names no place in a list: expected a number from 0 to 0"),
        ("preprocessing.source_data.a=x", "names no place in a list"),
        ("training.batch_size=many", "'-c training.batch_size': 'training.batch_size' is wrong: expected"),
        ("training.steps=none", "'training.steps' is wrong"),
        ("path_to_text_config_file=none.yaml", "'path_to_text_config_file' names a file that is not there"),
    ],
)
def test_a_wrong_override_is_named_in_one_line(project, override, expected):
    assert expected in message(file_of("text-to-spec", project / "config"), override)


# ---- notes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.use_weighted_sampler=True", "training.use_weighted_sampler: every utterance is drawn"),
        ("training.check_val_every_n_epoch=2", "training.check_val_every_n_epoch: measuring goes by steps"),
        ("training.vocoder_path=v.ckpt", "training.vocoder_path: only for the sounds"),
        (
            "preprocessing.source_data.0.sox_effects=[[speed, 2]]",
            "ljmini: this effect is not applied (sox: speed",
        ),
        (
            "preprocessing.source_data.0.sox_effects=[[norm], [silence, -l, 1, 0.1, 1%, -1, 0.4, 1%]]",
            "this effect is not applied (sox: silence -l 1 0.1 1% -1 0.4 1%); known is 'silence 1 DURATION",
        ),
        ("text.g2p_engines={eng: mine.say}", "'mine.say' is never run; a model of characters does without"),
        ("preprocessing.audio.output_sampling_rate=44100", "output_sampling_rate: only a vocoder's"),
    ],
)
def test_a_value_without_counterpart_is_told(project, override, expected):
    assert expected in notes_of(file_of("text-to-spec", project / "config"), override)


def test_a_value_that_is_not_written_is_not_told(project):
    assert "use_weighted_sampler" not in notes_of(file_of("text-to-spec", project / "config"))


# ---- another output rate -----------------------------------------------------------------------------------


def test_a_vocoder_may_speak_at_twice_the_rate_that_it_hears(project):
    overrides = [
        "preprocessing.audio.output_sampling_rate=44100",
        "model.upsample_rates=[8, 8, 4, 2]",
        "model.upsample_kernel_sizes=[16, 16, 8, 4]",
        "preprocessing.audio.vocoder_segment_size=16384",
    ]
    recipe = read_recipe(file_of("spec-to-wav", project / "config"), overrides)

    assert recipe.spectrogram.sample_rate_hz == 22050
    assert recipe.spec_to_wav.output_sample_rate_hz == 44100
    assert recipe.training.segment_frames == 32


# ---- several data sets -------------------------------------------------------------------------------------


def test_further_data_sets_come_with_label_list_and_rules_of_their_own(copied):
    path = copied / "everyvoice-shared-data.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    second = {**raw["source_data"][0], "label": "de", "data_dir": "../de", "filelist": "../de.psv"}
    second["sox_effects"] = [["channels", "1"]]
    raw["source_data"].append(second)
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    overrides = [
        "text.dataset_cleaners={de: [everyvoice.utils.lower]}",
        "text.language_to_replace={eng: {a: b}}",
    ]
    recipe = read_recipe(file_of("text-to-spec", copied), overrides)

    (more,) = recipe.data.more
    assert (more.label, more.recordings, more.filelist) == (
        "de",
        copied.parent / "de",
        copied.parent / "de.psv",
    )
    assert not recipe.data.trims_silence
    assert not more.trims_silence
    cut = "silence 1 0.1 0.1%"
    assert recipe.data.effects == ("channels 1", "norm -3.0", cut, "reverse", cut, "reverse")
    assert more.effects == ("channels 1",)
    assert recipe.text.dataset_cleaners == {"de": ("lower",)}
    assert recipe.text.language_to_replace == {"eng": {"a": "b"}}


# ---- going on with a checkpoint ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["base", "nopostnet"])
def test_a_checkpoint_with_the_same_optimiser_block_is_gone_on_with(project, name):
    base = project / f"logs_and_checkpoints/FeaturePredictionExperiment/{name}/checkpoints/last.ckpt"
    given = f"training.finetune_checkpoint={base}"
    path = file_of("text-to-spec", project / "config")

    assert read_recipe(path, [given]).training.continues_base
    assert "its step and optimiser included" in notes_of(path, given)


@pytest.mark.parametrize(
    "changed", ["learning_rate=0.0001", "warmup_steps=21", "betas=[0.9, 0.98]", "eps=1e-7"]
)
def test_with_another_optimiser_block_only_the_weights_are_taken_over(project, changed):
    base = project / "logs_and_checkpoints/FeaturePredictionExperiment/base/checkpoints/last.ckpt"
    given = (f"training.finetune_checkpoint={base}", f"training.optimizer.{changed}")
    path = file_of("text-to-spec", project / "config")

    assert not read_recipe(path, given).training.continues_base
    assert "the weights of last.ckpt are taken over, its step and optimiser are not" in notes_of(path, *given)


def test_a_file_without_an_optimiser_is_never_gone_on_with(project, tmp_path):
    (tmp_path / "damaged.ckpt").write_bytes(b"PK\x03\x04 nothing")
    path = file_of("text-to-spec", project / "config")
    for base in (tmp_path / "damaged.ckpt", project / "exported.ckpt"):
        assert not read_recipe(path, [f"training.finetune_checkpoint={base}"]).training.continues_base


def test_without_a_checkpoint_nothing_is_gone_on_with(project):
    assert not read_recipe(file_of("text-to-spec", project / "config")).training.continues_base
    assert not read_recipe(file_of("spec-to-wav", project / "config")).training.continues_base


@pytest.mark.parametrize(
    ("name", "learning_rate", "is_matching", "goes_on"),
    [
        ("last", 1e-4, False, True),
        ("last", 1e-5, False, False),
        ("last", 1e-4, True, False),  # EveryVoice stops: part of the discriminators is frozen
        ("last-v1", 1e-5, True, True),
        ("last-v1", 1e-5, False, False),
    ],
)
def test_a_vocoder_is_gone_on_with_where_everyvoice_could(project, name, learning_rate, is_matching, goes_on):
    base = project / f"logs_and_checkpoints/VocoderExperiment/base/checkpoints/{name}.ckpt"
    given = [
        f"training.finetune_checkpoint={base}",
        f"training.optimizer.learning_rate={learning_rate}",
        f"training.finetune={is_matching}",
    ]
    path = file_of("spec-to-wav", project / "config")

    assert read_recipe(path, given).training.continues_base == goes_on
    told = "its step and optimiser included" if goes_on else "its step and optimiser are not"
    assert told in notes_of(path, *given)
