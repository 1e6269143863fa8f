"""How TorToiSe speaks: the presets of tortoise-tts by their names, and everything that can be set by hand."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_args

from retimbre.errors import DataError
from retimbre.models.tortoise_ar.sampling import Sampling
from retimbre.models.tortoise_diffusion.samplers import Sampler
from retimbre.nn.packed import Precision

MOST_CODES = 500  # 23 seconds, as tortoise-tts has it
MOST_STEPS = 4000  # of training


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides a sound besides models, voice, text and seed. The defaults are the preset `standard`.

    Args:
        n_drawn: Candidates that are drawn; the best are spoken.
        max_codes: The most codes of a candidate.
        sampling: How codes are drawn.
        n_steps: In which noise becomes a spec.
        sampler: By which rule: TorToiSe's own, with new noise at each step, or one that needs fewer.
        guidance: How far each step is drawn away from what it would be without text and voice; 0: not at all,
            in half the time.
        noise_scale: Of the noise that a spec is found in; below 1 for a flatter voice.
        precision: Of the weights; int8 is bfloat16 everywhere but in the autoregressive network.
        batch_size: Candidates drawn at a time. They do not depend on it but for the last bits of sums.
    """

    n_drawn: int = 256
    max_codes: int = MOST_CODES
    sampling: Sampling = field(default_factory=Sampling)
    n_steps: int = 200
    sampler: Sampler = "ddpm"
    guidance: float = 2.0
    noise_scale: float = 1.0
    precision: Precision = "float32"
    batch_size: int = 16

    def __post_init__(self) -> None:
        wholes = {"n_drawn": 1 << 16, "max_codes": 1 << 16, "n_steps": MOST_STEPS, "batch_size": 1 << 16}
        for name, most in wholes.items():
            _require(name, getattr(self, name), f"a whole number from 1 to {most:,}", 1, most)
        _require("guidance", self.guidance, "a number from 0 to 100", 0, 100)
        _require("noise_scale", self.noise_scale, "a number from 0 to 10", 0, 10)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def settings_from(preset: str = "standard", **changes: Any) -> Settings:  # noqa: ANN401 (checked by Settings)
    """A preset with some values changed: those of `Settings` and of its `sampling`; None changes nothing.

    Raises:
        DataError: there is no such preset or setting, or a value is out of its range.
    """
    if preset not in PRESETS:
        raise DataError(f"there is no preset '{preset}'", expected=" or ".join(PRESETS))
    of_sampling = {each.name for each in fields(Sampling)}
    known = of_sampling | {each.name for each in fields(Settings)}
    if unknown := sorted(changes.keys() - known):
        raise DataError(f"there is no setting '{unknown[0]}'", expected=", ".join(sorted(known)))
    given = {name: value for name, value in changes.items() if value is not None}
    for name, kind in (("sampler", Sampler), ("precision", Precision)):
        if name in given and given[name] not in get_args(kind):
            raise DataError(f"there is no {name} '{given[name]}'", expected=" or ".join(get_args(kind)))
    sampling = {name: given.pop(name) for name in of_sampling & given.keys()}
    found = PRESETS[preset]
    return replace(found, **{"sampling": replace(found.sampling, **sampling), **given})


def _require(name: str, value: Any, expected: str, least: int, most: int) -> None:  # noqa: ANN401
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_kind = is_number and (isinstance(value, int) or "whole" not in expected)
    if not is_kind or not least <= value <= most:
        raise DataError(f"{name} makes no sense", expected=expected, found=repr(value)[:80])


PRESETS: Mapping[str, Settings] = {
    "single_sample": Settings(n_drawn=8, n_steps=10, sampler="ddim"),
    "ultra_fast": Settings(n_drawn=16, n_steps=30, guidance=0.0),
    "very_fast": Settings(n_drawn=32, n_steps=30, sampler="dpm++2m"),
    "fast": Settings(n_drawn=96, n_steps=80),
    "standard": Settings(),
    "high_quality": Settings(n_steps=400),
}
