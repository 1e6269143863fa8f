"""UnivNet, spec -> waveform: the vocoder of TorToiSe, with the names of its tensors."""

from retimbre.models.family import Family, Opponents
from retimbre.models.univnet.discriminators import UnivNetJudges
from retimbre.models.univnet.from_shapes import (
    config_from,
    fits,
    judges_config_from,
    mel_of,
    reference_kwargs,
    take,
    theirs,
)
from retimbre.models.univnet.model import UnivNet

UNIVNET = Family(
    name="univnet",
    stage="spec-to-wav",
    fits=fits,
    take=take,
    config_from=config_from,
    build=UnivNet,
    theirs=theirs,
    reference_kwargs=reference_kwargs,
    mel=mel_of,
    tool="TorToiSe",
    opponents=Opponents(config_from=judges_config_from, build=UnivNetJudges),
)
