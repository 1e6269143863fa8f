"""TortoiseSet: TorToiSe's files: what each of them is, and whether they fit. Networks are read when used.

What speaks is `text-to-codes` and either `codes-to-spec` with `spec-to-wav`, or `codes-to-wav` alone. The
rest is needed for some wishes only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from retimbre.checkpoint.digests import Digests
from retimbre.errors import CheckpointError, DataError, StagesDoNotFit
from retimbre.models.adapted import adapted
from retimbre.models.adapter import Adapter
from retimbre.models.explain import Explained, explain_file
from retimbre.models.identify import identify
from retimbre.models.load import Loaded, load_model, loaded
from retimbre.models.report import Report
from retimbre.pipelines.chain import chain_of
from retimbre.pipelines.tortoise_roles import (
    PARTS,
    RANDOM_VOICE,
    Role,
    require_one_each,
    roles_of,
    said_of,
    voice_widths,
)
from retimbre.text.bpe import Vocabulary

ENDINGS = (".pth", ".pt", ".ckpt", ".safetensors")
TOKENIZER = "tokenizer.json"
N_NAMED = 8
# How latents become sound; the first is taken unless another is asked for.
DECODERS: Mapping[str, tuple[Role, ...]] = {
    "diffusion": ("codes-to-spec", "spec-to-wav"),
    "hifigan": ("codes-to-wav",),
}
RANDOM_VOICES: Mapping[str, tuple[Role, ...]] = {  # by the decoder
    "diffusion": ("random-voice-ar", "random-voice-diffusion"),
    "hifigan": ("random-voice-ar",),
}


@dataclass(frozen=True, kw_only=True)
class TortoiseSet:
    """The files of one set, which fit.

    Args:
        place: The folder, or the first file, that the user named.
        paths: Role -> file.
        reports: Role -> what the file is.
        vocabulary: Text -> symbols of this set.
        beside: Files that play no role.
        assume: What the user states of the autoregressive network.
        adapters: What is folded into networks when they are read.
    """

    place: Path
    paths: Mapping[Role, Path]
    reports: Mapping[Role, Report] = field(repr=False)
    vocabulary: Vocabulary = field(repr=False)
    beside: tuple[Path, ...] = ()
    assume: Mapping[str, Any] = field(default_factory=dict)
    adapters: tuple[Adapter, ...] = ()
    digests: Digests = field(default_factory=Digests, repr=False)

    @property
    def decoders(self) -> tuple[str, ...]:
        """Those of `DECODERS` whose files are all there."""
        return tuple(name for name, roles in DECODERS.items() if not self.missing(roles))

    def missing(self, roles: Iterable[Role]) -> tuple[Role, ...]:
        """Which of these roles no file plays."""
        return tuple(role for role in roles if role not in self.paths)

    def require(self, roles: Iterable[Role], why: str) -> None:
        """Raise CheckpointError, naming what to fetch, unless files play all of these roles.

        Args:
            why: What needs them, to begin a sentence with: 'choosing among 4 candidates'.
        """
        if lacking := self.missing(roles):
            raise _lacking(lacking, f"{why} needs {_and(lacking)}", self.place, self.reports, ())

    def require_decoder(self, name: str) -> None:
        """Raise CheckpointError unless this one of `DECODERS` is there; DataError if there is no such one."""
        if name not in DECODERS:
            raise DataError(f"there is no decoder '{name}'", expected=" or ".join(DECODERS))
        self.require(DECODERS[name], f"decoder {name}")

    def require_ranking(self, n_candidates: int) -> None:
        """Raise CheckpointError unless so many candidates can be ranked; one needs no ranking."""
        if n_candidates > 1:
            self.require(("ranking",), f"choosing among {n_candidates} candidates")

    def require_random_voice(self, decoder: str) -> None:
        """Raise CheckpointError unless a voice can be made up for this one of `DECODERS`."""
        self.require(RANDOM_VOICES[decoder], "a random voice")

    def load(self, role: Role, *, device: str | torch.device = "cpu") -> Loaded:
        """The network that plays a role, read anew at each call."""
        self.require((role,), "this")
        if not self.adapters_of(role):
            return load_model(self.paths[role], device=device, assume=self._assume(role))
        return loaded(self._adapted(role), device=device)

    def sha256(self, role: Role) -> str:
        """Of the file that plays a role, and of its adapters. Of a large file it takes seconds, once."""
        of_adapters = (f"{self.digests.of(one.path)} x {one.strength:g}" for one in self.adapters_of(role))
        return " + ".join([self.digests.of(self.paths[role]), *of_adapters])

    def adapters_of(self, role: Role) -> tuple[Adapter, ...]:
        """Those for the network that plays a role."""
        return tuple(one for one in self.adapters if one.description.family == PARTS[role].family)

    def require_adapters_fit(self) -> None:
        """Raise CheckpointError unless each adapter has its base in the set."""
        for adapter in self.adapters:
            if not any(adapter in self.adapters_of(role) for role in self.paths):
                raise CheckpointError(
                    f"{adapter.path.name} is for none of these files",
                    expected=f"its base {adapter.description.base.file}, a {adapter.description.family}",
                    found=", ".join(path.name for path in self.paths.values()),
                )
        for role in self.paths:
            if self.adapters_of(role):
                self._adapted(role)

    def _adapted(self, role: Role) -> Explained:
        path = self.paths[role]
        found = explain_file(path, stated=self._assume(role))
        return adapted(found, self.adapters_of(role), sha256=self.digests.of(path))

    def _assume(self, role: Role) -> Mapping[str, Any] | None:
        return self.assume if role == "text-to-codes" else None


def tortoise_set(
    paths: Path | Sequence[Path],
    *,
    assume: Mapping[str, Any] | None = None,
    adapters: Sequence[Adapter] = (),
    digests: Digests | None = None,
) -> TortoiseSet:
    """The set in a folder, or of several files. A file named beside a folder takes the place of one in it.

    Args:
        assume: What no tensor of the autoregressive network tells, by the names of 'retimbre inspect'.
        adapters: What is folded into networks of the set, from `read_adapter`.
        digests: Where hashes are remembered.

    Raises:
        CheckpointError: a file cannot be read, is not what its name says or plays no role, or one is missing;
            or an adapter's base is not among them.
        StagesDoNotFit: two files play one role, or files come from different sets: what disagrees is named.
        TextError: the folder's tokenizer.json cannot be used.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    played, others = parts_in(given, assume=assume)
    _require_speech(given[0], played, others)
    require_fit(given[0], played)
    files = TortoiseSet(
        place=given[0],
        paths={role: played[role].path for role in PARTS if role in played},
        reports=played,
        vocabulary=read_vocabulary(vocabulary_file(given), played["text-to-codes"]),
        beside=tuple(report.path for report in others),
        assume=assume or {},
        adapters=tuple(adapters),
        digests=digests or Digests(),
    )
    files.require_adapters_fit()
    return files


def parts_in(
    given: Sequence[Path], *, assume: Mapping[str, Any] | None = None, roles: Iterable[Role] = tuple(PARTS)
) -> tuple[dict[Role, Report], list[Report]]:
    """Who plays which role among these files and those in these folders, and the files that play none.

    Args:
        assume: What is stated of the autoregressive network.
        roles: Those that count: whatever plays another one plays none.

    Raises:
        CheckpointError: a file cannot be read, is not what its name says, or is named and plays no role.
        StagesDoNotFit: two files play one role.
    """
    named, in_folders = _files(given)
    reports = {path: identify(path, is_hashed=False) for path in (*named, *in_folders)}
    if assume:
        reports = {path: _as_stated(report, assume) for path, report in reports.items()}
    found = {path: role for path, role in roles_of(list(reports.values())).items() if role in roles}
    chosen = _chosen(found, named, reports)
    played = {role: reports[path] for path, role in chosen.items()}
    return played, [report for path, report in reports.items() if path not in chosen]


def _files(given: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Those named one by one, and those in folders."""
    named, in_folders = [], []
    for path in given:
        if path.is_dir():
            in_folders += sorted(each for each in path.iterdir() if each.suffix in ENDINGS and each.is_file())
        elif not path.is_file():
            do = "fetch the released models: retimbre fetch tortoise"
            raise CheckpointError(f"there is no {path}", expected="a folder with TorToiSe's models", do=do)
        elif path.suffix != ".json":
            named.append(path)
    return list(dict.fromkeys(named)), [path for path in dict.fromkeys(in_folders) if path not in named]


def _as_stated(report: Report, assume: Mapping[str, Any]) -> Report:
    is_meant = report.family == PARTS["text-to-codes"].family
    return identify(report.path, assume=assume, is_hashed=False) if is_meant else report


def _chosen(
    roles: Mapping[Path, Role], named: Sequence[Path], reports: Mapping[Path, Report]
) -> dict[Path, Role]:
    """One file for each role: the one that is named, or else the one in a folder."""
    for path in named:
        if path not in roles:
            raise CheckpointError(
                f"{path} plays no part in speaking",
                expected=" or ".join(dict.fromkeys(part.family for part in PARTS.values())),
                found=said_of(reports[path]),
                do="leave it out",
            )
    by_name = {path: roles[path] for path in named}
    chosen = by_name | {path: role for path, role in roles.items() if role not in by_name.values()}
    require_one_each(chosen)
    return chosen


def _require_speech(place: Path, played: Mapping[Role, Report], others: Sequence[Report]) -> None:
    lacking: list[Role] = [] if "text-to-codes" in played else ["text-to-codes"]
    if not any(set(roles) <= played.keys() for roles in DECODERS.values()):
        lacking += [role for role in DECODERS["diffusion"] if role not in played]
    if lacking:
        raise _lacking(lacking, f"there is no {_and(lacking)} in {place}", place, played, others)


def _lacking(
    roles: Sequence[Role], what: str, place: Path, played: Mapping[Role, Report], others: Sequence[Report]
) -> CheckpointError:
    """Says what is there, and what those files are that play no role."""
    found = [report.path.name for report in played.values()]
    found += [f"{report.path.name}, which is {said_of(report)}" for report in others[:N_NAMED]]
    folder = place if place.is_dir() else place.parent
    names = [PARTS[role].name for role in roles]
    return CheckpointError(
        what,
        expected=_and([f"{name}.pth" for name in names]),
        found="; ".join(found) or "no model at all",
        do=f"fetch what is missing: retimbre fetch tortoise {' '.join(names)} -o {folder}",
    )


def require_fit(place: Path, played: Mapping[Role, Report]) -> None:
    """Raise StagesDoNotFit, naming each size that disagrees where two of these networks meet."""
    stages = [report for report in played.values() if report.family != RANDOM_VOICE]
    wrong = list(chain_of(stages).disagreements)
    wrong += [
        f"width of a voice: {played[role].sizes['dim']} in {played[role].path.name}, {width} in the model"
        for role, width in voice_widths(list(played.values())).items()
        if role in played and played[role].sizes["dim"] != width
    ]
    if wrong:
        raise StagesDoNotFit(
            f"the files of {place} do not belong together",
            expected="the same sizes wherever two models meet",
            found="; ".join(dict.fromkeys(wrong)),
            do="replace what comes from another set ('retimbre inspect FILE …' shows the chain)",
        )


def vocabulary_file(given: Iterable[Path]) -> Path | None:
    """The tokenizer.json that is named, or lies in one of these folders; None: the released one is meant."""
    given = list(given)
    files = [path for path in given if path.suffix == ".json"]
    files += [path / TOKENIZER for path in given if (path / TOKENIZER).is_file()]
    return files[0] if files else None


def read_vocabulary(path: Path | None, reader: Report | None) -> Vocabulary:
    """The vocabulary in a file, or the released one.

    Args:
        reader: The autoregressive network that reads its pieces, where there is one.

    Raises:
        TextError: the file cannot be used.
        StagesDoNotFit: the network has fewer rows than there are pieces.
    """
    vocabulary = Vocabulary.from_file(path) if path else Vocabulary.tortoise()
    if reader is not None and len(vocabulary) > reader.config.n_per_type:
        raise StagesDoNotFit(
            f"the vocabulary does not fit {reader.path.name}",
            expected=f"at most {reader.config.n_per_type} pieces, a row of text_embedding.weight for each",
            found=f"{len(vocabulary)} in {path or 'the released vocabulary'}",
            do=f"put the {TOKENIZER} that the model was trained with beside it",
        )
    return vocabulary


def _and(words: Sequence[str]) -> str:
    return " and ".join(words)
