"""What TorToiSe's stages learn from: every utterance is used or left out with its reason, once prepared."""

import json

import numpy as np
import pytest
import soundfile
import torch

from building.listeners import Heard
from building.tortoise_corpus import HELD_OUT, LINES, sound, tortoise_corpus
from retimbre.audio.files import load_audio
from retimbre.audio.mel import log_mel
from retimbre.data.manifest import write_filelist
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.pipelines.tortoise import pieces_of
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL, DIFFUSION_MEL
from retimbre.text.bpe import SPECIAL, Vocabulary
from retimbre.training.tortoise_material import prepare_tortoise
from retimbre.training.tortoise_training_files import files_of
from retimbre.training.tortoise_voices import TrainingVoices

RATE_HZ = 22050
VOICELESS = ["c0: no other recording of the speaker (carl)"]


@pytest.fixture
def corpus(tortoise_set, tmp_path):
    return tortoise_corpus(tmp_path / "corpus", tortoise_set)


@pytest.fixture
def prepared(corpus):
    """Prepare a recipe: prepared("text-to-codes", hears_itself=True)."""

    def prepare(stage="text-to-codes", *, data=None, options=None, **tortoise):
        recipe = corpus.recipe(stage, data=data, **tortoise)
        return prepare_tortoise(recipe, files=files_of(recipe), **{"n_workers": 1, **(options or {})})

    return prepare


def names(encoded):
    return [one.utterance.basename for one in encoded]


def reasons(material):
    return [f"{left.utterance.basename}: {left.reason}" for left in material.left_out]


def table(material):
    return material.store.left_out_path.read_text(encoding="utf-8").splitlines()


def every(material):
    return [*material.training, *material.validation, *material.held_out]


def test_every_utterance_is_used_once_or_left_out_with_its_reason(prepared):
    material = prepared()

    assert sorted(names(every(material))) == sorted(LINES.keys() - {"c0"})
    assert names(material.held_out) == list(HELD_OUT)
    assert len(material.validation) == 1
    assert reasons(material) == VOICELESS
    assert table(material) == ["basename\treason", "c0\tno other recording of the speaker (carl)"]
    assert len(material.utterances) == 9
    assert material.dvae_sha256 == material.files.sha256("wav-to-codes")
    n_samples = sum(one.n_samples for one in material.training)
    assert material.duration_s == pytest.approx(n_samples / RATE_HZ)


def test_codes_are_of_the_prepared_recording_and_symbols_those_that_speaking_reads(prepared, corpus):
    material = prepared()
    dvae = load_model(corpus.models / "dvae.pth").model

    for one in every(material):
        audio = load_audio(material.store.audio_path(one.utterance, RATE_HZ))
        assert one.n_samples == audio.n_samples
        assert len(one.codes) == audio.n_samples // 1024 + 1
        with torch.no_grad():
            assert torch.equal(one.codes, dvae.encode(log_mel(audio.samples, AUTO_MEL)[None])[0])
        (spoken,) = pieces_of(LINES[one.utterance.basename][1], Vocabulary.tortoise())
        assert one.symbols.tolist() == list(spoken.rows)


def test_recordings_stay_as_loud_as_they_are(prepared, corpus):
    material = prepared()
    for one in every(material):
        recorded, _ = soundfile.read(corpus.root / "recordings" / f"{one.utterance.basename}.wav")
        kept = load_audio(material.store.audio_path(one.utterance, RATE_HZ)).samples.numpy()
        np.testing.assert_allclose(kept, recorded[: len(kept)], atol=1e-4)


BAD = {
    "r0": ("anna", "50 ~ percent ^ of it", "signs without a piece in the vocabulary (~ ^)"),
    "r1": ("anna", "... ?", "nothing to speak in its text (... ?)"),
    "r2": ("anna", "word " * 260, "text of more than 401 pieces ("),
    "r3": ("anna", "too short", "shorter than 0.4 s (0.21 s)"),
    "r4": ("anna", "not there", "no recording of that name"),
    "r5": ("anna", "no sound", "the recording cannot be decoded"),
    "r6": ("anna", "much too long", "longer than 4 s (5.10 s)"),
    "r7": ("anna", "distorted", "more than 1% of it is clipped ("),
    "r8": ("anna", "nothing is heard", "quieter than -36 LUFS ("),
}


def spoilt(corpus):
    """Utterances with which something is wrong, among the others."""
    corpus.say({**LINES, **{name: (speaker, text) for name, (speaker, text, _) in BAD.items()}})
    for name in ("r0", "r1", "r2"):
        corpus.record(name, sound(1.0, seed=3))
    corpus.record("r3", sound(0.21, seed=3))
    (corpus.root / "recordings" / "r5.wav").write_bytes(b"RIFF and nothing more")
    corpus.record("r6", sound(5.1, seed=3))
    corpus.record("r7", np.clip(9 * sound(1.0, seed=3), -1, 1))
    corpus.record("r8", 1e-3 * sound(1.0, seed=3))


def test_whatever_is_wrong_with_one_is_listed_and_counted_and_nothing_takes_its_place(corpus, prepared):
    spoilt(corpus)
    heard = Heard()
    material = prepared(data={"max_duration_s": 4.0}, options={"listener": heard})

    found = dict(line.split(": ", 1) for line in reasons(material))
    assert found.keys() == BAD.keys() | {"c0"}
    for name, (_, _, reason) in BAD.items():
        assert found[name].startswith(reason), name
    assert sorted(names(every(material))) == sorted(LINES.keys() - {"c0"})
    assert [line.split("\t")[0] for line in table(material)[1:]] == [
        line.split(":")[0] for line in reasons(material)
    ]
    (told,) = heard.of("Left out")
    assert told.startswith("10: 1 ")
    assert "1 no recording of that name" in told
    assert told.endswith(f"see {material.store.left_out_path}")


def test_texts_have_no_more_pieces_than_the_network_has_places_for_besides_the_end(prepared):
    small = UnifiedVoiceConfig(n_symbol_positions=12)  # start, stop and the end that speaking adds: 9 remain
    rows = {name: len(pieces_of(text, Vocabulary.tortoise())[0].rows) for name, (_, text) in LINES.items()}
    too_long = {name: n for name, n in rows.items() if n > 9}
    found = dict(line.split(": ", 1) for line in reasons(prepared(options={"config": small})))

    assert 9 in rows.values()
    assert 10 in rows.values()
    assert {name: reason for name, reason in found.items() if "pieces" in reason} == {
        name: f"text of more than 9 pieces ({n})" for name, n in too_long.items()
    }


def test_no_more_codes_than_the_network_has_places_for(prepared):
    small = UnifiedVoiceConfig(n_code_positions=40, n_reserved_positions=2)
    found = dict(line.split(": ", 1) for line in reasons(prepared(options={"config": small})))
    assert found["b3"] == "longer than the 36 codes that the network has places for (43)"


@pytest.mark.parametrize("wish", [{"hears_itself": True}, {"trains_as": "dlas"}])
def test_a_voice_heard_from_the_recording_itself_needs_no_other(prepared, wish):
    material = prepared(**wish)
    assert reasons(material) == []
    assert "c0" in names(every(material))


def test_who_is_measured_on_hears_those_that_are_learnt_from(corpus, prepared):
    measured = {"c1": ("carl", "twice"), "d0": ("dora", "once"), "d1": ("dora", "again")}
    corpus.say({**LINES, **measured})
    for name in measured:
        corpus.record(name, sound(1.0, seed=5))
    material = prepared(data={"held_out": ("c1", "d1", "a4")})

    assert reasons(material) == [
        "c0: no other recording of the speaker (carl)",
        "d0: no other recording of the speaker (dora)",
        "c1: no other recording of the speaker (carl)",
        "d1: no other recording of the speaker (dora)",
    ]
    assert names(material.held_out) == ["a4"]


def test_speakers_with_one_recording_each_are_refused_with_a_way_out(corpus, prepared):
    corpus.say({name: (name, text) for name, (_, text) in LINES.items()})
    with pytest.raises(DataError, match="of too few utterances another recording tells the voice") as caught:
        prepared()
    assert "tortoise.hears_itself" in caught.value.do
    left_out = (corpus.root / "preprocessed" / "left-out.tsv").read_text(encoding="utf-8").splitlines()
    assert len(left_out) == 1 + len(LINES)


def test_where_all_texts_are_unusable_it_says_so_and_lists_them(corpus, prepared):
    corpus.say({name: (speaker, "?!") for name, (speaker, _) in LINES.items()})
    with pytest.raises(DataError, match="too few utterances could be used"):
        prepared()
    left_out = (corpus.root / "preprocessed" / "left-out.tsv").read_text(encoding="utf-8")
    assert left_out.count("nothing to speak in its text") == len(LINES)


def test_a_given_split_is_kept(corpus, prepared):
    said = {name: Utterance(basename=name, text=text, speaker=who) for name, (who, text) in LINES.items()}
    write_filelist(corpus.root / "first.psv", [said[name] for name in ("b1", "a3", "a0", "b2")])
    write_filelist(corpus.root / "second.psv", [said[name] for name in ("a1", "a2", "b0", "c0")])
    lists = {
        "training_filelist": corpus.root / "first.psv",
        "validation_filelist": corpus.root / "second.psv",
        "held_out": (),
    }
    material = prepared(data=lists)

    assert names(material.training) == ["b1", "a3", "a0", "b2"]
    assert sorted(names(material.validation) + names(material.held_out)) == ["a1", "a2", "b0"]
    assert reasons(material) == VOICELESS


def test_codes_as_dl_art_school_has_them_are_of_250_places(prepared):
    material = prepared(trains_as="dlas")
    assert {len(one.codes) for one in every(material)} == {250}
    assert all(one.n_samples < 60_000 for one in every(material))


def test_dl_art_school_takes_neither_longer_recordings_nor_longer_texts(corpus, prepared):
    corpus.say({**LINES, "r0": ("anna", "long"), "r1": ("anna", "word " * 120)})
    corpus.record("r0", sound(11.8, seed=3))
    corpus.record("r1", sound(1.0, seed=3))
    wide = {"max_duration_s": 20.0}

    found = dict(line.split(": ", 1) for line in reasons(prepared(trains_as="dlas", data=wide)))
    assert found["r0"] == "longer than the 11.61 s that DL-Art-School takes (11.80 s)"
    assert found["r1"].startswith("text of more than 200 pieces (")
    assert reasons(prepared(data=wide)) == VOICELESS


def test_a_dvae_learns_from_recordings_alone(corpus, prepared):
    spoilt(corpus)
    material = prepared("wav-to-codes", data={"max_duration_s": 4.0})

    assert {"c0", "r0", "r1", "r2"} <= set(names(every(material)))
    assert {left.utterance.basename for left in material.left_out} == {"r3", "r4", "r5", "r6", "r7", "r8"}
    assert all(len(one.codes) == len(one.symbols) == 0 < one.n_samples for one in every(material))
    assert not (material.store.root / "codes").exists()


def test_a_recording_too_short_for_a_spec_is_left_out_whatever_the_recipe_allows(corpus, prepared):
    corpus.say({**LINES, "r0": ("anna", "click")})
    corpus.record("r0", sound(600 / RATE_HZ, seed=3))
    data = {"min_duration_s": 0.01}
    assert "r0: too short for a spec of 513 samples (512)" in reasons(prepared(data=data))
    assert "r0: too short for a spec of 513 samples (512)" in reasons(prepared("wav-to-codes", data=data))


def test_only_what_changed_is_made_again(corpus, prepared):
    prepared("codes-to-spec")
    before = times(corpus)
    prepared("codes-to-spec")
    assert times(corpus) == before

    corpus.record("a2", sound(1.4, seed=11))
    lines = dict(LINES) | {"b1": ("ben", "another text")}
    corpus.say(lines)
    prepared("codes-to-spec")

    after = times(corpus)
    assert sorted(name for name in after if before.get(name) != after[name]) == [
        "audio/a2--anna--default--audio-22050.json",
        "audio/a2--anna--default--audio-22050.wav",
        "codes/a2--anna--default--codes.safetensors",
        "codes/b1--ben--default--codes.safetensors",
        "voice/a2--anna--default--voice-22050-mel-tortoise.safetensors",
        "voice/a2--anna--default--voice-24000-mel-tacotron.safetensors",
    ]


def times(corpus):
    root = corpus.root / "preprocessed"
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns
        for folder in ("audio", "codes", "voice")
        for path in (root / folder).iterdir()
    }


def test_overwriting_makes_everything_again_with_the_same_bytes(corpus, prepared):
    prepared("codes-to-spec")
    before, content = times(corpus), contents(corpus)
    prepared("codes-to-spec", options={"is_overwritten": True})

    assert all(times(corpus)[name] != time for name, time in before.items())
    assert contents(corpus) == content


def contents(corpus):
    root = corpus.root / "preprocessed"
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_each_network_hears_is_kept_of_those_that_are_heard_where_it_is_needed(prepared):
    def kept(material, mel):
        every_one = material.utterances
        return {u.basename for u in every_one if material.store.voice_path(u, mel).is_file()}

    material = prepared("wav-to-codes")
    assert not (material.store.root / "voice").exists()
    material = prepared()
    assert kept(material, AUTO_MEL) == set(names(material.training))
    assert kept(material, DIFFUSION_MEL) == set()
    material = prepared("codes-to-spec")
    assert kept(material, DIFFUSION_MEL) == set(names(material.training))
    material = prepared("codes-to-spec", hears_itself=True)
    assert kept(material, AUTO_MEL) == kept(material, DIFFUSION_MEL) == set(names(every(material)))


def test_a_network_that_learns_as_dl_art_school_does_is_validated_on_voices_heard_as_in_speaking(prepared):
    material = prepared(trains_as="dlas")
    voices = TrainingVoices(material.store, material.training, n_clips=2)
    for one in (*material.validation, *material.held_out):
        assert voices.for_auto(one, np.random.default_rng(1)).shape == (2, 80, 517)


def test_texts_are_cleaned_as_speaking_cleans_them_in_their_language(corpus, tmp_path):
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = dict.fromkeys([*SPECIAL, *letters, "ü", "ß", "4", "."])
    path = tmp_path / "tokenizer.json"
    content = {
        "pre_tokenizer": {"type": "Whitespace"},
        "added_tokens": [{"id": row, "content": piece} for row, piece in enumerate(SPECIAL)],
        "model": {
            "type": "BPE",
            "unk_token": "[UNK]",
            "vocab": {piece: row for row, piece in enumerate(vocabulary)},
            "merges": [],
        },
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    corpus.say({name: (who, "Süße 4 Gr.") for name, (who, _) in LINES.items()})
    recipe = corpus.recipe(tokenizer=path)
    files = files_of(recipe)

    in_german = corpus.recipe(tokenizer=path, language="de")
    german = prepare_tortoise(in_german, files=files, n_workers=1)
    english = prepare_tortoise(recipe, files=files, n_workers=1)

    def said(material):
        return {files.vocabulary.decode(one.symbols.tolist()) for one in every(material)}

    assert said(german) == {"süße 4 gr."}
    assert said(english) == {"susse four gr."}


def test_signs_that_are_read_as_others_are_told(corpus, prepared):
    heard = Heard()
    prepared(options={"listener": heard})
    assert heard.of("Text") == []
    corpus.say({name: (who, "Süß") for name, (who, _) in LINES.items()})
    prepared(options={"listener": heard})
    (told,) = heard.of("Text")
    assert told.startswith("10 texts are read with other signs, most often 'ü' as 'u', 'ß' as 'ss'; ")


def test_a_language_in_the_list_counts_more_than_the_common_one(corpus, prepared):
    said = [Utterance(basename=n, text="Die 4", speaker=who, language="de") for n, (who, _) in LINES.items()]
    write_filelist(corpus.filelist, said)
    with pytest.raises(DataError, match="too few utterances"):
        prepared()
    left_out = (corpus.root / "preprocessed" / "left-out.tsv").read_text(encoding="utf-8")
    assert left_out.count("signs without a piece in the vocabulary (4)") == len(LINES)


def test_recordings_in_several_folders_of_one_speaker_are_asked_about(corpus, prepared):
    recordings = corpus.root / "recordings"
    rows = []
    for number, name in enumerate(LINES):
        folder = recordings / f"speaker{number % 2}"
        folder.mkdir(exist_ok=True)
        (recordings / f"{name}.wav").rename(folder / f"{name}.wav")
        rows.append(f"recordings/speaker{number % 2}/{name}.wav|{LINES[name][1]}\n")
    corpus.filelist.write_text("".join(rows), encoding="utf-8")
    heard = Heard()
    material = prepared(data={"held_out": ("recordings/speaker0/a4",)}, options={"listener": heard})

    assert reasons(material) == []
    assert heard.of("Speakers")[0].startswith("the recordings lie in 2 folders")
    assert material.store.codes_path(material.training[0].utterance).is_file()
