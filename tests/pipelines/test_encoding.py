"""Codes of recordings: the same alone and in a batch, as many as the contract says, made once."""

import pytest
import torch

from building.listeners import Heard
from building.tortoise_corpus import sound, varied_dvae
from retimbre.audio.files import load_audio
from retimbre.audio.mel import log_mel
from retimbre.audio.waveform import Audio
from retimbre.checkpoint.digest import sha256_of
from retimbre.data.store import Store
from retimbre.data.tensors import read_tensors
from retimbre.data.utterance import Utterance
from retimbre.errors import CheckpointError, DataError, StagesDoNotFit
from retimbre.models.load import load_model
from retimbre.pipelines import encoding
from retimbre.pipelines.encoding import DLAS_SAMPLES, CodesSource, Spoken, codes_of, encode
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL

RATE_HZ = 22050
LENGTHS = [256 * n for n in (3, 4, 5, 7, 8, 61, 62, 63, 64, 130, 200)]


@pytest.fixture(scope="module")
def dvae_file(tmp_path_factory):
    return varied_dvae(tmp_path_factory.mktemp("dvae") / "dvae.pth")


@pytest.fixture(scope="module")
def dvae(dvae_file):
    return load_model(dvae_file).model


def waves(lengths, seed=0):
    return [
        torch.from_numpy(sound(n / RATE_HZ + 0.01, seed=seed + number)[:n]).float()
        for number, n in enumerate(lengths)
    ]


@pytest.fixture
def store(tmp_path):
    """A store with seven prepared recordings."""
    store = Store(tmp_path / "preprocessed")
    for number, wave in enumerate(waves([256 * n for n in (70, 20, 45, 46, 90, 21, 66)])):
        put(store, f"u{number}", wave)
    return store


def put(store, name, wave):
    audio = Audio(samples=wave, sample_rate_hz=RATE_HZ)
    return store.write_audio(utterance(name), audio, source="here", is_mixed=False)


def utterance(name):
    return Utterance(basename=name, text=f"text of {name}")


def spoken(*numbers, texts=None):
    names = [f"u{number}" for number in numbers or range(7)]
    return [
        Spoken(
            utterance=utterance(name),
            text=(texts or {}).get(name, name),
            symbols=(14, 20, 2 + len((texts or {}).get(name, name))),
        )
        for name in names
    ]


@pytest.fixture
def source(dvae_file):
    return CodesSource(dvae=dvae_file, dvae_sha256=sha256_of(dvae_file), tokenizer_sha256="t" * 64)


@torch.no_grad()
def test_there_is_one_code_for_each_1024_samples_begun_also_of_a_whole_number_of_them(dvae):
    found = codes_of(waves(LENGTHS), dvae)

    assert [len(codes) for codes in found] == [n // 1024 + 1 for n in LENGTHS]
    assert 0 in {n % 1024 for n in LENGTHS}


@torch.no_grad()
def test_padding_in_a_batch_changes_no_code(dvae):
    recordings = waves(LENGTHS)
    together = codes_of(recordings, dvae)

    assert len(torch.cat(together).unique()) > 20
    for codes, samples in zip(together, recordings, strict=True):
        assert torch.equal(codes, codes_of([samples], dvae)[0])
        assert torch.equal(codes, dvae.encode(log_mel(samples, AUTO_MEL).unsqueeze(0))[0])


def test_codes_are_of_what_is_kept_of_the_recording_and_come_in_the_order_asked_for(store, source, dvae):
    found = encode(spoken(4, 1, 6), store, source)

    for one, codes in zip(spoken(4, 1, 6), found.codes, strict=True):
        samples = load_audio(store.audio_path(one.utterance, RATE_HZ)).samples
        with torch.no_grad():
            assert torch.equal(codes.codes, codes_of([samples], dvae)[0])
        assert codes.n_samples == len(samples)
        assert codes.symbols.tolist() == list(one.symbols)


def test_batches_hold_what_is_of_similar_length_and_change_no_code(store, source, monkeypatch, tmp_path):
    whole = encode(spoken(), store, source)
    seen = []
    monkeypatch.setattr(encoding, "BATCH_S", 256 * 90 / RATE_HZ)
    monkeypatch.setattr(
        encoding,
        "codes_of",
        lambda some, dvae: seen.append([len(w) // 256 for w in some]) or codes_of(some, dvae),
    )
    heard = Heard()
    heard.progress = lambda task, done, total, note="": heard.say(task, f"{done} of {total}")

    again = encode(spoken(), store, source, is_overwritten=True, listener=heard)

    assert seen == [[20, 21], [45], [46], [66], [70], [90]]
    assert heard.of("Codes") == [f"{n} of 7" for n in (2, 3, 4, 5, 6, 7)]
    for one, other in zip(whole.codes, again.codes, strict=True):
        assert torch.equal(one.codes, other.codes)


def test_what_is_current_is_read_and_not_made_again(store, source):
    first = encode(spoken(), store, source)
    times = written(store)
    second = encode(spoken(), store, source)

    assert (first.n_encoded, first.n_read) == (7, 0)
    assert (second.n_encoded, second.n_read) == (0, 0)
    assert written(store) == times
    for one, other in zip(first.codes, second.codes, strict=True):
        assert torch.equal(one.codes, other.codes)
        assert torch.equal(one.symbols, other.symbols)


def written(store):
    return {path.name: path.stat().st_mtime_ns for path in (store.root / "codes").iterdir()}


def changed(store, times):
    return sorted(name[:2] for name, time in written(store).items() if times.get(name) != time)


def test_only_a_changed_recording_is_encoded_again(store, source):
    encode(spoken(), store, source)
    times = written(store)
    put(store, "u3", waves([256 * 46], seed=12)[0])

    assert encode(spoken(), store, source).n_encoded == 1
    assert changed(store, times) == ["u3"]


def test_a_changed_text_is_read_again_and_its_recording_not_encoded(store, source, monkeypatch):
    encode(spoken(), store, source)
    times = written(store)
    monkeypatch.setattr(encoding, "_dvae", lambda *_: pytest.fail("nothing is to be encoded"))

    found = encode(spoken(texts={"u2": "another"}), store, source)

    assert (found.n_encoded, found.n_read) == (0, 1)
    assert changed(store, times) == ["u2"]
    kept = read_tensors(store.codes_path(utterance("u2")))
    assert kept.tensors["symbols"].tolist() == [14, 20, 9]
    assert kept.facts["text"] == "another"
    assert torch.equal(kept.tensors["codes"], found.codes[2].codes)


def test_another_tokenizer_reads_all_texts_again_and_encodes_nothing(store, source):
    encode(spoken(), store, source)
    other = CodesSource(dvae=source.dvae, dvae_sha256=source.dvae_sha256, tokenizer_sha256="u" * 64)

    assert vars(encode(spoken(), store, other)) | {"codes": None} == {
        "codes": None,
        "n_encoded": 0,
        "n_read": 7,
    }


def test_another_dvae_or_front_end_encodes_all_again(store, source, monkeypatch):
    encode(spoken(), store, source)
    other = CodesSource(dvae=source.dvae, dvae_sha256="0" * 64, tokenizer_sha256=source.tokenizer_sha256)
    assert encode(spoken(), store, other).n_encoded == 7
    assert encode(spoken(), store, other).n_encoded == 0
    monkeypatch.setattr(encoding, "FRONT_END", 99)
    assert encode(spoken(), store, other).n_encoded == 7


def test_a_damaged_file_is_made_again(store, source):
    first = encode(spoken(), store, source)
    path = store.codes_path(utterance("u5"))
    before = path.read_bytes()
    path.write_bytes(before[:-9] + b"\x01" + before[-8:])

    assert encode(spoken(), store, source).n_encoded == 1
    assert path.read_bytes() == before
    assert first.n_encoded == 7


def test_an_interrupted_encoding_keeps_the_batches_that_were_done(store, source, monkeypatch):
    monkeypatch.setattr(encoding, "BATCH_S", 256 * 50 / RATE_HZ)
    n_batches = []

    def interrupted(some, dvae):
        n_batches.append(len(some))
        if len(n_batches) == 3:
            raise KeyboardInterrupt
        return codes_of(some, dvae)

    monkeypatch.setattr(encoding, "codes_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode(spoken(), store, source)
    monkeypatch.setattr(encoding, "codes_of", codes_of)

    assert encode(spoken(), store, source).n_encoded == 7 - sum(n_batches[:2])


def test_codes_with_the_silence_of_dl_art_school_lie_apart_and_are_of_all_of_it(store, source, dvae):
    encode(spoken(), store, source)
    times = written(store)
    padded = CodesSource(
        dvae=source.dvae,
        dvae_sha256=source.dvae_sha256,
        tokenizer_sha256=source.tokenizer_sha256,
        padded_samples=DLAS_SAMPLES,
    )
    found = encode(spoken(), store, padded)

    assert found.n_encoded == 7
    assert {len(codes.codes) for codes in found.codes} == {250}
    samples = load_audio(store.audio_path(utterance("u4"), RATE_HZ)).samples
    silence = torch.zeros(DLAS_SAMPLES - len(samples))
    with torch.no_grad():
        expected = dvae.encode(log_mel(torch.cat([samples, silence]), AUTO_MEL).unsqueeze(0))[0]
    assert torch.equal(found.codes[4].codes, expected)
    assert found.codes[4].n_samples == len(samples)
    assert encode(spoken(), store, source).n_encoded == 0
    assert all(written(store)[name] == time for name, time in times.items())


def test_a_recording_that_is_not_prepared_is_named(store, source):
    store.audio_path(utterance("u1"), RATE_HZ).unlink()
    with pytest.raises(DataError, match="u1 is not prepared"):
        encode(spoken(), store, source)


def test_a_file_that_is_no_dvae_is_refused(store, tortoise_set, source, tmp_path):
    other = CodesSource(
        dvae=tortoise_set / "rlg_auto.pth", dvae_sha256="1" * 64, tokenizer_sha256=source.tokenizer_sha256
    )
    with pytest.raises(StagesDoNotFit, match="makes no codes"):
        encode(spoken(), store, other)
    missing = CodesSource(dvae=tmp_path / "none.pth", dvae_sha256="2" * 64, tokenizer_sha256="t" * 64)
    with pytest.raises(CheckpointError):
        encode(spoken(), store, missing)


def test_nothing_to_encode_is_no_error(store, source):
    assert encode([], store, source).codes == ()
