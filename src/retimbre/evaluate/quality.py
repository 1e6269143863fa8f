"""PESQ, a standardised model of how listeners rate speech. The only file that imports pesq."""

from importlib.util import find_spec

import numpy as np
import soxr

from retimbre.audio.waveform import Audio
from retimbre.errors import DataError, MissingExtra
from retimbre.evaluate.pairing import pair

WIDE_BAND_HZ = 16000


def has_pesq() -> bool:
    """Whether the optional package is installed."""
    return find_spec("pesq") is not None


def pesq_score(reference: Audio, candidate: Audio) -> float:
    """Wide-band PESQ (ITU-T P.862.2) of both at 16 kHz: from 1.04 (bad) to 4.64 (no difference).

    Raises:
        MissingExtra: without the package pesq.
        DataError: where it finds no speech.
    """
    try:
        from pesq import PesqError, pesq  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingExtra("PESQ", extra="evaluate") from error

    two = pair(reference, candidate)
    ours, theirs = (
        np.asarray(soxr.resample(samples, two.sample_rate_hz, WIDE_BAND_HZ), dtype=np.float32)
        for samples in (two.reference, two.candidate)
    )
    try:
        return float(pesq(WIDE_BAND_HZ, ours, theirs, "wb"))
    except PesqError as error:
        raise DataError("PESQ cannot rate this recording", found=str(error)) from error
