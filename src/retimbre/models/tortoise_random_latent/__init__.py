"""TorToiSe's random voices: noise -> a latent that stands for a voice."""

from retimbre.models.family import Family
from retimbre.models.tortoise_random_latent.from_shapes import (
    config_from,
    fits,
    reference_kwargs,
    take,
    theirs,
)
from retimbre.models.tortoise_random_latent.model import RandomLatent

TORTOISE_RANDOM_LATENT = Family(
    name="tortoise_random_latent",
    stage="voice",
    fits=fits,
    take=take,
    config_from=config_from,
    build=RandomLatent,
    theirs=theirs,
    reference_kwargs=reference_kwargs,
    tool="TorToiSe",
)
