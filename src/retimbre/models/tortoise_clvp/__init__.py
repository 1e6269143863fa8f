"""CLVP: how well do codes fit a text?"""

from retimbre.models.family import Family
from retimbre.models.tortoise_clvp.from_shapes import config_from, fits, reference_kwargs, take, theirs
from retimbre.models.tortoise_clvp.model import CLVP

TORTOISE_CLVP = Family(
    name="tortoise_clvp",
    stage="ranking",
    tool="TorToiSe",
    fits=fits,
    take=take,
    config_from=config_from,
    build=CLVP,
    theirs=theirs,
    reference_kwargs=reference_kwargs,
)
