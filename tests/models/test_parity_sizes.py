"""Sizes of every state dict of ../shared/parity, from its tensors alone, in the words of its own tool."""

import json

import pytest
import torch

from retimbre.checkpoint.keys import older_weight_norm
from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import Contents, read
from retimbre.models.explain import explain
from retimbre.models.identify import identify
from retimbre.models.tortoise_ar.variants import kwargs_of

FAMILIES = {
    "tortoise_ar": "tortoise_ar",
    "dlas_ar_train": "tortoise_ar",
    "dvae": "tortoise_dvae",
    "diffusion": "tortoise_diffusion",
    "clvp": "tortoise_clvp",
    "cvvp": "tortoise_cvvp",
    "univnet": "univnet",
    "random_latent": "tortoise_random_latent",
    "hifigan": "hifigan",
    "istft": "hifigan",
    "fs2": "fastspeech2",
    "fs2_multi": "fastspeech2",
}
WRONG = {  # where the usual value is wrong: what is assumed, and the argument that it decides
    "tortoise_ar": {"heads": "heads"},
    "dlas_ar_train": {"heads": "heads"},
    "fs2_multi": {
        "pitch.level": "variance_predictors.pitch.level",
        "energy.level": "variance_predictors.energy.level",
    },
}
OF_TRAINING = ("checkpointing",)  # the two programs have different defaults, and no tensor tells
JUDGES = {  # EveryVoice's usual discriminators
    "msd_layers": 3,
    "mpd_layers": [2, 3, 5, 7, 11],
}


def flat(arguments, before=""):
    """Nested arguments with dots between the names."""
    found = {}
    for name, value in arguments.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return found


def true_arguments(folder):
    meta = json.loads((folder / "meta.json").read_text())
    return flat(meta["kwargs"] if "kwargs" in meta else meta["config"]["model"])


def our_arguments(report, name):
    """In DL-Art-School's words where it made the file: its tensors are those of TorToiSe."""
    assert report.family == FAMILIES[name]
    kwargs = (
        kwargs_of(report.config, "unified_voice2") if name == "dlas_ar_train" else report.reference_kwargs
    )
    return flat(kwargs)


def disagreeing(found, true):
    return {name for name in true if name not in OF_TRAINING and found[name] != true[name]}


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_are_read_from_the_tensors_alone(parity, name):
    true, report = true_arguments(parity(name)), identify(parity(name) / "weights.safetensors")
    wrong = WRONG.get(name, {})
    assert disagreeing(our_arguments(report, name), true) == set(wrong.values())
    assert wrong.keys() <= {each.name for each in report.assumed if each.can_be_stated}


@pytest.mark.parametrize("name", WRONG)
def test_with_what_is_true_stated_they_are_all_right(parity, name):
    true = true_arguments(parity(name))
    stated = {assumed: true[argument] for assumed, argument in WRONG[name].items()}
    report = identify(parity(name) / "weights.safetensors", assume=stated)
    assert disagreeing(our_arguments(report, name), true) == set()
    assert not stated.keys() & {each.name for each in report.assumed}


@pytest.mark.parametrize("name", ["fs2", "fs2_multi"])
def test_what_no_tensor_of_a_text_to_spec_model_tells_is_assumed_or_said_not_to_be_known(parity, name):
    report = identify(parity(name) / "weights.safetensors")
    assert {each.name for each in report.assumed if each.can_be_stated} == {
        "encoder.heads",
        "decoder.heads",
        "pitch.level",
        "energy.level",
    }
    said = " ".join(report.unknowable)
    assert all(
        f"{word}" in said for word in ("dropout", "loss", "mel_loss", "max_length", "characters or phones")
    )
    assert "Not told       dropout of encoder, decoder and predictors" in report.to_text()


def written_by_everyvoice(folder, **changes):
    """The same tensors with the configuration beside them, as EveryVoice writes both."""
    meta = json.loads((folder / "meta.json").read_text())
    known = {
        "config": meta["config"],
        **{key: meta[key] for key in ("stats", "lang2id", "speaker2id") if key in meta},
    }
    known["config"]["model"] |= changes
    return Contents(
        path=folder / "a.ckpt",
        container="torch-zip",
        tensors=read(folder / "weights.safetensors").tensors,
        values={"hyper_parameters": known, "model_info": {"name": "FastSpeech2", "version": "1.2"}},
    )


@pytest.mark.parametrize("name", ["fs2", "fs2_multi"])
def test_with_its_configuration_nothing_is_assumed_and_its_words_come_back(parity, name):
    changes = {"max_length": 1234, "mel_loss": "mae", "target_text_representation_level": "phones"}
    contents = written_by_everyvoice(parity(name), **changes)
    found = explain(contents)
    assert flat(found.reference_kwargs) == flat(contents.values["hyper_parameters"]["config"]["model"])
    assert found.unknowable == ()
    assert not [each for each in found.description.assumed if each.can_be_stated]


def test_a_loss_that_is_no_word_is_not_repeated(parity):
    contents = written_by_everyvoice(parity("fs2"), mel_loss=[1, 2], max_length={"a": 1})
    found = explain(contents)
    assert (found.reference_kwargs["mel_loss"], found.reference_kwargs["max_length"]) == ("mse", 1000)
    assert any(phrase.startswith("max_length") for phrase in found.unknowable)


@pytest.mark.parametrize("spelling", [dict, older_weight_norm])
@pytest.mark.parametrize("n_scales", [1, 3])
@pytest.mark.parametrize("n_periods", [2, 5])
def test_discriminators_tell_how_many_they_are(parity, tmp_path, spelling, n_scales, n_periods):
    keys = json.loads((parity("discriminators") / "meta.json").read_text())["keys"]
    shapes = {f"{kind}.{name}": shape for kind in keys for name, shape in keys[kind].items()}
    counts = {"msd": n_scales, "mpd": n_periods}
    judges = {name: shape for name, shape in shapes.items() if int(name.split(".")[2]) < counts[name[:3]]}
    tensors = {name: torch.empty(shape, device="meta") for name, shape in judges.items()}
    both = spelling({**read(parity("hifigan") / "weights.safetensors").tensors, **tensors})
    path = tmp_path / "a.ckpt"
    found = explain(Contents(path=path, container="torch-zip", tensors=LazyTensors.in_memory(both)))
    assert found.has_discriminators
    assert found.unknowable == ()
    told = {name: found.reference_kwargs[name] for name in JUDGES}
    assert told == {"msd_layers": n_scales, "mpd_layers": JUDGES["mpd_layers"][:n_periods]}
    assert "periods" in {each.name for each in found.description.assumed}


@pytest.mark.parametrize("name", ["hifigan", "istft"])
def test_without_discriminators_their_numbers_are_said_not_to_be_known(parity, name):
    report = identify(parity(name) / "weights.safetensors")
    assert {key: report.reference_kwargs[key] for key in JUDGES} == JUDGES
    assert [phrase.split(":")[0] for phrase in report.unknowable] == ["msd_layers and mpd_layers"]


def test_a_configuration_tells_of_discriminators_that_are_not_there(parity):
    meta = json.loads((parity("hifigan") / "meta.json").read_text())
    model = meta["config"]["model"] | {"msd_layers": 2, "mpd_layers": [2, 3]}
    contents = Contents(
        path=parity("hifigan") / "a.ckpt",
        container="torch-zip",
        tensors=read(parity("hifigan") / "weights.safetensors").tensors,
        values={"hyper_parameters": {"config": meta["config"] | {"model": model}}},
    )
    found = explain(contents)
    assert (found.reference_kwargs["msd_layers"], found.reference_kwargs["mpd_layers"]) == (2, [2, 3])
    assert found.unknowable == ()
