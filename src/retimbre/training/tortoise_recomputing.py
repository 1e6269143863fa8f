"""How many layers of text-to-codes are computed again in the backward pass: as few as the memory allows."""

from collections.abc import Sequence

from torch import nn

from retimbre.models.tortoise_ar.batch import N_TEXT_ENDS
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.room import WIDE_BYTES, AtOnce, layers_to_recompute
from retimbre.recipe.training import Training
from retimbre.training.tortoise_plan import USABLE_SHARE

REDUCED_BYTES = 2  # of a bfloat16


def recomputed_layers(
    config: UnifiedVoiceConfig,
    settings: Training,
    *,
    lengths: Sequence[tuple[int, int]],
    clips: tuple[int, int],
    learning: Sequence[nn.Parameter],
    free_bytes: int | None,
) -> int:
    """For `model.gpt.n_recomputed`. Whatever it is, the same is learnt, bit for bit.

    Args:
        lengths: Symbols and codes of each utterance, without ends.
        clips: How many recordings of a voice are heard, and frames of each.
        learning: What moves: the weights, or the adapters beside them.
        free_bytes: Of the device, once the weights are there; None where nobody says.
    """
    if not settings.recomputes:
        return 0
    if free_bytes is None:
        return config.n_layers
    return layers_to_recompute(
        config,
        largest_part(settings, lengths=lengths, clips=clips),
        n_learning=sum(parameter.numel() for parameter in learning),
        free_bytes=int(USABLE_SHARE * free_bytes),
        has_more_parts=settings.batch_parts > 1,
    )


def largest_part(settings: Training, *, lengths: Sequence[tuple[int, int]], clips: tuple[int, int]) -> AtOnce:
    """The longest utterances, as many as go through the network together."""
    n_utterances = min(-(-settings.batch_size // settings.batch_parts), len(lengths))
    n_symbols, n_codes = max(lengths, key=sum)
    return AtOnce(
        n_utterances=n_utterances,
        n_symbols=n_symbols + N_TEXT_ENDS,
        n_codes=n_codes + 1,
        n_clips=clips[0],
        n_frames=clips[1],
        number_bytes=REDUCED_BYTES if settings.precision == "bf16-mixed" else WIDE_BYTES,
    )
