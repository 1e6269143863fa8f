"""Sizes of a FastSpeech 2 from names and shapes, and from the plain values that lie beside them.

Our names are EveryVoice's.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from retimbre.checkpoint.ledger import Ledger
from retimbre.errors import CheckpointError
from retimbre.models.assumptions import Assumption
from retimbre.models.family import Inferred, Shapes
from retimbre.models.fastspeech2.config import (
    ConformerSizes,
    FastSpeech2Config,
    Level,
    PredictorSizes,
    StyleSizes,
)

Known = Mapping[str, Any]

MARKERS = ("variance_adaptor.duration_predictor.", "mel_linear.")
STYLE_TOKENS = "gst.stl.gst_embs"
SYMBOLS = "text_input_layer.weight"
FEATURES = "text_input_layer.features"  # of each symbol; only our own files hold them
POSTNET_FIRST = "postnet.convolutions.0.0.conv.weight"


def fits(shapes: Shapes) -> bool:
    """Are these the tensors of a FastSpeech 2 as EveryVoice builds it?"""
    return all(any(name.startswith(marker) for name in shapes) for marker in MARKERS)


def take(ledger: Ledger) -> None:
    """Our names are EveryVoice's."""


def theirs(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors under EveryVoice's names, which are the same; it works features out of every text."""
    return {name: tensor for name, tensor in tensors.items() if name != FEATURES}


def lacks_features(shapes: Shapes) -> bool:
    """Does this network read features of its symbols that lie in another place than among its tensors?"""
    has_table = _shape(shapes, SYMBOLS, 2)[1] == _shape(shapes, "mel_linear.weight", 2)[1]
    return not has_table and FEATURES not in shapes


def config_from(shapes: Shapes, known: Known) -> Inferred:
    """Every size that a tensor tells, the rest from `known` or, said in `assumed`, EveryVoice's default.

    Args:
        known: Our own config as a dict, or EveryVoice's `hyper_parameters`; may be partial or empty.
    """
    hints = _Hints(known)
    n_mels, dim = _shape(shapes, "mel_linear.weight", 2)
    n_symbols, n_features = _symbols(shapes, dim)
    learns_alignment = "variance_adaptor.attention.key_proj.0.conv.weight" in shapes
    config = FastSpeech2Config(
        n_symbols=n_symbols,
        n_features=n_features,
        n_mels=n_mels,
        encoder=_conformer(shapes, "encoder", hints),
        decoder=_conformer(shapes, "decoder", hints),
        duration=_predictor(shapes, "duration", hints),
        pitch=_predictor(shapes, "pitch", hints),
        energy=_predictor(shapes, "energy", hints),
        pitch_level=hints.level("pitch"),
        energy_level=hints.level("energy"),
        n_pitch_bins=_shape(shapes, "variance_adaptor.pitch_embedding.weight", 2)[0],
        n_energy_bins=_shape(shapes, "variance_adaptor.energy_embedding.weight", 2)[0],
        pitch_range=hints.value_range("pitch"),
        energy_range=hints.value_range("energy"),
        learns_alignment=learns_alignment,
        attention_dim=_attention_dim(shapes) if learns_alignment else FastSpeech2Config.attention_dim,
        postnet_dim=_shape(shapes, POSTNET_FIRST, 3)[0] if POSTNET_FIRST in shapes else None,
        n_speakers=_rows(shapes, "speaker_embedding.weight"),
        n_languages=_rows(shapes, "language_embedding.weight"),
        style=_style(shapes, dim) if STYLE_TOKENS in shapes else None,
        silence=hints.silence(),
    )
    return Inferred(config=config, assumed=tuple(hints.assumed))


class _Hints:
    """What no tensor tells, in our words or in EveryVoice's; keeps a note of what had to be assumed."""

    def __init__(self, known: Known) -> None:
        self.assumed: list[Assumption] = []
        self.ours = known
        self.theirs: Known = known.get("config", {}).get("model", {})
        self.stats: Known = known.get("stats") or {}

    def heads(self, part: str) -> int:
        told = self._of_stack(part, "n_heads", "heads")
        return self._told(
            told, f"{part}.heads", ConformerSizes.n_heads, "attention heads, EveryVoice's usual number"
        )

    def dropout(self, part: str) -> float:
        told = self._of_stack(part, "dropout", "dropout")
        return ConformerSizes.dropout if told is None else float(told)

    def predictor_dropout(self, part: str) -> float:
        told = self._of_predictor(part, "dropout")
        return PredictorSizes.dropout if told is None else float(told)

    def level(self, part: str) -> Level:
        told = self.ours.get(f"{part}_level") or self._of_predictor(part, "level")
        because = f"one {part} for each symbol, not for each frame"
        return Level(self._told(told, f"{part}.level", Level.PHONE.value, because))

    def value_range(self, part: str) -> tuple[float, float]:
        """Only where a new network begins: the edges of the bins are among the tensors."""
        stat = self.stats.get(part) or {}
        low, high = self.ours.get(f"{part}_range") or (stat.get("norm_min", -3.0), stat.get("norm_max", 3.0))
        return float(low), float(high)

    def silence(self) -> float:
        return float(self.ours.get("silence", FastSpeech2Config.silence))

    def _told(self, told: Any, name: str, usual: Any, because: str) -> Any:  # noqa: ANN401 (a number or a word)
        """What the file says, or else the user by this name, or else what is usual."""
        if told is None and name not in self.ours:
            self.assumed.append(Assumption(name=name, value=usual, because=because))
        return self.ours.get(name, usual if told is None else told)

    def _of_stack(self, part: str, our_word: str, their_word: str) -> int | float | None:
        return self.ours.get(part, {}).get(our_word, self.theirs.get(part, {}).get(their_word))

    def _of_predictor(self, part: str, word: str) -> Any:  # noqa: ANN401 (a number or a word)
        theirs = self.theirs.get("variance_predictors", {}).get(part, {})
        return self.ours.get(part, {}).get(word, theirs.get(word))


def _symbols(shapes: Shapes, dim: int) -> tuple[int, int | None]:
    """How many symbols there are, and how many features each has, where the network has no table of rows."""
    rows, columns = _shape(shapes, SYMBOLS, 2)
    if columns == dim:
        return rows, None
    n_symbols, n_features = shapes.get(FEATURES, (0, 0))
    if (rows, columns) != (dim, n_features):
        raise CheckpointError(
            "what this network reads of a symbol is not known",
            expected=f"a table with {dim} columns, or features of its symbols, {columns} of each",
            found=f"'{SYMBOLS}' of shape {shapes[SYMBOLS]}, {n_features or 'no'} features",
            do="take a checkpoint as EveryVoice wrote it: its hyper_parameters name the symbols",
        )
    return n_symbols, n_features


def _style(shapes: Shapes, dim: int) -> StyleSizes:
    n_tokens, token_dim = _shape(shapes, STYLE_TOKENS, 2)
    convs = sorted(
        int(name.split(".")[3])
        for name in shapes
        if name.startswith("gst.ref_enc.convs.") and len(shapes[name]) == 4
    )
    return StyleSizes(
        n_tokens=n_tokens,
        n_heads=dim // token_dim,
        channels=tuple(shapes[f"gst.ref_enc.convs.{number}.weight"][0] for number in convs),
        summary_dim=_shape(shapes, "gst.stl.mha.linear_q.weight", 2)[1],
    )


def _conformer(shapes: Shapes, part: str, hints: _Hints) -> ConformerSizes:
    prefix = f"{part}.conformer_layers."
    feedforward_dim, dim = _shape(shapes, f"{prefix}0.ffn1.sequential.1.weight", 2)
    _, _, kernel = _shape(shapes, f"{prefix}0.conv_module.sequential.2.weight", 3)
    return ConformerSizes(
        n_layers=_count(shapes, prefix),
        n_heads=hints.heads(part),
        dim=dim,
        feedforward_dim=feedforward_dim,
        kernel=kernel,
        dropout=hints.dropout(part),
    )


def _predictor(shapes: Shapes, part: str, hints: _Hints) -> PredictorSizes:
    prefix = f"variance_adaptor.{part}_predictor."
    depthwise = f"{prefix}conv.0.layers.0.module.model.0.weight"
    dense = f"{prefix}conv.0.layers.0.module.weight"
    is_depthwise = dense not in shapes
    return PredictorSizes(
        n_layers=_count(shapes, f"{prefix}conv."),
        dim=_shape(shapes, f"{prefix}linear.weight", 2)[1],
        kernel=_shape(shapes, depthwise if is_depthwise else dense, 3)[2],
        is_depthwise=is_depthwise,
        dropout=hints.predictor_dropout(part),
    )


def _attention_dim(shapes: Shapes) -> int:
    return _shape(shapes, "variance_adaptor.attention.key_proj.2.conv.weight", 3)[0]


def _rows(shapes: Shapes, name: str) -> int | None:
    return _shape(shapes, name, 2)[0] if name in shapes else None


def _count(shapes: Shapes, prefix: str) -> int:
    """How many layers are numbered after `prefix`."""
    return len({name.removeprefix(prefix).split(".")[0] for name in shapes if name.startswith(prefix)})


def _shape(shapes: Shapes, name: str, n_axes: int) -> tuple[int, ...]:
    found = shapes.get(name)
    if found is None or len(found) != n_axes:
        raise CheckpointError(
            "these weights are no complete FastSpeech 2",
            expected=f"a tensor '{name}' with {n_axes} axes",
            found="no such tensor" if found is None else f"shape {found}",
            do="'retimbre inspect FILE' says what a file holds",
        )
    return found
