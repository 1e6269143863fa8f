"""Windows of a spec give the samples of the whole, so a text in pieces has no joints that can be heard."""

import pytest
import torch

from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.hifigan.model import Generator
from retimbre.pipelines.windows import context_frames, sound_of

CONFIGS = {
    "v1": {"initial_channels": 16},
    "v3": {
        "initial_channels": 16,
        "resblock": "2",
        "upsample_rates": (8, 8, 4),
        "upsample_kernels": (16, 16, 8),
        "resblock_kernels": (3, 5, 7),
        "resblock_dilations": ((1, 2), (2, 6), (3, 12)),
    },
    "istft": {
        "initial_channels": 8,
        "upsample_rates": (8, 8),
        "upsample_kernels": (16, 16),
        "istft_n_fft_samples": 16,
    },
    "slow": {
        "initial_channels": 8,
        "upsample_rates": (2, 2),
        "upsample_kernels": (4, 4),
        "resblock_kernels": (3, 7),
        "resblock_dilations": ((1, 3), (1, 5)),
    },
}


def generator(kind):
    torch.manual_seed(2)
    made = Generator(GeneratorConfig(n_mels=5, **CONFIGS[kind])).eval()
    with torch.no_grad():  # loud enough that a missing neighbour would be heard
        for name, parameter in made.named_parameters():
            if name.endswith("original0"):
                parameter.mul_(2.0)
    return made


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("n_frames", [1, 7, 50, 97])
def test_windows_give_what_all_frames_at_once_give(kind, n_frames):
    made, spec = generator(kind), torch.randn(5, n_frames)

    whole = sound_of(spec, made)
    in_windows = sound_of(spec, made, window_frames=17)

    assert whole.shape == (n_frames * made.config.hop_samples,)
    torch.testing.assert_close(in_windows, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", CONFIGS)
def test_no_sample_hears_what_lies_beyond_its_context(kind):
    made, spec, at = generator(kind), torch.randn(5, 200), 100
    other = spec.clone()
    other[:, at] += 3

    is_changed = sound_of(spec, made) != sound_of(other, made)

    frames = is_changed.reshape(200, -1).any(1).nonzero().flatten()
    assert frames.min() >= at - context_frames(made.config)
    assert frames.max() <= at + context_frames(made.config)
    assert frames.max() > at


def test_the_joint_of_two_pieces_does_not_click():
    made, pieces = generator("v1"), [torch.randn(5, 40) * 0.1 + 2 for _ in range(2)]

    joined = sound_of(torch.cat(pieces, dim=1), made)
    hard = torch.cat([sound_of(piece, made) for piece in pieces])

    def jump(wave):
        """The bend at the joint, against the strongest one nearby."""
        bends, at = wave.diff(n=2).abs(), len(wave) // 2
        return bends[at - 6 : at + 6].max() / bends[at - 3000 : at - 300].max()

    assert joined.shape == hard.shape
    assert jump(joined) < jump(hard)
