"""What is odd about recordings and texts is named, each with its reason."""

import json
import shutil

import pytest

from retimbre.data.store import Store
from retimbre.data.utterance import Utterance


@pytest.fixture
def text_config(tmp_path):
    """A shared text configuration of a few letters and phones."""
    path = tmp_path / "everyvoice-shared-text.yaml"
    path.write_text(
        "symbols:\n  lj_characters: [a, b, t, e, s]\n  lj_phones: [t, ɛ, s]\n"
        "cleaners: [everyvoice.utils.lower, everyvoice.utils.strip_text]\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("test €\nbat €€\n", encoding="utf-8")
    return path


def test_symbols_that_a_configuration_lacks_are_counted_with_their_texts(retimbre, text_config, texts):
    ended = retimbre("check", "text-config", "-c", text_config, "--text-file", texts, "-l", "deu")
    assert ended.code == 0, ended.err
    found = ended.out.splitlines()
    assert "characters\t'€': 3 in 2 utterances (texts-00001, texts-00002)" in found
    assert any(line.startswith("phones\t'b': 1") for line in found)
    assert not any("'t'" in line for line in found)


def test_phones_need_a_language(retimbre, text_config, texts):
    ended = retimbre("check", "text-config", "-c", text_config, "--text-file", texts)
    assert "phones\tnot looked up: say the language by --language" in ended.out


def test_a_text_is_compared_with_a_model_too(project, retimbre, texts):
    words = ("check", "text-config", "--model", project.text_to_spec, "--text-file", texts)
    (missing,) = json.loads(retimbre(*words, "--json").out)["reports"]["characters"]["missing"]
    assert missing == {"symbol": "€", "count": 3, "utterances": ["texts-00001", "texts-00002"]}


def test_a_list_says_its_language_and_its_phones_itself(retimbre, text_config, tmp_path):
    path = tmp_path / "list.psv"
    path.write_text("basename|language|characters|phones\nx|qqq|test|tɛst\n", encoding="utf-8")
    out = retimbre("check", "text-config", "-c", text_config, "--psv-file", path).out
    assert out.count("nothing is missing") == 2


def test_nothing_or_two_things_to_compare_are_refused(project, retimbre, text_config, texts):
    check = ("check", "text-config")
    assert "--config or --model" in retimbre(*check, "--text-file", texts).error
    assert "--text-file or --psv-file" in retimbre(*check, "-c", text_config).error
    words = ("-c", text_config, "-m", project.text_to_spec, "--text-file", texts)
    assert "--config or --model" in retimbre(*check, *words).error
    assert "reads no texts" in retimbre(*check, "-m", project.vocoder, "--text-file", texts).error


def test_a_misspelt_key_of_a_text_configuration_is_named(retimbre, text_config, texts):
    text_config.write_text("cleanerz: []\n")
    error = retimbre("check", "text-config", "-c", text_config, "--text-file", texts).error
    assert "unknown key 'cleanerz'" in error


def checked(ended, folder):
    assert ended.code == 0, ended.err
    rows = json.loads((folder / "checked-data.json").read_text(encoding="utf-8"))
    return {row["basename"]: row for row in rows}


def test_a_good_data_set_has_nothing_to_look_at(project, retimbre, tmp_path):
    ended = retimbre("check", "data", project.tuning, project.text_to_spec, "-o", tmp_path / "out", "-n", 1)
    rows = checked(ended, tmp_path / "out")
    assert ended.out == "8 utterances, 0 with something to look at\n"
    assert len(rows) == 8
    assert rows["u0"]["duration"] == pytest.approx(0.7, abs=0.02)
    assert rows["u0"]["n_missing_symbols"] == 0
    assert rows["u0"]["speaking_rate_words_per_second"] == pytest.approx(2 / rows["u0"]["duration"])


def test_pitch_energy_and_clipping_of_each_recording_are_measured(project, retimbre, speak, tmp_path):
    wave = speak(duration_s=0.8)
    wave[2000:2011] = 1.0
    project.record("u1", wave, subtype="FLOAT")
    assert retimbre("preprocess", "text-to-spec", project.tuning).code == 0
    ended = retimbre("check", "data", project.tuning, project.text_to_spec, "-o", tmp_path / "out", "-n", 1)
    rows = checked(ended, tmp_path / "out")
    store, utterance = Store(project.preprocessed), Utterance(basename="u0", text="")
    # What is stored is of the 16-bit file, what is checked of the recording.
    for name, values in (
        ("pitch", store.load_pitch(utterance).f0_hz),
        ("energy", store.load_energy(utterance)),
    ):
        assert rows["u0"][f"{name}_mean"] == pytest.approx(float(values.mean()), rel=1e-3)
        assert rows["u0"][f"{name}_std"] == pytest.approx(float(values.std()), rel=1e-3)
        assert rows["u0"][f"{name}_min"] == pytest.approx(float(values.min()), rel=1e-3)
        assert rows["u0"][f"{name}_max"] == pytest.approx(float(values.max()), rel=1e-3)
    assert rows["u0"]["total_clipped_samples"] == 0
    assert rows["u1"]["total_clipped_samples"] == 11


def test_each_thing_that_is_odd_is_named(project, retimbre, speak, tmp_path):
    texts = ["one two.", "three", "quick €5", "six", "three ", "nine ten", "eleven", "twelve"]
    project.say(*texts, "no recording")
    project.record("u1", speak(duration_s=0.2))
    wave = 8 * speak(duration_s=0.8)
    wave[1000:1200] = 1.0
    project.record("u3", wave.clip(-1, 1))
    shutil.copy(project.recordings / "u5.wav", project.recordings / "u6.wav")

    ended = retimbre("check", "data", project.tuning, project.text_to_spec, "-o", tmp_path, "-n", 1)
    found = {name: row["findings"] for name, row in checked(ended, tmp_path).items()}

    assert found["u0"] == []
    assert found["u1"] == ["shorter than 0.4 s (0.20 s)"]
    assert found["u2"] == ["symbols that the model lacks: '5', 'q', '€'"]
    assert "clipped" in found["u3"][0]
    assert found["u4"] == ["the same text as u1"]
    assert found["u6"] == ["the same recording as u5"]
    assert found["u7"] == []
    assert found["u8"] == ["no recording of that name"]
    assert "u8\tno recording of that name\n" in ended.out


def test_a_text_that_is_not_the_recordings_own_shows_in_the_speaking_rate(project, retimbre, speak, tmp_path):
    texts = [f"the text of {word}" for word in ("one", "two", "six", "ten", "ann", "bob", "tom", "sue")]
    project.say(*texts, "a text that is far too long for what is recorded here, " * 2, "a")
    for number in (8, 9):
        project.record(f"u{number}", speak(duration_s=0.8, seed=number))
    ended = retimbre("check", "data", project.tuning, project.text_to_spec, "-o", tmp_path, "-n", 1)
    odd = {name: row["findings"][0] for name, row in checked(ended, tmp_path).items() if row["findings"]}
    assert list(odd) == ["u8", "u9"]
    assert odd["u8"].startswith("spoken far faster than the others, or the text is not its own")
    assert odd["u9"].startswith("spoken far slower")


def test_checking_writes_two_files_and_touches_nothing_else(project, retimbre, tmp_path):
    before = project.files()
    assert retimbre("check-data", project.tuning, project.text_to_spec, "-o", tmp_path / "out").code == 0
    assert project.files() == before
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"checked-data.json", "scores-7.psv"}


def test_a_list_may_be_given_instead_of_the_recipes(project, retimbre, tmp_path):
    (tmp_path / "list.csv").write_text("basename,text\nu3.wav,six\n")
    words = (project.tuning, project.text_to_spec, "-f", tmp_path / "list.csv", "-o", tmp_path)
    assert list(checked(retimbre("check", "data", *words), tmp_path)) == ["u3"]


def test_a_vocoder_knows_no_symbols(project, retimbre, tmp_path):
    words = ("check", "data", project.tuning, project.vocoder, "-o", tmp_path)
    assert "reads no texts" in retimbre(*words).error
    ended = retimbre("check", "data", project.matching, "-o", tmp_path)
    assert "give a text-to-spec checkpoint" in ended.err
