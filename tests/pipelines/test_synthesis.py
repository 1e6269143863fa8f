"""What is asked for is written under EveryVoice's names, by the speaker and on the device that were meant."""

from dataclasses import replace

import pytest
import soundfile
import torch

from retimbre.errors import DataError, RunError, StagesDoNotFit, TextError
from retimbre.models.description import sizes_of
from retimbre.models.load import load_model, save_model
from retimbre.pipelines.everyvoice import speak_spec
from retimbre.pipelines.synthesis import Request, best_device, name_of, synthesize_spec, synthesize_texts


def saved(loaded, path):
    description = replace(loaded.description, sizes=sizes_of(loaded.model.config))
    return save_model(path, loaded.model, description)


@pytest.fixture
def speak(text_to_spec, tmp_path):
    """Specs by file name: speak(texts=("a", "b"), model={"speakers": ("ann",)})."""

    def run(*, model=None, **request):
        path = saved(text_to_spec(**(model or {})), tmp_path / "tuned.safetensors")
        asked = Request(output_types=("spec",), output_dir=tmp_path / "out", **request)
        return {file.name: torch.load(file, weights_only=True) for file in synthesize_texts(path, asked)}

    return run


# As EveryVoice 0.5.0 names files: measured there.
NAMES = {
    "in being comparatively modern.": "in-being-comparative-0ef217c0",
    "in-being-comparatively-modern-": "in-being-comparative-0ef217c0",
    "hello!": "hello-",
    "The press yard": "The-press-yard",
    "a" * 20: "a" * 20,
    "a" * 21: f"{'a' * 20}-035a4ee5",
    "¿Qué tal, mi amigo de siempre?": "-Qué-tal-mi-amigo-de-3c4cbe93",
    "a/b\\c:d": "a-b-c-d",
    "Größe_x-y": "Größe_x-y",
    "日本 語": "日本-語",
}


@pytest.mark.parametrize("text", NAMES)
def test_a_text_is_named_as_everyvoice_names_it(text):
    assert name_of(text) == NAMES[text]


def test_a_text_without_a_word_has_a_name_all_the_same():
    assert name_of("...") == "-"
    assert name_of("") == "text"


def test_files_are_named_after_text_speaker_and_language(speak):
    found = speak(texts=("a bad cab",), model={"speakers": ("ann",), "languages": ("eng",)})

    assert list(found) == ["a-bad-cab--ann--eng--spec-pred-22050-mel-librosa.pt"]


def test_a_named_speaker_is_in_the_name_and_in_the_voice(speak, text_to_spec):
    model = {"sizes": {"n_speakers": 2}, "speakers": ("ann", "bob")}

    found = speak(texts=("bad",), speaker="bob", model=model)

    assert list(found) == ["bad--bob--default--spec-pred-22050-mel-librosa.pt"]
    expected = speak_spec("bad", text_to_spec(**model), speaker="bob").spec
    torch.testing.assert_close(*found.values(), expected)


def test_speakers_of_a_list_speak_their_own_lines(speak, text_to_spec, tmp_path):
    model = {"sizes": {"n_speakers": 2}, "speakers": ("ann", "bob")}
    lines = tmp_path / "lines.psv"
    lines.write_text("basename|speaker|characters\nx|ann|bad\ny|bob|bad\n", encoding="utf-8")

    ann, bob = speak(filelist=lines, model=model).values()

    torch.testing.assert_close(ann, speak_spec("bad", text_to_spec(**model), speaker="ann").spec)
    torch.testing.assert_close(bob, speak_spec("bad", text_to_spec(**model), speaker="bob").spec)


def test_phones_of_a_list_are_spoken_by_a_model_of_phones(speak, text_to_spec, tmp_path):
    lines = tmp_path / "lines.psv"
    lines.write_text("basename|characters|phones\nx|quite unreadable|bad\n", encoding="utf-8")

    (spec,) = speak(filelist=lines, model={"text_level": "phones"}).values()

    torch.testing.assert_close(spec, speak_spec("bad", text_to_spec()).spec)


def test_all_texts_are_read_before_the_first_is_spoken(speak, tmp_path):
    with pytest.raises(TextError, match="no symbols for: q"):
        speak(texts=("a bad cab", "q"))

    assert not (tmp_path / "out").exists()


def test_names_that_differ_in_capitals_only_do_not_share_a_file(speak):
    found = speak(texts=("A b", "a b", "c"), model={"symbols": ("\x80", " ", *"abcdefA", "x", "y", ".")})

    assert len({name.casefold() for name in found}) == 3


def test_nothing_to_speak_is_refused(speak):
    with pytest.raises(TextError, match="nothing to speak"):
        speak()


def test_sound_needs_a_vocoder_that_fits(text_to_spec, vocoder, tmp_path, mel):
    tuned = saved(text_to_spec(), tmp_path / "tuned.safetensors")
    other = saved(vocoder(mel=replace(mel, high_hz=7000.0)), tmp_path / "other.safetensors")

    with pytest.raises(DataError, match="sound needs a vocoder"):
        list(synthesize_texts(tuned, Request(texts=("a",))))
    with pytest.raises(StagesDoNotFit, match="high_hz"):
        list(synthesize_texts(tuned, Request(texts=("a",), vocoder=other)))


def test_a_stored_spec_becomes_the_sound_that_the_vocoder_makes(vocoder, tmp_path):
    model = saved(vocoder(), tmp_path / "vocoder.safetensors")
    spec = torch.randn(6, 11)
    torch.save(spec, tmp_path / "a.pt")

    output = synthesize_spec(tmp_path / "a.pt", model, tmp_path / "a.wav")

    samples, rate_hz = soundfile.read(output, dtype="float32")
    expected = load_model(model).model(spec[None]).detach().flatten()
    assert rate_hz == 22050
    torch.testing.assert_close(torch.from_numpy(samples), expected, atol=1 / 32768, rtol=0)


@pytest.fixture
def has_devices(monkeypatch):
    """Play a machine: has_devices("cuda")."""

    def play(*names):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in names)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in names)

    return play


@pytest.mark.parametrize(
    ("there", "asked", "taken"),
    [
        ((), "auto", "cpu"),
        (("cuda",), "auto", "cuda"),
        (("mps",), "auto", "mps"),
        (("cuda",), "cpu", "cpu"),
        (("cuda",), "gpu", "cuda"),
        (("mps",), "gpu", "mps"),
    ],
)
def test_the_best_or_the_named_device_is_taken(has_devices, there, asked, taken):
    has_devices(*there)
    assert best_device(asked) == taken


@pytest.mark.parametrize("asked", ["cuda", "gpu", "mps", "quantum", ""])
def test_a_device_that_is_not_there_is_named_with_those_that_are(has_devices, asked):
    has_devices()
    with pytest.raises(RunError, match=f"no device '{asked}' here: expected auto or cpu"):
        best_device(asked)
