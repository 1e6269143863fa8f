"""TrainingFiles: which files of TorToiSe a training stage reads beside its base, and whether they fit.

A file is the one that the recipe names (`tortoise.dvae`, …), or the one that plays its role in the folder
`tortoise.models`, or else in the folder of the base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retimbre.checkpoint.digests import Digests
from retimbre.errors import CheckpointError, RecipeError, StagesDoNotFit
from retimbre.models.identify import identify
from retimbre.models.report import Report
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.pipelines.tortoise_roles import PARTS, Role, said_of
from retimbre.pipelines.tortoise_set import parts_in, read_vocabulary, require_fit, vocabulary_file
from retimbre.recipe.recipe import Recipe, Stage
from retimbre.text.bpe import Vocabulary

# Stage that is trained -> whose output it learns from. Its own file is the base.
NEEDED: Mapping[Stage, tuple[Role, ...]] = {
    "text-to-codes": ("wav-to-codes",),
    "codes-to-spec": ("wav-to-codes", "text-to-codes"),
    "spec-to-wav": ("wav-to-codes", "text-to-codes", "codes-to-spec"),
    "wav-to-codes": (),
}
KEYS: Mapping[Role, str] = {  # of the section `tortoise`
    "wav-to-codes": "dvae",
    "text-to-codes": "text_to_codes",
    "codes-to-spec": "codes_to_spec",
}
RELEASED_DVAE = "sha256 a9908253…97e35"
XTTS_V2_CODEBOOK = (512, 1024)


@dataclass(frozen=True, kw_only=True)
class TrainingFiles:
    """The files that a stage is trained with, which fit.

    Args:
        paths: Role -> file; the base plays that of the stage.
        reports: Role -> what the file is.
        vocabulary: Text -> symbols.
        tokenizer: The file that it is from; None: the released one.
    """

    paths: Mapping[Role, Path]
    reports: Mapping[Role, Report] = field(repr=False)
    vocabulary: Vocabulary = field(repr=False)
    tokenizer: Path | None = None
    digests: Digests = field(default_factory=Digests, repr=False)

    @property
    def dvae(self) -> Path | None:
        """What makes the codes; None only where a new one is trained."""
        return self.paths.get("wav-to-codes")

    @property
    def text_to_codes(self) -> Path | None:
        """The autoregressive network: the base, or whose latents are learnt from."""
        return self.paths.get("text-to-codes")

    @property
    def codes_to_spec(self) -> Path | None:
        """The diffusion decoder: the base, or whose specs are learnt from."""
        return self.paths.get("codes-to-spec")

    @property
    def ar_config(self) -> UnifiedVoiceConfig | None:
        """Sizes of the autoregressive network; None where there is none."""
        report = self.reports.get("text-to-codes")
        config: UnifiedVoiceConfig | None = report.config if report else None
        return config

    def sha256(self, role: Role) -> str:
        """Of the file that plays a role. Of a large file it takes seconds, once."""
        return self.digests.of(self.paths[role])

    def beside(self, stage: Stage) -> dict[str, dict[str, str]]:
        """Role -> name and hash of each file but that of `stage` itself: for a lineage."""
        return {
            role: {"file": path.name, "sha256": self.sha256(role)}
            for role, path in self.paths.items()
            if role != stage
        }


def files_of(recipe: Recipe, *, digests: Digests | None = None) -> TrainingFiles:
    """The files that a recipe of a TorToiSe stage is trained with.

    Args:
        digests: Where hashes are remembered.

    Raises:
        RecipeError: nothing plays a role that the stage needs.
        CheckpointError: a file cannot be read, or is not what it is named as.
        StagesDoNotFit: the files come from different sets, or two in a folder play one role.
        TextError: the tokenizer cannot be used.
    """
    played = _named(recipe)
    folder = _folder(recipe)
    if lacking := [role for role in NEEDED[recipe.stage] if role not in played]:
        found = parts_in([folder], roles=lacking)[0] if folder and folder.is_dir() else {}
        played |= found
        if missing := [role for role in lacking if role not in found]:
            raise _missing(recipe.stage, missing, folder)
    _require_own_codebook(played)
    require_fit(recipe.tortoise.models or next(iter(played.values())).path if played else Path(), played)
    tokenizer = _tokenizer(recipe, played, folder)
    return TrainingFiles(
        paths={role: report.path for role, report in played.items()},
        reports=played,
        vocabulary=read_vocabulary(tokenizer, played.get("text-to-codes")),
        tokenizer=tokenizer,
        digests=digests or Digests(),
    )


def _named(recipe: Recipe) -> dict[Role, Report]:
    """The base, and what the recipe names of what its stage needs."""
    named: dict[Role, tuple[Path, str]] = {}
    for role in NEEDED[recipe.stage]:
        if path := getattr(recipe.tortoise, KEYS[role]):
            named[role] = path, f"tortoise.{KEYS[role]}"
    if recipe.base is not None:
        named[_own(recipe)] = recipe.base, "base"
    played = {}
    for role, (path, key) in named.items():
        report = identify(path, is_hashed=False)
        if report.family != PARTS[role].family:
            raise CheckpointError(
                f"{path} cannot be '{key}' of {recipe.stage}",
                expected=f"{role} ({PARTS[role].family})",
                found=said_of(report),
                do=f"give '{key}' the right file",
            )
        played[role] = report
    return played


def _own(recipe: Recipe) -> Role:
    return next(role for role in PARTS if role == recipe.stage)


def _folder(recipe: Recipe) -> Path | None:
    """Where to look for what nobody names."""
    if recipe.tortoise.models is not None:
        return recipe.tortoise.models
    return recipe.base.parent if recipe.base is not None else None


def _tokenizer(recipe: Recipe, played: Mapping[Role, Report], folder: Path | None) -> Path | None:
    """The one that is named; else the one beside the network that reads its pieces, or in the folder."""
    if recipe.tortoise.tokenizer is not None:
        return recipe.tortoise.tokenizer
    reader = played.get("text-to-codes")
    return vocabulary_file([*([reader.path.parent] if reader else []), *([folder] if folder else [])])


def _missing(stage: Stage, roles: Sequence[Role], folder: Path | None) -> RecipeError:
    names = [PARTS[role].name for role in roles]
    keys = " and ".join(f"tortoise.{KEYS[role]}" for role in roles)
    where = folder or Path("models", "tortoise")
    return RecipeError(
        f"{stage} needs {' and '.join(roles)}, and nothing plays it",
        expected=f"{keys}, or {' and '.join(f'{name}.pth' for name in names)} in a folder 'tortoise.models'",
        found=f"none in {folder}" if folder else "neither a base nor a folder",
        do=f"fetch it: retimbre fetch tortoise {' '.join(names)} -o {where}",
    )


def _require_own_codebook(played: Mapping[Role, Report]) -> None:
    """Raise StagesDoNotFit unless the dVAE has the codes that the autoregressive network speaks."""
    if not {"wav-to-codes", "text-to-codes"} <= played.keys():
        return
    dvae, ar = played["wav-to-codes"], played["text-to-codes"]
    n_rows, n_codes, dim = ar.config.n_codes, dvae.config.n_codes, dvae.config.codebook_dim
    if n_codes == n_rows - 2:
        return
    xtts = ": this is an XTTS v2 dVAE" if (dim, n_codes) == XTTS_V2_CODEBOOK else ""
    is_released = n_rows - 2 == 8192
    raise StagesDoNotFit(
        f"{dvae.path.name} and {ar.path.name} do not belong together",
        expected=f"a codebook of {n_rows - 2:,} codes "
        f"(mel_embedding.weight has {n_rows:,} rows: codes, start, stop)",
        found=f"codebook.embed with {n_codes:,} codes ({dim:,} × {n_codes:,}){xtts}",
        do=f"retimbre fetch tortoise dvae   ({RELEASED_DVAE})"
        if is_released
        else "give 'tortoise.dvae' the file that the network's codes were made with",
    )
