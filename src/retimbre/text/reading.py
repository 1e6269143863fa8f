"""How a model reads a text: as letters, or as phones that a list gives or that rules find."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
class SpecialRules:
    """What one data set or one language has instead of the common replacements, or of the common cleaners.

    Those of a data set, by its label, come before those of a language; they replace and are never added.
    """

    language_cleaners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    language_to_replace: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    dataset_cleaners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dataset_to_replace: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for named in (self.language_cleaners, self.dataset_cleaners):
            for cleaners in named.values():
                TextRules(cleaners=tuple(cleaners))  # refuses what there is not
        for replacements in (*self.language_to_replace.values(), *self.dataset_to_replace.values()):
            TextRules(to_replace=replacements)

    def rules_for(self, common: TextRules, *, language: str, label: str) -> TextRules:
        """What is done to a text of a language and a data set."""
        to_replace = self.language_to_replace.get(language, common.to_replace)
        cleaners = self.language_cleaners.get(language, common.cleaners)
        return TextRules(
            to_replace=self.dataset_to_replace.get(label, to_replace),
            cleaners=tuple(self.dataset_cleaners.get(label, cleaners)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives the same SpecialRules back."""
        cleaners = {
            "language_cleaners": {name: list(of) for name, of in self.language_cleaners.items()},
            "dataset_cleaners": {name: list(of) for name, of in self.dataset_cleaners.items()},
        }
        replaced = {
            "language_to_replace": {name: dict(of) for name, of in self.language_to_replace.items()},
            "dataset_to_replace": {name: dict(of) for name, of in self.dataset_to_replace.items()},
        }
        return {name: values for name, values in (cleaners | replaced).items() if values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SpecialRules":
        """The SpecialRules that `to_dict` wrote."""
        return cls(
            language_cleaners=_tuples(values.get("language_cleaners", {})),
            language_to_replace=dict(values.get("language_to_replace", {})),
            dataset_cleaners=_tuples(values.get("dataset_cleaners", {})),
            dataset_to_replace=dict(values.get("dataset_to_replace", {})),
        )


def _tuples(named: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(names) for name, names in named.items()}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """From a text as it is written to what a symbol table is asked for.

    Args:
        level: What the symbols are.
        rules: Replacements and cleaners; they come before phones are looked for.
        special_rules: Where a language or a data set has others.
        engines: Name of a language -> whose rules say it (`phones_of`). A language that is missing has none:
            its texts are taken for phones already.
        has_one_language: A list may call the language of such a model what it likes: its code, "default", …
    """

    level: Level = "characters"
    rules: TextRules = field(default_factory=TextRules)
    special_rules: SpecialRules = field(default_factory=SpecialRules)
    engines: Mapping[str, str] = field(default_factory=dict)
    has_one_language: bool = True

    def engine(self, language: str) -> str | None:
        """Whose rules find the phones of a text that is given as it is written; None if there are none."""
        if self.level != "phones" or not self.engines:
            return None
        if language in self.engines or not self.has_one_language:
            return self.engines.get(language)
        return language if language in languages_with_phones() else next(iter(self.engines.values()))

    def of(self, text: str, *, language: str, label: str = "") -> Read:
        """`text` as the model reads it; `label` names the data set that it is from.

        Raises:
            TextError: if there are no rules for the language's engine.
        """
        rules = self.special_rules.rules_for(self.rules, language=language, label=label)
        normalised, engine = normalise(text, rules), self.engine(language)
        if engine is None:
            return Read(text=normalised)
        said = phones_of(normalised, engine)
        return Read(text=said.text, guessed=said.guessed, silent=said.silent)

    def of_phones(self, phones: str, *, label: str = "") -> Read:
        """Phones that somebody wrote down; as in EveryVoice, rules of a language are not for them."""
        rules = self.special_rules.rules_for(self.rules, language="", label=label)
        return Read(text=normalise(phones, rules))
