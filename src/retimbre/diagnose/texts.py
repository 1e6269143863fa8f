"""What of a text a configuration or a model lacks, before anybody trains or speaks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from retimbre.data.manifest import read_filelist
from retimbre.data.text_check import MissingSymbol, TextReport, check_texts
from retimbre.data.utterance import Utterance
from retimbre.errors import CheckpointError, RecipeError, TextError
from retimbre.models.explain import explain_file
from retimbre.recipe.shared_text import read_text_config
from retimbre.text.reading import Level
from retimbre.text.symbols import SymbolTable

N_SHOWN = 5
UNKNOWN_LANGUAGE = "default"


@dataclass(frozen=True, kw_only=True)
class TextCheckup:
    """What was looked up and found.

    Args:
        reports: By what the symbols are: "characters" or "phones".
        skipped: What could not be looked up, and why.
    """

    texts: Path
    declared_in: Path
    reports: Mapping[Level, TextReport]
    skipped: Mapping[Level, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """A line for each symbol that is missing."""
        lines: list[str] = []
        for level, report in self.reports.items():
            lines += [f"{level}\t{_sentence(one)}" for one in report.missing]
            lines += [f"{level}\t{name}: {why}" for name, why in report.unread.items()]
            if not report.missing and not report.unread:
                lines.append(f"{level}\tnothing is missing in {self.declared_in}")
        lines += [f"{level}\tnot looked up: {why}" for level, why in self.skipped.items()]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Everything, for scripts."""
        reports = {level: asdict(report) for level, report in self.reports.items()}
        return json.dumps({"reports": reports, "skipped": dict(self.skipped)}, ensure_ascii=False, indent=2)


def check_text_config(
    *, config: Path | None, model: Path | None, texts: Path, is_plain: bool, language: str | None
) -> TextCheckup:
    """Look the texts up in what a configuration declares, or in the symbols of a model.

    Args:
        is_plain: One text per line; else a list.
        language: Of a plain text, and of a list that does not say it.

    Raises:
        RecipeError: if not exactly one of `config` and `model` is given.
    """
    utterances = _utterances(texts, is_plain, language)
    if config is not None and model is None:
        return _in_config(config, texts, utterances)
    if model is not None and config is None:
        return _in_model(model, texts, utterances)
    raise RecipeError(
        "a text is compared with one thing", expected="--config or --model", do="give one of them"
    )


def _utterances(texts: Path, is_plain: bool, language: str | None) -> list[Utterance]:
    utterances = read_filelist(texts, format="text" if is_plain else None)
    if language is None:
        return utterances
    return [
        replace(one, language=language) if one.language == UNKNOWN_LANGUAGE else one for one in utterances
    ]


def _in_config(config: Path, texts: Path, utterances: Sequence[Utterance]) -> TextCheckup:
    declared = read_text_config(config)
    reports: dict[Level, TextReport] = {}
    skipped: dict[Level, str] = {}
    for level, table in declared.tables.items():
        try:
            if level == "phones" and not all(one.phones for one in utterances):
                for language in sorted({one.language for one in utterances}):
                    declared.require_phones(language)
            reports[level] = check_texts(utterances, table, declared.reading(level))
        except (RecipeError, TextError) as error:
            skipped[level] = _why(error, utterances)
    return TextCheckup(texts=texts, declared_in=config, reports=reports, skipped=skipped)


def _in_model(model: Path, texts: Path, utterances: Sequence[Utterance]) -> TextCheckup:
    described = explain_file(model).description
    if not described.symbols:
        raise CheckpointError(
            f"{model} reads no texts", expected="a text-to-spec checkpoint", found=described.family
        )
    first = described.languages[0]
    named = [replace(one, language=first) if one.language == UNKNOWN_LANGUAGE else one for one in utterances]
    report = check_texts(named, SymbolTable(described.symbols), described.reading)
    return TextCheckup(texts=texts, declared_in=model, reports={described.text_level: report})


def _why(error: RecipeError | TextError, utterances: Sequence[Utterance]) -> str:
    if any(one.language == UNKNOWN_LANGUAGE for one in utterances):
        return "say the language by --language"
    return error.what + (f". {error.do}" if error.do else "")


def _sentence(one: MissingSymbol) -> str:
    names = ", ".join(one.utterances[:N_SHOWN])
    more = f" and {len(one.utterances) - N_SHOWN} more" if len(one.utterances) > N_SHOWN else ""
    return f"{one.symbol!r}: {one.count} in {len(one.utterances)} utterances ({names}{more})"
