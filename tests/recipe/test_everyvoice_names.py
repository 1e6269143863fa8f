"""A dotted name is looked up, never imported."""

import sys

import pytest

from retimbre.errors import RecipeError
from retimbre.recipe.read import read_recipe

PLACES = {
    "text.cleaners": "[{}]",
    "text.language_cleaners": "{{eng: [{}]}}",
    "text.dataset_cleaners": "{{ljmini: [{}]}}",
    "preprocessing.source_data.0.filelist_loader": "{}",
    "training.filelist_loader": "{}",
    "training.logger.sub_dir_callable": "{}",
}


@pytest.fixture
def files(parity):
    folder = parity("everyvoice_project") / "project" / "config"
    return {stage: folder / f"everyvoice-{stage}.yaml" for stage in ("text-to-spec", "spec-to-wav")}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module that tells when it is imported."""
    (tmp_path / "mine_to_be_left_alone.py").write_text(
        "def say(text: str) -> list[str]:\n    return [text]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "mine_to_be_left_alone.say"


@pytest.mark.parametrize("key", PLACES)
def test_a_name_of_the_users_own_is_refused_and_never_imported(files, mine, key):
    with pytest.raises(
        RecipeError, match=f"'{mine}' is not EveryVoice's.* never run.*recipe of your own"
    ) as told:
        read_recipe(files["text-to-spec"], [f"{key}={PLACES[key].format(mine)}"])

    assert "\n" not in str(told.value)
    assert mine.partition(".")[0] not in sys.modules


def test_an_activation_of_the_users_own_is_refused_and_never_imported(files, mine):
    with pytest.raises(RecipeError, match=f"the activation_function '{mine}' is not EveryVoice's"):
        read_recipe(files["spec-to-wav"], [f"model.activation_function={mine}"])

    assert mine.partition(".")[0] not in sys.modules


def test_an_engine_that_a_model_of_phones_needs_is_refused_and_never_imported(files, mine):
    overrides = ["model.target_text_representation_level=phones", f"text.g2p_engines={{moh: {mine}}}"]
    with pytest.raises(RecipeError, match=f"'{mine}', which is to find the phones of 'moh'.*text.g2p"):
        read_recipe(files["text-to-spec"], overrides)

    assert mine.partition(".")[0] not in sys.modules


def test_a_misspelt_name_is_put_right(files):
    with pytest.raises(RecipeError, match=r"Write everyvoice\.utils\.nfc_normalize"):
        read_recipe(files["text-to-spec"], ["text.cleaners=[everyvoice.utils.nfc_normalise]"])


LOADER = "preprocessing.source_data.0.filelist_loader=everyvoice.utils."


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("generic_psv_filelist_reader", "psv"),
        ("generic_csv_filelist_reader", "csv"),
        ("read_festival", "festival"),
        ("sniff_and_return_filelist_data", None),  # it finds the form out
    ],
)
def test_a_list_has_the_form_that_its_loader_reads(files, name, form):
    assert read_recipe(files["text-to-spec"], [LOADER + name]).data.filelist_format == form
