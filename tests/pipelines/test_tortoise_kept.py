"""Candidates outlast a job that is stopped, and only for the same job."""

import pytest
import torch

from retimbre.checkpoint.read import read
from retimbre.checkpoint.write import write_safetensors
from retimbre.pipelines.tortoise import Choice
from retimbre.pipelines.tortoise_kept import KeptCandidates

FACTS = {"text": "Hello.", "seed": 3, "settings": {"n_drawn": 4}}


@pytest.fixture
def kept(tmp_path):
    """kept(facts): those in one and the same file."""
    return lambda facts=FACTS: KeptCandidates(path=tmp_path / "x.candidates.safetensors", facts=facts)


def draw(store, sentence, numbers):
    torch.manual_seed(sentence)
    codes = torch.randint(0, 8192, (len(numbers), 7))
    store.of(sentence).add(numbers, codes, [number % 2 == 0 for number in numbers])
    return codes


def test_each_batch_is_there_as_soon_as_it_is_drawn(kept):
    first = draw(kept(), 0, [0, 2])
    again = kept()

    assert again.read() is None
    assert sorted(again.of(0).codes) == [0, 2]
    assert again.of(0).codes[2].equal(first[1])
    assert again.of(0).stopped == {0: True, 2: True}
    draw(again, 1, [5, 3])
    last = kept()
    last.read()
    assert {number: last.of(n).codes.keys() for n, number in enumerate("ab")} == {"a": {0, 2}, "b": {3, 5}}
    assert last.of(1).stopped == {3: False, 5: False}


def test_of_a_sentence_that_is_ranked_only_the_best_are_kept(kept):
    store = kept()
    draw(store, 0, [0, 1, 2])
    store.of(0).choose([Choice(2, 0.75), Choice(0, -0.5)])
    again = kept()

    assert again.read() is None
    assert again.of(0).best == (Choice(2, 0.75), Choice(0, -0.5))
    assert sorted(again.of(0).codes) == [0, 2]


def test_a_single_candidate_has_no_score(kept):
    store = kept()
    draw(store, 0, [0])
    store.of(0).choose([Choice(0, None)])
    again = kept()

    assert again.read() is None
    assert again.of(0).best == (Choice(0, None),)


@pytest.mark.parametrize(
    "other", [{"text": "Hello!"}, {"seed": 4}, {"settings": {"n_drawn": 5}}, {"models": {"a": "b"}}]
)
def test_those_of_another_job_are_not_taken(kept, other):
    draw(kept(), 0, [0])
    store = kept(FACTS | other)

    assert "is of another text, voice, seed or setting: drawn anew" in store.read()
    assert not store.of(0).codes


@pytest.mark.parametrize("content", [b"", b"no such file", None])
def test_a_damaged_file_is_said_and_not_taken(kept, content):
    draw(kept(), 0, [0])
    store = kept()
    store.path.write_bytes(store.path.read_bytes()[:-3] if content is None else content)

    assert "drawn anew" in store.read()
    assert not store.of(0).codes


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, _: tensors.update({"sentence.0.9": torch.rand(8)}),
        lambda tensors, _: tensors.update({"sentence.0.9": torch.ones(0, dtype=torch.long)}),
        lambda tensors, _: tensors.update({"sentence.x.9": torch.ones(8, dtype=torch.long)}),
        lambda tensors, _: tensors.update({"others": torch.ones(8, dtype=torch.long)}),
        lambda _, head: head.update(best='{"0": [[7, 0.5]]}'),
        lambda _, head: head.update(best='{"5": [[0, 0.5]]}'),
        lambda _, head: head.update(best="no JSON"),
        lambda _, head: head.pop("best"),
    ],
)
def test_of_a_file_that_holds_something_else_nothing_is_taken(kept, change):
    store = kept()
    draw(store, 0, [0, 1])
    contents = read(store.path)
    tensors, head = dict(contents.tensors), dict(contents.metadata)
    change(tensors, head)
    write_safetensors(store.path, tensors, head)
    again = kept()

    assert "cannot be used" in again.read()
    assert not again.sentences


def test_nothing_is_left_when_all_is_spoken(kept):
    store = kept()
    store.remove()
    draw(store, 0, [0])
    store.remove()

    assert not store.path.exists()
    assert store.read() is None
