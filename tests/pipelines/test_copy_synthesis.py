"""A stored spec becomes sound whichever way round it lies, and never among training material unasked."""

from dataclasses import replace

import pytest
import soundfile
import torch

from retimbre.errors import DataError
from retimbre.models.description import sizes_of
from retimbre.models.load import load_model, save_model
from retimbre.pipelines.copy_synthesis import sound_path, spec_in, synthesize_spec


@pytest.fixture
def model(vocoder, tmp_path):
    loaded = vocoder()
    description = replace(loaded.description, sizes=sizes_of(loaded.model.config))
    return save_model(tmp_path / "vocoder.safetensors", loaded.model, description)


class Heard:
    """A listener that remembers."""

    def __init__(self):
        self.said = []

    def say(self, label, text):
        self.said.append(text)

    def progress(self, task, done, total, note=""):
        pass


def test_a_stored_spec_becomes_the_sound_that_the_vocoder_makes(model, tmp_path):
    spec = torch.randn(6, 11)
    torch.save(spec, tmp_path / "a.pt")

    output = synthesize_spec(tmp_path / "a.pt", model, tmp_path / "a.wav")

    samples, rate_hz = soundfile.read(output, dtype="float32")
    expected = load_model(model).model(spec[None]).detach().flatten()
    assert rate_hz == 22050
    torch.testing.assert_close(torch.from_numpy(samples), expected, atol=1 / 32768, rtol=0)


def test_every_usual_shape_is_understood(model, tmp_path):
    loaded, spec = load_model(model), torch.randn(6, 5)
    shapes = {"kt": spec, "tk": spec.T.contiguous(), "1kt": spec[None], "1tk": spec.T[None].contiguous()}
    for name, tensor in shapes.items():
        torch.save(tensor, tmp_path / f"{name}.pt")

    assert all(spec_in(tmp_path / f"{name}.pt", loaded).equal(spec) for name in shapes)
    assert spec_in(tmp_path / "tk.pt", loaded, is_time_oriented=True).equal(spec)
    assert spec_in(tmp_path / "kt.pt", loaded, is_time_oriented=False).equal(spec)


def test_one_frame_and_a_square_have_their_bands_first_unless_it_is_said(model, tmp_path):
    loaded, one, square = load_model(model), torch.randn(6, 1), torch.randn(6, 6)
    torch.save(one, tmp_path / "one.pt")
    torch.save(square, tmp_path / "square.pt")

    assert spec_in(tmp_path / "one.pt", loaded).equal(one)
    assert spec_in(tmp_path / "square.pt", loaded).equal(square)
    assert spec_in(tmp_path / "square.pt", loaded, is_time_oriented=True).equal(square.T)


@pytest.mark.parametrize(("is_turned", "shape"), [(True, (6, 5)), (False, (5, 6)), (None, (5, 4))])
def test_a_spec_that_lies_another_way_than_was_said_is_refused(model, tmp_path, is_turned, shape):
    torch.save(torch.randn(shape), tmp_path / "a.pt")

    with pytest.raises(DataError, match=f"found {shape[0]} × {shape[1]}"):
        spec_in(tmp_path / "a.pt", load_model(model), is_time_oriented=is_turned)


@pytest.mark.parametrize(
    "tensor", [torch.tensor(1.0), torch.randn(6), torch.randn(2, 6, 3), torch.zeros(6, 0)]
)
def test_what_is_no_spec_is_refused(model, tmp_path, tensor):
    torch.save(tensor, tmp_path / "a.pt")

    with pytest.raises(DataError, match="is no spec"):
        spec_in(tmp_path / "a.pt", load_model(model))


def test_the_sound_lies_beside_its_spec_and_that_is_said(model, tmp_path):
    heard = Heard()
    torch.save(torch.randn(6, 3), tmp_path / "a.pt")

    output = synthesize_spec(tmp_path / "a.pt", model, listener=heard)

    assert output == tmp_path / "a.pt.wav"
    assert output.is_file()
    assert str(output) in heard.said[0]


@pytest.mark.parametrize("mark", ["prepared.json", ".config-lock", "stats.json"])
@pytest.mark.parametrize("place", ["spec/a.pt", "synthesized_spec/sub/a.pt"])
def test_no_sound_lies_among_training_material_unless_it_is_asked_for(tmp_path, monkeypatch, mark, place):
    spec = tmp_path / "preprocessed" / place
    spec.parent.mkdir(parents=True)
    (tmp_path / "preprocessed" / mark).touch()
    monkeypatch.chdir(tmp_path)

    assert str(sound_path(spec)) == "a.pt.wav"
    assert sound_path(tmp_path / "synthesis_output" / place).parent.name != "."
