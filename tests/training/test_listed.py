"""Which utterances a recipe names: one list or several, split by lot or by two lists."""

import pytest

from retimbre.data.manifest import write_filelist
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, RecipeError
from retimbre.recipe.recipe import Data, DataSet
from retimbre.training.listed import listed_in


def said(*names, label=""):
    return [Utterance(basename=name, text=f"this is {name}", label=label) for name in names]


@pytest.fixture
def data(tmp_path):
    """Two sets of four and three utterances."""
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    write_filelist(tmp_path / "north.psv", said("a", "b", "c", "d"))
    write_filelist(tmp_path / "south.psv", said("x", "y", "z"))
    more = DataSet(
        label="south", recordings=tmp_path / "south", filelist=tmp_path / "south.psv", trims_silence=False
    )
    return Data(
        label="north", recordings=tmp_path / "north", filelist=tmp_path / "north.psv", more=(more,), seed=3
    )


def given(data, training, validation):
    folder = data.filelist.parent
    write_filelist(folder / "training.psv", training)
    write_filelist(folder / "validation.psv", validation)
    lists = {"training_filelist": folder / "training.psv", "validation_filelist": folder / "validation.psv"}
    return data.model_copy(update=lists)


def names(utterances):
    return [utterance.basename for utterance in utterances]


def test_every_set_is_cleaned_in_its_own_way_and_labelled(data):
    listed = listed_in(data)

    assert [one.recordings.name for one in listed.sets] == ["north", "south"]
    assert [one.options.trims_silence for one in listed.sets] == [True, False]
    assert [{u.label for u in one.utterances} for one in listed.sets] == [{"north"}, {"south"}]
    assert sorted(names(listed.learnt + listed.measured)) == ["a", "b", "c", "d", "x", "y", "z"]
    assert len(listed.measured) == 1


def test_a_given_split_is_kept_exactly_and_in_its_order(data):
    split = given(data, said("z", "a", "c"), said("y", "b"))
    listed = listed_in(split)

    assert names(listed.learnt) == ["z", "a", "c"]
    assert names(listed.measured) == ["y", "b"]
    assert {u.basename: u.label for u in listed.learnt} == {"z": "south", "a": "north", "c": "north"}
    assert [names(one.utterances) for one in listed.sets] == [["a", "c", "b"], ["z", "y"]]


def test_labels_of_a_given_split_say_the_set_without_its_list(data):
    data.more[0].filelist.unlink()
    data.filelist.unlink()
    split = given(data, [*said("z", label="south"), *said("a", label="north")], said("b", label="north"))

    assert [names(one.utterances) for one in listed_in(split).sets] == [["a", "b"], ["z"]]


def test_with_one_set_a_split_needs_neither_labels_nor_its_list(data):
    data.filelist.unlink()
    split = given(data.model_copy(update={"more": ()}), said("a", "b"), said("c"))
    (one,) = listed_in(split).sets

    assert names(one.utterances) == ["a", "b", "c"]
    assert {u.label for u in one.utterances} == {"north"}


def test_an_utterance_of_no_set_is_named(data):
    split = given(data, said("a", "nobody"), said("b"))

    with pytest.raises(DataError, match=r"1 utterances .* none of the 2 data sets.*found nobody"):
        listed_in(split)


def test_an_utterance_in_both_lists_is_counted(data):
    listed = listed_in(given(data, said("a", "b"), said("b", "c")))

    assert listed.n_in_both == 1
    assert names(listed.learnt) == ["a", "b"]
    assert names(listed.measured) == ["b", "c"]
    assert sum(len(one.utterances) for one in listed.sets) == 3


def paths(folder, *names):
    """DL-Art-School's list of recordings that lie in folders beside it."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"sound")
    (folder / "train.txt").write_text("".join(f"{name}|this is {name[:-4]}\n" for name in names))
    return Data(recordings=folder / "wavs", filelist=folder / "train.txt", seed=3)


def test_paths_are_seen_from_their_list_whatever_folder_of_recordings_is_given(tmp_path):
    data = paths(tmp_path / "corpus", "wavs/a.wav", "wavs/b.wav", "wavs/more/c.wav")
    (one,) = listed_in(data).sets

    assert one.recordings == tmp_path / "corpus"
    assert all((one.recordings / f"{name}.wav").is_file() for name in names(one.utterances))


def test_paths_of_a_given_split_are_seen_from_its_lists(tmp_path):
    data = paths(tmp_path / "corpus", "wavs/a.wav", "wavs/b.wav")
    write_filelist(tmp_path / "corpus" / "second.psv", said("wavs/b"))
    data.filelist.rename(tmp_path / "corpus" / "first.txt")
    lists = {"training_filelist": data.filelist.with_name("first.txt")}
    lists["validation_filelist"] = data.filelist.with_name("second.psv")
    split = data.model_copy(update={"filelist": tmp_path / "elsewhere.csv", **lists})

    assert [one.recordings for one in listed_in(split).sets] == [tmp_path / "corpus"]


def test_the_folder_of_recordings_comes_first_where_paths_are_seen_from_it_too(tmp_path):
    data = paths(tmp_path / "corpus", "wavs/a.wav", "wavs/b.wav")
    cleaned = tmp_path / "cleaned"
    (cleaned / "wavs").mkdir(parents=True)
    (cleaned / "wavs" / "a.wav").write_bytes(b"sound")

    (one,) = listed_in(data.model_copy(update={"recordings": cleaned})).sets
    assert one.recordings == cleaned


def test_names_without_folders_are_never_looked_for_beside_the_list(tmp_path):
    data = paths(tmp_path / "corpus", "a.wav", "b.wav")

    (one,) = listed_in(data).sets
    assert one.recordings == tmp_path / "corpus" / "wavs"


def test_half_a_split_is_refused(data):
    half = given(data, said("a"), said("b")).model_copy(update={"validation_filelist": None})

    with pytest.raises(RecipeError, match="gives one list of the split"):
        listed_in(half)
