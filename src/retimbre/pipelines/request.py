"""What `retimbre synthesize from-text` is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from retimbre.errors import DataError, TextError
from retimbre.models.fastspeech2.variance import Controls
from retimbre.pipelines.pieces import Form
from retimbre.text.split import Boundaries, Splitting

OUTPUT_TYPES = ("wav", "spec", "textgrid", "readalong-xml", "readalong-html")
NEED_SOUND = ("wav", "readalong-html")
NEED_TIMES = ("textgrid", "readalong-xml", "readalong-html")


@dataclass(frozen=True, kw_only=True)
class Request:
    """Texts, how they are spoken, and what is written of them.

    Args:
        split_overrides: What `-c` says about the splitting of long texts (see `splitting_from`).
        splits: Are they split at all? None: as `split_overrides`, or else the model, says.
        text_representation: What the texts are. None: as written, but phones of a list win where a model
            reads phones.
        style_reference: A recording whose style is followed.
        is_simply_named: Files are called basename and ending, nothing more.
    """

    texts: tuple[str, ...] = ()
    filelist: Path | None = None
    text_representation: Form | None = None
    split_overrides: tuple[str, ...] = ()
    splits: bool | None = None
    output_types: tuple[str, ...] = ("wav",)
    output_dir: Path | None = None
    is_simply_named: bool = False
    vocoder: Path | None = None
    teacher_forcing: Path | None = None
    speaker: str | None = None
    language: str | None = None
    controls: Controls = field(default_factory=Controls)
    style_reference: Path | None = None
    batch_size: int = 4
    device: str = "auto"

    def __post_init__(self) -> None:
        self.splitting(Splitting())  # refuses what cannot be changed
        if unknown := [kind for kind in self.output_types if kind not in OUTPUT_TYPES]:
            raise DataError(f"there is no output type '{unknown[0]}'", expected=" or ".join(OUTPUT_TYPES))
        if not self.texts and self.filelist is None:
            raise TextError("there is nothing to speak", do="give -t 'a text', or --filelist FILE")
        if self.needs_sound and self.vocoder is None:
            raise DataError(
                "sound needs a vocoder", do="give --vocoder-path FILE, or write specs only with -O spec"
            )
        if self.teacher_forcing is not None:
            self._require_nothing_else()

    def _require_nothing_else(self) -> None:
        """Teacher forcing takes time, pitch and energy as they are."""
        changed = {
            "a control of duration, pitch or energy": self.controls != Controls(),
            "another text representation": self.text_representation == "arpabet",
        }
        for what, is_given in changed.items():
            if is_given:
                raise DataError(
                    f"teacher forcing leaves no room for {what}",
                    expected="specs as the model produces them for the recordings",
                    do="leave out one of the two",
                )

    def splitting(self, trained: Splitting) -> Splitting:
        """Whether and where long texts are cut, for a model that was trained with `trained`."""
        return splitting_from(self.split_overrides, is_on=self.splits, trained=trained)

    @property
    def needs_sound(self) -> bool:
        """Is a waveform made?"""
        return any(kind in NEED_SOUND for kind in self.output_types)

    @property
    def needs_times(self) -> bool:
        """Are the times of symbols and words asked for?"""
        return any(kind in NEED_TIMES for kind in self.output_types)


def splitting_from(
    overrides: Sequence[str], *, is_on: bool | None = None, trained: Splitting | None = None
) -> Splitting:
    """What `-c key=value` says about the splitting of texts, in the words of EveryVoice's configuration.

    Args:
        overrides: `text.split_text=false`, `text.boundaries.LANGUAGE.strong=…` or `….weak=…`.
        is_on: What --split-text or --no-split-text says; it wins.
        trained: What the model was trained with; it holds where nothing is said.

    Raises:
        TextError: for any other key.
    """
    splitting = trained or Splitting()
    for override in overrides:
        key, equals, value = override.partition("=")
        parts = key.strip().split(".")
        if not equals:
            raise TextError(
                f"'{override}' says nothing", expected="key=value", do="write text.split_text=false"
            )
        if parts == ["text", "split_text"]:
            splitting = replace(splitting, is_on=_truth(override, value))
        elif len(parts) == 4 and parts[:2] == ["text", "boundaries"] and parts[3] in ("strong", "weak"):
            splitting = _with_boundaries(splitting, parts[2], parts[3], value)
        else:
            raise TextError(
                f"'{key}' cannot be changed when a text is spoken",
                expected="text.split_text, or text.boundaries.LANGUAGE.strong or .weak",
                do="train with it: what a checkpoint was trained with is part of it",
            )
    return splitting if is_on is None else replace(splitting, is_on=is_on)


def _with_boundaries(splitting: Splitting, language: str, strength: str, signs: str) -> Splitting:
    before = splitting.boundaries.get(language, Boundaries())
    new = replace(before, strong=signs) if strength == "strong" else replace(before, weak=signs)
    return replace(splitting, boundaries={**splitting.boundaries, language: new})


def _truth(override: str, value: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "0": False}
    if value.strip().lower() not in words:
        raise TextError(f"'{override}' makes no sense", expected="true or false", found=value)
    return words[value.strip().lower()]
