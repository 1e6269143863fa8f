"""A perfect generator must score zero: the mel loss compares the same moments."""

from dataclasses import replace

import pytest
import torch

from retimbre.audio.files import load_audio
from retimbre.audio.mel import log_mel, mel_librosa
from retimbre.models.hifigan.loss import interior_frames, mel_loss_from_segments

N_SAMPLES, HOP = 8192, 256


@pytest.fixture(scope="module")
def recordings(shared):
    """Twenty real clips, in whole hops and with the peak that prepared recordings have."""
    files = sorted((shared / "data" / "ljspeech-mini" / "wavs").glob("*.wav"))[:20]
    clips = [load_audio(file).samples for file in files]
    return [0.95 * clip[: len(clip) // HOP * HOP] / clip.abs().max() for clip in clips]


@pytest.fixture(scope="module")
def pairs(recordings):
    """Segments of the recordings, and the same frames of their stored specs."""
    mel, chosen = mel_librosa(), torch.Generator().manual_seed(7)
    segments, stored = [], []
    for clip in recordings:
        spec = log_mel(clip, mel)
        for start in torch.randint(0, spec.shape[-1] - 32, (5,), generator=chosen).tolist():
            segments.append(clip[start * HOP : start * HOP + N_SAMPLES])
            stored.append(spec[:, start : start + 32])
    return torch.stack(segments).unsqueeze(1), torch.stack(stored)


def difference(a, b):
    return (a - b).abs().mean().item()


def all_centred_frames(segments):
    """Also the frame on the end of each segment, which prepared specs do not keep: 33 for 8,192 samples."""
    return log_mel(segments[:, 0], replace(mel_librosa(), drops_last_frame=False))


def test_a_perfect_generator_scores_badly_where_the_first_frame_is_dropped(pairs):
    segments, stored = pairs

    generated = all_centred_frames(segments)

    assert difference(generated[..., 1:], stored) == pytest.approx(0.49, abs=0.06)
    assert difference(generated[..., :-1], stored) == pytest.approx(0.04, abs=0.015)


def test_a_perfect_generator_agrees_with_stored_specs_on_interior_frames(pairs):
    segments, stored = pairs
    inside = interior_frames(N_SAMPLES, mel_librosa())

    generated = log_mel(segments[:, 0], mel_librosa())

    assert inside == slice(2, 31)
    assert difference(generated[..., inside], stored[..., inside]) < 1e-4
    assert (generated - stored).abs().amax((0, 1))[[0, 1, 31]].min() > 0.1  # and no further frame does


def test_the_training_loss_of_a_perfect_generator_is_zero(pairs):
    segments, _ = pairs

    assert mel_loss_from_segments(segments, segments.clone(), mel_librosa()).item() == 0.0
    moved = torch.roll(segments, HOP, dims=-1)
    assert mel_loss_from_segments(moved, segments, mel_librosa()).item() > 0.3
