"""What is learnt is what speaking computes: place by place, stop included, and nothing beside it."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from retimbre.models.tortoise_ar.batch import CodesItem, collate
from retimbre.models.tortoise_ar.decoding import Decoding
from retimbre.models.tortoise_ar.loss import LossWeights, targets_of, text_to_codes_losses, thoughts_of
from retimbre.pipelines.tortoise_stages import as_read

CLOSE = {"atol": 2e-5, "rtol": 1e-5}
BOTH = LossWeights(text=1.0, codes=1.0)
LENGTHS = {
    "several": [(7, 9), (1, 1), (11, 15), (4, 12)],
    "one": [(5, 7)],
    "equal": [(3, 5), (3, 5)],
}


@pytest.fixture(params=LENGTHS.values(), ids=LENGTHS)
def items(request):
    draw = torch.Generator().manual_seed(len(request.param))
    return [
        CodesItem(
            symbols=torch.randint(1, 11, (n_symbols,), generator=draw),
            codes=torch.randint(0, 18, (n_codes,), generator=draw),
            clips=torch.randn(2, 80, 9, generator=draw),
        )
        for n_symbols, n_codes in request.param
    ]


def learnt(model, items):
    """For each utterance: scores of symbols and of codes as learning sees them, and what it thinks."""
    (batch,) = collate(items, config=model.config)
    thoughts = thoughts_of(model, batch)
    of_symbols = thoughts.symbols.split([len(item.symbols) + 1 for item in items])
    of_codes = thoughts.codes.split([len(item.codes) + 1 for item in items])
    return [(model.text_head(s), model.mel_head(c), c) for s, c in zip(of_symbols, of_codes, strict=True)]


def voice(model, item):
    return model.conditioning_latent(item.clips.unsqueeze(0))


@torch.no_grad()
def test_each_utterance_of_a_batch_has_the_scores_that_inference_gives_it_alone(tiny, items):
    for item, (of_symbols, of_codes, _) in zip(items, learnt(tiny, items), strict=True):
        text = tiny.framed_symbols(as_read(item.symbols, tiny))
        sound = tiny.framed_codes(item.codes.unsqueeze(0))

        alone = tiny(voice(tiny, item), text, sound)

        torch.testing.assert_close(of_codes, alone.codes[0, :-1], **CLOSE)
        torch.testing.assert_close(of_symbols, alone.symbols[0, :-2], **CLOSE)


def test_the_scores_are_those_of_speaking_code_after_code(tiny, items):
    with torch.no_grad():
        found = learnt(tiny, items)
    for item, (_, of_codes, _) in zip(items, found, strict=True):
        heard = []

        def teacher(scores, seen, _, item=item, heard=heard):
            heard.append(scores[0])
            n_said = seen.shape[1] - 2
            return item.codes[n_said : n_said + 1] if n_said < len(item.codes) else torch.tensor([19])

        with torch.no_grad():
            heard_voice = voice(tiny, item)
        speaking = Decoding(
            tiny, heard_voice, as_read(item.symbols, tiny), max_codes=len(item.codes) + 1, choose=teacher
        )
        while speaking.goes_on:
            speaking.step()

        assert speaking.has_stopped.all()
        torch.testing.assert_close(of_codes, torch.stack(heard), **CLOSE)


def test_the_stop_is_learnt_right_after_the_last_true_code_and_nothing_after_it(tiny, items):
    (batch,) = collate(items, config=tiny.config)

    of_symbols, of_codes = targets_of(batch, tiny.config.stop_code)

    for item, codes in zip(items, of_codes.split([len(i.codes) + 1 for i in items]), strict=True):
        assert codes.tolist() == [*item.codes.tolist(), 19]
    for item, symbols in zip(items, of_symbols.split([len(i.symbols) + 1 for i in items]), strict=True):
        assert symbols.tolist() == [*item.symbols.tolist(), 0]
    assert (len(of_symbols), len(of_codes)) == (batch.n_symbols_in_all, batch.n_codes_in_all)


@torch.no_grad()
def test_the_losses_are_means_over_all_real_places(tiny, items):
    (batch,) = collate(items, config=tiny.config)
    exact = copy.deepcopy(tiny).double()
    exact.conditioning_encoder.float()  # its norms are of float32 anyway
    sums = {"text": 0.0, "codes": 0.0}
    for item in items:
        text = exact.framed_symbols(as_read(item.symbols, exact))
        sound = exact.framed_codes(item.codes.unsqueeze(0))
        scores = exact(voice(tiny, item).double(), text, sound)
        sums["text"] += functional.cross_entropy(
            scores.symbols[0, :-2], functional.pad(item.symbols, (0, 1), value=0), reduction="sum"
        )
        sums["codes"] += functional.cross_entropy(scores.codes[0, :-1], sound[0, 1:], reduction="sum")

    losses = text_to_codes_losses(tiny, batch, LossWeights(text=0.01, codes=3.0))

    n = len(items)
    of_text = sums["text"] / (sum(len(item.symbols) for item in items) + n)
    of_codes = sums["codes"] / (sum(len(item.codes) for item in items) + n)
    assert float(losses["text"]) == pytest.approx(0.01 * float(of_text), rel=1e-5)
    assert float(losses["codes"]) == pytest.approx(3.0 * float(of_codes), rel=1e-5)


@torch.no_grad()
def test_what_stands_beyond_the_end_of_an_utterance_changes_no_loss(tiny, items):
    (batch,) = collate(items, config=tiny.config)
    symbols, codes = (functional.pad(ids, (0, 3), value=1) for ids in (batch.symbols, batch.codes))
    for row, item in enumerate(items):
        symbols[row, len(item.symbols) + 3 :] = torch.randint(12, symbols[row, len(item.symbols) + 3 :].shape)
        codes[row, len(item.codes) + 1 :] = torch.randint(20, codes[row, len(item.codes) + 1 :].shape)
    # The tiny network has no places beyond its own.
    symbols, codes = symbols[:, :14], codes[:, :17]

    other = text_to_codes_losses(tiny, replace(batch, symbols=symbols, codes=codes), BOTH)

    before = text_to_codes_losses(tiny, batch, BOTH)
    assert {name: float(loss) for name, loss in other.items()} == {
        name: float(loss) for name, loss in before.items()
    }


@torch.no_grad()
def test_latents_of_a_batch_are_those_that_the_next_stage_is_given(tiny, items):
    for item, (_, _, thoughts) in zip(items, learnt(tiny, items), strict=True):
        latents = tiny.latents(voice(tiny, item), as_read(item.symbols, tiny), item.codes.unsqueeze(0))

        torch.testing.assert_close(thoughts[:-1], latents[0], **CLOSE)


def gradients(model, batches):
    model.zero_grad()
    totals = {}
    for batch in batches:
        losses = text_to_codes_losses(model, batch, BOTH)
        sum(losses.values()).backward()
        totals = {name: totals.get(name, 0.0) + float(loss.detach()) for name, loss in losses.items()}
    return totals, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("n_parts", [2, 3, 9])
def test_a_batch_in_parts_has_the_losses_and_gradients_of_the_whole(tiny, items, n_parts):
    model = copy.deepcopy(tiny)
    whole, of_whole = gradients(model, collate(items, config=model.config))
    in_parts, of_parts = gradients(model, collate(items, config=model.config, n_parts=n_parts))

    assert in_parts == pytest.approx(whole, rel=1e-5)
    for name, gradient in of_whole.items():
        torch.testing.assert_close(
            of_parts[name], gradient, atol=1e-5 * gradient.abs().max().item(), rtol=1e-4
        )


def test_a_voice_that_is_not_learnt_needs_no_graph(tiny, items):
    model = copy.deepcopy(tiny)
    _, with_voice = gradients(model, collate(items, config=model.config))
    model.conditioning_encoder.requires_grad_(False)
    seen = []
    model.conditioning_encoder.register_forward_hook(lambda *call: seen.append(call[-1].requires_grad))

    _, without = gradients(model, collate(items, config=model.config))

    assert seen == [False]
    assert not any(name.startswith("conditioning_encoder") for name in without)
    assert any(name.startswith("conditioning_encoder") for name in with_voice)
    for name, gradient in without.items():
        torch.testing.assert_close(gradient, with_voice[name])


def test_every_weight_learns(tiny, items):
    _, found = gradients(copy.deepcopy(tiny), collate(items, config=tiny.config))

    assert found.keys() == dict(tiny.named_parameters()).keys()
    assert all(gradient.abs().max() > 0 for gradient in found.values())
