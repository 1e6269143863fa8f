"""A file for EveryVoice is one as EveryVoice writes it: same keys, shapes, places and kinds of values."""

import json
from dataclasses import replace

import pytest
import torch

from building.conversion import (
    FULL_JUDGES,
    LETTERS,
    TEXT_TO_SPEC,
    VOCODERS,
    differing,
    save,
    tensors_of,
)
from building.models import JUDGES, STATS, save_text_to_spec, save_vocoder
from retimbre.audio.mel import hifigan_original
from retimbre.checkpoint.read import read
from retimbre.checkpoint.write import write_safetensors
from retimbre.errors import CheckpointError
from retimbre.models.load import load_model
from retimbre.models.speakers import rename
from retimbre.pipelines.convert import Wish, convert

PROJECT = "everyvoice_project/project"
CHECKPOINTS = "logs_and_checkpoints/{}/{}/checkpoints/{}.ckpt"
REFERENCES = {
    "text-to-spec": CHECKPOINTS.format("FeaturePredictionExperiment", "base", "last"),
    "without-postnet": CHECKPOINTS.format("FeaturePredictionExperiment", "nopostnet", "last"),
    "vocoder": CHECKPOINTS.format("VocoderExperiment", "base", "last"),
    "matched": CHECKPOINTS.format("VocoderExperiment", "base", "last-v1"),
    "exported": "exported.ckpt",
}
BEGINS_ANEW = ("callbacks", "optimizer_states", "lr_schedulers")  # what a training alone fills


def content_of(path):
    return torch.load(path, weights_only=True, map_location="cpu")


def outline(value):
    """Keys and kinds of values, however deep; a tensor with its type and shape."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape)
    if isinstance(value, dict):
        return {key: outline(inner) for key, inner in value.items()}
    # JSON, which keeps these values, has lists alone.
    return [outline(inner) for inner in value] if isinstance(value, list | tuple) else type(value).__name__


def through_ours(source, folder, **wish):
    ours = convert(source, folder / "ours.safetensors").files[0]
    return convert(ours, folder / "theirs.ckpt", Wish(**wish)).files[0]


@pytest.mark.parametrize("name", REFERENCES)
def test_a_checkpoint_of_everyvoice_comes_back_as_everyvoice_wrote_it(parity, tmp_path, name):
    source = parity(PROJECT) / REFERENCES[name]

    ours, theirs = (
        content_of(through_ours(source, tmp_path, generator_only=name == "exported")),
        content_of(source),
    )

    assert list(ours) == list(theirs)
    assert type(ours["state_dict"]) is type(theirs["state_dict"])
    for key in BEGINS_ANEW:
        assert type(ours.pop(key, None)) is type(theirs.pop(key, None))
    assert outline(ours) == outline(theirs)
    assert json.dumps(ours["hyper_parameters"]) == json.dumps(theirs["hyper_parameters"])
    for key in ("epoch", "global_step", "pytorch-lightning_version", "hparams_name", "model_info"):
        assert ours[key] == theirs[key]


def test_a_training_begins_where_nothing_is_counted(parity, tmp_path):
    source = parity(PROJECT) / REFERENCES["vocoder"]

    loops, theirs = (content_of(path)["loops"] for path in (through_ours(source, tmp_path), source))

    assert outline(loops) == outline(theirs)
    assert not any(numbers_in(loops))
    assert any(numbers_in(theirs))


def numbers_in(value):
    return [n for inner in value.values() for n in numbers_in(inner)] if isinstance(value, dict) else [value]


def test_the_inverse_stft_of_a_full_vocoder_has_its_window_and_that_of_a_generator_has_none(parity, tmp_path):
    weights = parity("istft") / "weights.safetensors"
    window = "inverse_spectral_transform.window"
    source = save(tmp_path, "hifigan-istft", judges=FULL_JUDGES)

    full = tensors_of(convert(source, tmp_path / "full.ckpt").files[0])
    alone = tensors_of(convert(weights, tmp_path / "alone.ckpt", Wish(generator_only=True)).files[0])

    assert torch.equal(full[window], torch.hann_window(16))
    assert differing(alone, tensors_of(weights)) == []
    assert window not in alone


@pytest.mark.parametrize("name", TEXT_TO_SPEC)
def test_a_model_of_ours_is_described_in_everyvoices_words(parity, tmp_path, name):
    """With the sections and words of a file that it wrote; what it can fill in itself may lack."""
    theirs = content_of(parity(PROJECT) / REFERENCES["text-to-spec"])["hyper_parameters"]
    config, facts = TEXT_TO_SPEC[name]

    content = content_of(convert(save(tmp_path, name), tmp_path / "theirs.ckpt").files[0])
    ours = content["hyper_parameters"]

    assert ours.keys() | {"realized_symbols"} == theirs.keys()
    assert strange(ours["config"], theirs["config"]) == []
    assert ours["stats"].keys() == theirs["stats"].keys()
    assert ours["stats"]["pitch"].keys() == theirs["stats"]["pitch"].keys()
    assert ours["config"]["model"].keys() == theirs["config"]["model"].keys()
    assert ours["config"]["model"]["encoder"]["input_dim"] == config.dim
    assert list(ours["speaker2id"]) == list(facts.get("speakers", ("default",)))
    assert list(ours["lang2id"].values()) == list(range(len(facts.get("languages", ("default",)))))
    assert content["global_step"] == facts.get("step", 0)
    assert content["model_info"] == {"name": "FastSpeech2", "version": "1.3"}
    # EveryVoice 0.5.0 cannot open a model of features that names its symbols.
    assert ours.get("realized_symbols") == (None if name == "features" else list(facts["symbols"]))


def strange(ours, theirs, place=""):
    """Where ours has a key that theirs does not know, or a value of another kind; free keys are let pass."""
    if place.endswith(("/symbols", "/to_replace", "/boundaries")) or theirs is None:
        return []
    if isinstance(ours, dict) and isinstance(theirs, dict):
        unknown = [f"{place}/{key}" for key in ours.keys() - theirs.keys()]
        known = ours.keys() & theirs.keys()
        return unknown + [each for key in known for each in strange(ours[key], theirs[key], f"{place}/{key}")]
    return [] if type(ours) is type(theirs) else [place]


def test_text_rules_boundaries_and_who_answers_reach_everyvoice(tmp_path):
    path = convert(save(tmp_path, "letters"), tmp_path / "theirs.ckpt").files[0]

    config = content_of(path)["hyper_parameters"]["config"]

    assert config["contact"] == {"contact_name": "Ann Ahn", "contact_email": "ann@a.example"}
    assert config["text"]["cleaners"] == ["everyvoice.utils.lower", "everyvoice.utils.collapse_whitespace"]
    assert config["text"]["to_replace"] == {"1": "one"}
    assert config["text"]["split_text"] is False
    assert config["text"]["boundaries"] == {"eng": {"strong": ".", "weak": ","}}
    assert config["text"]["symbols"] == {"retimbre_characters": list("abcdefghijklmnopqrstuvwxyz")}
    again = load_model(path).description
    loaded = load_model(tmp_path / "letters.safetensors").description
    for fact in ("symbols", "text_rules", "splitting", "stats", "mel", "text_level", "step"):
        assert getattr(again, fact) == getattr(loaded, fact) or fact == "stats", fact
    assert again.stats.pitch.mean == loaded.stats.pitch.mean


def test_lengths_of_texts_reach_everyvoice_only_where_they_are_known(tmp_path):
    """EveryVoice cuts texts by them: made-up ones would cut everywhere."""
    known = replace(STATS, character_length=replace(STATS.pitch, mean=87.0, max=140.0))

    for stats, expected in ((STATS, None), (known, 87.0), (None, None)):
        path = convert(save(tmp_path, "letters", stats=stats), tmp_path / "theirs.ckpt").files[0]
        told = content_of(path)["hyper_parameters"]["stats"]

        assert (told["character_length"] or {"mean": None})["mean"] == expected
        assert told["phone_length"] is None
        assert told["pitch"]["mean"] == (STATS.pitch.mean if stats else 0.0)


def test_a_speakers_new_name_reaches_everyvoice(parity, tmp_path):
    source = parity(PROJECT) / REFERENCES["without-postnet"]
    ours = convert(source, tmp_path / "ours.safetensors").files[0]
    (old,) = load_model(ours).description.speakers

    renamed = rename(ours, old, "ann", output=tmp_path / "renamed.safetensors")
    back = content_of(convert(renamed, tmp_path / "back.ckpt").files[0])["hyper_parameters"]

    assert back["speaker2id"] == {"ann": 0}
    before = content_of(source)["hyper_parameters"]
    assert {**back, "speaker2id": before["speaker2id"]} == json.loads(json.dumps(before))


def test_a_file_of_an_older_model_version_becomes_one_that_everyvoice_reads(parity, tmp_path):
    """EveryVoice 0.5.0 refuses it as it is: it rebuilds the table of symbols, and not as it was."""
    source = parity("everyvoice_project/derived/text_to_spec_model_version_1_2.ckpt")

    path = through_ours(source, tmp_path)

    ours, theirs = content_of(path), content_of(source)
    assert ours["model_info"]["version"] == "1.3"
    symbols = ours["hyper_parameters"].pop("realized_symbols")
    assert tuple(symbols) == load_model(source).description.symbols
    assert ours["hyper_parameters"] == json.loads(json.dumps(theirs["hyper_parameters"]))
    assert differing(tensors_of(path), tensors_of(source)) == []


def test_a_vocoder_of_the_original_is_written_with_a_warning_of_its_other_frames(tmp_path):
    source = save_vocoder(tmp_path / "v.safetensors", VOCODERS["hifigan"], mel=hifigan_original())

    done = convert(source, tmp_path / "theirs.ckpt", Wish(generator_only=True))

    audio = content_of(done.files[0])["hyper_parameters"]["config"]["preprocessing"]["audio"]
    assert audio["spec_type"] == "mel-librosa"
    assert any("half a hop" in line for line in done.remarks)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"postnet_dim": 24}, "a post-net of 512 channels, or none, found 24"),
        ({"attention_dim": 8}, "an alignment of 80 channels, found 8"),
        ({"dim": 6}, "predictors of pitch and energy as wide as the rest, 8, found 6"),
        ({"symbols": ()}, "a symbol table, found rows without symbols"),
        ({"mel": {"high_hz": 7999.5}}, "limits in whole hertz, found 7999.5 Hz"),
    ],
)
def test_a_text_to_spec_model_that_everyvoice_cannot_build_is_refused(tmp_path, changes, named):
    config, facts = TEXT_TO_SPEC["letters"]
    sizes = {key: value for key, value in changes.items() if key in ("postnet_dim", "attention_dim")}
    if "dim" in changes:
        sizes = {"pitch": replace(config.pitch, dim=6)}
    given = load_model(save(tmp_path, "letters")).description
    mel = replace(given.mel, **changes.get("mel", {}))
    symbols = changes.get("symbols", LETTERS)
    source = save_text_to_spec(tmp_path / "a.safetensors", replace(config, **sizes), symbols=symbols, mel=mel)

    with pytest.raises(CheckpointError, match=named):
        convert(source, tmp_path / "theirs.ckpt")
    assert not (tmp_path / "theirs.ckpt").exists()


def test_a_full_vocoder_needs_discriminators_as_wide_as_everyvoices(tmp_path):
    config = VOCODERS["hifigan"]
    alone = save_vocoder(tmp_path / "alone.safetensors", config, has_discriminators=False)
    narrow = save_vocoder(tmp_path / "narrow.safetensors", config)

    with pytest.raises(CheckpointError, match=r"has no discriminators.*--part generator"):
        convert(alone, tmp_path / "theirs.ckpt")
    with pytest.raises(CheckpointError, match=r"narrower than EveryVoice's.*--part generator"):
        convert(narrow, tmp_path / "theirs.ckpt")
    full = save(tmp_path, "hifigan", judges=replace(FULL_JUDGES, width=1.0))
    model = content_of(convert(full, tmp_path / "full.ckpt").files[0])["hyper_parameters"]["config"]["model"]
    assert (model["mpd_layers"], model["msd_layers"]) == ([2, 3], 1)
    assert len(JUDGES.periods) == 1


def test_what_our_file_keeps_of_everyvoice_may_be_damaged(tmp_path):
    source = save(tmp_path, "letters")
    contents = read(source)
    for text in ("{", "[" * 100_000):
        write_safetensors(source, contents.tensors, {**contents.metadata, "everyvoice": text})
        with pytest.raises(CheckpointError, match="keeps of another tool is damaged"):
            convert(source, tmp_path / "theirs.ckpt")
    for text in ("[]", '{"hyper_parameters": 3, "model_info": "x"}'):
        write_safetensors(source, contents.tensors, {**contents.metadata, "everyvoice": text})
        assert convert(source, tmp_path / "theirs.ckpt").files[0].exists()
