"""HiFi-GAN, spec -> waveform, with the inverse-STFT variant."""

from retimbre.models.family import Family, Opponents
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.from_shapes import (
    config_from,
    discriminator_config_from,
    fits,
    model_section,
    take,
    theirs,
)
from retimbre.models.hifigan.model import Generator

HIFIGAN = Family(
    name="hifigan",
    stage="spec-to-wav",
    fits=fits,
    take=take,
    config_from=config_from,
    build=Generator,
    theirs=theirs,
    reference_kwargs=model_section,
    tool="original HiFi-GAN",
    opponents=Opponents(config_from=discriminator_config_from, build=Discriminators),
)
