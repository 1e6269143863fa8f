"""The decoder: the frozen reference, batches, lengths, precision and quirks."""

import math

import pytest
import torch

from retimbre.checkpoint.fill import load_weights
from retimbre.models.tortoise_diffusion import TORTOISE_DIFFUSION
from retimbre.models.tortoise_diffusion.attention import AttentionBlock, buckets
from retimbre.nn.packing import packed

TOLERANCE = {"atol": 5e-4, "rtol": 0.0}


@torch.no_grad()
def test_a_voice_is_described_as_by_the_reference(reference, io):
    torch.testing.assert_close(reference.voice(io["cond_mel"]), io["conditioning_latent"], **TOLERANCE)


@pytest.mark.parametrize("content", ["latents", "codes"])
@torch.no_grad()
def test_a_step_equals_the_reference(content, reference, io):
    aligned = reference.align(io[content], io["cond_latent_in"], io["x"].shape[-1])
    out = reference(io["x"], io["timesteps"], aligned)

    torch.testing.assert_close(aligned, io[f"aligned_from_{content}"], **TOLERANCE)
    torch.testing.assert_close(out, io[f"out_from_{content}"], **TOLERANCE)


@torch.no_grad()
def test_the_guess_without_diffusion_equals_the_reference(reference, io):
    aligned = reference.align(io["codes"], io["cond_latent_in"], io["x"].shape[-1])

    torch.testing.assert_close(reference.first_guess(aligned), io["mel_pred_from_codes"], **TOLERANCE)


@torch.no_grad()
def test_a_step_without_anything_said_equals_the_reference(reference, io):
    aligned = reference.unconditioned(len(io["x"]), io["x"].shape[-1])
    out = reference(io["x"], io["timesteps"], aligned)

    torch.testing.assert_close(out, io["out_unconditioned"], **TOLERANCE)


@pytest.mark.parametrize("n_frames", [1, 7, 30])
@pytest.mark.parametrize("n_codes", [1, 5])
@torch.no_grad()
def test_utterances_of_a_batch_do_not_meet(n_frames, n_codes, tiny):
    # In float64: a norm of what hardly differs from frame to frame makes rounding errors large.
    tiny, options = tiny.double(), {"dtype": torch.float64}
    clips, latents = torch.randn(3, 2, 5, 9, **options), torch.randn(3, n_codes, 6, **options)
    noisy, timesteps = torch.randn(3, 5, n_frames, **options), torch.tensor([0, 1234, 3999])

    together = tiny(noisy, timesteps, tiny.align(latents, tiny.voice(clips), n_frames))

    assert together.shape == (3, 10, n_frames)
    for row in range(3):
        one = slice(row, row + 1)
        aligned = tiny.align(latents[one], tiny.voice(clips[one]), n_frames)
        torch.testing.assert_close(tiny(noisy[one], timesteps[one], aligned), together[one])


@torch.no_grad()
def test_everything_that_is_said_makes_a_difference(tiny):
    voice, codes, timesteps = torch.randn(1, 16), torch.tensor([[3, 10, 0]]), torch.tensor([50])
    noisy = torch.randn(1, 5, 12)

    def out(voice=voice, codes=codes, timesteps=timesteps, noisy=noisy):
        return tiny(noisy, timesteps, tiny.align(codes, voice, 12))

    changes = [
        {"voice": voice + 0.5},
        {"codes": codes.flip(1)},
        {"timesteps": timesteps + 900},
        {"noisy": -noisy},
    ]
    for change in changes:
        assert (out(**change) - out()).abs().max() > 1e-3, change


@torch.no_grad()
def test_saved_and_loaded_gives_equal_output(tiny):
    other = TORTOISE_DIFFUSION.build(tiny.config).eval()
    load_weights(other, TORTOISE_DIFFUSION.theirs(tiny.state_dict()))
    noisy, timesteps, aligned = torch.randn(2, 5, 6), torch.tensor([4, 40]), torch.randn(2, 8, 6)

    assert torch.equal(other(noisy, timesteps, aligned), tiny(noisy, timesteps, aligned))


@torch.no_grad()
def test_bfloat16_autocast_gives_nearly_the_same(tiny):
    noisy, timesteps, aligned = torch.randn(2, 5, 6), torch.tensor([4, 40]), torch.randn(2, 8, 6)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = tiny(noisy, timesteps, aligned)

    torch.testing.assert_close(mixed.float(), tiny(noisy, timesteps, aligned), atol=5e-2, rtol=5e-2)


@pytest.mark.parametrize(("precision", "share"), [("float32", 1e-5), ("bfloat16", 3e-2), ("int8", 6e-2)])
@torch.no_grad()
def test_packed_it_gives_nearly_the_same(precision, share, reference, io):
    """The frozen reference has random weights: how far released ones stray is not known from this."""
    found = packed(reference, precision)(io["x"], io["timesteps"], io["aligned_from_latents"])

    expected = io["out_from_latents"]
    assert found.dtype == torch.float32
    assert (found - expected).square().mean().sqrt() <= share * expected.square().mean().sqrt()


@torch.no_grad()
def test_packed_it_also_prepares_a_sentence(reference, io):
    speaking = packed(reference)

    torch.testing.assert_close(speaking.voice(io["cond_mel"]), io["conditioning_latent"], **TOLERANCE)
    for content in ("latents", "codes"):
        aligned = speaking.align(io[content], io["cond_latent_in"], io["x"].shape[-1])
        torch.testing.assert_close(aligned, io[f"aligned_from_{content}"], **TOLERANCE)


@torch.no_grad()
def test_what_the_time_does_is_computed_for_many_steps_at_once(tiny):
    noisy, timesteps, aligned = torch.randn(2, 5, 6), torch.tensor([4, 400]), torch.randn(2, 8, 6)
    steering = tiny.steering(torch.tensor([9, 400, 4]))

    found = tiny.denoised(noisy, steering[[2, 1]], aligned)

    torch.testing.assert_close(found, tiny(noisy, timesteps, aligned))


@torch.no_grad()
def test_a_network_in_half_precision_works(tiny):
    noisy, timesteps, aligned = torch.randn(2, 5, 6), torch.tensor([4, 40]), torch.randn(2, 8, 6)
    full = tiny(noisy, timesteps, aligned)

    half = tiny.bfloat16()(noisy.bfloat16(), timesteps, aligned.bfloat16())

    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, atol=5e-2, rtol=5e-2)


def test_gradients_reach_every_weight(tiny):
    """Latents and codes take two ways; each way learns from the noise and from the first guess."""
    noisy, timesteps, voice = torch.randn(2, 5, 9), torch.tensor([4, 40]), tiny.voice(torch.randn(2, 1, 5, 8))
    loss = tiny(noisy, timesteps, tiny.unconditioned(2, 9)).square().mean()
    for content in (torch.randn(2, 4, 6), torch.randint(11, (2, 4))):
        aligned = tiny.align(content, voice, 9)
        loss = loss + (tiny(noisy, timesteps, aligned) + 1).square().mean()
        loss = loss + tiny.first_guess(aligned).square().mean()

    loss.backward()

    assert [name for name, weight in tiny.named_parameters() if not weight.grad.isfinite().all()] == []
    without = [name for name, weight in tiny.named_parameters() if not weight.grad.any()]
    assert without == []


def test_near_distances_have_their_own_bucket_and_far_ones_share():
    found = buckets(torch.tensor([0, -1, -7, -8, -15, -63, -64, -900, 1, 7, 8, 64, 900]))

    assert found.tolist() == [0, 1, 7, 8, 10, 15, 15, 15, 17, 23, 24, 31, 31]


@torch.no_grad()
def test_distance_counts_by_the_root_of_a_head():
    """Against attention as in the paper, computed in float64, one head and one query after the other."""
    torch.manual_seed(2)
    block, x = AttentionBlock(8, 2).double(), torch.randn(1, 70, 8, dtype=torch.float64)
    table = block.relative_pos_embeddings.relative_attention_bias.weight

    mixed = []
    for head, of_head in enumerate(block.qkv(block.norm(x))[0].T.split(12)):
        query, key, value = of_head.split(4)
        for i in range(70):
            gain = table[buckets(torch.arange(70) - i), head] * math.sqrt(4)
            mixed.append(value @ (query[:, i] @ key / math.sqrt(4) + gain).softmax(0))
    expected = x + block.proj_out(torch.stack(mixed).view(2, 70, 4).transpose(0, 1).reshape(1, 70, 8))

    torch.testing.assert_close(block(x), expected)
