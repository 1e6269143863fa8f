"""Which files a match of TorToiSe's stages is made of: the tuned one, what it came from, what makes sound."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from retimbre.checkpoint.digests import Digests
from retimbre.errors import CheckpointError, RecipeError, RunError
from retimbre.models.identify import identify
from retimbre.models.report import Report
from retimbre.pipelines.tortoise_roles import PARTS, Role, said_of
from retimbre.pipelines.tortoise_set import ENDINGS, require_fit
from retimbre.pipelines.tortoise_speaker import DIGESTS
from retimbre.pipelines.tortoise_voice_cache import user_cache_folder
from retimbre.recipe.recipe import Recipe, Stage
from retimbre.training.tortoise_training_files import KEYS, TrainingFiles, files_of

TUNED: Mapping[Stage, Role] = {"codes-to-spec": "text-to-codes", "spec-to-wav": "codes-to-spec"}
FOLD = "small matrices alone are folded into their base first: retimbre convert BASE --adapter FILE -o OUT"


@dataclass(frozen=True, kw_only=True)
class Named:
    """What the command line names.

    Args:
        tuned: The stage before the one that is matched.
        untuned: What that was tuned from; None: the set's own, if that is another file.
        vocoder: Through which specs are heard; None: the set's own. Of a vocoder's match it is the base.
    """

    tuned: Path
    untuned: Path | None = None
    vocoder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class MatchFiles:
    """The files of one match, which fit.

    Args:
        recipe: With the tuned stage in its section `tortoise`.
        training: What training reads; the base plays the stage's own role.
        untuned: Role -> file of the stages before, as they were before tuning; none where nobody knows.
        vocoder: What makes sound of specs before the match.
    """

    recipe: Recipe
    training: TrainingFiles = field(repr=False)
    untuned: Mapping[Role, Path]
    vocoder: Path

    @property
    def base(self) -> Path:
        """What is matched."""
        return self.training.paths[_own(self.recipe)]

    @property
    def tuned(self) -> Path:
        """What it is matched to."""
        return self.training.paths[TUNED[self.recipe.stage]]

    @property
    def folder(self) -> Path:
        """Where the rest of the set lies."""
        return self.recipe.tortoise.models or self.base.parent


def match_files(recipe: Recipe, named: Named) -> MatchFiles:
    """Find the files of a match, and see that they fit.

    Raises:
        RunError: there is no base.
        RecipeError: two files are named for one role, or nothing plays one.
        CheckpointError: a file cannot be read, or is not what it is named as.
        StagesDoNotFit: they come from different sets.
    """
    _require_base(recipe)
    role = TUNED[recipe.stage]
    _played(named.tuned, role, f"--spec-model of a match of {recipe.stage}")
    recipe = _with_tuned(recipe, role, named.tuned.resolve())
    training = files_of(recipe, digests=Digests(user_cache_folder().parent / DIGESTS))
    folder = recipe.tortoise.models or training.paths[_own(recipe)].parent
    untuned = _untuned(recipe, training, named.untuned, folder)
    vocoder = training.paths.get("spec-to-wav") or _vocoder(named.vocoder, folder)
    reports = {**training.reports, "spec-to-wav": identify(vocoder, is_hashed=False)}
    require_fit(folder, reports)
    require_fit(folder, reports | {each: identify(path, is_hashed=False) for each, path in untuned.items()})
    return MatchFiles(recipe=recipe, training=training, untuned=untuned, vocoder=vocoder)


def _own(recipe: Recipe) -> Role:
    return next(role for role in PARTS if role == recipe.stage)


def _require_base(recipe: Recipe) -> None:
    if recipe.base is None or not recipe.base.is_file():
        raise RunError(
            f"matching needs a trained {_own(recipe)}",
            expected="base: FILE in the recipe"
            + (" or --vocoder FILE" if recipe.stage != "codes-to-spec" else ""),
            found=f"{recipe.base}" if recipe.base else "none",
        )


def _played(path: Path, role: Role, place: str) -> Report:
    report = identify(path, is_hashed=False)
    if report.family != PARTS[role].family:
        raise CheckpointError(
            f"{path} cannot be {place}",
            expected=f"{role} ({PARTS[role].family})",
            found=said_of(report),
            do=FOLD if report.family is None else f"give the {role} checkpoint",
        )
    return report


def _with_tuned(recipe: Recipe, role: Role, tuned: Path) -> Recipe:
    """The recipe as if it had named the tuned file itself."""
    section, key = recipe.tortoise, KEYS[role]
    before: Path | None = getattr(section, key)
    if before is not None and before.resolve() != tuned:
        raise RecipeError(
            f"two files are named for {role}",
            expected="one",
            found=f"{before} (tortoise.{key}) and {tuned} (--spec-model)",
            do=f"leave tortoise.{key} out of the recipe: --spec-model says it",
        )
    return recipe.model_copy(update={"tortoise": section.model_copy(update={key: tuned})})


def _untuned(recipe: Recipe, training: TrainingFiles, named: Path | None, folder: Path) -> dict[Role, Path]:
    """The stages before the one that is matched, before they were tuned."""
    role = TUNED[recipe.stage]
    if named is not None:
        _played(named, role, f"--base-spec-model of a match of {recipe.stage}")
    first = named or _another(training, role, folder)
    if first is None:
        return {}
    if role == "text-to-codes":
        return {role: first}
    codes: Role = "text-to-codes"
    return {codes: _another(training, codes, folder) or training.paths[codes], role: first}


def _another(training: TrainingFiles, role: Role, folder: Path) -> Path | None:
    """The one file of a folder that plays a role and is not the one that plays it here."""
    used = training.sha256(role)
    found = [path for path in _of_family(folder, PARTS[role].family) if training.digests.of(path) != used]
    return found[0] if len(found) == 1 else None


def _of_family(folder: Path, family: str) -> list[Path]:
    files = [path for path in sorted(folder.iterdir()) if path.suffix in ENDINGS and path.is_file()]
    return [path for path in files if identify(path, is_hashed=False).family == family]


def _vocoder(named: Path | None, folder: Path) -> Path:
    """Through which a decoder's specs are heard."""
    if named is not None:
        _played(named, "spec-to-wav", "--vocoder of a match of codes-to-spec")
        return named
    found = _of_family(folder, PARTS["spec-to-wav"].family)
    if len(found) != 1:
        raise RecipeError(
            "what is matched is heard through a vocoder, and the set has not just one",
            expected=f"one in {folder}, or --vocoder FILE",
            found=", ".join(path.name for path in found) or "none",
            do=f"fetch it: retimbre fetch tortoise vocoder -o {folder}",
        )
    return found[0]
