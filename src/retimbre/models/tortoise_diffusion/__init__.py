"""TorToiSe's diffusion decoder, latents (or codes) and a voice -> spec."""

from retimbre.models.family import Family
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.models.tortoise_diffusion.from_shapes import config_from, fits, reference_kwargs, take, theirs
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder

TORTOISE_DIFFUSION = Family(
    name="tortoise_diffusion",
    stage="codes-to-spec",
    fits=fits,
    take=take,
    config_from=config_from,
    build=DiffusionDecoder,
    theirs=theirs,
    reference_kwargs=reference_kwargs,
    mel=spec_of,
    tool="TorToiSe or DL-Art-School",
)
