"""Description: what a model is and what goes into it, as plain values that travel with its weights."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from retimbre.audio.mel import MelSpec
from retimbre.data.stats import Stats
from retimbre.errors import CheckpointError, RetimbreError
from retimbre.models.assumptions import Assumption
from retimbre.text.normalise import TextRules
from retimbre.text.reading import Level, Reading, SpecialRules
from retimbre.text.split import Splitting

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Description:
    """What no tensor tells about a model; written into the file beside its weights.

    Args:
        family: Its name, for instance `fastspeech2`.
        sizes: The family's config as plain values.
        spectrogram: What it writes or reads; None for a family that has to do with none.
        symbols: Rows of the symbol table in their order; empty for a vocoder.
        text_level: What the symbols are: "characters", or "phones".
        text_rules: How text becomes symbols.
        special_rules: Where a language or a data set has other text rules.
        splitting: Whether and where long texts are cut before they are spoken.
        g2p: Language -> whose rules find its phones, for a model of phones that is given letters.
        speakers: Names in the order of their embedding rows.
        languages: Likewise.
        stats: What pitch and energy were normalised with; a vocoder has none.
        output_sample_rate_hz: Of a vocoder's waveform where it differs from its spectrogram's, else None.
        step: Steps of its training, as its file counts them.
        is_exported: A vocoder's generator alone, without discriminators.
        assumed: What neither tensors nor metadata told.
        lineage: Where it comes from: base checkpoints, data, contact.
    """

    family: str
    sizes: Mapping[str, Any]
    spectrogram: MelSpec | None = None
    symbols: tuple[str, ...] = ()
    text_level: Level = "characters"
    text_rules: TextRules = field(default_factory=TextRules)
    special_rules: SpecialRules = field(default_factory=SpecialRules)
    splitting: Splitting = field(default_factory=Splitting)
    g2p: Mapping[str, str] = field(default_factory=dict)
    speakers: tuple[str, ...] = ("default",)
    languages: tuple[str, ...] = ("default",)
    stats: Stats | None = None
    output_sample_rate_hz: int | None = None
    step: int = 0
    is_exported: bool = False
    assumed: tuple[Assumption, ...] = ()
    lineage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mel(self) -> MelSpec:
        """The spectrogram that it writes or reads."""
        if self.spectrogram is None:
            raise CheckpointError(f"a {self.family} neither writes nor reads a spectrogram")
        return self.spectrogram

    @property
    def output_rate_hz(self) -> int:
        """Samples per second of a vocoder's waveform."""
        return self.output_sample_rate_hz or self.mel.sample_rate_hz

    @property
    def output_mel(self) -> MelSpec:
        """The spectrogram of a vocoder's waveform, frame by frame that of its input."""
        return self.mel.at_rate(self.output_rate_hz)

    @property
    def reading(self) -> Reading:
        """How it reads a text."""
        return Reading(
            level=self.text_level,
            rules=self.text_rules,
            special_rules=self.special_rules,
            engines=self.g2p,
            has_one_language=len(self.languages) == 1,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` gives the same Description back."""
        return {
            "format_version": FORMAT_VERSION,
            "family": self.family,
            "sizes": dict(self.sizes),
            "mel": self.spectrogram.to_dict() if self.spectrogram else None,
            "symbols": list(self.symbols),
            "text_level": self.text_level,
            "text_rules": self.text_rules.to_dict(),
            "special_rules": self.special_rules.to_dict(),
            "splitting": self.splitting.to_dict(),
            "g2p": dict(self.g2p),
            "speakers": list(self.speakers),
            "languages": list(self.languages),
            "stats": self.stats.to_dict() if self.stats else None,
            "output_sample_rate_hz": self.output_sample_rate_hz,
            "step": self.step,
            "is_exported": self.is_exported,
            "assumed": [assumption.to_dict() for assumption in self.assumed],
            "lineage": dict(self.lineage),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Description":
        """The Description that `to_dict` wrote, also after a journey through JSON."""
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise CheckpointError(
                "the description in the file cannot be read",
                expected=f"format_version {FORMAT_VERSION}",
                found=str(version),
                do="update Retimbre",
            )
        try:
            return cls._from_plain(values)
        except (RetimbreError, KeyError, TypeError, ValueError, AttributeError) as error:
            found = f"{type(error).__name__}: {str(error)[:200]}"
            raise CheckpointError("the description in the file is damaged", found=found) from error

    @classmethod
    def _from_plain(cls, values: Mapping[str, Any]) -> "Description":
        return cls(
            family=values["family"],
            sizes=values["sizes"],
            spectrogram=MelSpec.from_dict(values["mel"]) if values["mel"] is not None else None,
            symbols=tuple(values["symbols"]),
            text_level=values.get("text_level", "characters"),
            text_rules=TextRules.from_dict(values["text_rules"]),
            special_rules=SpecialRules.from_dict(values.get("special_rules", {})),
            splitting=Splitting.from_dict(values.get("splitting", {})),
            g2p=dict(values.get("g2p", {})),
            speakers=tuple(values["speakers"]),
            languages=tuple(values["languages"]),
            stats=Stats.from_dict(values["stats"]) if values["stats"] else None,
            output_sample_rate_hz=values["output_sample_rate_hz"],
            step=values["step"],
            is_exported=values["is_exported"],
            assumed=tuple(map(Assumption.from_dict, values["assumed"])),
            lineage=values["lineage"],
        )


def sizes_of(config: Any) -> dict[str, Any]:  # noqa: ANN401 (any dataclass)
    """A family's config as JSON would give it back: tuples become lists, enums their values."""
    sizes: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return sizes
