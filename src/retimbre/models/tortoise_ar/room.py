"""How much memory learning takes, and how many layers have to be recomputed so that it is enough.

What a layer keeps for its gradients is counted here, not measured; a test compares it with what torch keeps.

In bfloat16 (2 bytes a number) the sums that go around the layers stay float32, as autocast has it.
"""

from dataclasses import dataclass

from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig

WIDE_BYTES = 4  # of a float32
AROUND = 2  # sums that a layer keeps in float32: what it normalises
INSIDE = (
    16  # times dim, in its own numbers: two norms, three projections of each, two masks, 4 + 4 in between
)
SEEN_SHARE = 0.64  # of all pairs of places, in attention that is taken in pieces
IN_BLOCK = 6  # times dim, of a block that reads the voice: a norm, three projections, what it saw, its result
LOGIT_BYTES = 14  # of each score: itself, float32, and its gradient
SCATTERED = 1.25  # times what is kept: freed memory lies in pieces that do not always fit what comes next
ADAM_BYTES, GRADIENT_BYTES = 8, 4  # of each number that learns


@dataclass(frozen=True, kw_only=True)
class AtOnce:
    """What goes through the network together: a part of a batch.

    Args:
        n_symbols: Of the longest text, ends included.
        n_codes: Of the longest utterance, ends included.
        n_clips: Of a voice, for each utterance.
        n_frames: Of a clip.
        number_bytes: 4 for float32, 2 for bfloat16.
    """

    n_utterances: int
    n_symbols: int
    n_codes: int
    n_clips: int
    n_frames: int
    number_bytes: int = WIDE_BYTES

    @property
    def n_rows(self) -> int:
        """Vectors that go through each layer."""
        return self.n_utterances * self.n_places

    @property
    def n_places(self) -> int:
        """Of the longest sequence: its voice, its text and its codes."""
        return 1 + self.n_symbols + self.n_codes


def layer_bytes(config: UnifiedVoiceConfig, at_once: AtOnce) -> int:
    """What one layer keeps for its gradients."""
    by_channel = (AROUND * WIDE_BYTES + INSIDE * at_once.number_bytes) * config.dim
    by_pair = SEEN_SHARE * at_once.number_bytes * config.n_heads * at_once.n_places
    return int(at_once.n_rows * (by_channel + by_pair))


def recomputed_layer_bytes(config: UnifiedVoiceConfig, at_once: AtOnce) -> int:
    """What one layer keeps that is recomputed: what it reads."""
    return at_once.n_rows * config.dim * WIDE_BYTES


def other_bytes(config: UnifiedVoiceConfig, at_once: AtOnce) -> int:
    """What is kept beside the layers: of the voices, and for the losses."""
    frames = at_once.n_utterances * at_once.n_clips * at_once.n_frames
    of_frame = config.n_conditioning_layers * (WIDE_BYTES + IN_BLOCK * at_once.number_bytes) * config.dim
    return frames * of_frame + at_once.n_utterances * at_once.n_codes * config.n_codes * LOGIT_BYTES


def learning_bytes(n_learning: int, kept: int, *, has_more_parts: bool = False) -> int:
    """Memory beside the weights: of the optimiser, of gradients, and of what is kept for them.

    Args:
        n_learning: How many numbers learn.
        kept: For the gradients of one part of a batch.
        has_more_parts: The gradients of the part before are there when the next one goes through.
    """
    gradients, kept = GRADIENT_BYTES * n_learning, int(SCATTERED * kept)
    # Otherwise the gradients of a layer come when what it has kept goes.
    return ADAM_BYTES * n_learning + (gradients + kept if has_more_parts else max(gradients, kept))


def layers_to_recompute(
    config: UnifiedVoiceConfig,
    at_once: AtOnce,
    *,
    n_learning: int,
    free_bytes: int,
    has_more_parts: bool = False,
) -> int:
    """So few that learning fits into `free_bytes` beside the weights; all, if it does not even then.

    Recomputing changes no number, so that a run may go on with another answer.
    """
    whole, short = layer_bytes(config, at_once), recomputed_layer_bytes(config, at_once)
    beside = other_bytes(config, at_once)
    for n in range(config.n_layers):
        # While a layer is recomputed it is there once more.
        kept = beside + (config.n_layers - n) * whole + n * short + (whole if n else 0)
        if learning_bytes(n_learning, kept, has_more_parts=has_more_parts) <= free_bytes:
            return n
    return config.n_layers
