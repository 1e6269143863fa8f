"""UnivNet, spec -> waveform: the vocoder of TorToiSe, with the names of its tensors."""

from retimbre.models.family import Family
from retimbre.models.univnet.from_shapes import config_from, fits, mel_of, reference_kwargs, take, theirs
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
)
