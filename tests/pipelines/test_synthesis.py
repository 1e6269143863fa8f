"""What is asked for is written under EveryVoice's names, by the speaker and on the device that were meant."""

from base64 import b64encode
from dataclasses import replace

import pytest
import soundfile
import torch

from retimbre.data.manifest import write_filelist
from retimbre.data.stats import Stat
from retimbre.errors import CheckpointError, DataError, RunError, StagesDoNotFit, TextError
from retimbre.models.description import sizes_of
from retimbre.models.fastspeech2.config import StyleSizes
from retimbre.models.fastspeech2.variance import Controls
from retimbre.models.load import save_model
from retimbre.pipelines.everyvoice import speak_ids, speak_spec
from retimbre.pipelines.lines import name_of
from retimbre.pipelines.pieces import pieces_of
from retimbre.pipelines.request import OUTPUT_TYPES, Request
from retimbre.pipelines.synthesis import best_device, synthesize_texts


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


def test_a_list_without_speakers_is_named_after_the_models_first(speak, tmp_path):
    lines = tmp_path / "lines.psv"
    lines.write_text("characters|language\na bad cab|\nbad|eng\n", encoding="utf-8")

    found = speak(filelist=lines, model={"speakers": ("ann",), "languages": ("eng",)})

    assert [name.split("--spec")[0] for name in found] == ["a-bad-cab--ann--eng", "bad--ann--eng"]


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


LONG = "a bad cab had a bag. " * 12  # twice as long as the longest piece


def test_a_long_text_is_spoken_in_pieces_and_its_spec_is_as_long_as_they_are_together(speak, text_to_spec):
    (whole,) = speak(texts=(LONG,)).values()
    loaded = text_to_spec()

    pieces = [speak_ids(piece.ids, loaded).spec for piece in pieces_of(LONG, loaded)]

    assert len(pieces) > 1
    torch.testing.assert_close(whole, torch.cat(pieces, dim=1))


def test_splitting_may_be_switched_off(speak, text_to_spec):
    (whole,) = speak(texts=(LONG,), splits=False).values()

    torch.testing.assert_close(whole, speak_spec(LONG.strip(), text_to_spec()).spec)


def test_a_long_text_has_the_name_of_the_whole(speak):
    (name,) = speak(texts=(LONG,))

    assert name.startswith(f"{name_of(LONG.strip())}--default--")


def test_teacher_forcing_never_splits(text_to_spec, prepared_once, tmp_path, mel):
    store, utterances = prepared_once
    long = [replace(utterances[1], text="a bad. " * 7)]
    lengths = Stat(mean=3.0, std=1.0, min=1.0, max=6.0, n=3)
    stats = replace(text_to_spec().description.stats, character_length=lengths)
    model = saved(text_to_spec(stats=stats), tmp_path / "tuned.safetensors")
    write_filelist(tmp_path / "list.psv", long)
    request = Request(
        filelist=tmp_path / "list.psv",
        teacher_forcing=store.root,
        output_types=("spec", "textgrid"),
        output_dir=tmp_path / "out",
    )

    spec, grid = synthesize_texts(model, request)

    n_frames = soundfile.info(store.audio_path(long[0], 22050)).frames // 256
    assert torch.load(spec, weights_only=True).shape[1] == n_frames
    assert f"xmax = {n_frames * 256 / 22050:f}" in grid.read_text()
    assert grid.read_text().count('text = "bad."') == 7


@pytest.mark.parametrize("name", ["pitch", "energy"])
def test_a_control_changes_what_is_spoken(speak, name):
    (plain,) = speak(texts=("a bad cab",)).values()
    (changed,) = speak(texts=("a bad cab",), controls=Controls(**{name: 9.0})).values()

    assert plain.shape != changed.shape or not plain.allclose(changed)


def test_controls_of_one_call_or_line_do_not_leak_into_the_next(speak, tmp_path):
    lines = tmp_path / "lines.psv"
    lines.write_text("basename|characters|duration_control\nx|bad|3\ny|bad|\nz|bad|0.5\n", encoding="utf-8")

    slow, plain, fast = speak(filelist=lines).values()
    (again,) = speak(texts=("bad",)).values()

    assert slow.shape[1] == 3 * plain.shape[1]
    assert fast.shape[1] < plain.shape[1]
    assert plain.equal(again)


def test_a_style_reference_needs_a_model_with_style_tokens(speak, prepared_once):
    store, utterances = prepared_once
    recording = store.audio_path(utterances[0], 22050)

    with pytest.raises(CheckpointError, match="this model has no style tokens"):
        speak(texts=("bad",), style_reference=recording)


def test_a_style_reference_is_followed_by_a_model_with_style_tokens(speak, prepared_once):
    store, utterances = prepared_once
    model = {"sizes": {"style": StyleSizes(n_tokens=3, n_heads=2)}}

    (plain,) = speak(texts=("bad",), model=model).values()
    (styled,) = speak(
        texts=("bad",), model=model, style_reference=store.audio_path(utterances[0], 22050)
    ).values()

    assert plain.shape != styled.shape or not plain.allclose(styled)


def test_teacher_forcing_may_follow_the_style_of_another_recording(text_to_spec, prepared_once, tmp_path):
    store, utterances = prepared_once
    loaded = text_to_spec(sizes={"style": StyleSizes(n_tokens=3, n_heads=2)})
    with torch.no_grad():  # or all recordings would have nearly the same style
        for name, tensor in loaded.model.gst.named_parameters():
            tensor.mul_(8 if name.endswith("weight") else 1)
    tuned = saved(loaded, tmp_path / "tuned.safetensors")
    write_filelist(tmp_path / "list.psv", utterances)

    def forced(**style):
        request = Request(
            filelist=tmp_path / "list.psv",
            teacher_forcing=store.root,
            output_types=("spec",),
            output_dir=tmp_path / "out",
            **style,
        )
        paths = synthesize_texts(tuned, request)
        return {path.name.partition("--")[0]: torch.load(path, weights_only=True) for path in paths}

    own, styled = forced(), forced(style_reference=store.audio_path(utterances[0], 22050))
    moved = {name: float((own[name] - styled[name]).abs().max()) for name in own}

    assert moved["a"] < 1e-4  # it is the reference itself
    assert min(moved["b"], moved["c"]) > 1e-2


def test_simple_names_are_basename_and_ending(text_to_spec, vocoder, tmp_path):
    tuned = saved(text_to_spec(), tmp_path / "tuned.safetensors")
    request = Request(
        texts=("a bad cab",),
        output_types=OUTPUT_TYPES,
        is_simply_named=True,
        vocoder=saved(vocoder(), tmp_path / "vocoder.safetensors"),
        output_dir=tmp_path / "out",
    )

    files = [str(path.relative_to(tmp_path / "out")) for path in synthesize_texts(tuned, request)]

    assert files == [
        "synthesized_spec/a-bad-cab.pt",
        "wav/a-bad-cab.wav",
        "textgrids/a-bad-cab.TextGrid",
        "readalongs/a-bad-cab.readalong",
        "readalongs/a-bad-cab.html",
    ]


def test_a_page_to_read_along_brings_its_sound_with_it(text_to_spec, vocoder, tmp_path):
    tuned = saved(text_to_spec(), tmp_path / "tuned.safetensors")
    request = Request(
        texts=("a bad cab",),
        output_types=("readalong-html",),
        vocoder=saved(vocoder(), tmp_path / "vocoder.safetensors"),
        output_dir=tmp_path / "out",
    )

    wav, page = synthesize_texts(tuned, request)

    assert wav.parent.name == "wav"
    assert b64encode(wav.read_bytes()).decode() in page.read_text(encoding="utf-8")


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
