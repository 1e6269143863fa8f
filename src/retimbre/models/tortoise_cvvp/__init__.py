"""CVVP: how well do codes fit a recording of the speaker?"""

from retimbre.models.family import Family
from retimbre.models.tortoise_cvvp.from_shapes import config_from, fits, reference_kwargs, take, theirs
from retimbre.models.tortoise_cvvp.model import CVVP

TORTOISE_CVVP = Family(
    name="tortoise_cvvp",
    stage="ranking",
    tool="TorToiSe",
    fits=fits,
    take=take,
    config_from=config_from,
    build=CVVP,
    theirs=theirs,
    reference_kwargs=reference_kwargs,
)
