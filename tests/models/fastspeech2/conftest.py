"""Tiny networks and random utterances."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.batch import Batch, Item, collate
from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, PredictorSizes
from retimbre.models.fastspeech2.model import FastSpeech2

SILENCE = -11.5
N_SYMBOLS = 12


@pytest.fixture
def tiny_config() -> Callable[..., FastSpeech2Config]:
    def build(**changes: Any) -> FastSpeech2Config:
        conformer = ConformerSizes(n_layers=2, dim=8, feedforward_dim=12, kernel=5, dropout=0.2)
        predictor = PredictorSizes(n_layers=2, dim=6, kernel=3)
        sizes: dict[str, Any] = {
            "n_symbols": N_SYMBOLS,
            "n_mels": 5,
            "encoder": conformer,
            "decoder": conformer,
            "duration": predictor,
            "pitch": predictor,
            "energy": predictor,
            "n_pitch_bins": 7,
            "n_energy_bins": 9,
            "attention_dim": 4,
            "postnet_dim": 6,
        }
        return FastSpeech2Config(**(sizes | changes))

    return build


@pytest.fixture
def tiny_network(tiny_config: Callable[..., FastSpeech2Config]) -> Callable[..., FastSpeech2]:
    """A network none of whose tensors is zero, in eval mode; its predictors give a few frames per symbol."""

    def build(**changes: Any) -> FastSpeech2:
        torch.manual_seed(0)
        network = FASTSPEECH2.build(tiny_config(**changes))
        with torch.no_grad():
            for name, tensor in network.named_parameters():
                if tensor.dim() == 1:
                    tensor.add_(torch.randn_like(tensor) * 0.1)
                if name == "variance_adaptor.duration_predictor.linear.bias":
                    tensor.fill_(1.4)
            for name, tensor in network.named_buffers():
                if name.endswith("running_mean"):
                    tensor.normal_(std=0.1)
                if name.endswith("input_layer.features"):
                    tensor.normal_()
        return network.eval()

    return build


@pytest.fixture
def make_item() -> Callable[..., Item]:
    def build(n_symbols: int, n_frames: int, *, seed: int = 0, **changes: Any) -> Item:
        random = torch.Generator().manual_seed(seed * 1000 + n_symbols)
        values: dict[str, Any] = {
            "symbols": torch.randint(1, N_SYMBOLS, (n_symbols,), generator=random),
            "spec": torch.randn(5, n_frames, generator=random) * 2 - 5,
            "pitch": torch.randn(n_frames, generator=random),
            "energy": torch.randn(n_frames, generator=random),
        }
        return Item(**(values | changes))

    return build


@pytest.fixture
def make_batch(make_item: Callable[..., Item]) -> Callable[..., Batch]:
    def build(*sizes: tuple[int, int], **changes: Any) -> Batch:
        items = [make_item(*size, seed=number, **changes) for number, size in enumerate(sizes)]
        return collate(items, SILENCE)

    return build
