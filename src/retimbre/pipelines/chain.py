"""Do several checkpoints form a chain that works? If not, which fields or tensors disagree?

What neighbouring stages must have in common is one table for TorToiSe, by the names that its own code gives
to the sizes, and the definition of the spectrogram everywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retimbre.errors import StagesDoNotFit
from retimbre.models.report import Report

NEEDED = {  # by the stage that begins a chain: all that must follow
    "text-to-spec": ("text-to-spec", "spec-to-wav"),
    "text-to-codes": ("text-to-codes", "codes-to-spec", "spec-to-wav"),
}
IN_ORDER = ("text-to-spec", "text-to-codes", "codes-to-spec", "spec-to-wav", "codes-to-wav")
SHORT_CUT = "codes-to-wav"  # it needs neither a spec nor a vocoder
MANY = ("ranking", "voice")  # a chain may have several of these


@dataclass(frozen=True)
class End:
    """Where a size stands: the argument of TorToiSe's class, what to add, and the tensor that tells it."""

    argument: str
    tensor: str
    plus: int = 0
    times: int = 1


LINKS: Mapping[str, Mapping[str, End]] = {
    "codes": {
        "tortoise_dvae": End("num_tokens", "codebook.embed"),
        "tortoise_ar": End("number_mel_codes", "mel_embedding.weight", plus=-2),
        "tortoise_diffusion": End("in_tokens", "code_embedding.weight", plus=-1),
        "tortoise_clvp": End("num_speech_tokens", "speech_emb.weight"),
        "tortoise_cvvp": End("mel_codes", "speech_emb.emb.weight"),
    },
    "width of a latent": {
        "tortoise_ar": End("model_dim", "final_norm.weight"),
        "tortoise_diffusion": End("in_latent_channels", "latent_conditioner.0.weight"),
        "tortoise_hifigan": End("in_channels", "conv_pre.weight_v"),
    },
    "width of the voice that sound is made with": {
        "tortoise_ar": End("model_dim", "final_norm.weight"),
        "tortoise_hifigan": End("cond_channels", "cond_layer.weight"),
    },
    "text symbols": {
        "tortoise_ar": End("number_text_tokens", "text_embedding.weight", plus=1),
        "tortoise_clvp": End("num_text_tokens", "text_emb.weight"),
    },
    "bands of the spectrogram": {
        "tortoise_diffusion": End("in_channels", "inp_block.weight"),
        "univnet": End("n_mel_channels", "res_stack.0.kernel_predictor.input_conv.0.weight_v"),
    },
}
VOICES: Mapping[str, Mapping[str, End]] = {  # what a saved or a random voice must be as wide as
    "autoregressive latent": {"tortoise_ar": End("model_dim", "final_norm.weight")},
    "diffusion latent": {"tortoise_diffusion": End("model_channels", "inp_block.weight", times=2)},
}


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Whether checkpoints work together.

    Args:
        stages: Stage -> the file that plays it, in the order of the chain.
        missing: Stages without a file.
        disagreements: One sentence for each size or field that does not fit.
        beside: Files that belong to no stage of a chain.
    """

    stages: Mapping[str, str]
    missing: tuple[str, ...]
    disagreements: tuple[str, ...]
    beside: tuple[str, ...]

    @property
    def works(self) -> bool:
        """Are all stages there, and do they fit?"""
        return not self.missing and not self.disagreements

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return {
            "works": self.works,
            "stages": dict(self.stages),
            "missing": list(self.missing),
            "disagreements": list(self.disagreements),
            "beside": list(self.beside),
        }

    def to_text(self) -> str:
        """The verdict, then what is wrong, a line each."""
        path = " → ".join(f"{stage} ({file})" for stage, file in self.stages.items())
        lines = [*self.disagreements]
        lines += [f"no {stage}: give its file, too" for stage in self.missing]
        lines += [f"beside the chain: {', '.join(self.beside)}"] if self.beside else []
        if not self.stages:
            verdict = "no chain: none of these files is a stage of one"
        elif self.disagreements:
            verdict = f"a chain that does not work: {path}"
        else:
            verdict = f"{'a part of a chain that fits' if self.missing else 'a chain that works'}: {path}"
        return "\n".join([f"{'Chain':<15}{verdict}", *(f"{'':<15}{line}" for line in lines)])


def chain_of(reports: Sequence[Report]) -> Chain:
    """Whether the files that these reports describe work together."""
    staged = {report.path: report.stage for report in reports if report.stage in IN_ORDER}
    if {"codes-to-spec", "spec-to-wav"} & set(staged.values()):  # with those, its short cut is not needed
        staged = {path: stage for path, stage in staged.items() if stage != SHORT_CUT}
    found = {stage: path.name for path, stage in staged.items() if stage}
    begin = next((stage for stage in NEEDED if stage in found), None)
    needed = NEEDED[begin] if begin else (" or ".join(NEEDED),) if found else ()
    if SHORT_CUT in found:
        needed = ("text-to-codes", SHORT_CUT)
    in_chain = [report for report in reports if report.path in staged]
    disagreements = [*_doubles(reports), *_mels(in_chain), *_links(reports), *_voices(reports)]
    return Chain(
        stages={stage: found[stage] for stage in IN_ORDER if stage in found},
        missing=tuple(stage for stage in needed if stage not in found),
        disagreements=tuple(disagreements),
        beside=tuple(report.path.name for report in reports if report.path not in staged),
    )


def _doubles(reports: Iterable[Report]) -> Iterable[str]:
    by_stage: dict[str, list[str]] = {}
    for report in reports:
        if report.stage and report.stage not in MANY:
            by_stage.setdefault(report.stage, []).append(report.path.name)
    for stage, names in by_stage.items():
        if len(names) > 1:
            yield f"{len(names)} files for {stage}: {', '.join(names)}; give one of them"


def _mels(staged: Sequence[Report]) -> Iterable[str]:
    """The spectrogram that one stage writes must be the one that the next reads."""
    writers = [report for report in staged if report.stage in ("text-to-spec", "codes-to-spec")]
    readers = [report for report in staged if report.stage == "spec-to-wav"]
    for writer in writers:
        for reader in readers:
            if not (writer.description and reader.description):
                continue
            try:
                writer.description.mel.require_same(
                    reader.description.mel, ours=writer.path.name, theirs=reader.path.name
                )
            except StagesDoNotFit as error:
                yield str(error)


def _links(reports: Sequence[Report]) -> Iterable[str]:
    for what, ends in LINKS.items():
        ended = [
            (report, ends[report.family]) for report in reports if report.family and report.family in ends
        ]
        told = [(_length(report, end), report, end) for report, end in ended]
        if len({length for length, _, _ in told}) > 1:
            yield f"{what}: " + ", ".join(_told(*each) for each in told)


def _voices(reports: Sequence[Report]) -> Iterable[str]:
    """A saved voice has one latent for each of two networks; a random one fits either of them."""
    wanted = {
        what: next(((_length(r, ends[r.family]), r) for r in reports if r.family and r.family in ends), None)
        for what, ends in VOICES.items()
    }
    for report in reports:
        if report.family == "tortoise_random_latent":
            width = (report.reference_kwargs or {}).get("channels")
            known = [length for length, _ in filter(None, wanted.values())]
            if len(known) == len(wanted) and width not in known:
                models = " or ".join(map(str, known))
                yield f"width of a voice: {width} in {report.path.name}, {models} in the models"
        for what, found in wanted.items():
            width = report.sizes.get(what.replace(" ", "_")) if report.recognised else None
            if width is not None and found and width != found[0]:
                there = f"{found[0]} in {found[1].path.name}"
                yield f"width of the {what}: {width} in {report.path.name}, {there}"


def _length(report: Report, end: End) -> int:
    return int((report.reference_kwargs or {})[end.argument]) * end.times + end.plus


def _told(length: int, report: Report, end: End) -> str:
    return f"{length} in {report.path.name} ({end.tensor})"
