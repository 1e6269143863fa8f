"""What a recipe adds to its base: symbols, speakers and languages that the texts have and the base lacks.

Nothing is added unasked. What is lacking is an error that says what to write, so that a slip of the pen in a
list never becomes a row of a table.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Literal

from retimbre.data.coverage import lacking_symbols, read_utterance
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, RecipeError
from retimbre.jobs.listener import Listener
from retimbre.models.fastspeech2.extend import extended
from retimbre.models.load import Loaded
from retimbre.pipelines.teacher_forcing import require_known_symbols
from retimbre.recipe.recipe import New, Recipe
from retimbre.text.symbols import PAD, TAGS, TAGS_BEFORE_0_3, SymbolTable

UNTOLD = "default"  # what a list calls a speaker or a language that it does not name
UNSPOKEN = frozenset((PAD, *TAGS, *TAGS_BEFORE_0_3))
Kind = Literal["speaker", "language"]


def with_additions(
    recipe: Recipe, utterances: Sequence[Utterance], base: Loaded, listener: Listener
) -> tuple[Loaded, tuple[str, ...]]:
    """The base with rows for what the recipe adds, and one sentence for each of them.

    Symbols that `text.symbols` lists are asked for as well: that is how EveryVoice's files name them.

    Raises:
        RecipeError: if the base lacks a speaker or a language of the list, or what is asked for is nowhere.
        TextError: if the base lacks symbols that were not asked for.
    """
    new = recipe.new
    wanted = _wanted_symbols(recipe, base, listener)
    _require_asked(new, wanted)
    known, begin_as = base.description, new.begin_as
    speakers = _asked("speaker", new.speakers, known.speakers, {u.speaker for u in utterances})
    languages = _asked("language", new.languages, known.languages, {u.language for u in utterances})
    grown, of_names = extended(base, speakers=speakers, languages=languages, begin_as=begin_as)
    _require_names(utterances, grown, new, listener)
    used = _used(wanted, utterances, grown)
    if unused := [symbol for symbol in wanted if symbol not in used]:
        listener.say("Not added", f"{_quoted(unused)}: no text has them, so nothing would teach them")
    grown, of_symbols = extended(grown, symbols=used, begin_as=begin_as)
    for sentence in (*of_symbols, *of_names):
        listener.say("Added", sentence)
    require_known_symbols(utterances, grown, do=_what_adds(utterances, grown, new))
    return grown, of_symbols + of_names


def refuse_additions(recipe: Recipe) -> None:
    """Raise RecipeError if something is to be added where there are no tables to add it to."""
    given = sorted(recipe.new.model_fields_set)
    if any(getattr(recipe.new, name) for name in given):
        has_no_base = recipe.stage == "text-to-spec"
        raise RecipeError(
            f"'new.{given[0]}' has nothing to be added to",
            expected="a text-to-spec recipe with a base",
            found="no base" if has_no_base else f"a recipe of {recipe.stage}",
            do="list symbols under 'text', and say text_to_spec.has_speakers or has_languages"
            if has_no_base
            else "take the section 'new' out",
        )


def _wanted_symbols(recipe: Recipe, base: Loaded, listener: Listener) -> tuple[str, ...]:
    """What is asked for and lacking; a table of another kind of symbols asks for nothing."""
    text, known = recipe.text, base.description
    listed = text.symbols
    if listed and text.level not in (None, known.text_level):
        listener.say("The base counts", f"it reads {known.text_level}: the {text.level} are not added")
        listed = ()
    wanted = dict.fromkeys((*recipe.new.symbols, *listed))
    return tuple(one for one in wanted if one not in UNSPOKEN and one not in known.symbols)


def _used(wanted: Sequence[str], utterances: Sequence[Utterance], grown: Loaded) -> tuple[str, ...]:
    """Those that the texts have, if they are read with all of them."""
    described = grown.description
    table = SymbolTable(described.symbols + tuple(wanted))
    texts = (read_utterance(utterance, described.reading).text for utterance in utterances)
    met = {symbol for text in texts for symbol in table.encode(text).symbols}
    return tuple(symbol for symbol in wanted if symbol in met)


def _asked(kind: Kind, asked: Sequence[str], known: Sequence[str], listed: Iterable[str]) -> tuple[str, ...]:
    new = tuple(name for name in dict.fromkeys(asked) if name not in known)
    if nowhere := [name for name in new if name not in listed]:
        raise RecipeError(
            f"new.{kind}s: no utterance has the {kind} {_quoted(nowhere)}",
            expected=f"names from the column '{kind}' of the list",
            found=_quoted(sorted(listed)),
            do=f"correct the name, or write it into the column '{kind}'",
        )
    return new


def _require_asked(new: New, wanted: Sequence[str]) -> None:
    there = (*new.symbols, *new.speakers, *new.languages, *wanted)
    if strange := [name for name in new.begin_as if name not in there]:
        raise RecipeError(
            f"new.begin_as: {_quoted(strange)} is not added",
            expected="names from new.symbols, new.speakers or new.languages",
            do="add it there, or take it out",
        )


def _require_names(utterances: Sequence[Utterance], grown: Loaded, new: New, listener: Listener) -> None:
    """Every speaker and language of the list has a row, or the base knows only one: then that is meant."""
    described = grown.description
    _require_rows("speaker", [u.speaker for u in utterances], described.speakers, new.speakers, listener)
    _require_rows("language", [u.language for u in utterances], described.languages, new.languages, listener)


def _require_rows(
    kind: Kind, listed: Iterable[str], known: Sequence[str], asked: Sequence[str], listener: Listener
) -> None:
    lacking = sorted(set(listed) - {UNTOLD, *known})
    add = _line(f"{kind}s", [*asked, *lacking])
    if len(known) == 1:
        if len(lacking) > 1:
            listener.say(f"One {kind}", f"{_quoted(lacking)} are learnt as one; to tell them apart, {add}")
        return
    if lacking:
        raise DataError(
            f"the base has no {kind} {_quoted(lacking)}",
            expected=_quoted(known),
            found="others in the list",
            do=f"correct the list, or {add}",
        )


def _what_adds(utterances: Sequence[Utterance], grown: Loaded, new: New) -> str | None:
    described = grown.description
    lacking = lacking_symbols(utterances, SymbolTable(described.symbols), described.reading)
    if not lacking:
        return None  # words that no rule can say are no symbols
    return f"correct the list, or {_line('symbols', [*new.symbols, *lacking])}"


def _line(key: str, names: Iterable[str]) -> str:
    """What to paste, on the command line or into a recipe of ours."""
    listed = json.dumps(list(dict.fromkeys(names)), ensure_ascii=False)
    given = f"new.{key}={listed}".replace("'", "'\\''")
    return f"add them: -c '{given}' (in a recipe of ours: 'new: {{{key}: {listed}}}')"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
