"""TorToiSe's HiFi-GAN decoder: latents of an autoregressive model -> waveform, without a spectrogram."""

from retimbre.models.family import Family
from retimbre.models.tortoise_hifigan.from_shapes import config_from, fits, reference_kwargs, take, theirs
from retimbre.models.tortoise_hifigan.model import LatentDecoder

TORTOISE_HIFIGAN = Family(
    name="tortoise_hifigan",
    stage="codes-to-wav",
    fits=fits,
    take=take,
    config_from=config_from,
    build=LatentDecoder,
    theirs=theirs,
    reference_kwargs=reference_kwargs,
    tool="TorToiSe",
)
