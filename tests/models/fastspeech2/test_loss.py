import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from retimbre.models.fastspeech2.loss import (
    BLANK_LOG_PROB,
    Distance,
    LossWeights,
    attention_ctc,
    text_to_spec_losses,
)

SIZES = [(3, 6), (2, 4), (1, 5)]


def rows(values, lengths):
    """The real part of each utterance, as float64."""
    return [row[:n].detach().double().numpy() for row, n in zip(values, lengths, strict=True)]


def mean_distance(ours, true, lengths, distance=np.square):
    pairs = zip(rows(ours, lengths), rows(true, lengths), strict=True)
    return np.mean(np.concatenate([distance(a - b).ravel() for a, b in pairs]))


def ctc_by_hand(log_prob):
    """Minus the logarithm of the sum over all paths with blanks, per symbol, of one utterance."""
    n_frames, n_symbols = log_prob.shape
    table = np.concatenate([np.full((n_frames, 1), BLANK_LOG_PROB), log_prob], 1)
    table = table - np.log(np.exp(table).sum(1, keepdims=True))
    total = 0.0
    for path in itertools.product(range(n_symbols + 1), repeat=n_frames):
        spoken = [key for key, _ in itertools.groupby(path) if key]
        if spoken == list(range(1, n_symbols + 1)):
            total += math.exp(sum(table[range(n_frames), path]))
    return -math.log(total) / n_symbols


def test_each_loss_is_a_mean_over_what_is_real(tiny_network, make_batch):
    batch = make_batch(*SIZES)
    output = tiny_network()(batch)
    symbols, frames = batch.n_symbols.tolist(), batch.n_frames.tolist()
    durations = output.prosody.timing.durations
    log_prob = [
        row[:f, :s].detach().double().numpy()
        for row, s, f in zip(output.alignment.log_prob, symbols, frames, strict=True)
    ]
    soft = [np.exp(table) / np.exp(table).sum(1, keepdims=True) for table in log_prob]
    path = rows(output.prosody.timing.symbol_of_frame, frames)
    on_path = [table[range(len(way)), way.astype(int)] for table, way in zip(soft, path, strict=True)]
    expected = {
        "spec": mean_distance(output.spec, batch.spec, frames),
        "postnet": mean_distance(output.refined, batch.spec, frames),
        "pitch": 0.1 * mean_distance(output.prosody.pitch, output.truth.pitch, symbols),
        "energy": 0.1 * mean_distance(output.prosody.energy, output.truth.energy, symbols),
        "duration": 0.1 * mean_distance(output.prosody.log_durations, torch.log(durations + 1.0), symbols),
        "attn_ctc": 0.1 * np.mean([ctc_by_hand(table) for table in log_prob]),
        "attn_bin": -0.1 * 0.25 * np.log(np.concatenate(on_path)).mean(),
    }

    losses = text_to_spec_losses(output, batch, LossWeights(), 0.25)

    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)


def test_distances_may_be_absolute(tiny_network, make_batch):
    batch = make_batch(*SIZES)
    output = tiny_network()(batch)

    losses = text_to_spec_losses(output, batch, LossWeights(spec=2.0, spec_distance=Distance.MAE), 0.0)

    expected = 2.0 * mean_distance(output.spec, batch.spec, batch.n_frames.tolist(), np.abs)
    assert losses["spec"].item() == pytest.approx(expected, rel=1e-5)
    assert losses["attn_bin"].item() == 0


def test_what_lies_in_padding_never_changes_a_loss(tiny_network, make_batch):
    batch = make_batch(*SIZES)
    output = tiny_network()(batch)
    spoilt_spec = output.spec.detach().clone()
    spoilt_spec[1, 4:] = torch.nan

    losses = text_to_spec_losses(output, batch, LossWeights(), 1.0)
    again = text_to_spec_losses(replace(output, spec=spoilt_spec), batch, LossWeights(), 1.0)

    assert {name: loss.item() for name, loss in again.items()} == {k: v.item() for k, v in losses.items()}


def test_ctc_has_finite_gradients_with_padding(make_batch):
    batch = make_batch(*SIZES)
    log_prob = torch.randn(3, 6, 3).log_softmax(-1).requires_grad_()

    attention_ctc(log_prob, batch).backward()

    assert log_prob.grad.isfinite().all()
    assert log_prob.grad[1, 4:].eq(0).all()
    assert log_prob.grad[1, :, 2:].eq(0).all()
