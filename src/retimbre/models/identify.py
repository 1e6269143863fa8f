"""A checkpoint -> Report: what it is, what had to be assumed, what is suspicious. Nothing in it is run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.read import Contents, read
from retimbre.errors import CheckpointError
from retimbre.models.description import Description
from retimbre.models.explain import Explained, explain
from retimbre.models.hifigan.from_shapes import discriminator_tensors

OPTIMISERS = ("optimizer_states", "optim_g", "optim_d", "optimizer")
MARGIN = 15
N_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a checkpoint is.

    Args:
        family: None if no family explains the file; `problem` says why then.
        n_parameters: Numbers in the model's own tensors.
        companion: The file beside it that holds the discriminators, if not the file itself.
        dropped: Tensors that are neither the model's nor its discriminators'.
        notes: Names of code that the file refers to; harmless here, but other tools would import it.
    """

    path: Path
    container: str
    n_bytes: int
    sha256: str
    n_tensors: int
    family: str | None = None
    stage: str | None = None
    written_by: str = ""
    n_parameters: int = 0
    description: Description | None = None
    has_discriminators: bool = False
    has_optimiser: bool = False
    companion: Path | None = None
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str | None = None
    names: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self) -> str:
        """A few aligned lines for people."""
        rows = [*self._model_rows(), *self._file_rows()]
        return "\n".join(f"{title:<{MARGIN}}{text}" for title, text in rows)

    def to_json(self) -> str:
        """Everything, for scripts."""
        values: dict[str, Any] = {
            "path": str(self.path),
            "family": self.family,
            "stage": self.stage,
            "written_by": self.written_by,
            "container": self.container,
            "n_bytes": self.n_bytes,
            "sha256": self.sha256,
            "n_tensors": self.n_tensors,
            "n_parameters": self.n_parameters,
            "has_discriminators": self.has_discriminators,
            "has_optimiser": self.has_optimiser,
            "companion": str(self.companion) if self.companion else None,
            "dropped": list(self.dropped),
            "notes": list(self.notes),
            "problem": self.problem,
            "description": self.description.to_dict() if self.description else None,
        }
        return json.dumps(values, indent=2)

    def _model_rows(self) -> list[tuple[str, str]]:
        described = self.description
        if described is None:
            return [("Unknown", self.problem or ""), ("Tensors", f"{self.n_tensors:,}: {_some(self.names)}")]
        facts = [described.family, f"{_amount(self.n_parameters)} parameters"]
        facts += [f"{len(described.symbols)} symbols"] if described.symbols else []
        facts += [f"step {described.step:,}"] if described.step else []
        rows = [
            ((self.stage or "").capitalize(), ", ".join(facts)),
            ("Written by", _visible(self.written_by)),
            ("Spectrogram", _spectrogram(described)),
        ]
        if described.symbols:
            rows += [
                ("Symbols", " ".join(map(_visible, described.symbols))),
                ("Speakers", _some(described.speakers)),
                ("Languages", _some(described.languages)),
            ]
        return rows + _titled("Sizes", _sizes(described.sizes)) + _titled("Assumed", described.assumed)

    def _file_rows(self) -> list[tuple[str, str]]:
        where = f" (in {self.companion.name} beside it)" if self.companion else ""
        parts = [f"discriminators{where}"] if self.has_discriminators else []
        parts += ["optimiser state"] if self.has_optimiser else []
        rows = [("With it", ", ".join(parts) or "neither discriminators nor optimiser state")]
        if self.dropped:
            rows.append(("Not used", f"{len(self.dropped)} tensors: {_some(self.dropped)}"))
        if self.notes:
            rows.append(("Refers to", f"{_some(self.notes)}; neither imported nor run here"))
        rows.append(("File", f"{self.container}, {self.n_bytes / 1e6:,.1f} MB, sha256 {self.sha256}"))
        return rows


def identify(path: Path | str) -> Report:
    """What the checkpoint at `path` is.

    Raises:
        CheckpointError: if it cannot be read at all, or tries to run code.
    """
    contents = read(Path(path))
    facts: dict[str, Any] = {
        "path": contents.path,
        "container": contents.container,
        "n_bytes": contents.path.stat().st_size,
        "sha256": sha256_of(contents.path),
        "n_tensors": len(contents.tensors) + len(contents.other_tensors),
        "names": tuple(sorted(contents.tensors or contents.other_tensors)),
        "has_optimiser": any(contents.values.get(name) for name in OPTIMISERS),
        "notes": contents.notes,
    }
    try:
        return Report(**facts, **_explained(explain(contents)))
    except CheckpointError as error:
        has_discriminators = bool(discriminator_tensors(contents.tensors))
        return Report(**facts, has_discriminators=has_discriminators, problem=_problem(error, contents))


def _explained(found: Explained) -> dict[str, Any]:
    return {
        "family": found.family.name,
        "stage": found.family.stage,
        "written_by": found.written_by,
        "n_parameters": sum(tensor.numel() for tensor in found.tensors.values()),
        "description": found.description,
        "has_discriminators": bool(found.discriminators),
        "companion": found.companion,
        "dropped": found.dropped,
    }


def _problem(error: CheckpointError, contents: Contents) -> str:
    if discriminator_tensors(contents.tensors):
        return "discriminators without their generator, which the original HiFi-GAN keeps in g_… beside them"
    return error.what + (f": {error.found}" if error.found else "")


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
    return [", ".join(plain), *(f"{name}: {', '.join(_sizes(value))}" for name, value in parts.items())]


def _titled(title: str, lines: Iterable[str]) -> list[tuple[str, str]]:
    return [("" if i else title, line) for i, line in enumerate(lines)]


def _amount(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1_000_000 else f"{number:,}"


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(_visible(name[:60]) for name in names[:N_SHOWN])
    return shown + (f", … ({len(names)} in all)" if len(names) > N_SHOWN else "")


def _visible(text: str) -> str:
    """What a terminal shows and never obeys: a file may hold its commands in any name."""
    return text if text.isprintable() and text.strip() else ascii(text)
