"""EveryVoice's two guides, fastspeech2.md and finetune.md, command by command with one word changed."""

import contextlib
import shlex
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from retimbre.checkpoint.digest import sha256_of
from retimbre.data.store import Store
from retimbre.models.load import load_model

N_RECORDINGS, RATE_HZ = 8, 22050
LOGS = "logs_and_checkpoints"
TEXT_TO_SPEC = f"{LOGS}/FeaturePredictionExperiment/base/checkpoints/last.ckpt"
VOCODER = f"{LOGS}/VocoderExperiment/base/checkpoints/last.ckpt"
OUR_TEXT_TO_SPEC = "runs/FeaturePredictionExperiment-base/model.safetensors"
OUR_VOCODER = "runs/VocoderExperiment-base/model.safetensors"
OUR_MATCHED = "runs/VocoderExperiment-base-matched/model.safetensors"

PREPROCESS = "everyvoice preprocess text-to-spec config/everyvoice-text-to-spec.yaml"
TRAIN_VOCODER = "everyvoice train spec-to-wav config/everyvoice-spec-to-wav.yaml"
ON_A_GPU = f"{TRAIN_VOCODER} -d 1 -a gpu"
TRAIN = "everyvoice train text-to-spec config/everyvoice-text-to-spec.yaml"
SPEAK = f"everyvoice synthesize from-text {TEXT_TO_SPEC} -t 'one two, three.' -a gpu -d 1 --output-type wav"
PRODUCE = (  # once for each of the two lists
    f"everyvoice synthesize from-text {TEXT_TO_SPEC} -O spec --filelist preprocessed/{{}}_filelist.psv "
    "--teacher-forcing-directory preprocessed --output-dir preprocessed"
)
MATCH = f"{TRAIN_VOCODER} -c training.finetune=True"
COME_LATER = (
    "everyvoice new-project",
    "everyvoice segment align path_to_text.txt path_to_audio.wav",
    "everyvoice segment extract path_to_alignment.TextGrid path_to_audio.wav outdir",
    f"everyvoice demo {TEXT_TO_SPEC} {VOCODER}",
    f"everyvoice demo --ui-config-file=my_config.json {TEXT_TO_SPEC} {VOCODER}",
    "everyvoice evaluate -f your_file.wav",
    "everyvoice evaluate -d path_to_wavs/",
    "everyvoice evaluate  -d path_to_wavs/ -r path_to_reference.wav",
)
BEARABLE = ("-c", "discriminators.width=0.02")  # not in the guides: full-size ones take seconds for a step


@pytest.fixture(scope="module")
def typed(retimbre):
    """A line as it stands in the guide, but for its first word."""

    def call(line, *more):
        program, *words = shlex.split(line)
        assert program == "everyvoice"
        return retimbre(*words, *more)

    return call


@pytest.fixture(scope="module")
def done(typed):
    """Such a line, which must succeed."""

    def call(line, *more):
        ended = typed(line, *more)
        assert ended.code == 0, ended.err
        return ended

    return call


@dataclass(frozen=True)
class Walked:
    """A project after fastspeech2.md, and what its commands printed."""

    root: Path
    printed: dict[str, str]


def write_project(root, recorded):
    """What EveryVoice's wizard writes, with sizes that train in seconds."""
    (root / "config").mkdir(parents=True)
    shutil.copytree(recorded.recordings, root.parent / "wavs")
    said = [line.split("|") for line in recorded.filelist.read_text(encoding="utf-8").splitlines()]
    rows = ["basename|language|speaker|characters"]
    rows += [f"{basename}|eng|speaker_0|{text}" for basename, text, _ in said]
    (root / "mine-filelist.psv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    layers = {"layers": 1, "heads": 2, "input_dim": 8, "feedforward_dim": 12, "conv_kernel_size": 5}
    predictor = {"n_layers": 1, "input_dim": 8}
    prosody = predictor | {"n_bins": 8}
    both = {"VERSION": "1.0", "contact": {"contact_name": "A", "contact_email": "a@everyvoice.example"}}
    both |= {"path_to_preprocessing_config_file": "everyvoice-shared-data.yaml"}
    training = {
        "batch_size": 2,
        "train_data_workers": 0,
        "val_check_interval": 2,
        "training_filelist": "../preprocessed/training_filelist.psv",
        "validation_filelist": "../preprocessed/validation_filelist.psv",
        "finetune_checkpoint": None,
    }
    logger = {"save_dir": "../logs_and_checkpoints", "version": "base"}
    files = {
        "shared-data": {
            "dataset": "test",
            "train_split": 0.6,
            "save_dir": "../preprocessed",
            "source_data": [
                {
                    "label": "mine",
                    "data_dir": "../../wavs",
                    "filelist": "../mine-filelist.psv",
                    "permissions_obtained": True,
                }
            ],
        },
        "shared-text": {
            "symbols": {"mine_characters": list("abcdefghijklmnoprstuvwxyz")},
            "cleaners": ["everyvoice.utils.lower"],
        },
        "text-to-spec": {
            **both,
            "path_to_text_config_file": "everyvoice-shared-text.yaml",
            "model": {
                "encoder": layers,
                "decoder": layers,
                "variance_predictors": {"duration": predictor, "pitch": prosody, "energy": prosody},
                "use_postnet": False,
            },
            "training": {
                **training,
                "max_steps": 2,
                "vocoder_path": f"/path/to/test/{VOCODER}",
                "logger": {**logger, "name": "FeaturePredictionExperiment"},
            },
        },
        "spec-to-wav": {
            **both,
            "model": {
                "istft_layer": True,
                "upsample_rates": [8, 8],
                "upsample_kernel_sizes": [16, 16],
                "upsample_initial_channel": 8,
                "resblock_kernel_sizes": [3],
                "resblock_dilation_sizes": [[1, 3, 5]],
                "mpd_layers": [2],
                "msd_layers": 1,
            },
            "training": {
                **training,
                "max_steps": 4,
                "logger": {**logger, "name": "VocoderExperiment"},
            },
        },
    }
    for name, values in files.items():
        text = yaml.safe_dump(values, sort_keys=False)
        (root / "config" / f"everyvoice-{name}.yaml").write_text(text, encoding="utf-8")


def refuse_connections(monkeypatch):
    """Nothing may ask another machine; processes of this one talk by sockets, too."""
    connect = socket.socket.connect

    def refuse(*words):
        raise AssertionError(f"the network is asked: {words}")

    def connect_here(one, address):
        return connect(one, address) if one.family == socket.AF_UNIX else refuse(address)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture(scope="module")
def walked_once(tmp_path_factory, finished_project, done):
    """The commands of fastspeech2.md up to the trained model, without a network; nothing may write here."""
    root = tmp_path_factory.mktemp("guide") / "test"
    write_project(root, finished_project)
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.chdir(root):
        refuse_connections(monkeypatch)
        printed = {
            line: (ended := done(line, *more)).out + ended.err
            for line, *more in ((PREPROCESS,), (TRAIN_VOCODER, *BEARABLE), (TRAIN,))
        }
    return Walked(root, printed)


@pytest.fixture
def walked(walked_once, tmp_path, monkeypatch):
    """A copy, with its root as the current folder, and no network."""
    shutil.copytree(walked_once.root.parent, tmp_path / "guide")
    monkeypatch.chdir(tmp_path / "guide" / "test")
    refuse_connections(monkeypatch)
    return Walked(tmp_path / "guide" / "test", walked_once.printed)


def utterances_of(path):
    return {line.split("|")[0] for line in path.read_text(encoding="utf-8").splitlines()[1:]}


def test_preprocessing_says_where_everything_is(walked):
    folder = walked.root / "runs" / "preprocessed"
    assert walked.printed[PREPROCESS].splitlines()[0].endswith("/test/runs/preprocessed")
    for kind, ending in (("audio", "wav"), *((kind, "safetensors") for kind in ("spec", "pitch", "energy"))):
        assert len(list((folder / kind).glob(f"*.{ending}"))) == N_RECORDINGS, kind
    parts = [utterances_of(folder / f"{part}_filelist.psv") for part in ("training", "validation")]
    assert all(parts)
    assert not parts[0] & parts[1]


def test_both_trainings_end_in_one_model_that_stands_in_the_last_line(walked):
    for line, path, family in (
        (TRAIN_VOCODER, OUR_VOCODER, "hifigan"),
        (TRAIN, OUR_TEXT_TO_SPEC, "fastspeech2"),
    ):
        assert path in walked.printed[line]
        assert load_model(walked.root / path).description.family == family
    assert not (walked.root / LOGS).exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_named_with_the_word_to_leave_out(walked, typed):
    for line in (ON_A_GPU, SPEAK + f" -v {VOCODER}"):
        error = typed(line).error
        assert "there is no device 'gpu' here" in error
        assert "Leave out --accelerator" in error


def test_speaking_finds_the_models_under_the_paths_of_the_guide(walked, done, typed):
    here = SPEAK.replace("-a gpu", "-a auto")
    assert "Give --vocoder-path FILE" in typed(here).error  # the guide's command lacks it

    ended = done(here, "-v", VOCODER)

    assert f"nothing is at {TEXT_TO_SPEC}; {OUR_TEXT_TO_SPEC} is taken" in ended.err
    assert f"nothing is at {VOCODER}; {OUR_VOCODER} is taken" in ended.err
    path = Path(ended.out.strip())
    assert path.parent == Path("synthesis_output/wav")
    assert soundfile.info(path).samplerate == RATE_HZ


def test_a_model_that_was_never_trained_is_not_taken_from_elsewhere(walked, typed):
    missing = TEXT_TO_SPEC.replace("base", "second")
    error = typed(SPEAK.replace(TEXT_TO_SPEC, missing)).error
    assert f"nothing is at {missing}" in error
    assert str(walked.root / OUR_TEXT_TO_SPEC) in error
    assert "runs/FeaturePredictionExperiment-second/model.safetensors" in error


def test_commands_that_come_later_say_so(walked, done, typed):
    for line in COME_LATER:
        assert "comes in a later version" in typed(line).error, line
    for command in ("demo", "evaluate"):
        assert done(f"everyvoice {command} --help").out


def set_for_matching(root, checkpoint):
    """Steps 2 and 3 of finetune.md: two values in the vocoder's file."""
    path = root / "config" / "everyvoice-spec-to-wav.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["training"]["finetune_checkpoint"] = checkpoint
    values["training"]["optimizer"] = {"name": "adamw", "learning_rate": 0.00001}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")


@pytest.fixture
def heard(monkeypatch):
    """Basenames of the produced specs that were loaded, with each spec."""
    loaded = {}
    load = Store.load_produced_spec

    def spy(store, utterance, mel):
        loaded[utterance.basename] = load(store, utterance, mel)
        return loaded[utterance.basename]

    monkeypatch.setattr(Store, "load_produced_spec", spy)
    return loaded


def test_the_guide_to_matching_ends_in_a_vocoder_that_learnt_from_produced_specs(walked, done, heard):
    ours = walked.root / "runs" / "preprocessed"
    for part in ("training", "validation"):
        ended = done(PRODUCE.format(part))
        written = {Path(line).name.split("--")[0] for line in ended.out.splitlines()}
        assert written == utterances_of(ours / f"{part}_filelist.psv")
        assert "runs/preprocessed is taken" in ended.err
    set_for_matching(walked.root, f"../{VOCODER}")
    heard.clear()

    ended = done(MATCH, *BEARABLE)

    assert f"{OUR_VOCODER}, which was trained here, is taken" in ended.err
    assert heard.keys() == {path.name.split("--")[0] for path in (ours / "synthesized_spec").iterdir()}
    lineage = load_model(walked.root / OUR_MATCHED).description.lineage
    assert lineage["spec_source"] == "produced"
    assert lineage["base"]["sha256"] == sha256_of(walked.root / OUR_VOCODER)
    assert not (walked.root / "preprocessed").exists()
    exported = done(f"everyvoice export spec-to-wav {VOCODER.replace('last', 'last-v1')}")
    assert load_model(Path(exported.out.strip())).description.is_exported
    assert soundfile.info(done(SPEAK.replace("-a gpu", ""), "-v", "exported.ckpt").out.strip()).frames


def test_a_produced_spec_that_is_missing_is_named_and_nothing_is_trained(walked, done, typed):
    done(PRODUCE.format("training"))
    set_for_matching(walked.root, f"../{VOCODER}")
    error = typed(MATCH).error
    assert "features of unequal length" in error
    assert sorted(utterances_of(walked.root / "runs/preprocessed/validation_filelist.psv"))[0] in error
    assert not (walked.root / OUR_MATCHED).exists()


def test_specs_that_were_moved_by_hand_are_matched_with(walked, done, heard):
    """As in the guide of 0.1: the option's earlier name, and a folder that is moved afterwards."""
    for part in ("training", "validation"):
        done(
            f"everyvoice synthesize from-text {TEXT_TO_SPEC} -O spec -a cpu -d 1 "
            f"--filelist preprocessed/{part}_filelist.psv --teacher-forcing-folder preprocessed "
            "--output-dir synthesis_output"
        )
    made = {
        path.name.split("--")[0]: torch.load(path, weights_only=True)
        for path in Path("synthesis_output/synthesized_spec").iterdir()
    }
    Path("preprocessed").mkdir()
    shutil.move("synthesis_output/synthesized_spec", "preprocessed")
    set_for_matching(walked.root, f"../{VOCODER}")
    heard.clear()

    ended = done(f"{TRAIN_VOCODER} -c training.finetune=True", *BEARABLE)

    assert f"{len(made)} produced specs" in ended.err
    assert heard.keys() == made.keys()
    assert all(spec.equal(made[name]) for name, spec in heard.items())


def test_the_guides_own_key_of_0_1_names_the_checkpoint(walked, done):
    set_for_matching(walked.root, None)
    words = ("-c", f"training.finetune_ckpt={VOCODER}", "--dry-run", "-c", "training.logger.version=second")
    assert "model.safetensors: hifigan" in done(TRAIN_VOCODER, *words).err


def test_the_guide_to_matching_works_on_everyvoices_own_project(parity, done, tmp_path, monkeypatch, heard):
    source, root = parity("everyvoice_project"), tmp_path / "project"
    shutil.copytree(source / "recordings", tmp_path / "recordings")
    shutil.copytree(source / "project", root)
    monkeypatch.chdir(root)
    refuse_connections(monkeypatch)
    theirs = {path: sha256_of(path) for path in (root / LOGS).rglob("*") if path.is_file()}
    shutil.rmtree(root / "preprocessed" / "synthesized_spec")

    for part in ("training", "validation"):
        ended = done(PRODUCE.format(part))
        assert "is taken" not in ended.err
    made = {p.name.split("--")[0]: p for p in (root / "preprocessed" / "synthesized_spec").iterdir()}
    set_for_matching(root, "../exported.ckpt")
    done(MATCH, *BEARABLE, "-c", "training.max_steps=2", "-a", "cpu")

    assert made.keys() == heard.keys()
    for name, path in made.items():
        assert heard[name].equal(torch.load(path, weights_only=True))
    assert load_model(root / OUR_MATCHED).discriminators
    assert {path: sha256_of(path) for path in (root / LOGS).rglob("*") if path.is_file()} == theirs
