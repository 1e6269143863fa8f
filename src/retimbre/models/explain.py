"""Contents of a file -> which family explains it, its sizes, its tensors under our names, its Description.

Every tensor is accounted for: it is a weight of the model, a part of its discriminators, or named as dropped.
All of it is found out from names and shapes; weights are read when they are asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor

from retimbre.audio.mel import MelSpec, mel_librosa
from retimbre.checkpoint.ledger import Entry, Ledger
from retimbre.checkpoint.read import Contents, read
from retimbre.checkpoint.shapes import outline_of, shapes_of
from retimbre.checkpoint.spelling import respelled
from retimbre.errors import CheckpointError, UnknownFamily
from retimbre.models.adapter import Adapter
from retimbre.models.assumptions import Assumption, sentence
from retimbre.models.complete import empty_network, network_outline, require_complete
from retimbre.models.description import Description, sizes_of
from retimbre.models.family import Family, Inferred, Shapes, unwrapped
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.from_shapes import FEATURES, lacks_features
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.origin import Origin, assumed_mel, companion_of, origin_of
from retimbre.models.other_files import recognise
from retimbre.models.registry import family_of
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_ar.gpt2 import Projection
from retimbre.models.tortoise_ar.variants import kwargs_of, told_by_head, variant_of
from retimbre.nn.lora import Matrix, folded_in, matrices_in

IN_BY_OUT = (Projection,)  # layers whose weight is stored in × out


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A file that a family explains.

    Args:
        config: The family's config.
        variant: Which of several programs that define the network wrote it, where that shows.
        reference_kwargs: Arguments with which the tool that it comes from would build the network.
        outline: Its tensors under our names, with shapes and types but without numbers.
        entries: What became of each tensor of the file.
        dropped: Name of a tensor that is not used -> why.
        companion: The file beside it that the discriminators come from, if not from itself.
        has_discriminators: Whether its file, or the one beside it, has a vocoder's discriminators.
        unknowable: What no tensor tells and what the weights do not depend on.
        adapters: What is folded into its weights, one after another; `models.adapted` puts them here.
    """

    family: Family
    config: Any
    variant: str | None = None
    reference_kwargs: Mapping[str, Any]
    outline: Mapping[str, Tensor]
    description: Description
    written_by: str
    entries: tuple[Entry, ...]
    dropped: Mapping[str, str]
    has_discriminators: bool = False
    companion: Path | None = None
    unknowable: tuple[str, ...] = ()
    contents: Contents = field(repr=False)
    features: Tensor | None = field(default=None, repr=False)
    adapters: tuple[Adapter, ...] = ()

    def weights(self) -> dict[str, Tensor]:
        """All weights under our names, with the adapters folded in."""
        ledger = self.family.ledger_of(self.contents.tensors)
        _add_features(ledger, self.family, self.features)
        tensors = ledger.tensors
        for adapter in self.adapters:
            tensors = folded_in(tensors, adapter.pairs, factor=adapter.factor, matrices=matrices_of(self))
        return tensors

    def discriminators(self) -> dict[str, Tensor]:
        """Those of a vocoder, where its file, or the one beside it, has them."""
        if not self.has_discriminators:
            return {}
        contents = read(self.companion) if self.companion else self.contents
        return self.family.ledger_of(contents.tensors).only_aside().tensors


def matrices_of(found: Explained) -> dict[str, Matrix]:
    """Name -> layer, of all of its network that can have an adapter."""
    return matrices_in(empty_network(found.family.build, found.config), IN_BY_OUT)


def explain_file(path: Path, *, stated: Mapping[str, Any] | None = None) -> Explained:
    """As `explain`, of the file at `path`; errors name it."""
    contents = read(path)
    try:
        return explain(contents, stated=stated)
    except CheckpointError as error:
        raise error.of(path) from error


def explain(contents: Contents, *, stated: Mapping[str, Any] | None = None) -> Explained:
    """Say what the file is, or raise CheckpointError naming why not.

    Args:
        stated: What the user says of values that would be assumed, by the assumption's name.
    """
    if stated:
        _require_values(stated)
        try:
            usual = _explain(contents, {})
        except CheckpointError:
            pass  # what is stated may be just what this file needs
        else:
            _require_asked(usual, stated)
    return _explain(contents, stated or {})


def _require_values(stated: Mapping[str, Any]) -> None:
    if empty := [name for name, value in stated.items() if value is None]:
        raise CheckpointError(
            f"nothing is stated about '{empty[0]}'", expected="a value", found="null", do="leave it out"
        )


def _require_asked(usual: Explained, stated: Mapping[str, Any]) -> None:
    """Nothing but what would be assumed can be stated: what a file tells is so."""
    names = [assumption.name for assumption in usual.description.assumed if assumption.can_be_stated]
    for name in stated:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            raise CheckpointError(
                f"nothing is assumed about '{name}'",
                expected=f"one of {', '.join(names)}" if names else "no --assume: the file tells everything",
                found=name,
                do=f"write {near[0]}" if near else None,
            )


def _explain(contents: Contents, stated: Mapping[str, Any]) -> Explained:
    outline = outline_of(contents.tensors)
    shapes = shapes_of(unwrapped(outline).tensors)
    family = _family_of(contents, shapes)
    origin = origin_of(contents, family)
    if origin.own and origin.own.family != family.name:
        raise CheckpointError("description and tensors differ", expected=origin.own.family, found=family.name)
    ledger = family.ledger_of(outline)
    _add_features(ledger, family, origin.symbol_features)
    known = {**origin.known, **stated}
    companion = companion_of(contents.path) if family is HIFIGAN else None
    beside = family.ledger_of(outline_of(read(companion).tensors)) if companion else ledger
    judges = _judges(family, beside.only_aside(), known)
    inferred = _sized(
        family.name, family.config_from, ledger, {**known, **(judges.reference if judges else {})}
    )
    require_complete(family.name, network_outline(family.build, inferred.config), ledger)
    described = _described(family, inferred, origin, judges, stated)
    _require_consistent(family, inferred, described)
    variant = variant_of(shapes) if family is TORTOISE_AR else None
    return Explained(
        family=family,
        config=inferred.config,
        variant=variant,
        reference_kwargs=_reference_kwargs(family, inferred, shapes, variant),
        outline=ledger.tensors,
        description=described,
        written_by=origin.written_by,
        entries=ledger.entries(),
        dropped=ledger.dropped(),
        has_discriminators=judges is not None,
        companion=companion,
        unknowable=inferred.unknowable,
        contents=contents,
        features=origin.symbol_features,
    )


def _family_of(contents: Contents, shapes: Shapes) -> Family:
    try:
        return family_of(shapes)
    except UnknownFamily as error:
        known = recognise(contents)
        if known is None:
            raise
        raise UnknownFamily(
            known.what, expected=error.expected, do="see what 'retimbre inspect FILE' says about it"
        ) from error


def _judges(family: Family, ledger: Ledger, known: Mapping[str, Any]) -> Inferred | None:
    """The sizes of a vocoder's discriminators, if there are any; then they are complete."""
    if not ledger.tensors or family.opponents is None:
        return None
    what = "set of discriminators"
    found = _sized(what, family.opponents.config_from, ledger, known)
    require_complete(what, network_outline(family.opponents.build, found.config), ledger)
    return found


def _reference_kwargs(
    family: Family, inferred: Inferred, shapes: Shapes, variant: str | None
) -> dict[str, Any]:
    if variant:
        return merged(kwargs_of(inferred.config, variant), told_by_head(shapes))
    return merged(family.reference_kwargs(inferred.config), inferred.reference)


def merged(usual: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """`usual`, with what is told in its place, level by level; nothing that `usual` does not name."""
    return {
        name: merged(value, told.get(name, {})) if isinstance(value, Mapping) else told.get(name, value)
        for name, value in usual.items()
    }


def _add_features(ledger: Ledger, family: Family, features: Tensor | None) -> None:
    """What a network reads of each symbol is one of our tensors; EveryVoice's files only name the symbols."""
    if family is FASTSPEECH2 and features is not None and lacks_features(shapes_of(ledger.tensors)):
        ledger.add(FEATURES, features, "worked out from the symbols")


def _sized(
    what: str,
    config_from: Callable[[Shapes, Mapping[str, Any]], Inferred],
    ledger: Ledger,
    known: Mapping[str, Any],
) -> Inferred:
    try:
        return config_from(shapes_of(ledger.tensors), known)
    except CheckpointError as error:  # it speaks our names, not those in the file
        found = respelled(error.found, ledger.source) if error.found else None
        expected = respelled(error.expected, ledger.source) if error.expected else None
        raise type(error)(
            respelled(error.what, ledger.source), expected=expected, found=found, do=error.do
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError) as error:
        # A configuration from a file may hold anything in any place.
        raise CheckpointError(
            f"the sizes of this {what} make no sense", found=f"{type(error).__name__}: {error}"
        ) from error


def _described(
    family: Family,
    inferred: Inferred,
    origin: Origin,
    judges: Inferred | None,
    stated: Mapping[str, Any],
) -> Description:
    facts = dict(origin.facts)
    assumed = [*origin.assumed, *inferred.assumed]
    sizes = sizes_of(inferred.config)
    if "spectrogram" not in facts:
        facts["spectrogram"], more = _usual_mel(family, inferred)
        assumed.extend(more)
    if judges:
        sizes["periods"] = list(judges.config.periods)  # no tensor tells them; kept for training
        assumed.extend(judges.assumed)
    if origin.own:
        still = tuple(assumption for assumption in origin.own.assumed if assumption.name not in stated)
        return replace(origin.own, sizes=sizes, assumed=still) if stated else origin.own
    facts["is_exported"] = family is HIFIGAN and not judges
    return Description(family=family.name, sizes=sizes, assumed=tuple(assumed), **facts)


def _usual_mel(family: Family, inferred: Inferred) -> tuple[MelSpec | None, tuple[Assumption, ...]]:
    """The spectrogram where no file tells: what the family always has, or what is most often right."""
    config = inferred.config
    if family is HIFIGAN:
        mel, assumption = assumed_mel(n_mels=config.n_mels, hop_samples=config.hop_samples)
        return mel, (assumption,)
    if family is FASTSPEECH2:
        text = "EveryVoice's usual spectrogram: 22,050 Hz, 1024/256, to 8,000 Hz"
        return mel_librosa(n_mels=config.n_mels), (sentence("mel", text),)
    return family.mel(config) if family.mel else None, ()


def _require_consistent(family: Family, inferred: Inferred, described: Description) -> None:
    """Refuse a description that contradicts the tensors: such a model would speak nonsense."""
    config = inferred.config
    n_rows = getattr(config, "n_symbols", 0)
    if family not in (HIFIGAN, FASTSPEECH2):
        return  # nothing beside their tensors says anything of them
    mel = described.mel
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
