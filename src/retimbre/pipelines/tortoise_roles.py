"""Which part each of several files plays in a set of TorToiSe's models.

What a file holds decides. A released name is a claim: where a file of that name holds something else, one was
swapped for another, and that is said. The two generators of random voices are told apart by name or width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retimbre.errors import CheckpointError, StagesDoNotFit
from retimbre.models.report import Report

Role = Literal[
    "text-to-codes",
    "codes-to-spec",
    "spec-to-wav",
    "codes-to-wav",
    "ranking",
    "wav-to-codes",
    "random-voice-ar",
    "random-voice-diffusion",
]
RANDOM_VOICE = "tortoise_random_latent"


@dataclass(frozen=True)
class Part:
    """Who plays a role: the family, and the name of its released file without its ending."""

    family: str
    name: str


PARTS: Mapping[Role, Part] = {
    "text-to-codes": Part("tortoise_ar", "autoregressive"),
    "codes-to-spec": Part("tortoise_diffusion", "diffusion_decoder"),
    "spec-to-wav": Part("univnet", "vocoder"),
    "codes-to-wav": Part("tortoise_hifigan", "hifidecoder"),
    "ranking": Part("tortoise_clvp", "clvp2"),
    "wav-to-codes": Part("tortoise_dvae", "dvae"),
    "random-voice-ar": Part(RANDOM_VOICE, "rlg_auto"),
    "random-voice-diffusion": Part(RANDOM_VOICE, "rlg_diffuser"),
}


def roles_of(reports: Sequence[Report]) -> dict[Path, Role]:
    """The role of each file that has one.

    Raises:
        CheckpointError: a file does not hold what its released name says.
    """
    roles: dict[Path, Role] = {}
    for report in reports:
        claimed = _claimed(report)
        if claimed and report.family != PARTS[claimed].family:
            raise CheckpointError(
                f"{report.path} is not what its name says",
                expected=f"{claimed} ({PARTS[claimed].family})",
                found=said_of(report),
                do="put the right file in its place, or give this one another name",
            )
        if role := claimed or _played(report, reports):
            roles[report.path] = role
    return roles


def said_of(report: Report) -> str:
    """What a file is, in a few words."""
    if report.family:
        return report.family if report.stage is None else f"{report.family} ({report.stage})"
    return report.recognised or report.problem or "nothing that is known here"


def require_one_each(roles: Mapping[Path, Role]) -> None:
    """Raise StagesDoNotFit where two files play one role: which of them is meant, nobody can guess."""
    for role in dict.fromkeys(roles.values()):
        names = [path.name for path, each in roles.items() if each == role]
        if len(names) > 1:
            raise StagesDoNotFit(
                f"{len(names)} files for {role}",
                expected="one",
                found=", ".join(names),
                do="name the one to be used beside the folder, or move the other away",
            )


def _claimed(report: Report) -> Role | None:
    """By the name."""
    return next((role for role, part in PARTS.items() if report.path.stem == part.name), None)


def _played(report: Report, reports: Sequence[Report]) -> Role | None:
    """By the content."""
    if report.family == RANDOM_VOICE:
        widths = voice_widths(reports)
        return next((role for role in widths if report.sizes["dim"] == widths[role]), None)
    return next((role for role, part in PARTS.items() if report.family == part.family), None)


def voice_widths(reports: Sequence[Report]) -> dict[Role, int]:
    """How wide the voices must be that the networks among the files read."""
    widths: dict[Role, int] = {}
    for report in reports:
        if report.family == "tortoise_ar":
            widths["random-voice-ar"] = report.sizes["dim"]
        elif report.family == "tortoise_diffusion":
            widths["random-voice-diffusion"] = 2 * report.sizes["dim"]
    return widths
