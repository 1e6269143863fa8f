"""What training TorToiSe's text-to-codes minimises: how surprising texts and their codes are.

Axes used in this file:
    symbols  of a text
    codes    of a sound
    clips    recordings of a voice
    mels     bands of their spectrograms
    frames   of their spectrograms
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import Dataset

from retimbre.errors import DataError
from retimbre.models.tortoise_ar.batch import CodesBatch, CodesItem, collate
from retimbre.models.tortoise_ar.dlas import DlasBatch, DlasItem, dlas_collate, dlas_losses
from retimbre.models.tortoise_ar.loss import LossWeights, text_to_codes_losses
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.recipe.training import Training
from retimbre.training.batching import Key, item_random
from retimbre.training.job import Job
from retimbre.training.learner import Learner
from retimbre.training.objective import Parts, Progress, Turn, Verdict
from retimbre.training.tortoise_ar_checks import Checks, Held, held_out_measures
from retimbre.training.tortoise_forgetting import BaseSpeech, Text
from retimbre.training.tortoise_samples import Samples

TrainsAs = Literal["inference", "dlas"]
AT_VALIDATION = 1 << 30  # a pass through the data that no run comes to: it draws the voices of validation


@runtime_checkable
class Utterance(Protocol):
    """What is learnt from; see `tortoise_material.Encoded`."""

    @property
    def symbols(self) -> Int[Tensor, "symbols"]:
        """Of its text, without start, end and stop."""

    @property
    def codes(self) -> Int[Tensor, "codes"]:
        """Of its recording; to train as DL-Art-School, of the recording and the silence after it."""

    @property
    def n_samples(self) -> int:
        """Of its recording, at the rate of the codes."""


@runtime_checkable
class Voices(Protocol):
    """From whom a voice is heard; see `tortoise_voices.TrainingVoices`."""

    def for_auto(
        self,
        encoded: Any,  # noqa: ANN401
        random: np.random.Generator,
    ) -> Float[Tensor, "clips mels frames"]:
        """Recordings, as the network hears them."""


class CodesDataset(Dataset[CodesItem | DlasItem]):
    """Whole utterances; from whom the voice is heard is drawn anew in every pass."""

    def __init__(
        self, utterances: Sequence[Utterance], voices: Voices, *, seed: int, trains_as: TrainsAs
    ) -> None:
        self.utterances, self.voices, self.seed, self.trains_as = utterances, voices, seed, trains_as

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, key: Key) -> CodesItem | DlasItem:
        one = self.utterances[key.item]
        clips = self.voices.for_auto(one, item_random(self.seed, key))
        if self.trains_as == "dlas":
            return DlasItem(symbols=one.symbols, codes=one.codes, n_samples=one.n_samples, clips=clips)
        return CodesItem(symbols=one.symbols, codes=one.codes, clips=clips)


class TextToCodesObjective:
    """One turn; whatever is trained, validation takes the path of speaking."""

    def __init__(
        self,
        model: UnifiedVoice,
        settings: Training,
        validation: Sequence[Utterance],
        voices: Voices,
        *,
        learning: nn.Module,
        samples: Samples | None = None,
        base_speech: BaseSpeech | None,
        checks: Checks,
    ) -> None:
        self.model, self.learning, self.samples = model, learning, samples
        self.settings, self.checks, self.base_speech = settings, checks, base_speech
        self.validation, self.voices = validation, voices
        self.weights = LossWeights(text=settings.loss.text, codes=settings.loss.codes)

    def parts(self) -> dict[str, nn.Module]:
        """What learns, and what the base said."""
        return {"model": self.learning} | ({"base_speech": self.base_speech} if self.base_speech else {})

    def turns(self) -> tuple[Turn, ...]:
        """One optimiser over whatever of the network learns."""
        return (Turn("model", self.learning, self._losses),)

    def begin(self, batch: CodesBatch | DlasBatch, progress: Progress) -> None:
        """Nothing to share: there is one turn."""

    def _losses(self, batch: CodesBatch | DlasBatch, shared: None, progress: Progress) -> dict[str, Tensor]:
        if isinstance(batch, DlasBatch):
            return dlas_losses(self.model, batch, self.weights)
        return text_to_codes_losses(self.model, batch, self.weights)

    @cached_property
    def _held(self) -> tuple[Held, ...]:
        """Validation utterances, each with the same recordings of its voice every time."""
        found = []
        for number, one in enumerate(self.validation):
            random = item_random(self.settings.seed, Key(number, AT_VALIDATION))
            # Trained as DL-Art-School does, silence follows the codes of the recording.
            n_codes = one.n_samples // self.model.config.samples_per_code + 1
            clips = self.voices.for_auto(one, random)
            found.append(Held(symbols=one.symbols, codes=one.codes[:n_codes], clips=clips))
        return tuple(found)

    def validate(self, progress: Progress) -> Verdict:
        """How surprising validation utterances are, whether they stop in time, and what was forgotten."""
        self.model.eval()
        measures = held_out_measures(self.model, self._held, self.checks, seed=self.settings.seed)
        if self.base_speech is not None:
            measures |= self.base_speech.measures(self.model, self._held)
        sounds = self.samples.at(progress.step, self.model) if self.samples else {}
        self.model.train()
        return Verdict(measures, measures["codes_nats"], sounds=sounds)


def text_to_codes_job(
    learner: Learner[UnifiedVoice],
    settings: Training,
    *,
    training: Sequence[Utterance],
    validation: Sequence[Utterance],
    voices: Voices,
    trains_as: TrainsAs = "inference",
    validation_voices: Voices | None = None,
    base_texts: Sequence[Text] = (),
    samples: Samples | None = None,
    checks: Checks | None = None,
    is_compatible: bool = True,
) -> Job:
    """TorToiSe's autoregressive network with its utterances, ready for the loop.

    Args:
        learner: With its network in training mode.
        voices: As the way of training wants them.
        trains_as: `inference`: what speaking computes; `dlas`: what DL-Art-School computes.
        validation_voices: As speaking hears them; None: `voices` do.
        base_texts: Symbols of sentences that the base speaks at the beginning, to see what is forgotten.
        samples: What is to be heard on the way.
        checks: How much is spoken at each validation.
        is_compatible: `dlas` with its `tortoise_compat`.

    Raises:
        DataError: there is no validation utterance.
    """
    if not validation:
        raise DataError(
            "there is no validation utterance", do="give some to data.held_out or more recordings"
        )
    checks, model = checks or Checks(), learner.network
    base_speech = None
    if base_texts:
        base_speech = BaseSpeech(
            base_texts,
            dim=model.config.dim,
            max_codes=min(checks.max_base_codes, model.config.max_codes),
            settings=checks.settings,
        )
    objective = TextToCodesObjective(
        model,
        settings,
        validation,
        validation_voices or voices,
        learning=learner.part,
        samples=samples,
        base_speech=base_speech,
        checks=checks,
    )
    is_dlas = trains_as == "dlas"
    parts = partial(dlas_collate, is_compatible=is_compatible) if is_dlas else collate
    return Job(
        objective=objective,
        dataset=CodesDataset(training, voices, seed=settings.seed, trains_as=trains_as),
        # DL-Art-School draws whatever comes; all its sounds are padded to one length.
        lengths=[1 if is_dlas else len(one.symbols) + len(one.codes) for one in training],
        collate=partial(_batch, partial(parts, config=model.config, n_parts=settings.batch_parts)),
        description=learner.description,
        keep=learner.keep,
        shown=("model/codes", "model/text"),
        beside=(model,),
    )


def _batch(
    collated: Callable[[list[Any]], tuple[CodesBatch | DlasBatch, ...]], items: list[Any]
) -> CodesBatch | DlasBatch | Parts:
    parts = collated(items)
    return parts[0] if len(parts) == 1 else Parts(parts)
