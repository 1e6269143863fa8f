"""A checkpoint -> Report: what it is, what had to be assumed, what is suspicious. Nothing in it is run."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from retimbre.checkpoint.deep import look_deep
from retimbre.checkpoint.digest import sha256_of
from retimbre.checkpoint.read import Contents, read
from retimbre.checkpoint.released import RELEASED
from retimbre.checkpoint.shapes import outline_of
from retimbre.errors import CheckpointError, UnknownFamily
from retimbre.models.complete import empty_network
from retimbre.models.explain import Explained, explain
from retimbre.models.hifigan.from_shapes import discriminator_tensors
from retimbre.models.other_files import recognise
from retimbre.models.recognised import Recognised
from retimbre.models.report import Report
from retimbre.models.tortoise_dvae.codebook import dead_entries

OPTIMISERS = ("optimizer_states", "optim_g", "optim_d", "optimizer", "optimizers")
CLUSTER_SIZE = "codebook.cluster_size"
HASHED_ANYWAY_BYTES = 1 << 28  # less than a second's work


def identify(path: Path | str, *, assume: Mapping[str, Any] | None = None, is_hashed: bool = True) -> Report:
    """What the checkpoint at `path` is, from names and shapes; no weight is read.

    Args:
        assume: Values that no tensor tells, by the names in `Report.assumed`, instead of the usual ones.
        is_hashed: Whether the hash of a file that is not large is worked out.

    Raises:
        CheckpointError: if it cannot be read at all, tries to run code, or is not what `assume` says.
    """
    contents = read(Path(path))
    n_bytes = contents.path.stat().st_size
    facts: dict[str, Any] = {
        "path": contents.path,
        "container": contents.container,
        "weights_at": contents.weights_at,
        "n_bytes": n_bytes,
        "sha256": sha256_of(contents.path) if is_hashed and n_bytes <= HASHED_ANYWAY_BYTES else None,
        "n_tensors": len(contents.tensors) + len(contents.other_tensors),
        "names": tuple(sorted(contents.tensors or contents.other_tensors)),
        "has_optimiser": any(contents.values.get(name) for name in OPTIMISERS),
        "carries": dict(Counter(name.split("/")[0] for name in contents.other_tensors)),
        "notes": contents.notes,
    }
    try:
        return Report(**facts, **_explained(explain(contents, stated=assume)))
    except CheckpointError as error:
        if assume:  # who states something wants to hear why it does not hold
            raise error.of(contents.path) from error
        facts["has_discriminators"] = bool(discriminator_tensors(outline_of(contents.tensors)))
        if isinstance(error, UnknownFamily) and (known := recognise(contents)):
            return Report(**facts, **_recognised(known))
        return Report(**facts, problem=error.what + (f": {error.found}" if error.found else ""))


def identify_deep(path: Path | str, *, assume: Mapping[str, Any] | None = None) -> Report:
    """As `identify`, and all weights are read once: hash, the released file that it is, what is odd."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        hashing = beside.submit(sha256_of, Path(path))
        report = identify(path, assume=assume)
        contents = read(Path(path))
        oddities = {oddity.name: oddity.what for oddity in look_deep(contents)}
        oddities |= _dead_codes(report, contents)
        sha256 = hashing.result()
    known = next((released for released in RELEASED if released.sha256 == sha256), None)
    known_file = f"{known.name}: {known.what} ({known.repository})" if known else None
    return replace(report, sha256=sha256, known_file=known_file, oddities=oddities)


def _dead_codes(report: Report, contents: Contents) -> dict[str, str]:
    """Entries of a code book that training never picks any more."""
    sizes = {ours: entry.name for entry in report.entries if (ours := entry.ours) == CLUSTER_SIZE}
    if report.family != "tortoise_dvae" or not sizes:
        return {}
    picked = contents.tensors[sizes[CLUSTER_SIZE]]
    n_dead = dead_entries(picked)
    return (
        {sizes[CLUSTER_SIZE]: f"{n_dead:,} of {len(picked):,} entries of the code book are dead"}
        if n_dead
        else {}
    )


def _explained(found: Explained) -> dict[str, Any]:
    return {
        "family": found.family.name,
        "stage": found.family.stage,
        "written_by": found.written_by,
        "parameters": sum(p.numel() for p in empty_network(found.family.build, found.config).parameters()),
        "precision": dict(Counter(str(t.dtype).removeprefix("torch.") for t in found.outline.values())),
        "sizes": found.description.sizes,
        "variant": found.variant,
        "reference_kwargs": found.reference_kwargs,
        "assumed": found.description.assumed,
        "unknowable": found.unknowable,
        "description": found.description,
        "config": found.config,
        "entries": found.entries,
        "has_discriminators": found.has_discriminators,
        "companion": found.companion,
        "step": found.description.step,
    }


def _recognised(known: Recognised) -> dict[str, Any]:
    return {
        "kind": known.name,
        "recognised": known.what,
        "sizes": known.facts,
        "assumed": known.assumed,
        "step": known.facts.get("step", 0),
    }
