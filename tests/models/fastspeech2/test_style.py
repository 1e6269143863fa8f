import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from retimbre.models.fastspeech2.config import StyleSizes
from retimbre.models.fastspeech2.style import BandNorm, StyleEncoder

FOLDER = Path(__file__).parents[2] / "fixtures" / "everyvoice" / "fs2_style"
SMALL = StyleSizes(n_tokens=3, n_heads=2, channels=(4, 6, 5), summary_dim=7)
TURN = 6.283185307179586
LENGTHS = [1, 2, 37, 64, 65, 130]


@pytest.fixture
def small_encoder():
    torch.manual_seed(3)
    encoder = StyleEncoder(dim=8, n_mels=9, sizes=SMALL)
    for name, tensor in encoder.named_buffers():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.3)
    return encoder.eval()


def padded(specs, value=4.0):
    longest = max(len(spec) for spec in specs)
    rows = [torch.cat([spec, torch.full((longest - len(spec), spec.shape[1]), value)]) for spec in specs]
    return torch.stack(rows), torch.tensor([len(spec) for spec in specs])


@pytest.fixture
@torch.no_grad()
def full_size():
    """EveryVoice's own sizes, filled by the formula that its reference was made with."""
    encoder = StyleEncoder(dim=256, n_mels=80, sizes=StyleSizes()).eval()
    for number, (name, tensor) in enumerate(sorted(encoder.state_dict().items())):
        if name.endswith("num_batches_tracked"):
            continue
        k = torch.arange(tensor.numel(), dtype=torch.float64)
        wave = torch.sin(0.7 * number + 1.3 * k + 0.01 * k * k % TURN)
        last = name.rsplit(".", 1)[-1]
        is_sharp = "linear_q.w" in name or "linear_k.w" in name
        value = wave * (tensor[0].numel() ** -0.5 * 1.4 if tensor.ndim > 1 else 0.2) * (8 if is_sharp else 1)
        if last == "running_var" or (last == "weight" and tensor.ndim == 1):
            value = 1 + 0.3 * wave
        tensor.copy_(value.reshape(tensor.shape).float())
    return encoder


def recording(n_frames, n_mels=80):
    k = torch.arange(n_frames * n_mels, dtype=torch.float64)
    spec = -5 + 3 * torch.sin(0.37 * k + 0.0007 * n_frames * k + 0.0007 * k * k % TURN)
    return spec.float().reshape(n_frames, n_mels)


def test_at_full_size_the_tensors_are_everyvoices(full_size):
    expected = json.loads((FOLDER / "full_size_shapes.json").read_text())
    assert {name: list(tensor.shape) for name, tensor in full_size.state_dict().items()} == expected


@torch.no_grad()
def test_at_full_size_any_length_gives_everyvoices_style_alone_and_in_one_batch(full_size):
    expected = load_file(FOLDER / "full_size.safetensors")
    specs = [recording(n) for n in LENGTHS]

    together = full_size(*padded(specs))
    summaries = full_size.ref_enc(*padded(specs))

    for row, (n_frames, spec) in enumerate(zip(LENGTHS, specs, strict=True)):
        alone = full_size(spec[None], torch.tensor([n_frames]))
        torch.testing.assert_close(alone, expected[f"style_{n_frames}"], atol=2e-5, rtol=0)
        torch.testing.assert_close(together[row : row + 1], alone, atol=2e-5, rtol=0)
        torch.testing.assert_close(
            summaries[row : row + 1], expected[f"summary_{n_frames}"], atol=2e-5, rtol=0
        )
    torch.testing.assert_close(
        full_size.without_reference(1), expected["style_of_nothing"], atol=2e-5, rtol=0
    )


@torch.no_grad()
@pytest.mark.parametrize("n_frames", [1, 2, 7, 8, 9, 33])
def test_padding_never_changes_a_style(small_encoder, n_frames):
    spec, longer = torch.randn(n_frames, 9), torch.randn(40, 9)
    alone = small_encoder(spec[None], torch.tensor([n_frames]))
    together = small_encoder(*padded([spec, longer]))
    torch.testing.assert_close(together[:1], alone, atol=1e-6, rtol=0)


def test_padding_changes_no_running_statistic(small_encoder):
    specs, n_frames = padded([torch.randn(n, 9) for n in (5, 12, 8)])
    wider = torch.cat([specs, torch.full((3, 7, 9), -9.0)], dim=1)
    small_encoder.train()
    before = {name: tensor.clone() for name, tensor in small_encoder.state_dict().items()}
    found = []
    for batch in (specs, wider):
        small_encoder.load_state_dict(before)
        small_encoder(batch, n_frames)
        found.append({name: tensor.clone() for name, tensor in small_encoder.named_buffers()})
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)
    assert not torch.equal(found[0]["ref_enc.convs.1.running_mean"], before["ref_enc.convs.1.running_mean"])


def test_without_padding_the_norm_is_torchs():
    torch.manual_seed(1)
    x, ours, theirs = torch.randn(3, 4, 5, 6), BandNorm(4), torch.nn.BatchNorm2d(4)
    for norm in (ours, theirs):
        torch.manual_seed(2)
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    is_frame = torch.ones(3, 5, dtype=torch.bool)

    torch.testing.assert_close(ours(x, is_frame), theirs(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(x, is_frame), theirs.eval()(x), atol=1e-5, rtol=1e-5)


def test_without_a_reference_the_first_token_alone_is_the_style(small_encoder):
    tokens = small_encoder.stl
    value = tokens.mha.linear_v(tokens.gst_embs[0].tanh())
    alone = tokens.mha.linear_out(value)
    torch.testing.assert_close(small_encoder.without_reference(2), alone.expand(2, -1))


def test_bfloat16_autocast_leaves_a_style_as_it_is(small_encoder):
    spec, n_frames = torch.randn(1, 11, 9), torch.tensor([11])
    expected = small_encoder(spec, n_frames)
    with torch.autocast("cpu", torch.bfloat16):
        assert small_encoder(spec, n_frames).equal(expected)
