"""How a model reads a text: as letters, or as phones that a list gives or that rules find."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from retimbre.text.normalise import TextRules, normalise
from retimbre.text.phones import languages_with_phones, phones_of

Level = Literal["characters", "phones"]


@dataclass(frozen=True, kw_only=True)
class Read:
    """A text in the symbols of a model.

    Args:
        text: Normalised letters, or phones.
        guessed: Words that were said by rule because the lexicon lacks them.
        silent: Words and signs for which nothing could be said: a model would skip them.
    """

    text: str
    guessed: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """From a text as it is written to what a symbol table is asked for.

    Args:
        level: What the symbols are.
        rules: Replacements and cleaners; they come before phones are looked for.
        engines: Name of a language -> whose rules say it (`phones_of`). A language that is missing has none:
            its texts are taken for phones already.
        has_one_language: A list may call the language of such a model what it likes: its code, "default", …
    """

    level: Level = "characters"
    rules: TextRules = field(default_factory=TextRules)
    engines: Mapping[str, str] = field(default_factory=dict)
    has_one_language: bool = True

    def engine(self, language: str) -> str | None:
        """Whose rules find the phones of a text that is given as it is written; None if there are none."""
        if self.level != "phones" or not self.engines:
            return None
        if language in self.engines or not self.has_one_language:
            return self.engines.get(language)
        return language if language in languages_with_phones() else next(iter(self.engines.values()))

    def of(self, text: str, *, language: str) -> Read:
        """`text` as the model reads it.

        Raises:
            TextError: if there are no rules for the language's engine.
        """
        normalised, engine = normalise(text, self.rules), self.engine(language)
        if engine is None:
            return Read(text=normalised)
        said = phones_of(normalised, engine)
        return Read(text=said.text, guessed=said.guessed, silent=said.silent)

    def of_phones(self, phones: str) -> Read:
        """Phones that somebody wrote down."""
        return Read(text=normalise(phones, self.rules))
