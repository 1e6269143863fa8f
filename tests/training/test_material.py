"""What a recipe trains on: further sets, given splits, and what EveryVoice has prepared."""

import shutil

import pytest
import torch

from building.listeners import Heard
from retimbre.audio.mel import MelSpec
from retimbre.data.manifest import read_filelist, write_filelist
from retimbre.data.store import Store
from retimbre.errors import DataError
from retimbre.jobs.listener import Silent
from retimbre.recipe.read import read_recipe
from retimbre.recipe.recipe import Spectrogram
from retimbre.training.material import prepare_material, spectrogram_of
from retimbre.training.train import stage_job


@pytest.fixture
def folder(voices, tmp_path):
    """A copy of the recordings with a list whose texts are known."""
    return shutil.copytree(voices, tmp_path / "own", ignore=shutil.ignore_patterns("preprocessed"))


@pytest.fixture
def recipe(recipe_file, folder):
    """A recipe of these recordings with some overrides: recipe("text-to-spec", "data.seed=3")."""

    def read(stage, *overrides):
        places = (
            f"data.recordings={folder}",
            f"data.filelist={folder / 'metadata.csv'}",
            f"data.preprocessed={folder / 'preprocessed'}",
        )
        return read_recipe(recipe_file(stage), [*places, *overrides])

    return read


def split_given(folder, n_training, n_measured):
    """Overrides for the first utterances to learn from, and the next to measure on."""
    utterances = read_filelist(folder / "metadata.csv")
    write_filelist(folder / "first.psv", utterances[:n_training][::-1])
    write_filelist(folder / "second.psv", utterances[n_training : n_training + n_measured])
    return (
        f"data.training_filelist={folder / 'first.psv'}",
        f"data.validation_filelist={folder / 'second.psv'}",
    )


def names(utterances):
    return [utterance.basename for utterance in utterances]


@pytest.mark.parametrize("preset", ["mel-librosa", "mel", "hifigan"])
def test_every_size_of_the_spectrogram_arrives(preset):
    section = Spectrogram(
        preset=preset,
        sample_rate_hz=16000,
        n_fft_samples=800,
        window_samples=600,
        hop_samples=200,
        n_mels=40,
        low_hz=50.0,
        high_hz=7000.0,
    )
    mel = spectrogram_of(section)

    assert isinstance(mel, MelSpec)
    for name, value in section.model_dump(exclude={"preset"}).items():
        assert getattr(mel, name) == value


def test_further_sets_are_prepared_and_learnt_from(recipe, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for number in (0, 1):
        shutil.copy(folder / f"u{number}.wav", other / f"v{number}.wav")
    (other / "list.csv").write_text("v0|abc.\nv1|fgh.\n", encoding="utf-8")
    filelist = other / "list.csv"
    more = f"data.more=[{{label: far, recordings: {other}, filelist: {filelist}, trims_silence: false}}]"
    material = prepare_material(recipe("text-to-spec", more))

    assert len(material.utterances) == 9
    assert {u.basename for u in material.utterances if u.label == "far"} == {"v0", "v1"}
    assert (material.store.root / "prepared.json").read_text(encoding="utf-8").count("trims_silence") == 2
    trimmed, whole = (
        material.store.load_audio(next(u for u in material.utterances if u.basename == name), material.mel)
        for name in ("u1", "v1")
    )
    assert trimmed.n_samples <= whole.n_samples


def test_a_given_split_is_never_altered_and_its_second_list_chooses_and_is_measured_on(recipe, folder):
    material = prepare_material(
        recipe("text-to-spec", *split_given(folder, 3, 4), "training.validate_at_most=9")
    )

    assert names(material.training) == ["u2", "u1", "u0"]
    assert len(material.validation) == len(material.held_out) == 2
    assert {*names(material.validation), *names(material.held_out)} == {"u3", "u4", "u5", "u6"}
    again = prepare_material(
        recipe("text-to-spec", *split_given(folder, 3, 4), "training.validate_at_most=9")
    )
    assert again.validation == material.validation


@pytest.mark.parametrize(("n", "most", "n_chosen"), [(2, 5, 1), (3, 5, 1), (4, 1, 1)])
def test_at_most_half_of_the_second_list_chooses(recipe, folder, n, most, n_chosen):
    split = split_given(folder, 3, n)
    material = prepare_material(recipe("text-to-spec", *split, f"training.validate_at_most={most}"))

    assert len(material.validation) == n_chosen
    assert len(material.held_out) == n - n_chosen


def test_one_utterance_serves_both_and_it_is_said(recipe, folder):
    listener = Heard()
    material = prepare_material(recipe("text-to-spec", *split_given(folder, 1, 1)), listener=listener)

    assert material.training != material.validation == material.held_out
    assert len(material.utterances) == 2
    assert any(line.startswith("Held out: one utterance chooses") for line in listener.said)


def test_long_texts_leave_a_given_split_as_it_is(recipe, folder):
    filelist = folder / "metadata.csv"
    rows = filelist.read_text(encoding="utf-8").splitlines(keepends=True)
    rows[1], rows[5] = "u1|" + "abc " * 40 + "\n", "u5|" + "abc " * 40 + "\n"
    filelist.write_text("".join(rows), encoding="utf-8")
    job = stage_job(recipe("text-to-spec", *split_given(folder, 3, 4)), listener=Silent())

    assert [item.name for item in job.dataset.items] == ["u2", "u0"]
    assert len(job.objective.validation) == 1
    assert "u5--default--default" not in job.objective.validation


def test_a_given_split_without_anything_to_measure_on_is_refused(recipe, folder):
    split = split_given(folder, 3, 1)
    (folder / "u3.wav").unlink()

    with pytest.raises(DataError, match=r"too few utterances .* found 3 to train .*, 0 held out"):
        prepare_material(recipe("text-to-spec", *split))


@pytest.fixture
def adopted(recipe, folder, tmp_path):
    """A folder like EveryVoice's: audio of other lengths than ours, and durations of each symbol."""
    theirs = Store(tmp_path / "theirs")
    material = prepare_material(recipe("text-to-spec"))
    (theirs.root / "duration").mkdir(parents=True)
    for utterance in material.utterances:
        audio = material.store.load_audio(utterance, material.mel)
        cut = type(audio)(samples=audio.samples[: 256 * 24], sample_rate_hz=22050)
        path = theirs.audio_path(utterance, 22050)
        path.parent.mkdir(exist_ok=True)
        cut.save(path)
        theirs.write_produced_spec(utterance, torch.randn(80, 24), material.mel)
        n = len(" ".join(utterance.text.split()))
        frames = torch.tensor([24 - 2 * (n - 1)] + [2] * (n - 1))
        torch.save(frames, theirs.root / "duration" / f"{utterance.stem}--duration.pt")
    return theirs.root


def test_given_durations_go_with_everyvoices_audio(recipe, folder, adopted):
    listener = Heard()
    overrides = (f"data.adopted={adopted}", "text_to_spec.learns_alignment=false")
    job = stage_job(recipe("text-to-spec", *overrides), listener=listener)

    assert all(item.spec.shape[1] == 24 for item in job.dataset.items)
    assert all(int(item.durations.sum()) == 24 for item in job.dataset.items)
    assert not job.objective.model.config.learns_alignment
    assert any("its audio, 7 produced specs and 7 durations" in line for line in listener.said)
    assert (folder / "preprocessed-adopted").is_dir()


def test_durations_of_other_symbols_are_refused(recipe, adopted):
    for path in (adopted / "duration").iterdir():
        torch.save(torch.tensor([24]), path)
    overrides = (f"data.adopted={adopted}", "text_to_spec.learns_alignment=false")

    with pytest.raises(DataError, match=r"7 utterances have durations of other symbols: .*found 1"):
        stage_job(recipe("text-to-spec", *overrides), listener=Silent())


def test_what_is_not_needed_of_everyvoices_folder_is_not_used(recipe, adopted):
    for stage in ("text-to-spec", "spec-to-wav"):
        material = prepare_material(recipe(stage, f"data.adopted={adopted}"))
        assert material.store.root.name == "preprocessed"


def test_produced_specs_go_with_everyvoices_audio(recipe, adopted):
    overrides = (f"data.adopted={adopted}", "training.spec_source=produced")
    job = stage_job(recipe("spec-to-wav", *overrides), listener=Silent())

    assert {len(item.samples) for item in job.dataset.items} == {256 * 24}
