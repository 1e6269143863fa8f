"""A spec and its recording as one item: which frames, which samples, and what is refused."""

import pytest
import torch

from retimbre.audio.mel import log_mel, tortoise_univnet_mel100
from retimbre.errors import DataError
from retimbre.models.univnet.batch import MOST_BEYOND, fewest_frames, item_of

MEL = tortoise_univnet_mel100()
HOP = MEL.hop_samples


@pytest.mark.parametrize("n_samples", [20 * HOP, 20 * HOP + 1, 21 * HOP - 1])
def test_a_real_spec_loses_the_frame_at_the_end_of_the_recording(n_samples):
    samples = 0.1 * torch.randn(n_samples)

    item = item_of(log_mel(samples, MEL), samples, hop_samples=HOP)

    assert item.spec.equal(log_mel(samples, MEL)[:, :20])
    assert item.samples.equal(samples[: 20 * HOP])


@pytest.mark.parametrize("n_frames", [29, 30, 31, 30 + MOST_BEYOND])
def test_a_produced_spec_may_end_with_its_last_code(n_frames):
    samples, spec = torch.randn(30 * HOP + 100), torch.randn(100, n_frames)

    item = item_of(spec, samples, hop_samples=HOP)

    assert item.n_frames == min(n_frames, 30)
    assert item.spec.equal(spec[:, : item.n_frames])
    assert item.samples.equal(samples[: item.n_frames * HOP])


@pytest.mark.parametrize("n_frames", [28, 31 + MOST_BEYOND])
def test_a_spec_of_another_utterance_is_refused(n_frames):
    with pytest.raises(DataError, match=f"expected 29 to 36 frames for 7,780 samples, found {n_frames} fra"):
        item_of(torch.randn(100, n_frames), torch.randn(30 * HOP + 100), hop_samples=HOP)


def test_a_recording_that_is_too_short_for_the_losses_is_refused():
    with pytest.raises(DataError, match="expected at least 5 frames of 256 samples, found 4"):
        item_of(torch.randn(100, 5), torch.randn(5 * HOP - 1), hop_samples=HOP)

    assert item_of(torch.randn(100, 6), torch.randn(5 * HOP), hop_samples=HOP).n_frames == 5


@pytest.mark.parametrize(("hop", "frames"), [(256, 5), (1024, 4), (32, 33)])
def test_the_shortest_segment_suits_network_and_losses(hop, frames):
    assert fewest_frames(hop) == frames


@pytest.mark.parametrize("place", [3, 10, 16])
def test_a_frame_and_its_samples_belong_to_the_same_moment(place):
    """A click at the first sample of a frame is loudest in it, and as loud in the frames on both sides."""
    samples = torch.zeros(20 * HOP)
    samples[place * HOP] = 1.0

    item = item_of(log_mel(samples, MEL), samples, hop_samples=HOP)

    loudness = item.spec.exp().sum(0)
    assert loudness.argmax() == place
    torch.testing.assert_close(loudness[place - 1], loudness[place + 1], rtol=1e-3, atol=0)
    assert item.samples.view(20, HOP)[place, 0] == 1
