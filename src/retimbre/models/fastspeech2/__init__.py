"""FastSpeech 2, text to spec: the network of EveryVoice, with the names of its tensors."""

from retimbre.models.family import Family
from retimbre.models.fastspeech2.from_shapes import config_from, fits, take, theirs
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.fastspeech2.reference import model_section

FASTSPEECH2 = Family(
    name="fastspeech2",
    stage="text-to-spec",
    fits=fits,
    take=take,
    config_from=config_from,
    build=FastSpeech2,
    theirs=theirs,
    reference_kwargs=model_section,
    tool="EveryVoice",
)
