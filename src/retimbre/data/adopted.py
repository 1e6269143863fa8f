"""Adopted: a folder of features that EveryVoice made. It is read where it fits, and never written to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.audio.mel import MelSpec
from retimbre.checkpoint.read import read_tensor
from retimbre.data.prepare import RecordedSet, prepare_sets
from retimbre.data.store import Store, mels_first, spec_kind
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError

MOST_COMPARED = 20  # specs: what is wrong with one front end is wrong with every spec


@dataclass(frozen=True, kw_only=True)
class SpecDifference:
    """How far EveryVoice's specs are from those that are computed here of the same audio.

    Args:
        largest: Of all cells, in units of the logarithm; None where they differ in length.
    """

    n_compared: int
    largest: float | None

    @property
    def sentence(self) -> str:
        """For people; ours are used in any case."""
        if not self.n_compared:
            return "it has no specs to compare with ours"
        if self.largest is None:
            return "its specs are of another length than ours, which are used"
        return (
            f"its specs are at most {self.largest:.2g} from ours, which are used ({self.n_compared} compared)"
        )


@dataclass(frozen=True)
class Adopted:
    """A `preprocessed` folder of an EveryVoice project."""

    root: Path

    @property
    def has_produced_specs(self) -> bool:
        """Has EveryVoice, or somebody in its place, made specs of the texts?"""
        return any((self.root / "synthesized_spec").rglob("*.pt"))

    @property
    def has_audio(self) -> bool:
        """Has EveryVoice prepared recordings here? Without them, what was made belongs to our own."""
        return any((self.root / "audio").rglob("*.wav"))

    @property
    def has_durations(self) -> bool:
        """Has an aligner measured how long each symbol is?"""
        return any((self.root / "duration").rglob("*.pt"))

    def spec(self, utterance: Utterance, mel: MelSpec) -> Float[Tensor, "mels frames"] | None:
        """EveryVoice's own spec of its audio; None if it has none."""
        path = self.root / "spec" / f"{utterance.stem}--spec-{spec_kind(mel)}.pt"
        return mels_first(read_tensor(path), mel.n_mels, path) if path.is_file() else None

    def durations(self, utterance: Utterance) -> Int[Tensor, "symbols"] | None:
        """Frames of each symbol; None if nobody has measured them.

        Raises:
            DataError: if they are no numbers of frames.
        """
        path = self.root / "duration" / f"{utterance.stem}--duration.pt"
        if not path.is_file():
            return None
        frames = read_tensor(path)
        if frames.ndim != 1 or not frames.isfinite().all() or (frames < 0).any():
            raise DataError(f"{path} holds no durations", expected="one number of frames for each symbol")
        return frames.round().to(torch.int64) if frames.is_floating_point() else frames.to(torch.int64)

    def lacks_our_features(self, utterances: Sequence[Utterance], mel: MelSpec) -> bool:
        """Is there audio that EveryVoice prepared, without features of our own?"""
        store = Store(self.root)
        return any(
            store.audio_path(one, mel.sample_rate_hz).is_file() and not store.spec_path(one, mel).is_file()
            for one in utterances
        )

    def features_in(self, folder: Path, utterances: Sequence[Utterance], mel: MelSpec) -> Store:
        """Our own features of its audio, and its durations, in another folder."""
        store = Store(folder)
        prepare_sets(
            [RecordedSet(utterances=utterances, recordings=self.root, are_cleaned=True)], store, mel=mel
        )
        self.copy_durations(utterances, store)
        return store

    def copy_produced_specs(self, utterances: Iterable[Utterance], store: Store, mel: MelSpec) -> int:
        """Put the produced specs that there are into our own folder; how many."""
        theirs, n_copied = Store(self.root), 0
        for utterance in utterances:
            if theirs.produced_spec_path(utterance, mel).is_file():
                store.write_produced_spec(utterance, theirs.load_produced_spec(utterance, mel), mel)
                n_copied += 1
        return n_copied

    def copy_durations(self, utterances: Iterable[Utterance], store: Store) -> int:
        """Put the durations that there are into our own folder; how many."""
        n_copied = 0
        for utterance in utterances:
            if (frames := self.durations(utterance)) is not None:
                store.write_durations(utterance, frames)
                n_copied += 1
        return n_copied

    def spec_difference(self, utterances: Iterable[Utterance], store: Store, mel: MelSpec) -> SpecDifference:
        """Compare its specs with ours of the same audio."""
        differences: list[float] = []
        for utterance in utterances:
            theirs = self.spec(utterance, mel)
            if theirs is None:
                continue
            ours = store.load_spec(utterance, mel)
            if ours.shape != theirs.shape:
                return SpecDifference(n_compared=len(differences) + 1, largest=None)
            differences.append(float((ours - theirs).abs().max()))
            if len(differences) == MOST_COMPARED:
                break
        return SpecDifference(n_compared=len(differences), largest=max(differences, default=None))
