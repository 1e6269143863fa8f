"""Contents of a file -> which family explains it, its sizes, its tensors under our names, its Description.

Every tensor is accounted for: it is a weight of the model, a part of its discriminators, or named as dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from retimbre.audio.mel import MelSpec, mel_librosa
from retimbre.checkpoint.read import Contents, read
from retimbre.errors import CheckpointError
from retimbre.models.description import Description, sizes_of
from retimbre.models.family import Family, Inferred
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.from_shapes import FEATURES, lacks_features
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.hifigan.from_shapes import discriminator_config_from, discriminator_tensors
from retimbre.models.origin import Origin, assumed_mel, companion_of, origin_of
from retimbre.models.registry import family_of


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A file that a family explains.

    Args:
        config: The family's config.
        tensors: All weights under our names.
        discriminators: Of a vocoder, where its file (or the one beside it) has them.
        companion: The file beside it that the discriminators come from, if not from itself.
        dropped: Names of tensors that are neither.
    """

    family: Family
    config: Any
    tensors: dict[str, Tensor]
    description: Description
    written_by: str
    discriminators: dict[str, Tensor] = field(default_factory=dict)
    companion: Path | None = None
    dropped: tuple[str, ...] = ()


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Their shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def explain(contents: Contents) -> Explained:
    """Say what the file is, or raise CheckpointError naming why not."""
    origin = origin_of(contents)
    family = family_of(shapes_of(contents.tensors))
    if origin.own and origin.own.family != family.name:
        raise CheckpointError("description and tensors differ", expected=origin.own.family, found=family.name)
    tensors = _with_features(family, family.ours(contents.tensors), origin)
    inferred = _sized(family, tensors, origin)
    companion = companion_of(contents.path) if family is HIFIGAN else None
    discriminators = discriminator_tensors((read(companion) if companion else contents).tensors)
    described = origin.own or _described(family, inferred, origin, discriminators)
    _require_consistent(family, inferred, described)
    used = {id(tensor) for tensor in (*tensors.values(), *discriminators.values())}
    return Explained(
        family=family,
        config=inferred.config,
        tensors=tensors,
        description=described,
        written_by=origin.written_by,
        discriminators=discriminators,
        companion=companion,
        dropped=tuple(name for name, tensor in contents.tensors.items() if id(tensor) not in used),
    )


def _with_features(family: Family, tensors: dict[str, Tensor], origin: Origin) -> dict[str, Tensor]:
    """What a network reads of each symbol is one of our tensors; EveryVoice's files only name the symbols."""
    features = origin.symbol_features
    if family is not FASTSPEECH2 or features is None or not lacks_features(shapes_of(tensors)):
        return tensors
    return tensors | {FEATURES: features}


def _sized(family: Family, tensors: Mapping[str, Tensor], origin: Origin) -> Inferred:
    shapes = shapes_of(tensors)
    try:
        return family.config_from(shapes, origin.known)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        # A configuration from a file may hold anything in any place.
        raise CheckpointError(
            f"the sizes of this {family.name} make no sense", found=f"{type(error).__name__}: {error}"
        ) from error


def _described(
    family: Family, inferred: Inferred, origin: Origin, discriminators: Mapping[str, Tensor]
) -> Description:
    facts = dict(origin.facts)
    assumed = [*origin.assumed, *inferred.assumed]
    sizes = sizes_of(inferred.config)
    if "mel" not in facts:
        facts["mel"], sentence = _assumed_mel(family, inferred)
        assumed.append(sentence)
    if discriminators:
        found = discriminator_config_from(shapes_of(discriminators), origin.known)
        sizes["periods"] = list(found.config.periods)  # no tensor tells them; kept for training
        assumed.extend(found.assumed)
    facts["is_exported"] = family is HIFIGAN and not discriminators
    return Description(family=family.name, sizes=sizes, assumed=tuple(assumed), **facts)


def _assumed_mel(family: Family, inferred: Inferred) -> tuple[MelSpec, str]:
    config = inferred.config
    if family is HIFIGAN:
        return assumed_mel(n_mels=config.n_mels, hop_samples=config.hop_samples)
    return mel_librosa(
        n_mels=config.n_mels
    ), "EveryVoice's usual spectrogram: 22,050 Hz, 1024/256, to 8,000 Hz"


def _require_consistent(family: Family, inferred: Inferred, described: Description) -> None:
    """Refuse a description that contradicts the tensors: such a model would speak nonsense."""
    mel, config = described.mel, inferred.config
    n_rows = getattr(config, "n_symbols", 0)
    if config.n_mels != mel.n_mels:
        raise CheckpointError(
            "tensors and configuration contradict each other",
            expected=f"{config.n_mels} bands, as the tensors have",
            found=f"{mel.n_mels} in the configuration",
        )
    if family is HIFIGAN:
        ratio = described.output_rate_hz / mel.sample_rate_hz
        if ratio % 1 or config.hop_samples != mel.hop_samples * ratio:
            raise CheckpointError(
                "tensors and configuration contradict each other",
                expected=f"{mel.hop_samples * ratio:g} samples for each frame, as the spectrogram has",
                found=f"{config.hop_samples} from the vocoder",
                do="see that the config.json beside the file is its own",
            )
    elif described.symbols and len(described.symbols) != n_rows:
        raise CheckpointError(
            "the symbol table does not fit the model",
            expected=f"{n_rows} symbols, one for each row of its embedding",
            found=f"{len(described.symbols)} in its configuration",
        )
