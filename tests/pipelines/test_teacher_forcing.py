"""Teacher-forced specs are exactly as long as the recordings, the model's own, and the same in any batch."""

from dataclasses import replace

import pytest
import torch

from retimbre.data.store import Store
from retimbre.errors import DataError, TextError
from retimbre.models.fastspeech2.config import Level
from retimbre.pipelines.teacher_forcing import (
    name_in_list,
    require_known_symbols,
    teacher_forced_specs,
    training_item,
    write_produced_specs,
)


def frames_of(store, utterance, mel):
    return store.load_spec(utterance, mel).shape[1]


def specs_of(utterances, store, loaded, **how):
    return {u.basename: spec for u, spec in teacher_forced_specs(utterances, store, loaded, **how)}


def test_a_produced_spec_has_the_frames_of_its_recording(prepared_once, text_to_spec, mel):
    store, utterances = prepared_once
    produced = specs_of(utterances, store, text_to_spec())

    assert produced.keys() == {"a", "b", "c"}
    for utterance in utterances:
        spec = produced[utterance.basename]
        assert spec.shape == (6, frames_of(store, utterance, mel))
        assert spec.dtype == torch.float32
        assert spec.isfinite().all()


def test_a_produced_spec_is_the_models_not_the_recordings(prepared_once, text_to_spec, mel):
    store, utterances = prepared_once
    produced = specs_of(utterances[:1], store, text_to_spec())["a"]

    assert (produced - store.load_spec(utterances[0], mel)).abs().mean() > 0.1


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_the_batch_size_changes_nothing(prepared_once, text_to_spec, batch_size):
    store, utterances = prepared_once
    alone = specs_of(utterances, store, text_to_spec(), batch_size=1)
    together = specs_of(utterances, store, text_to_spec(), batch_size=batch_size)

    for name, spec in alone.items():
        torch.testing.assert_close(together[name], spec, atol=1e-5, rtol=0)


@pytest.mark.parametrize("level", Level)
def test_recorded_pitch_and_energy_do_not_reach_the_produced_spec(
    prepared_once, text_to_spec, mel, monkeypatch, level
):
    store, utterances = prepared_once
    loaded = text_to_spec(sizes={"pitch_level": level, "energy_level": level})
    expected = specs_of(utterances, store, loaded)
    load = Store.load_features

    def louder_and_higher(self, utterance, **how):
        found = load(self, utterance, **how)
        return replace(found, f0_hz=found.f0_hz * 3, energy=found.energy + 100)

    monkeypatch.setattr(Store, "load_features", louder_and_higher)

    for name, spec in specs_of(utterances, store, loaded).items():
        assert spec.equal(expected[name])


def test_an_item_is_what_the_model_reads(prepared_once, text_to_spec, mel):
    store, utterances = prepared_once
    loaded = text_to_spec()
    item, features = training_item(utterances[2], store, loaded), store.load_features(utterances[2], mel=mel)

    assert item.name == "c"
    assert [loaded.description.symbols[row] for row in item.symbols] == list("had a bag")
    torch.testing.assert_close(item.pitch, (features.f0_hz - 130.0) / 20.0)
    torch.testing.assert_close(item.energy, (features.energy - 4.0) / 2.0)
    assert item.spec.equal(features.spec)
    assert item.durations is None


def test_phones_are_read_by_a_model_of_phones(prepared_once, text_to_spec):
    store, utterances = prepared_once
    loaded = text_to_spec(text_level="phones")

    item = training_item(replace(utterances[0], phones="b a d"), store, loaded)

    assert [loaded.description.symbols[row] for row in item.symbols] == list("b a d")
    with pytest.raises(DataError, match="a has no phones"):
        training_item(utterances[0], store, loaded)


def test_a_model_without_statistics_cannot_be_forced(prepared_once, text_to_spec):
    store, utterances = prepared_once

    with pytest.raises(DataError, match="tuned.safetensors does not say what pitch and energy"):
        specs_of(utterances, store, text_to_spec(stats=None))


def test_a_model_without_alignment_asks_for_durations(prepared_once, text_to_spec):
    store, utterances = prepared_once

    with pytest.raises(DataError, match="durations of a in .*--duration.safetensors"):
        training_item(utterances[0], store, text_to_spec(sizes={"learns_alignment": False}))


def test_recordings_that_are_not_prepared_are_named_before_anything_is_produced(prepared_once, text_to_spec):
    store, utterances = prepared_once
    missing = [replace(utterances[0], basename=name) for name in ("x", "y")]

    with pytest.raises(DataError) as caught:
        next(iter(teacher_forced_specs([*utterances, *missing], store, text_to_spec())))

    assert "2 of 5 utterances are not prepared" in str(caught.value)
    assert "nothing for x, y" in str(caught.value)
    assert str(store.filelist_path()) in str(caught.value)


def test_a_recording_too_short_for_its_text_is_named(prepared_once, text_to_spec):
    store, utterances = prepared_once
    talkative = replace(utterances[1], text="bad " * 60)

    with pytest.raises(DataError, match="b has too few frames for its text"):
        training_item(talkative, store, text_to_spec())


def test_produced_specs_are_written_where_everyvoice_looks_for_them(
    prepared_once, text_to_spec, mel, tmp_path
):
    prepared, utterances = prepared_once
    store = Store(tmp_path)
    for folder in prepared.root.iterdir():
        (tmp_path / folder.name).symlink_to(folder)

    assert write_produced_specs(utterances, store, text_to_spec(), batch_size=2) == 3

    names = {path.name for path in (tmp_path / "synthesized_spec").iterdir()}
    assert names == {f"{u.stem}--spec-pred-22050-mel-librosa.pt" for u in utterances}
    expected = specs_of(utterances, store, text_to_spec(), batch_size=2)
    for utterance in utterances:
        assert store.load_produced_spec(utterance, mel).equal(expected[utterance.basename])


def test_symbols_that_a_model_lacks_are_named_with_the_utterances(prepared_once, text_to_spec):
    _, utterances = prepared_once
    require_known_symbols(utterances, text_to_spec())
    strange = [replace(utterances[0], text="quiz"), replace(utterances[1], text="zoo")]

    with pytest.raises(TextError) as caught:
        require_known_symbols([*utterances, *strange], text_to_spec())

    assert "'z' in a, b; " in str(caught.value)
    assert "'q' in a" in str(caught.value)


def test_a_name_in_a_list_counts_only_where_the_model_has_a_choice():
    assert name_in_list("default", ("ann", "bob")) is None
    assert name_in_list("bob", ("ann", "bob")) == "bob"
    assert name_in_list("speaker_0", ("default",)) is None


def test_speakers_of_a_list_are_told_apart_and_unknown_ones_refused(prepared_once, text_to_spec):
    store, (utterance, *_) = prepared_once
    loaded = text_to_spec(sizes={"n_speakers": 2}, speakers=("default", "bob"))
    assert training_item(utterance, store, loaded).speaker == 0
    one_speaker = text_to_spec(speakers=("ann",))
    assert training_item(utterance, store, one_speaker).speaker == 0
