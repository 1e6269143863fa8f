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
from retimbre.models.votes import count, vote

Known = Mapping[str, Any]

MARKERS = ("variance_adaptor.duration_predictor.", "mel_linear.")
STYLE_TOKENS = "gst.stl.gst_embs"
SYMBOLS = "text_input_layer.weight"
FEATURES = "text_input_layer.features"  # of each symbol; only our own files hold them
STACKS, PREDICTORS = ("encoder", "decoder"), ("energy", "duration", "pitch")
BESIDES = ("target_text_representation_level", "max_length", "mel_loss")  # in EveryVoice's configuration
STYLE_LAYER = "gst.ref_enc.convs.{}"


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
    n_mels, dim = _n_mels(shapes), _dim(shapes)
    n_symbols, n_features = _symbols(shapes, dim)
    learns_alignment = _has(shapes, "variance_adaptor.attention.")
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
        n_pitch_bins=_n_bins(shapes, "pitch"),
        n_energy_bins=_n_bins(shapes, "energy"),
        pitch_range=hints.value_range("pitch"),
        energy_range=hints.value_range("energy"),
        learns_alignment=learns_alignment,
        attention_dim=_attention_dim(shapes) if learns_alignment else FastSpeech2Config.attention_dim,
        postnet_dim=_postnet_dim(shapes) if _has(shapes, "postnet.") else None,
        n_speakers=_rows(shapes, "speaker_embedding.weight", is_needed=hints.has_many("speaker")),
        n_languages=_rows(shapes, "language_embedding.weight", is_needed=hints.has_many("language")),
        style=_style(shapes, dim) if _has(shapes, "gst.") else None,
        silence=hints.silence(),
    )
    return Inferred(
        config=config,
        assumed=tuple(hints.assumed),
        unknowable=hints.unknowable(has_features=n_features is not None),
        reference=hints.reference(),
    )


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

    def has_many(self, what: str) -> bool:
        """Does the file say that there is a table of speakers or of languages?"""
        told = {"speaker": "multispeaker", "language": "multilingual"}[what]
        return self.ours.get(f"n_{what}s") is not None or self.theirs.get(told) is True

    def silence(self) -> float:
        return float(self.ours.get("silence", FastSpeech2Config.silence))

    def reference(self) -> dict[str, Any]:
        """What EveryVoice's configuration says besides the sizes of its network."""
        losses = {
            part: {"loss": loss}
            for part in PREDICTORS
            if isinstance(loss := self._of_predictor(part, "loss"), str)
        }
        told = {name: self.theirs[name] for name in BESIDES if isinstance(self.theirs.get(name), str | int)}
        return told | ({"variance_predictors": losses} if losses else {})

    def unknowable(self, *, has_features: bool) -> tuple[str, ...]:
        """What training or the symbols had, and no tensor shows; only where nothing tells it."""
        told = self.reference()
        has_dropout = all(self._of_stack(part, "dropout", "dropout") is not None for part in STACKS) and all(
            self._of_predictor(part, "dropout") is not None for part in PREDICTORS
        )
        has_losses = "mel_loss" in told and len(told.get("variance_predictors", {})) == len(PREDICTORS)
        phrases = {
            "dropout of encoder, decoder and predictors: it matters in training alone": has_dropout,
            "loss of each predictor and mel_loss: they matter in training alone": has_losses,
            "max_length: EveryVoice does not use it": "max_length" in told,
            "target_text_representation_level, characters or phones: both are rows of one table": has_features
            or "target_text_representation_level" in told,
        }
        return tuple(phrase for phrase, is_told in phrases.items() if not is_told)

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


def _has(shapes: Shapes, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in shapes)


def _n_mels(shapes: Shapes) -> int:
    reads_spec = "variance_adaptor.attention.query_proj.0.conv.weight"
    last = "postnet.convolutions.4.0.conv"
    claims = {
        "mel_linear.weight": 0,
        "mel_linear.bias": 0,
        reads_spec: 1,
        f"{last}.weight": 0,
        f"{last}.bias": 0,
    }
    return vote(shapes, "the bands of the spectrogram", claims)


def _dim(shapes: Shapes) -> int:
    tables = {f"variance_adaptor.{part}_embedding.weight": 1 for part in ("pitch", "energy")}
    norms = {f"{part}.conformer_layers.0.final_layer_norm.weight": 0 for part in ("encoder", "decoder")}
    return vote(shapes, "the width of the network", {"mel_linear.weight": 1, **tables, **norms})


def _n_bins(shapes: Shapes, part: str) -> int:
    """There is an edge between each two bins."""
    edges = f"variance_adaptor.{part}_bins"
    one_more = {f"{edges} + 1": tuple(n + 1 for n in shapes[edges])} if edges in shapes else {}
    claims = {f"variance_adaptor.{part}_embedding.weight": 0, f"{edges} + 1": 0}
    return vote({**shapes, **one_more}, f"the bins of {part}", claims)


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
    heads = "gst.stl.mha.linear_"
    token_dim = vote(
        shapes, "the width of a style token", {STYLE_TOKENS: 1, f"{heads}k.weight": 1, f"{heads}v.weight": 1}
    )
    gru = "gst.ref_enc.gru."
    gates = {
        f"{name} / 3": (shapes[name][0] // 3,)
        for name in (f"{gru}bias_ih_l0", f"{gru}bias_hh_l0")
        if name in shapes
    }
    summary = {f"{heads}q.weight": 1, f"{gru}weight_hh_l0": 1, **dict.fromkeys(gates, 0)}
    return StyleSizes(
        n_tokens=_shape(shapes, STYLE_TOKENS, 2)[0],
        n_heads=dim // token_dim,
        channels=tuple(_style_channels(shapes, number) for number in range(0, _n_style_layers(shapes), 3)),
        summary_dim=vote({**shapes, **gates}, "the width of a reference's summary", summary),
    )


def _n_style_layers(shapes: Shapes) -> int:
    """A convolution, its norm and an activation follow one another."""
    return count(shapes, [f"{STYLE_LAYER}.{name}" for name in ("running_mean", "running_var", "bias")])


def _style_channels(shapes: Shapes, number: int) -> int:
    conv, norm = STYLE_LAYER.format(number), STYLE_LAYER.format(number + 1)
    claims = {f"{conv}.weight": 0, f"{norm}.weight": 0, f"{norm}.bias": 0, f"{norm}.running_mean": 0}
    return vote(shapes, "the channels of a convolution over the reference", claims)


def _conformer(shapes: Shapes, part: str, hints: _Hints) -> ConformerSizes:
    prefix = f"{part}.conformer_layers."
    n_layers = _count(shapes, prefix)
    inner = f"{prefix}0.ffn1.sequential."
    claims = {f"{inner}1.weight": 0, f"{inner}1.bias": 0, f"{inner}4.weight": 1}
    kernels = {f"{prefix}{layer}.conv_module.sequential.2.weight": 2 for layer in range(n_layers)}
    norms = {
        f"{prefix}0.{name}": 0
        for name in ("final_layer_norm.weight", "final_layer_norm.bias", "ffn1.sequential.4.bias")
    }
    return ConformerSizes(
        n_layers=n_layers,
        n_heads=hints.heads(part),
        dim=vote(shapes, f"the width of the {part}", norms),
        feedforward_dim=vote(shapes, f"the inner width of the {part}", claims),
        kernel=vote(shapes, f"the kernel of the {part}", kernels, is_odd=True),
        dropout=hints.dropout(part),
    )


def _predictor(shapes: Shapes, part: str, hints: _Hints) -> PredictorSizes:
    prefix = f"variance_adaptor.{part}_predictor."
    n_layers = _count(shapes, f"{prefix}conv.")
    layers = [f"{prefix}conv.{layer}.layers.0.module." for layer in range(n_layers)]
    is_depthwise = any(f"{layer}model.1.weight" in shapes for layer in layers)
    kernels = {f"{layer}{'model.0.' if is_depthwise else ''}weight": 2 for layer in layers}
    widths = {f"{layer}{'model.1.' if is_depthwise else ''}bias": 0 for layer in layers}
    return PredictorSizes(
        n_layers=n_layers,
        dim=vote(shapes, f"the width of the predictor of {part}", {f"{prefix}linear.weight": 1, **widths}),
        kernel=vote(shapes, f"the kernel of the predictor of {part}", kernels, is_odd=True),
        is_depthwise=is_depthwise,
        dropout=hints.predictor_dropout(part),
    )


def _attention_dim(shapes: Shapes) -> int:
    last = [f"variance_adaptor.attention.{name}.conv" for name in ("key_proj.2", "query_proj.4")]
    claims = {f"{name}.{kind}": 0 for name in last for kind in ("weight", "bias")}
    return vote(shapes, "the width in which symbols and frames are compared", claims)


def _postnet_dim(shapes: Shapes) -> int:
    first = "postnet.convolutions.0"
    claims = {f"{first}.{name}": 0 for name in ("0.conv.weight", "0.conv.bias", "1.weight", "1.bias")}
    return vote(shapes, "the channels of the post-net", claims)


def _rows(shapes: Shapes, name: str, *, is_needed: bool) -> int | None:
    return _shape(shapes, name, 2)[0] if name in shapes or is_needed else None


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
