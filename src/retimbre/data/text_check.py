"""What of a text a symbol table lacks: each symbol, how often, and in which utterances."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from retimbre.data.coverage import read_utterance
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, TextError
from retimbre.text.reading import Reading
from retimbre.text.symbols import SymbolTable


@dataclass(frozen=True, kw_only=True)
class MissingSymbol:
    """A symbol that a table lacks, or a word for which no phones are found.

    Args:
        count: How often it is there.
        utterances: Basenames of the texts that have it.
    """

    symbol: str
    count: int
    utterances: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TextReport:
    """What reading the texts gave.

    Args:
        missing: Commonest first.
        unread: Utterances that do not have what is read, and why.
    """

    n_utterances: int
    missing: tuple[MissingSymbol, ...]
    unread: dict[str, str]


def check_texts(utterances: Iterable[Utterance], table: SymbolTable, reading: Reading) -> TextReport:
    """Look every text up in `table`."""
    counts: Counter[str] = Counter()
    where: dict[str, list[str]] = defaultdict(list)
    unread: dict[str, str] = {}
    n_utterances = 0
    for utterance in utterances:
        n_utterances += 1
        try:
            lacking = missing_in(utterance, table, reading)
        except (DataError, TextError) as error:
            unread[utterance.basename] = error.what
            continue
        counts.update(lacking)
        for symbol in lacking:
            where[symbol].append(utterance.basename)
    missing = [
        MissingSymbol(symbol=symbol, count=n, utterances=tuple(where[symbol]))
        for symbol, n in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]
    return TextReport(n_utterances=n_utterances, missing=tuple(missing), unread=unread)


def missing_in(utterance: Utterance, table: SymbolTable, reading: Reading) -> Counter[str]:
    """How often each symbol that the table lacks is in one utterance.

    Raises:
        DataError: if it does not have what is read.
        TextError: if nobody's rules find its phones.
    """
    read = read_utterance(utterance, reading)
    return Counter(table.encode(read.text).unknown) | Counter(read.silent)  # a digit may be in both
