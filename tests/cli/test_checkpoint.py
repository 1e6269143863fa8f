"""What is in a checkpoint; and a speaker gets another name without anything else changing."""

import json
import zipfile

import pytest
import torch

from retimbre.models.load import load_model

NOPOSTNET = "project/logs_and_checkpoints/FeaturePredictionExperiment/nopostnet/checkpoints/last.ckpt"


@pytest.fixture
def everyvoice(shared, tmp_path):
    """A checkpoint that EveryVoice wrote."""
    source = shared / "parity/everyvoice_project" / NOPOSTNET
    path = tmp_path / "last.ckpt"
    path.write_bytes(source.read_bytes())
    return path


def test_config_and_architecture_are_shown_as_asked(retimbre, everyvoice):
    whole = retimbre("checkpoint", "inspect", everyvoice)
    assert whole.code == 0
    assert '"target_text_representation_level": "characters"' in whole.out
    assert "encoder.conformer_layers.0" in whole.out
    config, parts = (retimbre("checkpoint", "inspect", everyvoice, one).out for one in ("-A", "-C"))
    assert "Config" in config
    assert "Architecture" not in config
    assert "Architecture" in parts
    assert "Config" not in parts
    assert retimbre("inspect-checkpoint", everyvoice).out == whole.out


def test_our_own_files_are_shown_too(project, retimbre):
    out = retimbre("checkpoint", "inspect", project.vocoder).out
    assert json.loads(out.partition("Config\n")[2].partition("\nArchitecture")[0])["retimbre"]["step"] == 5


def test_a_speaker_of_everyvoices_file_gets_another_name_and_nothing_else_changes(
    retimbre, everyvoice, tmp_path
):
    output = tmp_path / "renamed.ckpt"
    ended = retimbre("checkpoint", "rename-speaker", everyvoice, "speaker_0", "Änne", "--output", output)
    assert (ended.code, ended.out) == (0, f"{output}\n")

    before, after = (torch.load(path, weights_only=True) for path in (everyvoice, output))
    assert before["hyper_parameters"].pop("speaker2id") == {"speaker_0": 0}
    assert after["hyper_parameters"].pop("speaker2id") == {"Änne": 0}
    assert str(before["hyper_parameters"]) == str(after["hyper_parameters"])
    with zipfile.ZipFile(everyvoice) as old, zipfile.ZipFile(output) as new:
        assert old.namelist() == new.namelist()
        assert [n for n in old.namelist() if old.read(n) != new.read(n)] == ["last/data.pkl"]
    torch.load(output, weights_only=True, mmap=True)  # records are as torch aligns them
    assert load_model(output).description.speakers == ("Änne",)


def test_a_file_is_replaced_by_itself_in_one_go(retimbre, everyvoice):
    assert retimbre("checkpoint", "rename-speaker", everyvoice, "speaker_0", "Anna").code == 0
    assert load_model(everyvoice).description.speakers == ("Anna",)
    assert [path.name for path in everyvoice.parent.iterdir()] == ["last.ckpt"]


def test_everyvoices_file_can_become_ours_on_the_way(retimbre, everyvoice, tmp_path):
    output = tmp_path / "a.safetensors"
    assert retimbre("checkpoint", "rename-speaker", everyvoice, "speaker_0", "b", "-o", output).code == 0
    assert load_model(output).description.speakers == ("b",)


def test_a_speaker_of_our_own_file_gets_another_name(project, retimbre):
    path = project.text_to_spec
    before = load_model(path)
    weights = {name: tensor.clone() for name, tensor in before.model.state_dict().items()}
    assert retimbre("checkpoint", "rename-speaker", path, "default", "Anna").code == 0
    after = load_model(path)
    assert after.description.speakers == ("Anna",)
    assert json.loads(path.with_suffix(".json").read_text())["speakers"] == ["Anna"]
    assert after.description.stats == before.description.stats
    for name, tensor in after.model.state_dict().items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("nobody", "x"), "has no speaker 'nobody': expected one of default"),
        (("default", "default"), "has a speaker 'default' already"),
        (("default", "a/b"), "the sign '/'"),
        (("default", " "), "cannot be used in file names"),
    ],
)
def test_a_name_that_cannot_be_is_refused(project, retimbre, names, expected):
    before = project.files()
    assert expected in retimbre("checkpoint", "rename-speaker", project.text_to_spec, *names).error
    assert project.files() == before


def test_a_vocoder_has_no_speakers(project, retimbre):
    assert "has no speakers" in retimbre("checkpoint", "rename-speaker", project.vocoder, "a", "b").error


def test_our_file_cannot_become_everyvoices_by_its_name(project, retimbre, tmp_path):
    words = (project.text_to_spec, "default", "b", "-o", tmp_path / "a.ckpt")
    assert "ends in .safetensors" in retimbre("checkpoint", "rename-speaker", *words).error


def test_a_file_of_before_torch_1_6_is_sent_to_our_format(retimbre, everyvoice, tmp_path):
    content, old = torch.load(everyvoice, weights_only=True), tmp_path / "old.ckpt"
    torch.save(content, old, _use_new_zipfile_serialization=False)
    words = ("checkpoint", "rename-speaker", old, "speaker_0", "b")
    assert "Write a file of ours instead: --output NAME.safetensors" in retimbre(*words).error
    assert retimbre(*words, "-o", tmp_path / "new.safetensors").code == 0
