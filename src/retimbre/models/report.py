"""Report: what a checkpoint is, as lines for people and as JSON for scripts."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retimbre.checkpoint.ledger import Entry
from retimbre.models.assumptions import Assumption
from retimbre.models.complete import visible
from retimbre.models.description import Description

MARGIN = 15
N_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a checkpoint is.

    Args:
        family: None if no family explains the file; `problem` says why then.
        variant: Which of several programs that define the network it is of, where names tell.
        stage: The part of a chain that it plays.
        kind: What a file is that is known, but no model of a family here, such as `xtts-v2`.
        recognised: A sentence about it.
        parameters: Numbers that training moves; buffers are not counted.
        precision: Type of numbers -> tensors of it, for instance `float32`.
        sizes: The family's config as plain values.
        reference_kwargs: The same in the words of the tool that the family comes from.
        assumed: What neither tensors nor metadata told.
        unknowable: What no tensor tells and what the weights do not depend on.
        entries: What became of each tensor.
        carries: Part of the file that is no weights -> tensors in it, such as an optimiser's.
        companion: The file beside it that holds the discriminators, if not the file itself.
        notes: Names of code that the file refers to; harmless here, but other tools would import it.
        sha256: None unless the file is small or was looked through.
        known_file: The released file that it is, where its hash is known.
        oddities: With a look through all weights: name of a tensor -> what is odd about it.
    """

    path: Path
    container: str
    n_bytes: int
    n_tensors: int
    sha256: str | None = None
    weights_at: str | None = None
    family: str | None = None
    variant: str | None = None
    stage: str | None = None
    kind: str | None = None
    recognised: str | None = None
    written_by: str = ""
    parameters: int = 0
    precision: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    reference_kwargs: Mapping[str, Any] | None = None
    assumed: tuple[Assumption, ...] = ()
    unknowable: tuple[str, ...] = ()
    description: Description | None = None
    config: Any = field(default=None, repr=False)
    entries: tuple[Entry, ...] = field(default=(), repr=False)
    carries: Mapping[str, int] = field(default_factory=dict)
    has_discriminators: bool = False
    has_optimiser: bool = False
    companion: Path | None = None
    step: int = 0
    notes: tuple[str, ...] = ()
    problem: str | None = None
    names: tuple[str, ...] = field(default=(), repr=False)
    known_file: str | None = None
    oddities: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return self.to_text()

    @property
    def dropped(self) -> dict[str, str]:
        """Name of a tensor that is not used -> why."""
        return {entry.name: entry.why for entry in self.entries if entry.fate == "dropped"}

    def to_text(self) -> str:
        """A few aligned lines for people."""
        rows = [*self._model_rows(), *self._tensor_rows(), *self._file_rows()]
        return "\n".join(f"{title:<{MARGIN}}{text}" for title, text in rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON knows it."""
        return {
            "path": str(self.path),
            "family": self.family,
            "variant": self.variant,
            "stage": self.stage,
            "kind": self.kind,
            "recognised": self.recognised,
            "problem": self.problem,
            "written_by": self.written_by,
            "parameters": self.parameters,
            "precision": dict(self.precision),
            "sizes": dict(self.sizes),
            "reference_kwargs": None if self.reference_kwargs is None else dict(self.reference_kwargs),
            "assumed": {assumption.name: _unnamed(assumption) for assumption in self.assumed},
            "unknowable": list(self.unknowable),
            "step": self.step,
            "container": self.container,
            "weights_at": self.weights_at,
            "n_bytes": self.n_bytes,
            "sha256": self.sha256,
            "known_file": self.known_file,
            "n_tensors": self.n_tensors,
            "matched": sum(entry.fate == "matched" for entry in self.entries),
            "renamed": self._moved("renamed"),
            "resized": self._moved("resized"),
            "new": {entry.name: entry.why for entry in self.entries if entry.fate == "new"},
            "dropped": self.dropped,
            "carries": dict(self.carries),
            "has_discriminators": self.has_discriminators,
            "has_optimiser": self.has_optimiser,
            "companion": str(self.companion) if self.companion else None,
            "notes": list(self.notes),
            "oddities": None if self.oddities is None else dict(self.oddities),
            "description": self.description.to_dict() if self.description else None,
        }

    def to_json(self) -> str:
        """Everything, for scripts."""
        return json.dumps(self.to_dict(), indent=2)

    def _moved(self, fate: str) -> dict[str, dict[str, str | None]]:
        return {
            entry.name: {"to": entry.ours, "why": entry.why} for entry in self.entries if entry.fate == fate
        }

    def _model_rows(self) -> list[tuple[str, str]]:
        if self.family is None:
            rows = [("Known", self.recognised)] if self.recognised else [("Unknown", self.problem or "")]
            rows += _titled("Facts", _sizes(self.sizes)) + _titled("Assumed", map(str, self.assumed))
            return [*rows, ("Tensors", f"{self.n_tensors:,}: {_some(self.names)}")]
        described = self.description
        facts = [self.family, f"{_amount(self.parameters)} parameters"]
        facts += [f"{len(described.symbols)} symbols"] if described and described.symbols else []
        facts += [f"step {self.step:,}"] if self.step else []
        rows = [((self.stage or "").capitalize(), ", ".join(facts)), ("Written by", visible(self.written_by))]
        if described and described.spectrogram:
            rows.append(("Spectrogram", _spectrogram(described)))
        if described and described.symbols:
            rows += [
                ("Symbols", " ".join(_quoted(symbol) for symbol in described.symbols)),
                ("Speakers", _some(described.speakers)),
                ("Languages", _some(described.languages)),
            ]
        rows += _titled("Sizes", _sizes(self.sizes)) + _titled("Assumed", map(str, self.assumed))
        return rows + _titled("Not told", self.unknowable)

    def _tensor_rows(self) -> list[tuple[str, str]]:
        """How the tensors fared, a line for each reason."""
        if not self.entries:
            return []
        reasons: dict[tuple[str, str], list[str]] = {}
        for entry in self.entries:
            if entry.fate != "matched":
                reasons.setdefault((entry.fate, entry.why), []).append(entry.name)
        counted = [
            f"{len(names):,} {fate}: {_some(tuple(names), 2)} - {why}"
            for (fate, why), names in reasons.items()
        ]
        n_matched = sum(entry.fate == "matched" for entry in self.entries)
        types = ", ".join(
            f"{n} {name}" if len(self.precision) > 1 else name for name, n in self.precision.items()
        )
        return _titled("Tensors", [f"{n_matched:,} matched; {types}", *counted])

    def _file_rows(self) -> list[tuple[str, str]]:
        where = f" (in {self.companion.name} beside it)" if self.companion else ""
        parts = [f"discriminators{where}"] if self.has_discriminators else []
        parts += ["optimiser state"] if self.has_optimiser else []
        counted = ", ".join(f"{visible(part)} {n:,}" for part, n in self.carries.items())
        held = f"; tensors: {counted}" if counted else ""
        rows = [("With it", (", ".join(parts) or "neither discriminators nor optimiser state") + held)]
        if self.notes:
            rows.append(("Refers to", f"{_some(self.notes)}; neither imported nor run here"))
        if self.oddities is not None:
            odd = [f"{visible(name)}: {what}" for name, what in self.oddities.items()]
            rows += _titled("Odd", odd[:N_SHOWN] + ([f"… ({len(odd)} in all)"] if len(odd) > N_SHOWN else []))
            rows += [] if odd else [("Odd", "nothing: all weights are finite, and none is constant")]
        digest = f"sha256 {self.sha256}" if self.sha256 else "sha256 with --deep"
        rows.append(("File", f"{self.container}, {self.n_bytes / 1e6:,.1f} MB, {digest}"))
        return [*rows, ("Released as", self.known_file)] if self.known_file else rows


def _unnamed(assumption: Assumption) -> dict[str, Any]:
    return {key: value for key, value in assumption.to_dict().items() if key != "name"}


def _spectrogram(described: Description) -> str:
    mel = described.mel
    text = (
        f"{mel.sample_rate_hz:,} Hz, {mel.n_fft_samples}/{mel.hop_samples}, {mel.n_mels} bands to "
        f"{mel.high_hz:,.0f} Hz, {mel.centring} frames"
    )
    speaks = described.output_sample_rate_hz
    return text + (f"; the waveform has {speaks:,} Hz" if speaks else "")


def _sizes(sizes: Mapping[str, Any]) -> list[str]:
    """One line for what is plain, one for each part."""
    plain = [f"{name} {value}" for name, value in sizes.items() if not isinstance(value, Mapping)]
    parts = {name: value for name, value in sizes.items() if isinstance(value, Mapping)}
    first = [", ".join(plain)] if plain else []
    return [*first, *(f"{name}: {', '.join(_sizes(value))}" for name, value in parts.items())]


def _titled(title: str, lines: Iterable[str]) -> list[tuple[str, str]]:
    return [("" if i else title, line) for i, line in enumerate(lines)]


def _amount(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1_000_000 else f"{number:,}"


def _some(names: tuple[str, ...], n_shown: int = N_SHOWN) -> str:
    shown = ", ".join(_quoted(name[:60]) for name in names[:n_shown])
    return shown + (f", … ({len(names)} in all)" if len(names) > n_shown else "")


def _quoted(text: str) -> str:
    return text if text.isprintable() and text.strip() else ascii(text)
