"""Which symbols of the texts a model does not know: looked at before anything is trained."""

from collections import Counter
from collections.abc import Iterable

from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.text.ipa import with_marks
from retimbre.text.reading import Level, Read, Reading
from retimbre.text.symbols import SymbolTable


def read_utterance(utterance: Utterance, reading: Reading) -> Read:
    """An utterance as a model reads it: its phones if the list has them, or those that rules find.

    Raises:
        DataError: if the list does not have what the model reads.
        TextError: if there are no rules for its language.
    """
    if reading.level == "phones" and utterance.phones:
        return reading.of_phones(utterance.phones, label=utterance.label)
    needs_phones = reading.level == "phones" and reading.engine(utterance.language) is None
    if needs_phones or not utterance.text:
        raise DataError(
            f"{utterance.basename} has no {reading.level}",
            expected=f"a column '{reading.level}' in the list",
            found="only phones" if reading.level == "characters" else "only characters",
            do=f"add the column, or take a model that reads {_other(reading.level)}",
        )
    return reading.of(utterance.text, language=utterance.language, label=utterance.label)


def unknown_symbols(
    utterances: Iterable[Utterance], table: SymbolTable, reading: Reading
) -> dict[str, list[str]]:
    """What cannot be said, commonest first, each with the basenames of the texts that have it.

    These are symbols that the table lacks, and words for which no phones are found.
    """
    found: dict[str, list[str]] = {}
    for utterance in utterances:
        read = read_utterance(utterance, reading)
        for symbol in dict.fromkeys((*table.encode(read.text).unknown, *read.silent)):
            found.setdefault(symbol, []).append(utterance.basename)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def lacking_symbols(utterances: Iterable[Utterance], table: SymbolTable, reading: Reading) -> tuple[str, ...]:
    """What a table would need to read the texts, commonest first: letters and phones with their marks."""
    is_ipa = reading.level == "phones"
    n_texts = Counter(
        sign
        for utterance in utterances
        for sign in set(with_marks(read_utterance(utterance, reading).text, is_ipa=is_ipa))
        if table.encode(sign).unknown
    )
    return tuple(sorted(n_texts, key=lambda sign: (-n_texts[sign], sign)))


def guessed_words(utterances: Iterable[Utterance], reading: Reading) -> dict[str, list[str]]:
    """Words that the lexicon lacks and that are said by rule, each with the basenames of their texts."""
    found: dict[str, list[str]] = {}
    for utterance in utterances:
        for word in dict.fromkeys(read_utterance(utterance, reading).guessed):
            found.setdefault(word, []).append(utterance.basename)
    return found


def _other(level: Level) -> Level:
    return "characters" if level == "phones" else "phones"
