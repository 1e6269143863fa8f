"""TorToiSe's autoregressive network, text and a voice -> codes; also as DL-Art-School trains it."""

from retimbre.models.family import Family
from retimbre.models.tortoise_ar.from_shapes import config_from, fits, reference_kwargs, take, theirs
from retimbre.models.tortoise_ar.model import UnifiedVoice

TORTOISE_AR = Family(
    name="tortoise_ar",
    stage="text-to-codes",
    fits=fits,
    take=take,
    config_from=config_from,
    build=UnifiedVoice,
    theirs=theirs,
    reference_kwargs=reference_kwargs,
    tool="TorToiSe or DL-Art-School",
)
