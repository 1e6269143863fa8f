"""What `--as dlas` computes is what DL-Art-School computes."""

import json

import pytest
import torch
from safetensors.torch import load_file

from retimbre.errors import DataError
from retimbre.models.tortoise_ar.dlas import (
    DlasBatch,
    DlasItem,
    dlas_collate,
    dlas_losses,
    dlas_thoughts,
    with_stops,
)
from retimbre.models.tortoise_ar.from_shapes import config_from
from retimbre.models.tortoise_ar.loss import LossWeights
from retimbre.models.tortoise_ar.model import UnifiedVoice

LOGITS, LOSSES = {"atol": 2e-4, "rtol": 0}, {"atol": 1e-5, "rtol": 0}
BOTH = LossWeights(text=1.0, codes=1.0)


@pytest.fixture(scope="module")
def trainer(parity):
    """Its network, and its inputs and outputs. The sizes say the residual of TorToiSe, as those of a base."""
    folder = parity("dlas_ar_train")
    weights = load_file(folder / "weights.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    heads = json.loads((folder / "meta.json").read_text())["kwargs"]["heads"]
    model = UnifiedVoice(config_from(shapes, {"heads": heads}).config)
    model.load_state_dict(weights)
    assert model.config.residual == "x + h"
    return model.eval(), load_file(folder / "io.safetensors")


def as_given(model, io, n_clips=2):
    """The batch of the reference; the lengths that it was given are those of codes."""
    codes = with_stops(io["mel_codes"], io["code_lengths"], model.config.stop_code)
    return DlasBatch(
        symbols=io["text"][:, : io["text_lengths"].max()], codes=codes, clips=io["cond_mel"][:, :n_clips]
    )


def test_losses_and_gradients_equal_the_trainer(trainer):
    model, io = trainer
    batch = as_given(model, io)
    model.zero_grad()

    losses = dlas_losses(model, batch, LossWeights())
    sum(losses.values()).backward()

    unweighted = dlas_losses(model, batch, BOTH)
    torch.testing.assert_close(unweighted["text"].detach(), io["loss_text"], **LOSSES)
    torch.testing.assert_close(unweighted["codes"].detach(), io["loss_mel"], **LOSSES)
    torch.testing.assert_close(sum(losses.values()).detach(), io["loss_total_0p01text_1mel"], **LOSSES)
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    named = {name.removeprefix("grad."): grad for name, grad in io.items() if name.startswith("grad.")}
    assert len(named) == 7
    for name, expected in named.items():
        torch.testing.assert_close(found[name], expected, atol=1e-4 * expected.abs().max().item(), rtol=0)
    norm = torch.stack([gradient.norm() for gradient in found.values()]).norm()
    torch.testing.assert_close(norm, io["grad_norm_all"], atol=0, rtol=1e-4)


@torch.no_grad()
def test_scores_and_latents_equal_the_trainer(trainer):
    model, io = trainer

    thoughts = dlas_thoughts(model, as_given(model, io))

    torch.testing.assert_close(model.mel_head(thoughts.codes).mT, io["mel_logits"], **LOGITS)
    torch.testing.assert_close(thoughts.codes[:, :-2], io["latents"], **LOGITS)


@torch.no_grad()
def test_losses_of_a_single_recording_equal_the_trainer(trainer):
    model, io = trainer

    losses = dlas_losses(model, as_given(model, io, n_clips=1), BOTH)
    averaged = dlas_losses(model, as_given(model, io, n_clips=1), BOTH, averages_clips=True)

    torch.testing.assert_close(losses["text"], io["single_cond_loss_text"], **LOSSES)
    torch.testing.assert_close(losses["codes"], io["single_cond_loss_mel"], **LOSSES)
    assert {name: float(loss) for name, loss in averaged.items()} == {
        name: float(loss) for name, loss in losses.items()
    }


def item(n_symbols, n_samples, n_codes):
    draw = torch.Generator().manual_seed(n_samples)
    return DlasItem(
        symbols=torch.randint(1, 11, (n_symbols,), generator=draw),
        codes=torch.randint(0, 18, (n_codes,), generator=draw),
        n_samples=n_samples,
        clips=torch.randn(2, 80, 5, generator=draw),
    )


def test_with_its_flag_each_sound_goes_on_to_the_longest_allowed_one(tiny):
    items = [item(3, 5000, 12), item(5, 9000, 12)]

    (batch,) = dlas_collate(items, config=tiny.config)

    assert batch.codes.equal(torch.stack([each.codes for each in items]))
    assert batch.symbols.tolist() == [[*items[0].symbols.tolist(), 0, 0], items[1].symbols.tolist()]


@pytest.mark.parametrize("n_codes", [None, 12])
def test_without_it_each_sound_stops_after_one_code_more_and_the_longest_one_code_early(tiny, n_codes):
    """As many codes as whole stretches of 1,024 samples are believed to be there, and one more is kept."""
    items = [item(3, n_samples, n_codes or n_samples // 1024 + 1) for n_samples in (5000, 9000, 1000)]

    (batch,) = dlas_collate(items, config=tiny.config, is_compatible=False)

    stop = tiny.config.stop_code
    assert batch.codes.tolist() == [
        [*items[0].codes[:5].tolist(), stop, stop, stop],
        items[1].codes[:8].tolist(),
        [*items[2].codes[:1].tolist(), *[stop] * 7],
    ]


@torch.no_grad()
def test_parts_count_alike_however_long_they_are(tiny):
    items = [item(3, 5000, 12), item(5, 9000, 12), item(2, 7000, 12)]

    parts = dlas_collate(items, config=tiny.config, n_parts=2)

    assert [len(part.symbols) for part in parts] == [2, 1]
    for part, alone in zip(parts, (items[:2], items[2:]), strict=True):
        (whole,) = dlas_collate(alone, config=tiny.config)
        expected, found = dlas_losses(tiny, whole, BOTH), dlas_losses(tiny, part, BOTH)
        assert {name: float(loss) for name, loss in found.items()} == {
            name: float(loss) / 2 for name, loss in expected.items()
        }
    with pytest.raises(DataError, match="at least one utterance"):
        dlas_collate([], config=tiny.config)


@torch.no_grad()
def test_two_recordings_have_two_places_or_one_mean(tiny):
    (batch,) = dlas_collate([item(3, 5000, 12)], config=tiny.config)
    twice = DlasBatch(symbols=batch.symbols, codes=batch.codes, clips=batch.clips[:, :1].repeat(1, 2, 1, 1))
    once = DlasBatch(symbols=batch.symbols, codes=batch.codes, clips=batch.clips[:, :1])

    alone = dlas_thoughts(tiny, once).codes
    mean = dlas_thoughts(tiny, twice, averages_clips=True).codes
    two = dlas_thoughts(tiny, twice).codes

    torch.testing.assert_close(mean, alone, atol=1e-5, rtol=1e-5)
    assert (two - alone).abs().max() > 1e-3


def test_a_batch_moves_as_a_whole(tiny):
    (batch,) = dlas_collate([item(3, 5000, 12)], config=tiny.config)

    moved = batch.to("meta")

    assert moved.symbols.is_meta
    assert moved.codes.is_meta
    assert moved.clips.is_meta
