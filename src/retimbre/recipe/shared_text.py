"""EveryVoice's everyvoice-shared-text.yaml alone: what belongs to no model, only to texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from retimbre.errors import RecipeError
from retimbre.recipe.everyvoice_files import Merged, Place, kind_of, read_project
from retimbre.recipe.everyvoice_names import CLEANERS, refuse_engine
from retimbre.recipe.everyvoice_schema import Text
from retimbre.recipe.everyvoice_text import symbol_table
from retimbre.recipe.files import read_values
from retimbre.recipe.mistakes import sentence
from retimbre.text.normalise import TextRules
from retimbre.text.phones import languages_with_phones, phones_of
from retimbre.text.reading import Level, Reading, SpecialRules
from retimbre.text.symbols import SymbolTable, label_of


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """What a text configuration declares.

    Args:
        tables: "characters" and "phones", as far as there are lists of them, each with its symbol table.
    """

    text: Text
    tables: Mapping[Level, SymbolTable]
    merged: Merged

    def reading(self, level: Level) -> Reading:
        """How texts are read as symbols of `level`; the phones of each language by its own rules."""
        return Reading(
            level=level,
            rules=TextRules(
                to_replace=dict(self.text.to_replace), cleaners=self._cleaners("cleaners", self.text.cleaners)
            ),
            special_rules=SpecialRules(
                language_cleaners={
                    name: self._cleaners("language_cleaners", names)
                    for name, names in self.text.language_cleaners.items()
                },
                language_to_replace=self.text.language_to_replace,
                dataset_cleaners={
                    name: self._cleaners("dataset_cleaners", names)
                    for name, names in self.text.dataset_cleaners.items()
                },
                dataset_to_replace=self.text.dataset_to_replace,
            ),
            engines={code: code for code in languages_with_phones()} if level == "phones" else {},
            has_one_language=False,
        )

    def require_no_engine(self, language: str) -> None:
        """Raise RecipeError if the phones of `language` are to be found by code."""
        if language in self.text.g2p_engines:
            raise self._refused(language)

    def require_phones(self, language: str) -> None:
        """Raise TextError or RecipeError if nobody's rules find the phones of `language`."""
        self.require_no_engine(language)
        phones_of("", language)

    def _refused(self, language: str) -> RecipeError:
        key = f"text.g2p_engines.{language}"
        return refuse_engine(self.text.g2p_engines[language], language, self.merged.where(key))

    def _cleaners(self, key: str, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(CLEANERS.meaning(name, self.merged.where(f"text.{key}")) for name in names)


def read_text_config(path: Path) -> TextConfig:
    """The text configuration in a shared file, or in the file of a text-to-spec model.

    Raises:
        RecipeError: if there is none in it, or it is wrong.
    """
    text, merged = _text_in(path)
    kinds = {name.rpartition("_")[2] for name in text.symbols.model_extra or {} if label_of(name) is not None}
    levels: list[Level] = [level for level in get_args(Level) if level in kinds] or ["characters"]
    tables = {level: symbol_table(text, level, merged) for level in levels}
    return TextConfig(text=text, tables=tables, merged=merged)


def _text_in(path: Path) -> tuple[Text, Merged]:
    raw, content = read_values(path)
    if kind_of(raw) == "model":
        merged = read_project(path, ())
        values = merged.values.get("text")
    else:
        merged = Merged(
            path=path,
            stage="text-to-spec",
            values={"text": raw},
            places={(): Place(path, ""), ("text",): Place(path, content, 1)},
        )
        values = raw
    if not isinstance(values, dict):
        raise RecipeError(
            f"{path} has no text configuration",
            expected="symbols, cleaners, to_replace",
            do="give everyvoice-shared-text.yaml",
        )

    def where(names: Sequence[str]) -> str:
        return merged.where(("text", *names))

    try:
        return Text.model_validate(values), merged
    except ValidationError as error:
        raise sentence(error, model=Text, where=where) from error
