import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from retimbre.audio.mel import everyvoice_mel, mel_librosa
from retimbre.data import prepare as module
from retimbre.data.manifest import read_filelist
from retimbre.data.one_utterance import VERSIONS
from retimbre.data.prepare import PrepareOptions, prepare
from retimbre.data.store import Store
from retimbre.data.tensors import read_tensors
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError

MEL = mel_librosa()
NOTHING = {"audio": 0, "spec": 0, "pitch": 0, "energy": 0}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "preprocessed")


@pytest.fixture
def run(recordings, store):
    def run(utterances, **changes):
        changes = {"mel": MEL, "n_workers": 1} | changes
        return prepare(utterances, recordings, store, **changes)

    return run


def bytes_of(store):
    return {
        str(path.relative_to(store.root)): path.read_bytes()
        for path in store.root.rglob("*")
        if path.is_file()
    }


def test_all_kinds_of_recordings_are_found_and_prepared(record, run, store, recordings):
    (recordings / "wavs" / "sub").mkdir(parents=True)
    utterances = [
        record("a"),
        record("b", ending="flac"),
        record("c", ending="ogg"),
        record("wavs/sub/d", rate_hz=16000),
        record("e", ending="WAV", rate_hz=48000),
    ]
    utterances[3] = replace(utterances[3], basename="sub/d")
    prepared = run(utterances)
    assert prepared.kept == utterances
    assert prepared.n_done == dict.fromkeys(NOTHING, 5)
    assert prepared.audio_s == pytest.approx(5 * 0.6, abs=5 * 0.012)
    assert read_filelist(store.filelist_path()) == utterances
    assert store.left_out_path.read_text() == "basename\treason\n"
    for utterance in utterances:
        assert store.load_features(utterance, mel=MEL).spec.shape == (80, 51)


def test_what_cannot_be_used_is_left_out_with_its_reason(record, run, store, recordings):
    noise = np.random.default_rng(0).standard_normal(22050) * 0.1
    good = record("good")
    bad = {
        record("short", duration_s=0.3): "shorter than 0.4 s (0.30 s)",
        record("long", np.tile(noise, 12)): "longer than 11 s (12.00 s)",
        record("quiet", noise * 0.01): "quieter than -36 LUFS",
        record("silent", noise * 0): "quieter than -36 LUFS (-inf LUFS)",
        record(
            "old", noise, rate_hz=8000
        ): "recorded below 16,000 Hz: its highest bands would be empty (8,000",
        record("cancelling", np.stack([noise, -noise], 1)): "the two channels of the recording cancel",
        record("surround", np.stack([noise] * 4, 1)): "the recording cannot be used (4 channels)",
        record("empty", noise[:0]): "the recording is empty (0 samples)",
        record("torn", noise): "the recording cannot be decoded",
        Utterance(basename="missing", text="x"): "no recording of that name",
    }
    (recordings / "torn.wav").write_bytes(b"RIFF" + os.urandom(500))
    prepared = run([good, *bad])
    assert prepared.kept == [good]
    assert [left.utterance for left in prepared.left_out] == list(bad)
    for left, reason in zip(prepared.left_out, bad.values(), strict=True):
        assert left.reason.startswith(reason)
    lines = store.left_out_path.read_text().splitlines()
    assert lines[:2] == ["basename\treason", "short\tshorter than 0.4 s (0.30 s)"]
    assert len(lines) == 1 + len(bad)


def test_nothing_left_names_the_commonest_reasons(record, run, store):
    utterances = [record("a", duration_s=0.2), record("b", duration_s=0.3), Utterance(basename="c", text="x")]
    with pytest.raises(DataError, match="none of 3.*2 x shorter than 0.4 s; 1 x no recording"):
        run(utterances)
    assert len(store.left_out_path.read_text().splitlines()) == 4


def test_stereo_is_mixed_and_counted_also_when_it_is_reused(record, run):
    noise = np.random.default_rng(0).standard_normal((22050, 2)) * 0.1
    utterances = [record("stereo", noise), record("mono")]
    assert run(utterances).n_mixed == 1
    assert run(utterances).n_mixed == 1


def clipped(share):
    wave = np.convolve(np.random.default_rng(1).standard_normal(22050), np.hanning(99), mode="same")
    limit = np.quantile(np.abs(wave), 1 - share)
    return 0.5 * wave.clip(-limit, limit) / limit


def test_a_little_clipping_is_counted_and_much_of_it_left_out(record, run, store):
    utterances = [record("little", clipped(0.004)), record("much", clipped(0.08)), record("clean")]
    for _ in range(2):  # the second time nothing is made
        prepared = run(utterances)
        assert [utterance.basename for utterance in prepared.kept] == ["little", "clean"]
        assert prepared.n_clipped == 1
        assert prepared.left_out[0].reason.startswith("more than 1% of it is clipped (")
    assert '"n_clipped": 1' in store.prepared_path.read_text()
    assert "much\tmore than 1% of it is clipped (" in store.left_out_path.read_text()


def test_of_a_folder_that_was_prepared_before_clipping_counted_only_the_audio_is_made_again(
    record, run, monkeypatch
):
    utterances = [record("a"), record("little", clipped(0.004))]
    with monkeypatch.context() as patch:
        patch.setitem(VERSIONS, "audio", 1)
        run(utterances)
    prepared = run(utterances)
    assert prepared.n_done == NOTHING | {"audio": 2}
    assert prepared.n_clipped == 1


def test_silence_is_trimmed_before_lengths_are_judged(record, run, store):
    silence = np.zeros(22050 * 12)
    padded = np.concatenate([silence, np.random.default_rng(0).standard_normal(22050) * 0.1])
    utterances = [record("a", padded), record("b")]
    assert run(utterances).left_out[0].reason.startswith("longer than 11 s")
    prepared = run(utterances, options=PrepareOptions(trims_silence=True))
    assert not prepared.left_out
    assert store.load_audio(utterances[0], MEL).duration_s == pytest.approx(1.1, abs=0.05)


def test_second_run_makes_nothing(record, run, store):
    utterances = [record("a"), record("b")]
    first = run(utterances)
    before = bytes_of(store)
    second = run(utterances)
    assert second.n_done == NOTHING
    assert second.n_reused == dict.fromkeys(NOTHING, 2)
    assert (second.kept, second.audio_s) == (first.kept, first.audio_s)
    assert bytes_of(store) == before


@pytest.mark.parametrize(
    ("changes", "done"),
    [
        ({"options": PrepareOptions(peak=0.5)}, {"audio", "spec", "pitch", "energy"}),
        ({"options": PrepareOptions(max_duration_s=9.0)}, {"audio"}),  # the audio stays the same
        ({"options": PrepareOptions(pitch_high_hz=500.0)}, {"pitch"}),
        ({"options": PrepareOptions(trim_margin_ms=5.0)}, set()),  # nothing is trimmed
        ({"mel": mel_librosa(n_mels=60)}, {"spec", "energy"}),
        ({"mel": everyvoice_mel()}, {"spec", "energy"}),
        ({"mel": mel_librosa(sample_rate_hz=24000)}, {"audio", "spec", "pitch", "energy"}),
        ({"overwrite": True}, {"audio", "spec", "pitch", "energy"}),
        ({"overwrite": True, "steps": ("pitch",)}, {"pitch"}),
    ],
)
def test_changed_option_redoes_exactly_what_depends_on_it(record, run, changes, done):
    utterances = [record("a")]
    run(utterances)
    prepared = run(utterances, **changes)
    assert {step for step, n in prepared.n_done.items() if n} == done


def test_changed_recording_is_prepared_again_and_the_others_are_not(record, run, recordings):
    utterances = [record("a"), record("b")]
    run(utterances)
    soundfile.write(recordings / "a.wav", np.random.default_rng(0).standard_normal(22050) * 0.1, 22050)
    assert run(utterances).n_done == dict.fromkeys(NOTHING, 1)


def test_touched_recording_costs_only_its_audio(record, run, recordings):
    utterances = [record("a")]
    run(utterances)
    os.utime(recordings / "a.wav", ns=(1, 1))
    assert run(utterances).n_done == NOTHING | {"audio": 1}


@pytest.mark.parametrize("part", ["audio", "sidecar", "spec", "pitch", "energy"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_damaged_feature_is_made_again(record, run, store, part, damage):
    utterances = [record("a")]
    run(utterances)
    before = bytes_of(store)
    audio = store.audio_path(utterances[0], 22050)
    path = {
        "audio": audio,
        "sidecar": audio.with_suffix(".json"),
        "spec": store.spec_path(utterances[0], MEL),
        "pitch": store.pitch_path(utterances[0]),
        "energy": store.energy_path(utterances[0]),
    }[part]
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) * 3 // 4] ^= 4
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": content[:-10], "flip": bytes(flipped), "empty": b""}[damage])
    prepared = run(utterances)
    assert prepared.kept == utterances
    assert prepared.n_done["audio" if part == "sidecar" else part] == 1
    assert bytes_of(store) == before


def test_steps_give_the_same_in_every_order(record, run, store):
    utterances = [record("a"), record("b")]
    run(utterances)
    together = {name: content for name, content in bytes_of(store).items() if name != "prepared.json"}
    for path in store.root.rglob("*.safetensors"):
        path.unlink()
    steps = ["spec", "pitch", "energy"]
    random.Random(3).shuffle(steps)
    for step in steps:
        prepared = run(utterances, steps=(step,))
        assert prepared.n_done == {step: 2}
    assert {name: c for name, c in bytes_of(store).items() if name != "prepared.json"} == together
    assert run(utterances).n_done == NOTHING


def test_later_step_without_audio_is_left_out_with_what_to_do(record, run):
    with pytest.raises(DataError, match="not prepared, or damaged since: run the step 'audio'"):
        run([record("a")], steps=("pitch",))


def test_two_workers_give_the_bytes_of_one(record, recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ITEMS_PER_WORKER", 1)
    utterances = [record(f"a{n}", duration_s=0.5 + 0.037 * n, rate_hz=24000) for n in range(5)]
    utterances.append(Utterance(basename="missing", text="x"))
    stores = []
    for n_workers in (1, 2):
        store = Store(tmp_path / str(n_workers))
        heard = []
        prepared = prepare(
            utterances,
            recordings,
            store,
            mel=MEL,
            n_workers=n_workers,
            on_progress=lambda *facts, heard=heard: heard.append(facts),
        )
        assert prepared.kept == utterances[:5]
        assert [facts[1:] for facts in heard] == [(n, 6) for n in range(1, 7)]
        stores.append(bytes_of(store))
    assert stores[0] == stores[1]


SLOWLY = """
import sys, time
from pathlib import Path
from retimbre.audio.mel import mel_librosa
from retimbre.data import writing
from retimbre.data.prepare import prepare
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance

def slowly(path, content):
    def write(part):
        with part.open("wb") as file:
            for start in range(0, len(content), 4096):
                file.write(content[start : start + 4096])
                file.flush()
                time.sleep(0.002)
    writing.write_with(path, write)

import retimbre.data.tensors
retimbre.data.tensors.write_bytes = slowly
recordings, root, n = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
utterances = [Utterance(basename=f"a{i}", text="x") for i in range(n)]
prepare(utterances, recordings, Store(root), mel=mel_librosa(), n_workers=1,
        on_progress=lambda *_: print("one", flush=True))
"""


def test_killed_run_leaves_no_half_file_and_the_next_one_completes_it(record, run, store, recordings):
    utterances = [record(f"a{n}") for n in range(12)]
    arguments = [sys.executable, "-c", SLOWLY, str(recordings), str(store.root), "12"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(random.Random().uniform(0.0, 0.15))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    for path in store.root.rglob("*.safetensors"):
        assert read_tensors(path).tensors
    for path in store.root.rglob("*.wav"):
        assert soundfile.info(path).frames == 51 * 256
    for part in store.root.rglob(".*.part"):
        os.utime(part, (1, 1))  # as if some time had passed
    prepared = run([replace(utterance, text="x") for utterance in utterances])
    assert len(prepared.kept) == 12
    assert prepared.n_reused["audio"] >= 1
    assert not list(store.root.rglob(".*.part"))


def test_empty_list_is_refused(run):
    with pytest.raises(DataError, match="nothing to prepare"):
        run([])


def test_unknown_step_is_refused(record, run):
    with pytest.raises(DataError, match="no step 'attn'"):
        run([record("a")], steps=("attn",))


def test_missing_folder_of_recordings_is_explained(store, tmp_path):
    with pytest.raises(DataError, match="expected a folder, found nothing of that name"):
        prepare([Utterance(basename="a", text="x")], tmp_path / "none", store, mel=MEL)


def test_utterances_that_would_share_their_files_are_refused(record, run):
    utterance = record("a")
    with pytest.raises(DataError, match="same files"):
        run([utterance, replace(utterance, text="again")])


def test_outside_of_the_store_nothing_is_written(record, run, store, tmp_path):
    run([record("a")])
    assert {path.name for path in Path(tmp_path).iterdir()} == {"recordings", store.root.name}
