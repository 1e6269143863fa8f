"""Do two neighbouring stages fit each other? Why not?"""

from pathlib import Path
from typing import TypeVar

from torch import nn

from retimbre.errors import StagesDoNotFit
from retimbre.models.family import Stage
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import Loaded

Network = TypeVar("Network", bound=nn.Module)


def require_fit(text_to_spec: Loaded, spec_to_wav: Loaded) -> None:
    """Raise StagesDoNotFit, naming each field, unless one writes the spectrogram that the other reads."""
    text_to_spec_in(text_to_spec)
    vocoder_in(spec_to_wav)
    text_to_spec.description.mel.require_same(
        spec_to_wav.description.mel, ours=text_to_spec.path.name, theirs=spec_to_wav.path.name
    )


def text_to_spec_in(loaded: Loaded) -> FastSpeech2:
    """The text-to-spec model in a checkpoint; StagesDoNotFit if it holds something else."""
    return network_in(loaded, FastSpeech2, "text-to-spec")


def vocoder_in(loaded: Loaded) -> Generator:
    """The vocoder in a checkpoint; StagesDoNotFit if it holds something else."""
    return network_in(loaded, Generator, "spec-to-wav")


def network_in(loaded: Loaded, kind: type[Network], stage: Stage) -> Network:
    """The network of a stage in a checkpoint.

    Raises:
        StagesDoNotFit: it holds something else.
    """
    if not isinstance(loaded.model, kind):
        raise other_stage(loaded.path, loaded.description.family, loaded.stage, stage)
    return loaded.model


def other_stage(path: Path, family: str, found: str, stage: str) -> StagesDoNotFit:
    """The error that says which stage was wanted and which one a file is."""
    return StagesDoNotFit(
        f"{path.name} cannot take this place in the chain",
        expected=f"a {stage} checkpoint",
        found=f"{family} ({found})",
        do="'retimbre inspect FILE' says what a file is",
    )
