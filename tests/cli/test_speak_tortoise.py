"""`retimbre synthesize from-text` with a TorToiSe set: voices, presets, candidates, and what is refused."""

import json
import wave
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from building.adapters import save_adapter
from building.sounds import RATE_HZ, vowel
from building.tortoise_set import CLVP, DIFFUSION, PARTS, tiny_tortoise_set
from retimbre import load_voice
from retimbre.audio.files import load_audio
from retimbre.audio.wav_facts import facts_of
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import DataError
from retimbre.models.tortoise_ar.decoding import Decoding
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.univnet.config import UnivNetConfig

QUICK = ("--draw", 3, "--steps", 2, "--max-codes", 40)
TEXT = "Good morning, Dr. Who."


@pytest.fixture
def speak(retimbre, tortoise_set):
    """speak("--voice", …): a text with a tiny set; the files that it wrote."""

    def run(*words, models=tortoise_set, text=TEXT, quick=QUICK):
        return retimbre("synthesize", "from-text", models, "-t", text, *quick, *words)

    return run


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "clips" / "ann"
    folder.mkdir(parents=True)
    for number in range(2):
        soundfile.write(folder / f"{number}.wav", vowel(1.5, f0_hz=110.0 + 40 * number, seed=number), RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def plain(tortoise_set, tmp_path_factory):
    """What `--seed 1` says, as a file holds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        voice = load_voice(tortoise_set, n_drawn=3, n_steps=2, max_codes=40)
        path = tmp_path_factory.mktemp("plain") / "plain.wav"
        voice.speak(TEXT, seed=1).save(path)
    return load_audio(path)


def written(ended, here):
    assert ended.code == 0, ended.err
    return [here / line for line in ended.out.splitlines()]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The folder in which commands are typed; voices are kept beside it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_a_text_becomes_a_plain_wav_that_tells_what_it_is(speak, here):
    ended = speak("--seed", 7)

    (path,) = written(ended, here)
    assert path.relative_to(here).parts[:2] == ("synthesis_output", "wav")
    assert path.name == "Good-morning-Dr-Who---random.wav"
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24000)
        n_frames = file.getnframes()
    samples, _ = soundfile.read(path)
    assert len(samples) == n_frames > 2400
    assert np.abs(samples).max() > 0.01
    facts = facts_of(path)
    assert (facts["seed"], facts["text"], facts["is_synthetic"]) == (7, TEXT, True)
    assert facts["models"].keys() == {"text-to-codes", "codes-to-spec", "spec-to-wav", "ranking"}
    assert all(len(digest) == 64 for digest in facts["models"].values())
    assert facts["settings"]["n_drawn"] == 3
    assert facts["settings"]["sampling"]["top_k"] == 50
    assert facts["voice"]["random"] == {"seed": 0}
    (sentence,) = facts["sentences"]
    assert sentence["text"] == "good morning, doctor who."
    assert sentence["candidate"] in range(3)
    assert {"Plan", "Loaded", "Score"} <= {line.split()[0] for line in ended.err.splitlines() if line}


def test_the_same_seed_gives_the_same_file(speak, here):
    first = written(speak("--seed", 7, "-o", "a"), here)[0].read_bytes()
    again = written(speak("--seed", 7, "-o", "b"), here)[0].read_bytes()
    other = written(speak("--seed", 8, "-o", "c"), here)[0].read_bytes()

    assert first == again
    assert first != other


def test_a_seed_that_nobody_chose_is_said_and_can_be_given(speak, here):
    ended = speak("-o", "a")
    (path,) = written(ended, here)
    seed = facts_of(path)["seed"]

    assert f"--seed {seed}" in ended.err
    assert written(speak("-o", "b", "--seed", seed), here)[0].read_bytes() == path.read_bytes()


def test_several_candidates_are_written_with_their_scores(speak, here):
    ended = speak("--seed", 1, "--candidates", 3)

    paths = written(ended, here)
    assert [path.name for path in paths] == [
        f"Good-morning-Dr-Who---random--{rank}.wav" for rank in (1, 2, 3)
    ]
    scores = [facts_of(path)["sentences"][0]["score"] for path in paths]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3
    assert all(f"{path.name}: {score:.3f}" in ended.err for path, score in zip(paths, scores, strict=True))
    assert "4 candidates cannot be written: expected 1 to 3" in speak("--candidates", 4).error


@pytest.mark.parametrize(
    "preset", ["single_sample", "ultra_fast", "very_fast", "fast", "standard", "high_quality"]
)
def test_every_preset_speaks(speak, here, preset):
    few = () if preset == "single_sample" else ("--draw", 2, "--steps", 3)
    ended = speak("--preset", preset, "--seed", 1, "--max-codes", 20, *few, quick=())

    assert facts_of(written(ended, here)[0])["settings"]["sampler"] in ("ddpm", "ddim", "dpm++2m")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (("--sampler", "ddim"), "sampler", "ddim"),
        (("--guidance", 0), "guidance", 0.0),
        (("--noise", 0.5), "noise_scale", 0.5),
        (("--precision", "bfloat16"), "precision", "bfloat16"),
        (("--precision", "int8"), "precision", "int8"),
        (("--batch-size", 2), "batch_size", 2),
        (("--temperature", 1.5), "temperature", 1.5),
        (("--top-p", 0.3), "top_p", 0.3),
        (("--top-k", 2), "top_k", 2),
        (("--repetition-penalty", 0.1), "repetition_penalty", 0.1),
        (("--typical-mass", 0.5), "typical_mass", 0.5),
        (("--max-codes", 12), "max_codes", 12),
    ],
)
def test_every_setting_has_its_option(speak, plain, here, words, name, value):
    changed = written(speak("--seed", 1, *words), here)[0]

    settings = facts_of(changed)["settings"]
    assert (settings | settings["sampling"])[name] == value
    if name not in ("batch_size", "precision"):
        assert soundfile.read(changed)[0].tolist() != plain.samples.double().tolist()


def test_a_voice_is_a_folder_of_recordings_a_saved_one_or_several_of_them(speak, recordings, here):
    words = ("--seed", 1, "--voice-folder", recordings.parent)
    by_path = written(speak("--seed", 1, "--voice", recordings, "--save-voice", "ann.safetensors"), here)[0]
    by_name = written(speak(*words, "--voice", "ann", "-o", "by-name"), here)[0]
    saved = written(speak("--seed", 1, "--voice", "ann.safetensors", "-o", "saved"), here)[0]
    for_tortoise = speak("--seed", 1, "--voice", recordings, "--save-voice", "ann.pth", "-o", "pth")
    blended = written(speak(*words, "--voice", "ann&random", "-o", "blended"), here)[0]

    sounds = [soundfile.read(path)[0].tolist() for path in (by_path, by_name, saved)]
    assert sounds[0] == sounds[1] == sounds[2]
    assert soundfile.read(blended)[0].tolist() != sounds[0]
    assert for_tortoise.code == 0
    assert "heard before" in for_tortoise.err  # and not again
    assert [tuple(latent.shape) for latent in torch.load(here / "ann.pth", weights_only=True)] == [
        (1, 128),
        (1, 96),
    ]
    assert len(facts_of(by_path)["voice"]["recordings"]) == 2


def test_another_random_voice_has_another_seed(speak, here):
    usual, other = (
        written(speak("--seed", 1, "--voice-seed", seed, "-o", str(seed)), here)[0] for seed in (0, 1)
    )

    assert soundfile.read(usual)[0].tolist() != soundfile.read(other)[0].tolist()


def test_a_long_text_is_one_file_of_all_its_sentences(speak, here):
    sentence = "This is a sentence that goes on for a good while, so that two of them are too long for one. "
    ended = speak("--seed", 1, text=sentence * 4)

    (path,) = written(ended, here)
    sentences = facts_of(path)["sentences"]
    assert len(sentences) > 1
    n_samples = soundfile.info(path).frames
    assert n_samples / 24000 == pytest.approx(sum(each["duration_s"] for each in sentences), abs=0.01)
    whole = speak("--seed", 1, "--no-split-text", text=sentence * 3)
    assert len(facts_of(written(whole, here)[0])["sentences"]) == 1


def test_a_list_names_its_files(speak, retimbre, tortoise_set, here):
    (here / "list.psv").write_text("basename|text\none|Hello there.\ntwo|Good bye.\n", encoding="utf-8")
    (here / "lines.txt").write_text("Hello there.\n\nGood bye.\n", encoding="utf-8")

    for name, expected in (("list.psv", ["one", "two"]), ("lines.txt", ["Hello-there-", "Good-bye-"])):
        ended = retimbre(
            "synthesize", "from-text", tortoise_set, "-f", name, *QUICK, "--simple-filenames", "-o", name[:-4]
        )
        assert [path.stem for path in written(ended, here)] == expected


def test_what_no_piece_stands_for_is_said(speak):
    ended = speak("--seed", 1, text="One # two 漢 three.")

    assert ended.code == 0
    assert '"#"' in ended.err
    assert '"漢"' in ended.err


def test_what_has_no_letter_is_left_out_and_said(speak):
    ended = speak("--seed", 1, text="One two three. | 🙂")

    assert ended.code == 0
    assert 'left out, because no letters stand for it: "🙂"' in ended.err
    assert "nothing to speak" in speak(text="?!?").error


def test_a_sentence_that_is_too_long_is_refused_before_anything_is_drawn(speak):
    ended = speak("--no-split-text", text="q x z " * 200)

    assert "a sentence is too long for this network: expected at most 401 pieces of text" in ended.error
    assert "Loaded" not in ended.err


def test_without_diffusion_the_other_decoder_speaks(speak, here):
    path = written(speak("--decoder", "hifigan", "--seed", 1), here)[0]

    assert facts_of(path)["models"].keys() == {"text-to-codes", "codes-to-wav", "ranking"}


def test_a_tuned_file_takes_the_place_of_the_folders(speak, here, tortoise_set, tmp_path):
    tuned = tiny_tortoise_set(tmp_path / "tuned", seed=5) / "autoregressive.pth"

    with_option = written(speak("--with", tuned, "--seed", 1, "-o", "a"), here)[0]
    usual = written(speak("--seed", 1, "-o", "b"), here)[0]
    first = written(speak("--seed", 1, "-o", "c", models=tortoise_set / "autoregressive.pth"), here)[0]

    assert facts_of(with_option)["models"]["text-to-codes"] != facts_of(usual)["models"]["text-to-codes"]
    assert soundfile.read(first)[0].tolist() == soundfile.read(usual)[0].tolist()


def test_what_was_assumed_can_be_stated(speak, here):
    assert "heads" in speak("--assume", "heads=3").error
    path = written(speak("--assume", "heads=4", "--seed", 1), here)[0]

    assert facts_of(path)["assumed"] == {"heads": 4}


class TestWrongSets:
    """Each is refused by a line that names what disagrees."""

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"diffusion_decoder": None, "hifidecoder": None}, ("codes-to-spec", "retimbre fetch tortoise")),
            ({"autoregressive": None}, ("text-to-codes", "retimbre fetch tortoise autoregressive")),
            ({"clvp2": None}, ("choosing among 3 candidates needs ranking", "fetch tortoise clvp2")),
            ({"rlg_auto": None}, ("a random voice needs random-voice-ar", "rlg_auto")),
        ],
    )
    def test_a_missing_file_is_named(self, speak, tmp_path, changes, said):
        error = speak(models=tiny_tortoise_set(tmp_path / "set", **changes)).error

        assert all(words in error for words in said), error

    def test_a_dvae_of_another_codebook(self, speak, tmp_path):
        config = tiny_config(TORTOISE_DVAE, n_codes=100)
        error = speak(models=tiny_tortoise_set(tmp_path / "set", dvae=config)).error

        assert "codes: " in error
        assert "100 in dvae.pth (codebook.embed)" in error
        assert "256 in autoregressive.pth (mel_embedding.weight)" in error

    def test_a_vocoder_for_another_spec(self, speak, tmp_path):
        config = UnivNetConfig(noise_dim=8, dim=4, n_mels=80)
        error = speak(models=tiny_tortoise_set(tmp_path / "set", vocoder=config)).error

        assert "100 in diffusion_decoder.pth" in error
        assert "80 in vocoder.pth" in error

    def test_a_swapped_file(self, speak, tmp_path):
        folder = tiny_tortoise_set(tmp_path / "set")
        (folder / "clvp2.pth").write_bytes((folder / "dvae.pth").read_bytes())

        error = speak(models=folder).error

        assert "clvp2.pth is not what its name says: expected ranking (tortoise_clvp)" in error
        assert "found tortoise_dvae" in error

    def test_two_files_for_one_stage(self, speak, tmp_path):
        folder = tiny_tortoise_set(tmp_path / "set")
        (folder / "tuned.pth").write_bytes((folder / "autoregressive.pth").read_bytes())

        error = speak(models=folder).error

        assert "2 files for text-to-codes" in error
        assert "autoregressive.pth, tuned.pth" in error

    def test_latents_of_another_width(self, speak, tmp_path):
        config = replace(DIFFUSION, latent_dim=64)
        error = speak(models=tiny_tortoise_set(tmp_path / "set", diffusion_decoder=config)).error

        assert "width of a latent: 128 in autoregressive.pth" in error
        assert "64 in diffusion_decoder.pth" in error

    def test_a_ranker_of_another_codebook(self, speak, tmp_path):
        error = speak(models=tiny_tortoise_set(tmp_path / "set", clvp2=replace(CLVP, n_codes=99))).error

        assert "99 in clvp2.pth" in error

    def test_a_folder_without_models(self, speak, tmp_path):
        (tmp_path / "empty").mkdir()

        assert "no model at all" in speak(models=tmp_path / "empty").error


def tiny_config(family, **changes):
    part = next(part for part in PARTS.values() if part.family is family)
    return replace(part.config, **changes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--vocoder-path", "v.pth"), "File 'v.pth' does not exist"),
        (("--speaker", "ann"), "--speaker says nothing to these models"),
        (("--duration-control", 2), "--duration-control says nothing to these models"),
        (("-O", "textgrid"), "a TorToiSe set writes no textgrid"),
        (("--voice", "nobody"), "there is no voice 'nobody'"),
        (("--temperature", 0), "temperature makes no sense"),
        (("--top-p", 2), "top_p makes no sense"),
    ],
)
def test_what_cannot_be_is_said(speak, words, said):
    ended = speak(*words)

    assert ended.code != 0
    assert said in ended.err


def test_a_job_that_was_stopped_goes_on_from_its_candidates(speak, here, monkeypatch):
    """What was drawn lies beside the result until all is spoken."""
    whole = written(speak("--seed", 1, "--batch-size", 1, "-o", "whole"), here)[0]
    step, n_steps = Decoding.step, []

    def interrupted(self):
        n_steps.append(self)
        if len(set(map(id, n_steps))) > 3:  # the estimate has one of its own
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Decoding, "step", interrupted)
        stopped = speak("--seed", 1, "--batch-size", 1, "-o", "again")
    kept = list((here / "again" / "wav").glob("*.candidates.safetensors"))
    resumed = speak("--seed", 1, "--batch-size", 1, "-o", "again")

    assert stopped.code == 130
    assert len(kept) == 1
    assert "are there from before" in resumed.err
    assert written(resumed, here)[0].read_bytes() == whole.read_bytes()
    assert not kept[0].exists()


def test_another_voice_leaves_the_candidates_of_a_job_that_was_stopped(speak, here, recordings):
    folder = here / "synthesis_output" / "wav"
    folder.mkdir(parents=True)
    stopped = folder / "Good-morning-Dr-Who---random.candidates.safetensors"
    stopped.write_bytes(b"those of an hour")

    assert speak("--seed", 1, "--voice", recordings).code == 0
    assert stopped.read_bytes() == b"those of an hour"


def test_candidates_of_another_job_are_not_taken(speak, here):
    folder = here / "synthesis_output" / "wav"
    folder.mkdir(parents=True)
    (folder / "Good-morning-Dr-Who---random.candidates.safetensors").write_bytes(b"no such file")

    ended = speak("--seed", 1)

    assert "drawn anew" in ended.err
    assert ended.code == 0


def test_from_python_it_speaks_streams_and_gives_takes(tortoise_set, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    voice = load_voice(tortoise_set, voice="random", preset="fast", n_drawn=3, n_steps=2, max_codes=30)
    text = "This is a sentence that goes on for a good while, so that two of them are too long for one. " * 4

    said = voice.speak(text, seed=1)
    streamed = list(voice.stream(text, seed=1))
    takes = voice.takes("Hello there.", 2, seed=1)

    assert voice.sample_rate_hz == said.sample_rate_hz == 24000
    assert len(streamed) > 1
    assert torch.cat([each.samples for each in streamed]).equal(said.samples)
    assert [take.score for take in takes] == sorted([take.score for take in takes], reverse=True)
    assert voice.speak("Hello there.", seed=1).samples.equal(takes[0].audio.samples)


@pytest.fixture
def spoken_by(tortoise_set):
    """A tiny set from Python: spoken_by(decoder=…)."""
    quick = {"n_drawn": 3, "n_steps": 2, "max_codes": 30}
    return lambda **how: load_voice(tortoise_set, **quick, **how).speak("Hello there.", seed=1).samples


def test_from_python_everything_can_be_chosen_too(spoken_by, tmp_path):
    other = tiny_tortoise_set(tmp_path / "other", seed=9)
    usual = spoken_by()

    for how in ({"decoder": "hifigan"}, {"vocoder": other / "vocoder.pth"}, {"assume": {"heads": 4}}):
        changed = spoken_by(**how)
        assert changed.shape != usual.shape or not changed.equal(usual), how
    with pytest.raises(DataError, match="there is no decoder 'bigvgan': expected diffusion or hifigan"):
        spoken_by(decoder="bigvgan")


@pytest.mark.parametrize("place", [None, "folder"])
def test_what_only_a_set_understands_is_refused_for_other_models(place, tmp_path):
    folder = tmp_path / place if place else None
    if folder:
        folder.mkdir()

    with pytest.raises(DataError, match="is no set of TorToiSe's models.*preset given for it"):
        load_voice(folder, preset="fast")


def test_help_tells_the_options_of_a_set_apart(retimbre):
    ended = retimbre("synthesize", "from-text", "--help")

    assert ended.code == 0
    assert "For a TorToiSe set" in ended.out
    assert "--preset" in ended.out


def test_facts_are_json_that_scripts_read(speak, here):
    facts = facts_of(written(speak("--seed", 1), here)[0])

    assert json.loads(json.dumps(facts)) == facts


def test_an_adapter_speaks_over_its_base_and_stands_in_the_file(speak, here, tortoise_set, tmp_path, plain):
    mine = save_adapter(tmp_path / "mine.safetensors", tortoise_set / "autoregressive.pth")

    (with_it,) = written(speak("--seed", 1, "--adapter", mine), here)
    (half,) = written(speak("--seed", 1, "--adapter", f"{mine}=0.5", "-o", "half"), here)
    (none,) = written(speak("--seed", 1, "--adapter", f"{mine}=0", "-o", "none"), here)

    sounds = [load_audio(path).samples for path in (with_it, half, none)]
    assert sounds[2].equal(plain.samples)
    assert not any(sounds[0].equal(other) for other in sounds[1:])
    digest = facts_of(half)["models"]["text-to-codes"]
    assert digest.endswith(f" + {sha256_of(mine)} x 0.5")


def test_python_takes_adapters_with_their_strengths(tortoise_set, tmp_path, plain):
    mine = save_adapter(tmp_path / "mine.safetensors", tortoise_set / "autoregressive.pth")
    quick = {"n_drawn": 3, "n_steps": 2, "max_codes": 40}

    voices = [load_voice(tortoise_set, adapters={mine: strength}, **quick) for strength in (0.0, 1.0)]

    spoken = [voice.speak(TEXT, seed=1).samples for voice in voices]
    assert torch.allclose(spoken[0], plain.samples, atol=1 / 32768)
    assert spoken[0].shape != spoken[1].shape or not torch.allclose(spoken[0], spoken[1], atol=1e-3)


@pytest.mark.parametrize("strength", ["much", "", "nan", "1e9", "--1"])
def test_a_strength_that_is_no_number_is_refused(speak, tortoise_set, tmp_path, strength):
    mine = save_adapter(tmp_path / "mine.safetensors", tortoise_set / "autoregressive.pth")

    ended = speak("--adapter", f"{mine}={strength}")

    assert "says no strength: expected FILE or FILE=NUMBER" in ended.error


def test_a_file_with_an_equals_sign_in_its_name_is_a_file(speak, here, tortoise_set, tmp_path):
    mine = save_adapter(tmp_path / "lr=0.5.safetensors", tortoise_set / "autoregressive.pth")

    assert len(written(speak("--seed", 1, "--adapter", mine), here)) == 1
    assert "cannot be read" in speak("--adapter", tmp_path / "nothing.safetensors").error
