"""Texts become sounds and specs, teacher-forced ones as long as the recordings, under EveryVoice's names."""

import numpy as np
import pytest
import soundfile
import torch

from retimbre.data.manifest import read_filelist

HOP_SAMPLES = 256
ENDING = "--default--default--spec-pred-22050-mel-librosa.pt"


@pytest.fixture
def force(project, retimbre):
    """Teacher forcing over all recordings: force("-b", 3, "-o", folder)."""

    def run(*words):
        given = ("-O", "spec", "-f", project.preprocessed / "filelist.psv", "-T", project.preprocessed)
        return retimbre("synthesize", "from-text", project.text_to_spec, *given, *words)

    return run


def spec_in(path):
    """As any program reads it that has only torch."""
    return torch.load(path, weights_only=True)


def test_a_text_becomes_a_sound_and_a_spec_of_the_same_length(project, retimbre, tmp_path):
    words = ("-t", "one two, three!", "-O", "wav", "-O", "spec", "-v", project.vocoder)

    ended = retimbre("synthesize", "from-text", project.text_to_spec, *words)

    assert ended.code == 0, ended.err
    spec, wav = (
        "synthesis_output/synthesized_spec/one-two-three---default--default--spec-pred-22050-mel-librosa.pt",
        "synthesis_output/wav/one-two-three---default--default--ckpt=7--v_ckpt=5--pred.wav",
    )
    assert ended.out.splitlines() == [spec, wav]
    samples, rate_hz = soundfile.read(tmp_path / "here" / wav)
    assert rate_hz == 22050
    assert soundfile.info(tmp_path / "here" / wav).subtype == "PCM_16"
    assert len(samples) == HOP_SAMPLES * spec_in(spec).shape[1]
    assert np.abs(samples).max() > 0


def test_a_sound_is_the_default(project, retimbre):
    ended = retimbre("synthesize", "from-text", project.text_to_spec, "-t", "one", "-v", project.vocoder)

    assert ended.out.splitlines() == [
        "synthesis_output/wav/one--default--default--ckpt=7--v_ckpt=5--pred.wav"
    ]


def test_texts_that_would_share_a_name_do_not_overwrite_each_other(project, retimbre):
    texts = ["-t", "one.", "-t", "one!", "-t", "one?", "-t", "one!", "-t", "two"]

    ended = retimbre("synthesize", "from-text", project.text_to_spec, "-O", "spec", *texts)

    names = [line.split("/")[-1].removesuffix(ENDING) for line in ended.out.splitlines()]
    assert len(set(names)) == 4
    assert all(name.startswith("one--") for name in names[:3])
    assert names[3] == "two"


def test_a_list_of_texts_and_a_list_of_utterances_are_spoken(project, retimbre, tmp_path):
    plain = tmp_path / "texts.txt"
    plain.write_text("\ufeffone two\n\nthree four five six seven\n", encoding="utf-8")
    words = ("synthesize", "from-text", project.text_to_spec, "-O", "spec", "-f")

    of_texts, of_utterances = retimbre(*words, plain), retimbre(*words, project.filelist)

    names = [line.split("/")[-1].split("--")[0] for line in of_texts.out.splitlines()]
    assert names == ["one-two", "three-four-five-six"]
    assert len(of_utterances.out.splitlines()) == 8
    assert "/u5--default--default--" in of_utterances.out


def test_the_duration_control_makes_speech_longer(project, retimbre):
    lengths = []
    for control in (0.5, 1.0, 2.0):
        words = ("-O", "spec", "-t", "one two three", "-D", control, "-o", f"out-{control}")
        ended = retimbre("synthesize", "from-text", project.text_to_spec, *words)
        lengths.append(spec_in(ended.out.strip()).shape[1])

    assert lengths[0] < lengths[1] < lengths[2]


def test_all_kinds_of_output_have_everyvoices_names(project, retimbre):
    kinds = [
        word
        for kind in ("wav", "spec", "textgrid", "readalong-xml", "readalong-html")
        for word in ("-O", kind)
    ]

    ended = retimbre(
        "synthesize", "from-text", project.text_to_spec, "-t", "one", "-v", project.vocoder, *kinds
    )

    stem = "one--default--default"
    assert ended.out.splitlines() == [
        f"synthesis_output/synthesized_spec/{stem}--spec-pred-22050-mel-librosa.pt",
        f"synthesis_output/wav/{stem}--ckpt=7--v_ckpt=5--pred.wav",
        f"synthesis_output/textgrids/{stem}--22050-mel-librosa.TextGrid",
        f"synthesis_output/readalongs/{stem}--22050-mel-librosa.readalong",
        f"synthesis_output/readalongs/{stem}--22050-mel-librosa.html",
    ]


def test_a_long_text_is_split_unless_that_is_switched_off(project, retimbre):
    words = (
        "synthesize",
        "from-text",
        project.text_to_spec,
        "-t",
        "one two three. " * 20,
        "-O",
        "spec",
        "-o",
    )

    specs = {
        name: spec_in(retimbre(*words, name, *more).out.strip())
        for name, more in {
            "split": (),
            "option": ("--no-split-text",),
            "override": ("-c", "text.split_text=false"),
            "both": ("-c", "text.split_text=False", "--split-text"),
        }.items()
    }

    assert specs["option"].equal(specs["override"])
    assert specs["both"].equal(specs["split"])
    assert specs["split"].shape != specs["option"].shape or not specs["split"].allclose(specs["option"])


def test_options_of_everyvoice_that_change_nothing_are_accepted(project, retimbre):
    words = (
        "synthesize",
        "from-text",
        project.text_to_spec,
        "-t",
        "one",
        "-O",
        "spec",
        "-n",
        2,
        "--simple-filenames",
    )

    one, many = retimbre(*words, "-d", "auto"), retimbre(*words, "--devices", 4)

    assert one.out == many.out == "synthesis_output/synthesized_spec/one.pt\n"
    assert "one is used, not 4" in many.err
    assert "Devices" not in one.err


def test_a_style_reference_for_a_model_without_style_tokens_is_refused(project, retimbre):
    recording = project.recordings / "u0.wav"
    words = ("-t", "one", "-O", "spec", "--style-reference", recording)

    error = retimbre("synthesize", "from-text", project.text_to_spec, *words).error

    assert "this model has no style tokens" in error


def test_phones_are_refused_by_a_model_of_characters(project, retimbre):
    words = ("-t", "HH AH0", "-O", "spec", "--text-representation", "arpabet")

    error = retimbre("synthesize", "from-text", project.text_to_spec, *words).error

    assert "reads characters" in error


def test_teacher_forcing_writes_specs_exactly_as_long_as_the_recordings(project, force):
    ended = force()

    assert ended.code == 0, ended.err
    written = sorted((project.preprocessed / "synthesized_spec").iterdir())
    assert sorted(ended.out.splitlines()) == [str(path) for path in written]
    expected = [f"u{number}--default--default--spec-pred-22050-mel-librosa.pt" for number in range(8)]
    assert [path.name for path in written] == expected
    for number, path in enumerate(written):
        recording = project.preprocessed / "audio" / f"u{number}--default--default--audio-22050.wav"
        spec = spec_in(path)
        assert type(spec) is torch.Tensor
        assert spec.dtype == torch.float32
        assert spec.shape == (80, soundfile.info(recording).frames // HOP_SAMPLES)
        assert spec.isfinite().all()


def test_teacher_forcing_gives_what_the_model_says_not_the_recording(project, force):
    force()
    produced = spec_in(next((project.preprocessed / "synthesized_spec").glob("u0--*")))

    assert produced.std() > 0
    assert (produced - -11.512925).abs().mean() > 0.1


def test_teacher_forcing_may_go_to_another_folder(project, force, tmp_path):
    before = project.files()

    ended = force("-o", tmp_path / "elsewhere")

    assert ended.code == 0, ended.err
    assert len(list((tmp_path / "elsewhere" / "synthesized_spec").iterdir())) == 8
    assert project.files() == before


def test_the_batch_size_does_not_change_what_teacher_forcing_gives(project, force, tmp_path):
    for size in (1, 3, 8):
        assert force("-b", size, "-o", tmp_path / str(size)).code == 0

    for path in (tmp_path / "1" / "synthesized_spec").iterdir():
        alone = spec_in(path)
        for size in ("3", "8"):
            together = spec_in(tmp_path / size / "synthesized_spec" / path.name)
            torch.testing.assert_close(together, alone, atol=2e-5, rtol=0)


def test_the_older_spelling_of_teacher_forcing_works(project, retimbre):
    words = ("-O", "spec", "-f", project.filelist, "--teacher-forcing-folder", project.preprocessed)

    assert retimbre("synthesize", "from-text", project.text_to_spec, *words).code == 0


def test_recordings_of_a_named_speaker_are_forced_by_a_model_of_one_speaker(project, retimbre):
    utterances = read_filelist(project.preprocessed / "filelist.psv")
    rows = [f"{u.basename}|eng|speaker_0|{u.text}\n" for u in utterances]
    project.filelist.write_text("basename|language|speaker|characters\n" + "".join(rows), encoding="utf-8")
    assert retimbre("preprocess", "spec-to-wav", project.matching, "-C", 1).code == 0

    words = ("-O", "spec", "-f", project.filelist, "-T", project.preprocessed)
    ended = retimbre("synthesize", "from-text", project.text_to_spec, *words)

    assert ended.code == 0, ended.err
    assert "/u0--speaker_0--eng--spec-pred-22050-mel-librosa.pt" in ended.out


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_stored_spec_becomes_a_sound_whichever_way_round_it_lies(project, retimbre, tmp_path, is_turned):
    spec = torch.randn(80, 23) - 5
    torch.save(spec.T.contiguous() if is_turned else spec, tmp_path / "a.pt")

    ended = retimbre("synthesize", "from-spec", "-i", tmp_path / "a.pt", "-m", project.exported)

    assert ended.code == 0, ended.err
    assert ended.out == f"{tmp_path / 'a.pt.wav'}\n"
    assert str(tmp_path / "a.pt.wav") in ended.err
    assert soundfile.info(tmp_path / "a.pt.wav").frames == 23 * HOP_SAMPLES


def test_the_sound_of_a_spec_among_training_material_goes_to_this_folder(project, force, retimbre, tmp_path):
    assert force().code == 0
    before, spec = project.files(), next((project.preprocessed / "synthesized_spec").iterdir())

    ended = retimbre("synthesize", "from-spec", "-i", spec, "-m", project.exported)

    assert ended.out == f"{spec.name}.wav\n"
    assert (tmp_path / "here" / f"{spec.name}.wav").is_file()
    assert project.files() == before


def test_a_spec_whose_frames_come_first_may_be_said_to_be_so(project, retimbre, tmp_path):
    torch.save(torch.randn(23, 80), tmp_path / "a.pt")
    words = ("synthesize", "from-spec", "-i", tmp_path / "a.pt", "-m", project.exported)

    assert retimbre(*words, "--time-oriented").code == 0
    assert "found 23 × 80" in retimbre(*words, "--no-time-oriented").error


def test_a_sound_may_go_to_a_new_folder(project, retimbre, tmp_path):
    torch.save(torch.randn(80, 9), tmp_path / "a.pt")
    place = tmp_path / "new" / "folder" / "a.wav"

    ended = retimbre("synthesize", "from-spec", "-i", tmp_path / "a.pt", "-m", project.vocoder, "-o", place)

    assert ended.code == 0, ended.err
    assert soundfile.info(place).frames == 9 * HOP_SAMPLES


def test_a_real_checkpoint_of_everyvoice_speaks_under_its_own_names(parity, retimbre, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = parity("everyvoice_project")
    checkpoint = (
        folder / "project/logs_and_checkpoints/FeaturePredictionExperiment/base/checkpoints/last.ckpt"
    )

    ended = retimbre(
        "synthesize", "from-text", checkpoint, "-t", "in being comparatively modern.", "-O", "spec"
    )

    assert ended.code == 0, ended.err
    (expected,) = (folder / "expected" / "one_sentence").iterdir()
    assert ended.out == f"synthesis_output/synthesized_spec/{expected.name}\n"
    torch.testing.assert_close(spec_in(ended.out.strip()), spec_in(expected), atol=2e-4, rtol=0)


def test_options_of_a_set_say_nothing_to_other_models(project, retimbre):
    words = ("-t", "one", "-v", project.vocoder, "--preset", "fast")

    error = retimbre("synthesize", "from-text", project.text_to_spec, *words).error

    assert "--preset says nothing to these models: expected a TorToiSe set" in error
