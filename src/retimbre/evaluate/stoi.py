"""STOI, how much of degraded speech can be understood. The only file that imports pystoi."""

import warnings
from importlib.util import find_spec

from retimbre.audio.waveform import Audio
from retimbre.errors import DataError, MissingExtra
from retimbre.evaluate.pairing import pair


def has_stoi() -> bool:
    """Whether the optional package is installed."""
    return find_spec("pystoi") is not None


def stoi_score(reference: Audio, candidate: Audio) -> float:
    """Short-time objective intelligibility (Taal et al. 2011) at 10 kHz, from about 0 to 1 (no difference).

    Raises:
        MissingExtra: without the package pystoi.
        DataError: if less than 0.4 s of the reference is loud enough to count.
    """
    try:
        from pystoi import stoi  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingExtra("STOI", extra="evaluate") from error

    two = pair(reference, candidate)
    with warnings.catch_warnings():
        # Too little speech is told by a warning, and a value that means nothing.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(two.reference, two.candidate, two.sample_rate_hz))
        except RuntimeWarning as found:
            raise DataError("STOI cannot rate this recording", found=str(found)) from found
