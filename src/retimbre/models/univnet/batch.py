"""A spectrogram and its recording as one item for UnivNet; segments and batches are those of every vocoder.

Frame k of TorToiSe's spectrogram is centred on sample k * 256 and becomes the samples k * 256 to
(k + 1) * 256. See `retimbre.models.hifigan.batch` for the rest.

Axes used in this file:
    mels     bands of the spectrogram
    frames   of the spectrogram
    samples  of the recording
"""

from jaxtyping import Float
from torch import Tensor

from retimbre.errors import DataError
from retimbre.models.hifigan.batch import VocoderItem
from retimbre.models.univnet.magnitudes import FEWEST_SAMPLES
from retimbre.models.univnet.model import EDGE

MOST_BEYOND = 6  # frames: one code stands for 4.36, and a spec made of codes ends with a whole one


def fewest_frames(hop_samples: int) -> int:
    """The shortest segment that network and losses can look at: they continue its ends by a mirror image."""
    return max(EDGE + 1, -(-FEWEST_SAMPLES // hop_samples))


def item_of(
    spec: Float[Tensor, "mels frames"], samples: Float[Tensor, "samples"], *, hop_samples: int
) -> VocoderItem:
    """Both cut to the frames that they share, and those to whole ones.

    A real spec has one frame more, which is centred on the recording's end and has no samples. One that was
    made of codes goes on as far as its last code, which is mostly silence.

    Args:
        spec: As logarithms, not mapped to -1..1.
        samples: At the rate of the spec.

    Raises:
        DataError: they cannot be of one utterance, or are too short to train on.
    """
    n_whole, n_frames = len(samples) // hop_samples, spec.shape[1]
    if not -1 <= n_frames - n_whole <= MOST_BEYOND:
        raise DataError(
            "a spec and its recording do not belong together",
            expected=f"{n_whole - 1} to {n_whole + MOST_BEYOND} frames for {len(samples):,} samples",
            found=f"{n_frames} frames",
            do="make the specs again from the present recordings",
        )
    n_shared, fewest = min(n_whole, n_frames), fewest_frames(hop_samples)
    if n_shared < fewest:
        raise DataError(
            "a recording is too short to train a vocoder on",
            expected=f"at least {fewest} frames of {hop_samples} samples",
            found=str(n_shared),
            do="leave it out, or join it with its neighbour",
        )
    return VocoderItem(spec=spec[:, :n_shared], samples=samples[: n_shared * hop_samples])
