"""A sentence becomes sound by TorToiSe's stages, each as the reference has it, and is the same every time."""

import dataclasses

import pytest
import torch

from building.listeners import Heard
from building.tortoise_set import AR, tiny_tortoise_set
from retimbre.audio.mel import tortoise_univnet_mel100
from retimbre.errors import CheckpointError, DataError, StagesDoNotFit, TextError
from retimbre.models.tortoise_ar.decoding import decode
from retimbre.models.tortoise_ar.sampling import Sampling, choose, uniforms
from retimbre.models.tortoise_ar.speech_codes import n_until_silence, settled
from retimbre.models.tortoise_diffusion.samplers import denoiser, sampled
from retimbre.models.tortoise_diffusion.schedule import shorter_schedule
from retimbre.pipelines.tortoise import Drawn, pieces_of, sentences_of
from retimbre.pipelines.tortoise_estimate import duration, estimate, free_memory
from retimbre.pipelines.tortoise_set import tortoise_set as open_files
from retimbre.pipelines.tortoise_settings import PRESETS, Settings, settings_from
from retimbre.pipelines.tortoise_speaker import VoiceChoice, speaker_of
from retimbre.pipelines.tortoise_stages import Seeds, as_read, n_frames_of
from retimbre.text.bpe import Vocabulary

QUICK = settings_from("standard", n_drawn=5, n_steps=3, max_codes=60)
(HELLO,) = sentences_of(pieces_of("Hello there, Mr. Smith.", Vocabulary.tortoise()))


@pytest.fixture(scope="module")
def files(tortoise_set):
    return open_files(tortoise_set)


@pytest.fixture
def speaker(files, monkeypatch, tmp_path):
    """A set with a random voice, ready to speak: speaker(QUICK, listener=…)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def made(settings=QUICK, *, listener=None, **who):
        return speaker_of(files, VoiceChoice(**who), settings, listener)

    return made


def spoken(speaker, settings=QUICK, *, seed=1, sentence=HELLO, **more):
    return list(speaker.spoken(sentence, settings, seed=seed, **more))


@torch.no_grad()
def test_every_stage_is_what_the_reference_has(files, speaker):
    """As `api.py` goes through it: all codes with their padding, all latents, and only then the cut."""
    one = dataclasses.replace(QUICK, n_drawn=1)
    voice, seeds = speaker(one).voice, Seeds(seed=4)
    ar, diffusion, vocoder = (
        files.load(role).model for role in ("text-to-codes", "codes-to-spec", "spec-to-wav")
    )
    symbols = torch.tensor([[*HELLO.readable.rows, 0]])
    numbers = uniforms(4, [0], 60, sentence=0)

    def draw(scores, seen, _):
        scores[:, AR.start_code] = scores.amin()
        return choose(Sampling().scores(scores, seen), numbers[:, seen.shape[1] - 2])

    codes = decode(ar, voice.auto[None], symbols, max_codes=60, choose=draw)
    whole = settled(codes, AR.stop_code, 60)
    latents = ar.latents(voice.auto[None], symbols, whole)[:, : n_until_silence(whole[0])]
    n_frames = latents.shape[1] * 4 * 24000 // 22050
    noise = seeds.noise(0, "spec")
    start = torch.randn(1, 100, n_frames, generator=noise)
    aligned = diffusion.align(latents, voice.diffusion[None], n_frames)
    schedule = shorter_schedule(3)
    spec = sampled(
        denoiser(diffusion, aligned, schedule, guidance=2.0),
        start,
        schedule,
        new_noise=lambda like: torch.randn(like.shape, generator=noise),
    )
    logs = (spec + 1) / 2 * (2.3143386840820312 + 11.512925148010254) - 11.512925148010254
    wave = vocoder.speak(logs, vocoder.noise_for(logs, seeds.noise(0, "sound")))[0, 0]

    (found,) = spoken(speaker(one), one, seed=4)

    assert found.samples.shape == (n_frames * 256,)
    torch.testing.assert_close(found.samples, wave, atol=2e-4, rtol=0)
    assert wave.abs().max() > 0.01
    assert found.has_stopped == bool((codes == AR.stop_code).any())


def test_the_same_seed_gives_the_same_sound_and_another_seed_another(speaker):
    first, again, other = (spoken(speaker(), seed=seed)[0] for seed in (1, 1, 2))

    assert first.samples.equal(again.samples)
    assert first.samples.shape != other.samples.shape or not first.samples.equal(other.samples)


class All(Drawn):
    """Forgets none, so that they can be looked at."""

    def choose(self, best):
        self.best = tuple(best)


def test_candidates_do_not_depend_on_how_many_are_drawn_together(speaker):
    drawn = {}
    for batch_size in (1, 2, 5):
        settings = dataclasses.replace(QUICK, batch_size=batch_size)
        drawn[batch_size] = All()
        spoken(speaker(settings), settings, drawn=drawn[batch_size])

    assert sorted(drawn[1].codes) == [0, 1, 2, 3, 4]
    for number, codes in drawn[1].codes.items():
        assert codes.equal(drawn[2].codes[number])
        assert codes.equal(drawn[5].codes[number])
    assert len({tuple(codes.tolist()) for codes in drawn[1].codes.values()}) == 5


def test_the_best_candidates_come_first(speaker, files):
    drawn = All()
    three = spoken(speaker(), n_best=3, drawn=drawn)

    clvp = files.load("ranking").model
    text = torch.tensor([[*HELLO.readable.rows, 0]]).expand(5, -1)
    with torch.no_grad():
        scores = clvp(text, torch.stack([drawn.codes[number] for number in range(5)]))
    best = scores.argsort(descending=True)[:3]
    assert [candidate.number for candidate in three] == best.tolist()
    torch.testing.assert_close(torch.tensor([candidate.score for candidate in three]), scores[best])
    assert three[0].samples.equal(spoken(speaker(), n_best=1)[0].samples)


def test_a_single_candidate_is_not_ranked(files, speaker):
    one = dataclasses.replace(QUICK, n_drawn=1)
    without = dataclasses.replace(files, paths={r: p for r, p in files.paths.items() if r != "ranking"})

    (found,) = spoken(speaker_of(without, VoiceChoice(), one), one)

    assert found.score is None
    with pytest.raises(CheckpointError, match=r"choosing among 5 candidates needs ranking.*retimbre fetch"):
        speaker_of(without, VoiceChoice(), QUICK)


class Interrupting(Heard):
    """Presses Ctrl-C when so many candidates are whole."""

    def __init__(self, when):
        super().__init__()
        self.when = when

    def progress(self, task, done, total, note=""):
        if task == "Candidates" and done >= self.when:
            raise KeyboardInterrupt


def test_candidates_that_are_whole_outlast_an_interruption(speaker):
    settings = dataclasses.replace(QUICK, n_drawn=6, batch_size=4)
    drawn, expected = All(), All()
    whole = spoken(speaker(settings), settings, drawn=expected)

    with pytest.raises(KeyboardInterrupt):
        spoken(speaker(settings, listener=Interrupting(2)), settings, drawn=drawn)
    n_kept = len(drawn.codes)
    heard = Heard()
    resumed = spoken(speaker(settings, listener=heard), settings, drawn=drawn)

    assert 2 <= n_kept < 6
    assert f"{n_kept} are there from before" in heard.of("Candidates")
    assert {number: codes.tolist() for number, codes in drawn.codes.items()} == {
        number: codes.tolist() for number, codes in expected.codes.items()
    }
    assert resumed[0].samples.equal(whole[0].samples)


def test_what_was_chosen_is_neither_drawn_nor_ranked_again(speaker):
    drawn, heard = Drawn(), Heard()
    first = spoken(speaker(), n_best=2, drawn=drawn)

    again = spoken(speaker(listener=heard), n_best=2, drawn=drawn)

    assert sorted(drawn.codes) == sorted(candidate.number for candidate in first)
    assert [each.score for each in again] == [each.score for each in first]
    assert again[1].samples.equal(first[1].samples)
    assert not any("clvp2" in line for line in heard.of("Loaded"))


def test_a_start_is_never_spoken(files, speaker):
    """Nothing behind could read it: the ranker has no row for it."""
    ready = speaker(QUICK)
    ready.networks.ar.mel_head.pack = None  # packed already
    with torch.no_grad():
        head = files.load("text-to-codes").model.mel_head
        head.weight[AR.start_code], head.bias[AR.start_code] = 0.0, 50.0
    ready.networks.ar.mel_head = head
    drawn = All()

    spoken(ready, QUICK, drawn=drawn)

    assert all((codes < AR.start_code).all() for codes in drawn.codes.values())


def test_a_candidate_without_an_end_is_told_apart(files, speaker):
    short = dataclasses.replace(QUICK, max_codes=4)
    drawn = All()

    found = spoken(speaker(short), short, drawn=drawn)

    assert all(codes.shape == (4,) for codes in drawn.codes.values())
    assert found[0].has_stopped == drawn.stopped[found[0].number]
    assert not all(drawn.stopped.values())


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_smaller_numbers_speak_too(speaker, precision):
    settings = dataclasses.replace(QUICK, precision=precision)

    (found,) = spoken(speaker(settings), settings)

    assert found.samples.isfinite().all()
    assert found.samples.abs().max() > 0.01


@pytest.mark.parametrize("sampler", ["ddim", "dpm++2m"])
@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_other_samplers_need_no_noise_on_the_way(speaker, sampler, guidance):
    settings = dataclasses.replace(QUICK, sampler=sampler, guidance=guidance)

    first, again = (spoken(speaker(settings), settings)[0].samples for _ in range(2))

    assert first.equal(again)
    assert first.abs().max() > 0.01


def test_latents_become_sound_without_diffusion(speaker):
    (found,) = spoken(speaker(decoder="hifigan"))

    drawn = Drawn()
    spoken(speaker(decoder="hifigan"), drawn=drawn)
    n_codes = n_until_silence(drawn.codes[found.number])
    # Four columns a code, 24000 / 22050 times as many, 256 samples each.
    assert abs(len(found.samples) - n_codes * 4 * 24000 / 22050 * 256) < 512
    assert speaker(decoder="hifigan").voice.diffusion is None


def test_what_voice_and_text_are_changes_the_sound(speaker):
    (other,) = sentences_of(pieces_of("Good evening to you, dear friends.", Vocabulary.tortoise()))
    first = spoken(speaker())[0].samples

    assert first.shape != spoken(speaker(seed=5))[0].samples.shape or not first.equal(
        spoken(speaker(seed=5))[0].samples
    )
    assert first.shape != spoken(speaker(), sentence=other)[0].samples.shape


def test_a_voice_of_other_models_is_refused(files, speaker, tmp_path):
    from retimbre.pipelines.tortoise_voice_files import save_voice
    from retimbre.pipelines.tortoise_voices import TortoiseVoice

    other = TortoiseVoice(name="other", auto=torch.randn(64), diffusion=torch.randn(96), source={})
    save_voice(other, tmp_path / "other.safetensors")

    with pytest.raises(StagesDoNotFit, match="128 and 96 numbers, found 64 and 96"):
        speaker(voice=str(tmp_path / "other.safetensors"))


def test_a_long_text_is_spoken_in_sentences_and_a_silent_one_not_at_all():
    vocabulary = Vocabulary.tortoise()
    text = "This is a sentence of some length, which goes on for a while before it ends. " * 6

    found = sentences_of(pieces_of(text + '"!?"', vocabulary))

    assert len(found) > 1
    assert [(each.number, each.total) for each in found] == [(n, len(found)) for n in range(len(found))]
    assert " ".join(each.readable.text for each in found).startswith("this is a sentence of some length, ")
    assert len(sentences_of(pieces_of(text, vocabulary, splits=False))) == 1
    with pytest.raises(TextError, match="nothing to speak"):
        sentences_of(pieces_of(" ?! ", vocabulary))


def test_a_sentence_that_is_too_long_is_refused(files):
    ar = files.load("text-to-codes").model

    assert as_read(torch.ones(401, dtype=torch.long), ar).shape == (1, 402)
    with pytest.raises(TextError, match="at most 401 pieces of text, found 402"):
        as_read(torch.ones(402, dtype=torch.long), ar)


@pytest.mark.parametrize("n_codes", [1, 7, 150, 500])
def test_a_spec_is_as_long_as_its_codes(n_codes):
    """1,024 samples at 22,050 Hz a code, 256 at 24,000 Hz a frame, as tortoise-tts rounds it."""
    n_frames = n_frames_of(n_codes, tortoise_univnet_mel100())

    assert n_frames == n_codes * 4 * 24000 // 22050
    assert abs(n_frames * 256 / 24000 - n_codes * 1024 / 22050) < 256 / 24000


class TestSettings:
    def test_presets_are_those_of_the_reference(self):
        told = {
            name: (each.n_drawn, each.n_steps, each.guidance > 0)
            for name, each in PRESETS.items()
            if each.sampler == "ddpm"
        }
        assert told == {
            "ultra_fast": (16, 30, False),
            "fast": (96, 80, True),
            "standard": (256, 200, True),
            "high_quality": (256, 400, True),
        }
        usual = Sampling(temperature=0.8, top_p=0.8, top_k=50, repetition_penalty=2.0, typical_mass=None)
        assert all(each.sampling == usual for each in PRESETS.values())
        assert {each.guidance for each in PRESETS.values()} == {0.0, 2.0}
        assert all(each.max_codes == 500 and each.precision == "float32" for each in PRESETS.values())

    def test_single_values_are_changed_and_none_changes_nothing(self):
        found = settings_from("fast", n_steps=12, temperature=0.5, top_k=None)

        assert (found.n_drawn, found.n_steps, found.sampling.temperature) == (96, 12, 0.5)
        assert found.sampling.top_k == 50

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"n_steps": 0}, "n_steps makes no sense: expected a whole number from 1 to 4,000, found 0"),
            ({"guidance": -1.0}, "guidance makes no sense"),
            ({"noise_scale": float("nan")}, "noise_scale makes no sense"),
            ({"temperature": 0.0}, "temperature makes no sense"),
            ({"sampler": "euler"}, "there is no sampler 'euler': expected ddpm or ddim"),
            ({"precision": "float16"}, "there is no precision 'float16'"),
            ({"speed": 2}, "there is no setting 'speed'"),
        ],
    )
    def test_nonsense_is_refused_by_name(self, changes, message):
        with pytest.raises(DataError, match=message):
            settings_from("fast", **changes)

    def test_an_unknown_preset_is_refused(self):
        with pytest.raises(
            DataError, match="there is no preset 'slow': expected single_sample or ultra_fast"
        ):
            settings_from("slow")


class TestEstimate:
    def test_twice_the_work_is_estimated_to_take_longer(self, speaker):
        little = estimate(speaker(), [HELLO], QUICK, 1)
        more = dataclasses.replace(QUICK, n_drawn=500, n_steps=300)
        much = estimate(speaker(more), [HELLO], more, 2)

        assert set(little.seconds) == {"candidates", "ranking", "spec"}
        assert all(much.seconds[stage] > 5 * little.seconds[stage] > 0 for stage in little.seconds)
        assert much.total_s == sum(much.seconds.values())

    def test_memory_is_that_of_the_weights_and_of_what_was_read(self, speaker):
        few = dataclasses.replace(QUICK, batch_size=1)
        small = dataclasses.replace(QUICK, precision="bfloat16")
        usual, less, smaller = (
            estimate(speaker(each), [HELLO], each, 1).n_bytes for each in (QUICK, few, small)
        )

        assert smaller < usual
        assert less < usual

    def test_it_is_said_in_words(self):
        assert [duration(s) for s in (0.2, 3.4, 99.0, 120.0, 7200.0)] == [
            "under 1 s",
            "3 s",
            "99 s",
            "2 min",
            "2.0 h",
        ]
        assert free_memory("cpu") is None or free_memory("cpu") > 1 << 20


def test_a_set_of_one_folder_serves_two_voices(speaker):
    """Networks that were read for one voice are not read again for its sound."""
    heard = Heard()
    spoken(speaker(listener=heard))

    loaded = heard.of("Loaded")
    assert len(loaded) == len(set(loaded))


def test_the_default_is_the_standard_preset():
    assert Settings() == PRESETS["standard"]


def test_a_tiny_set_is_complete(tmp_path):
    assert open_files(tiny_tortoise_set(tmp_path / "set")).decoders == ("diffusion", "hifigan")
