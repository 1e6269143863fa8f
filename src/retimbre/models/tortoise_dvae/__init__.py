"""TorToiSe's discrete variational autoencoder, spec <-> codes; XTTS has the same class."""

from retimbre.models.family import Family
from retimbre.models.tortoise_dvae.from_shapes import (
    config_from,
    fits,
    mel,
    reference_kwargs,
    take,
    theirs,
)
from retimbre.models.tortoise_dvae.model import DiscreteVAE

TORTOISE_DVAE = Family(
    name="tortoise_dvae",
    stage="wav-to-codes",
    fits=fits,
    take=take,
    config_from=config_from,
    build=DiscreteVAE,
    theirs=theirs,
    reference_kwargs=reference_kwargs,
    mel=mel,
    tool="TorToiSe or DL-Art-School",
)
