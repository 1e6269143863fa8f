"""Which of EveryVoice's files it is, and where each value was written."""

import pytest
import yaml

from retimbre.errors import RecipeError
from retimbre.recipe.everyvoice import is_everyvoice
from retimbre.recipe.read import read_recipe

CONTACT = "contact: {contact_name: A Name, contact_email: a@b.org}\n"
DATA = """\
dataset: small
source_data:
- label: a
  permissions_obtained: true
  data_dir: wavs
  filelist: list.psv
audio:
  n_fft: 1024
  f_max: 7600
"""


@pytest.fixture
def write(tmp_path):
    """write("name.yaml", text) -> path"""

    def file(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return file


@pytest.fixture
def main(write):
    """A vocoder's file with a part in another one: main(text to add)."""

    def file(more="", name="everyvoice-spec-to-wav.yaml"):
        write("data.yaml", DATA)
        return write(name, CONTACT + "path_to_preprocessing_config_file: data.yaml\n" + more)

    return file


def message(path, *overrides):
    with pytest.raises(RecipeError) as told:
        read_recipe(path, overrides)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_part_lies_in_a_file_of_its_own(main):
    assert read_recipe(main()).spectrogram.high_hz == 7600


def test_what_is_said_in_the_file_itself_wins_key_by_key(main):
    path = main("preprocessing: {audio: {f_max: 6000}, dataset: other}\n")
    recipe = read_recipe(path)

    assert recipe.spectrogram.high_hz == 6000  # the whole of `audio` is the file's own
    assert recipe.data.label == "a"


def test_a_part_of_a_part_is_seen_from_the_folder_of_the_first_file(main, write):
    write("parts/data.yaml", DATA.partition("audio:")[0] + "path_to_audio_config_file: audio.yaml\n")
    write("audio.yaml", "f_max: 5000\n")
    path = main("")
    path.write_text(path.read_text().replace("data.yaml", "parts/data.yaml"))
    recipe = read_recipe(path)

    assert recipe.spectrogram.high_hz == 5000
    assert recipe.data.recordings == path.parent / "wavs"


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "data.yaml",
            "f_max",
            "fmax",
            "data.yaml, line 9: unknown key 'preprocessing.audio.fmax'. Write 'f_max: ",
        ),
        (
            "data.yaml",
            "label",
            "lable",
            "data.yaml, line 3: unknown key 'preprocessing.source_data.0.lable'. Write",
        ),
        ("data.yaml", "1024", "many", "data.yaml, line 8: 'preprocessing.audio.n_fft' is wrong: expected"),
        ("data.yaml", "wavs", "[]", "data.yaml, line 5: 'preprocessing.source_data.0.data_dir' is wrong"),
        (
            "main",
            "contact_name",
            "contact_nam",
            "spec-to-wav.yaml, line 1: unknown key 'contact.contact_nam' (and",
        ),
        ("main", "contact:", "kontakt:", "line 1: unknown key 'kontakt' (and 1 more). Write 'contact:"),
    ],
)
def test_a_mistake_is_named_with_its_own_file_and_line(main, write, file, old, new, expected):
    path = main()
    wrong = path if file == "main" else path.with_name(file)
    wrong.write_text(wrong.read_text().replace(old, new, 1))

    assert expected in message(path)


def test_a_mistake_beside_a_part_is_one_of_the_file_itself(main):
    assert "everyvoice-spec-to-wav.yaml, line 4: unknown key 'preprocessing.datset'" in message(
        main("preprocessing:\n  datset: x\n")
    )


def test_a_part_that_is_not_there_is_named_with_the_folder_it_was_looked_for_in(main):
    path = main("path_to_model_config_file: none.yaml\n")
    text = message(path)

    assert "line 3: 'path_to_model_config_file' names a file that is not there" in text
    assert f"found {path.parent / 'none.yaml'}. Correct it: it is seen from {path.parent}" in text


def test_a_part_that_is_no_yaml_is_named(main, write):
    path = main()
    write("data.yaml", "a: [1")

    assert "data.yaml, line 1 is not readable as YAML" in message(path)


def test_json_that_is_none_is_named_with_its_line(write):
    assert "a.json, line 2 is not readable as JSON" in message(write("a.json", '{"model": 1,\n x}'))


@pytest.mark.parametrize(
    ("name", "more", "stage"),
    [
        ("everyvoice-spec-to-wav.yaml", "", "spec-to-wav"),
        ("everyvoice-text-to-spec.yaml", "", "text-to-spec"),
        ("mine.yaml", "model: {upsample_rates: [8, 8, 2, 2]}\n", "spec-to-wav"),
        ("mine.yaml", "training: {finetune: false}\n", "spec-to-wav"),
        ("mine.yaml", "text: {split_text: false}\n", "text-to-spec"),
        ("mine.yaml", "model: {use_postnet: false}\n", "text-to-spec"),
        ("spec-to-wav.yaml", "model: {use_postnet: false}\n", "text-to-spec"),
    ],
)
def test_the_stage_is_known_by_its_words_or_else_by_the_name_of_the_file(main, name, more, stage):
    assert read_recipe(main(more, name)).stage == stage


def test_a_file_that_does_not_say_its_stage_asks_for_a_name(main):
    assert "does not say which model it is for" in message(main(name="mine.yaml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DATA, "is what several models of an EveryVoice project share"),
        ("symbols: {a_characters: [a]}\n", "is what several models of an EveryVoice project share"),
        (CONTACT + "model: {lstm_dim: 512}\npreprocessing: {}\n", "is for EveryVoice's aligner"),
        (CONTACT + "model: {style_dim: 128}\n", "is for EveryVoice's text-to-wav model"),
        (CONTACT + "feature_prediction: {}\nvocoder: {}\n", "is for EveryVoice's text-to-wav model"),
    ],
)
def test_a_file_that_is_no_models_own_says_which_one_to_give(write, text, expected):
    told = message(write("config.yaml", text))

    assert expected in told
    assert "everyvoice-text-to-spec.yaml or everyvoice-spec-to-wav.yaml" in told


def test_the_wizards_other_files_are_told_apart(parity):
    folder = parity("everyvoice_project") / "wizard_config"
    for name in ("shared-data", "shared-text", "text-to-wav"):
        assert "Give everyvoice-text-to-spec.yaml" in message(folder / f"everyvoice-{name}.yaml")


def test_our_own_recipes_are_not_taken_for_everyvoices(shared):
    from pathlib import Path

    for path in (Path(__file__).parents[2] / "recipes").glob("*.yaml"):
        assert not is_everyvoice(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_without_recordings_nothing_can_be_trained(write):
    path = write("everyvoice-spec-to-wav.yaml", CONTACT + "model: {}\n")

    assert "'preprocessing.source_data' is missing" in message(path)


def test_half_a_split_is_refused(main, write):
    write("training.psv", "basename|characters\na|b\n")
    path = main("training: {training_filelist: training.psv, validation_filelist: validation.psv}\n")

    text = message(path)
    assert "line 3: 'training.validation_filelist' is not there, its counterpart is" in text
    assert str(path.parent / "validation.psv") in text
