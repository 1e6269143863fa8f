"""Latents at the true codes are those that speaking would make, and are made once."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch

from building.listeners import Heard
from building.tortoise_murmurs import AR, NoisyVoices, autoregressive, murmured
from retimbre.data.store import Store
from retimbre.data.tensors import read_tensors
from retimbre.errors import DataError
from retimbre.pipelines.teacher_forced_latents import (
    FreshLatents,
    Makers,
    StoredLatents,
    teacher_forced_latents,
    voice_choice,
    write_latents,
)
from retimbre.pipelines.tortoise_stages import latents_of

MAKERS = Makers(text_to_codes="a" * 64, dvae="b" * 64, seed=7)


@pytest.fixture
def utterances(tmp_path):
    return murmured(tmp_path, 5, lengths=(5, 9, 5, 3))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def heard(utterances, seed=7):
    voices = NoisyVoices()
    return [voices.for_auto(one, voice_choice(seed, one.utterance)) for one in utterances]


def spoken_alone(ar, one, clips):
    """What speaking makes of these codes."""
    voice = ar.conditioning_latent(clips.unsqueeze(0))[0]
    return latents_of(ar, voice, one.symbols, one.codes)[0]


@torch.no_grad()
def test_a_batch_of_any_lengths_gives_what_speaking_gives_of_each(utterances):
    ar, clips = autoregressive(), heard(utterances)
    together = teacher_forced_latents(ar.train(), utterances, clips)

    assert not ar.training
    for one, latents, own_clips in zip(utterances, together, clips, strict=True):
        assert latents.shape == (len(one.codes), AR.dim)
        torch.testing.assert_close(latents, spoken_alone(ar, one, own_clips), atol=1e-5, rtol=1e-5)
    (alone,) = teacher_forced_latents(ar, utterances[:1], clips[:1])
    torch.testing.assert_close(alone, together[0], atol=1e-5, rtol=1e-5)


def test_what_is_stored_is_within_half_a_thousandth_and_comes_from_any_batch(utterances, store):
    ar, voices = autoregressive(), NoisyVoices()
    stored = write_latents(utterances, store, ar, voices=voices, makers=MAKERS, batch_size=3)
    fresh = FreshLatents(ar=ar, voices=voices, seed=7)

    for one in utterances:
        torch.testing.assert_close(stored.of(one), fresh.of(one), atol=1e-5, rtol=2**-11 * 1.1)
        assert read_tensors(stored.path(one.utterance)).tensors["latents"].dtype == torch.float16
    facts = read_tensors(stored.path(utterances[0].utterance)).facts
    assert facts["text_to_codes"] == "a" * 64
    assert facts["dvae"] == "b" * 64
    assert facts["voice_seed"] == "7"


def test_half_as_many_bits_of_the_other_kind_would_be_eight_times_as_wrong(utterances):
    latents = torch.cat(teacher_forced_latents(autoregressive(), utterances, heard(utterances)))
    errors = [(latents.to(kind).float() - latents).square().mean() for kind in (torch.half, torch.bfloat16)]

    assert (errors[1] / errors[0]).sqrt() == pytest.approx(8, rel=0.2)


def test_latents_beyond_the_reach_of_16_bits_stay_as_they_are(utterances, store):
    ar = autoregressive()
    with torch.no_grad():
        ar.final_norm.weight.mul_(1e6)
    stored = write_latents(utterances, store, ar, voices=NoisyVoices(), makers=MAKERS)
    fresh = FreshLatents(ar=ar, voices=NoisyVoices(), seed=7)

    assert stored.of(utterances[0]).abs().max() > 65504
    torch.testing.assert_close(stored.of(utterances[0]), fresh.of(utterances[0]), atol=1, rtol=1e-5)


def made(utterances, store, ar, makers=MAKERS, voices=None, n_variants=1):
    """How many are made."""
    listener = Heard()
    stored = write_latents(
        utterances,
        store,
        ar,
        voices=voices or NoisyVoices(),
        makers=makers,
        n_variants=n_variants,
        batch_size=2,
        listener=listener,
    )
    (said,) = listener.of("Latents")
    return int(said.split()[0]), stored


def test_only_what_changed_is_made_again(utterances, store):
    ar = autoregressive()
    assert made(utterances, store, ar)[0] == 5
    assert made(utterances, store, ar)[0] == 0

    other = replace(utterances[1], codes=utterances[1].codes.flip(0))
    assert made([utterances[0], other], store, ar)[0] == 1
    assert made(utterances, store, ar)[0] == 1
    reworded = replace(
        utterances[2], symbols=utterances[2].symbols + 1 - 2 * (utterances[2].symbols > 9).long()
    )
    assert made([reworded], store, ar)[0] == 1

    stored = made(utterances, store, ar)[1]
    path = stored.path(utterances[3].utterance)
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(DataError, match="cannot be used"):
        stored.of(utterances[3])
    assert made(utterances, store, ar)[0] == 1


@pytest.mark.parametrize("change", [{"dvae": "c" * 64}, {"seed": 8}])
def test_another_code_book_or_choice_of_recordings_makes_all_again(utterances, store, change):
    ar = autoregressive()
    made(utterances, store, ar)

    assert made(utterances, store, ar, replace(MAKERS, **change))[0] == 5


def test_another_network_leaves_what_the_first_has_made(utterances, store):
    base, tuned = autoregressive(1), autoregressive(2)
    _, of_base = made(utterances, store, base)
    before = of_base.of(utterances[0])
    n_made, of_tuned = made(utterances, store, tuned, replace(MAKERS, text_to_codes="d" * 64))

    assert n_made == 5
    assert of_base.of(utterances[0]).equal(before)
    assert not of_tuned.of(utterances[0]).allclose(before)
    assert made(utterances, store, base)[0] == 0


def test_variants_hear_the_voice_from_other_recordings(utterances, store):
    n_made, stored = made(utterances[:2], store, autoregressive(), n_variants=3)

    assert n_made == 6
    variants = [stored.of(utterances[0], variant) for variant in range(stored.n_variants)]
    assert not any(one.allclose(other) for one, other in combinations(variants, 2))
    assert made(utterances[:2], store, autoregressive(), n_variants=1)[0] == 0


def test_latents_of_another_recording_are_refused(utterances, store):
    made(utterances, store, autoregressive())
    stored = StoredLatents(store=store, text_to_codes=MAKERS.text_to_codes, seed=7)

    with pytest.raises(DataError, match="latents of 4 codes, found 5"):
        stored.of(replace(utterances[0], codes=utterances[0].codes[:4]))


def test_what_is_missing_is_made_beside_the_same_neighbours_as_the_first_time(utterances, store, monkeypatch):
    ar, together = autoregressive(), []

    def noted(ar, encoded, clips):
        together.append([one.utterance.stem for one in encoded])
        return teacher_forced_latents(ar, encoded, clips)

    monkeypatch.setattr("retimbre.pipelines.teacher_forced_latents.teacher_forced_latents", noted)
    stored = write_latents(utterances, store, ar, voices=NoisyVoices(), makers=MAKERS, batch_size=2)
    (kept, lost), first = together[0], together.copy()
    place = {one.utterance.stem: stored.path(one.utterance) for one in utterances}
    before, others = place[lost].read_bytes(), place[kept].stat().st_mtime_ns
    place[lost].unlink()
    together.clear()
    write_latents(utterances, store, ar, voices=NoisyVoices(), makers=MAKERS, batch_size=2)

    assert together == [first[0]]
    assert place[lost].read_bytes() == before
    assert place[kept].stat().st_mtime_ns == others
