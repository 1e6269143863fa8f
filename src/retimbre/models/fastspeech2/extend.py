"""More symbols, speakers or languages for a trained network; what it knew it still knows, to the last bit.

New rows stand at the end of each table, so no number of a symbol or a voice changes. They begin where it is
most likely right: a symbol as the one that it sounds most like, a voice as the mean of those that there are.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.checkpoint.fill import load_weights
from retimbre.errors import CheckpointError, MissingExtra, TextError
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.from_shapes import FEATURES, SYMBOLS
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.load import Loaded
from retimbre.text.features import (
    STRESS,
    TAG_OF_KIND,
    articulation,
    articulatory_distance,
    symbol_features,
)
from retimbre.text.phones import languages_with_phones
from retimbre.text.symbols import PAD, PUNCTUATION, SILENCE, TAGS, TAGS_BEFORE_0_3

NO_SOUND = frozenset((PAD, " ", *SILENCE, *TAGS, *TAGS_BEFORE_0_3, *TAG_OF_KIND.values()))
OTHER_SPELLINGS = {  # of sounds that the table of articulations has under one name
    "g": "ɡ", "ʧ": "t͡ʃ", "ʤ": "d͡ʒ", "ʦ": "t͡s", "ʣ": "d͡z", "ɚ": "ə˞", "ɝ": "ɜ˞",
}  # fmt: skip
SPEAKERS, LANGUAGES = "speaker_embedding.weight", "language_embedding.weight"


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """Where a new row begins.

    Args:
        known: The symbol whose row it takes, or None for the mean of all.
        why: For people.
    """

    known: str | None
    why: str


def extended(
    loaded: Loaded,
    *,
    symbols: Iterable[str] = (),
    speakers: Iterable[str] = (),
    languages: Iterable[str] = (),
    begin_as: Mapping[str, str] | None = None,
) -> tuple[Loaded, tuple[str, ...]]:
    """The model with rows for what is new, and one sentence for each of them; what is known is left out.

    Args:
        begin_as: New name -> the known symbol, speaker or language whose row it takes, where that is known
            better than by its sound or by the mean.

    Raises:
        TextError: if `begin_as` names something that the model does not have.
    """
    model, described = loaded.model, loaded.description
    if not isinstance(model, FastSpeech2):
        raise CheckpointError(
            f"{loaded.path.name} knows no symbols or speakers",
            expected="a fastspeech2 checkpoint",
            found=described.family,
        )
    chosen = dict(begin_as or {})
    tensors = dict(model.state_dict())
    sentences: list[str] = []
    new_symbols = _new(symbols, described.symbols)
    _add_symbols(tensors, new_symbols, described, chosen, sentences)
    new_speakers = _new(speakers, described.speakers)
    _add_names(tensors, SPEAKERS, new_speakers, described.speakers, chosen, sentences)
    new_languages = _new(languages, described.languages)
    _add_names(tensors, LANGUAGES, new_languages, described.languages, chosen, sentences)
    grown = _filled(model, tensors)
    description = replace(
        described,
        sizes={**described.sizes, **sizes_of(grown.config)},
        symbols=described.symbols + new_symbols,
        speakers=described.speakers + new_speakers,
        languages=described.languages + new_languages,
        g2p=_engines(described, new_languages),
    )
    return replace(loaded, model=grown, description=description), tuple(sentences)


def nearest_symbol(new: str, known: Sequence[str]) -> Beginning:
    """What a new symbol is most like: by articulation, then as a letter, then as a mark of its kind."""
    heard = {symbol: _heard(symbol) for symbol in known if symbol not in NO_SOUND}
    ours = _heard(new)
    candidates = {symbol: theirs for symbol, theirs in heard.items() if theirs is not None}
    if ours is not None and candidates:
        distances = {symbol: articulatory_distance(ours, theirs) for symbol, theirs in candidates.items()}
        nearest = min(distances, key=lambda symbol: distances[symbol])
        return Beginning(known=nearest, why=f"nearest, distance {distances[nearest]:.1f}")
    for spelled, why in (*_spellings(new), *_marks_like(new)):
        if spelled in heard:
            return Beginning(known=spelled, why=why)
    return Beginning(known=None, why="it resembles none of them")


def _heard(symbol: str) -> Float[Tensor, "features"] | None:
    return articulation(OTHER_SPELLINGS.get(symbol, symbol))


def _spellings(symbol: str) -> list[tuple[str, str]]:
    decomposed = unicodedata.normalize("NFKD", symbol)
    base = "".join(char for char in decomposed if not unicodedata.combining(char))
    spellings = [symbol.lower(), symbol.casefold(), base, base.lower(), symbol.upper(), base.upper()]
    return [(spelled, "the same letter in another form") for spelled in spellings]


def _marks_like(symbol: str) -> list[tuple[str, str]]:
    kinds = [marks for marks in (STRESS, *PUNCTUATION.values()) if symbol in marks]
    return [(mark, "a mark of the same kind") for marks in kinds for mark in marks]


def _add_symbols(
    tensors: dict[str, Tensor],
    new: tuple[str, ...],
    described: Description,
    chosen: Mapping[str, str],
    sentences: list[str],
) -> None:
    """New rows of the table; a network of features needs none, only the features of what is new."""
    if FEATURES in tensors:
        features = symbol_features(new).to(tensors[FEATURES])
        tensors[FEATURES] = torch.cat([tensors[FEATURES], features])
        sentences += [f"'{symbol}' (new) is read by its phonological features" for symbol in new]
        return
    for symbol in new:
        begins = _chosen(symbol, described.symbols, chosen) or nearest_symbol(symbol, described.symbols)
        rows = [described.symbols.index(begins.known)] if begins.known is not None else _sounding(described)
        tensors[SYMBOLS] = _with_row(tensors[SYMBOLS], rows)
        like = f"as '{begins.known}'" if begins.known is not None else "as the mean of all symbols"
        sentences.append(f"'{symbol}' (new) begins {like} ({begins.why})")


def _sounding(described: Description) -> list[int]:
    """Rows of what can be heard, for their mean."""
    rows = [row for row, symbol in enumerate(described.symbols) if symbol not in NO_SOUND]
    return rows or list(range(1, len(described.symbols)))


def _add_names(
    tensors: dict[str, Tensor],
    table: str,
    new: tuple[str, ...],
    old: tuple[str, ...],
    chosen: Mapping[str, str],
    sentences: list[str],
) -> None:
    if new and table not in tensors:
        # Zeros add nothing: the old voice stays what it was, and new ones begin as it.
        like = tensors[SYMBOLS]
        tensors[table] = like.new_zeros(len(old), tensors["mel_linear.weight"].shape[1])
    what = table.partition("_")[0]
    for name in new:
        begins = _chosen(name, old, chosen)
        known = begins.known if begins else old[0] if len(old) == 1 else None
        tensors[table] = _with_row(tensors[table], [old.index(known)] if known else list(range(len(old))))
        like_whom = f"as '{known}'" if known else f"as the mean of {len(old)} {what}s"
        sentences.append(f"{what} '{name}' (new) begins {like_whom}")


def _chosen(name: str, known: Sequence[str], chosen: Mapping[str, str]) -> Beginning | None:
    if name not in chosen:
        return None
    if chosen[name] not in known:
        raise TextError(
            f"'{name}' cannot begin as '{chosen[name]}'",
            expected=f"one of {', '.join(map(repr, known))}",
            found="a name that the model does not have",
        )
    return Beginning(known=chosen[name], why="as was asked for")


def _with_row(table: Float[Tensor, "rows dim"], rows: list[int]) -> Float[Tensor, "more_rows dim"]:
    """One row more: the mean of some of the old ones."""
    return torch.cat([table, table[rows].mean(0, keepdim=True)])


def _engines(described: Description, new: Sequence[str]) -> Mapping[str, str]:
    """Whose rules say a language: those that were there, and for a new one its own, where there are some."""
    if not new or described.text_level != "phones":
        return described.g2p
    # Where there was one language its rules held whatever it was called; beside others it needs its name.
    old = {language: described.reading.engine(language) for language in described.languages}
    kept = {language: engine for language, engine in old.items() if engine is not None}
    try:
        spoken = languages_with_phones()
    except MissingExtra:
        spoken = ()
    return {**described.g2p, **kept, **{language: language for language in new if language in spoken}}


def _new(names: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(names) if name not in known)


def _filled(model: FastSpeech2, tensors: Mapping[str, Tensor]) -> FastSpeech2:
    has_features = FEATURES in tensors
    config = replace(
        model.config,
        n_symbols=len(tensors[FEATURES if has_features else SYMBOLS]),
        n_speakers=len(tensors[SPEAKERS]) if SPEAKERS in tensors else None,
        n_languages=len(tensors[LANGUAGES]) if LANGUAGES in tensors else None,
    )
    grown = FastSpeech2(config)
    load_weights(grown, tensors)
    return grown.to(model.mel_linear.weight.device).train(model.training)
