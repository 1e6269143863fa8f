"""TorToiSe speaks: candidates for each sentence of a text, ranked, and the best of them as sound."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.audio.mel import MelSpec, tortoise_univnet_mel100
from retimbre.errors import TextError
from retimbre.jobs.listener import Listener, Silent, Watch
from retimbre.models.tortoise_ar.speech_codes import has_stopped
from retimbre.pipelines.tortoise_networks import Networks
from retimbre.pipelines.tortoise_roles import Role
from retimbre.pipelines.tortoise_set import DECODERS
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import (
    Drawing,
    Seeds,
    latents_of,
    ranked,
    sound_of,
    sound_of_latents,
    spec_of_latents,
)
from retimbre.pipelines.tortoise_voices import TortoiseVoice
from retimbre.text.bpe import Vocabulary
from retimbre.text.readable import Readable, read
from retimbre.text.split import tortoise_pieces

MOST_SEED = 1 << 32
OUTPUT_MEL = tortoise_univnet_mel100()
Codes = Int[Tensor, "candidates codes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """One way to speak a sentence.

    Args:
        number: Among those that were drawn: with the seed and the sentence it tells the codes.
        score: How well it fits the text, where candidates were ranked: higher is better.
        has_stopped: Did it come to an end by itself? Otherwise words may be missing.
        samples: Of its sound.
    """

    number: int
    score: float | None
    has_stopped: bool
    samples: Float[Tensor, "samples"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sentence:
    """A piece of a text, and its place in it."""

    number: int
    total: int
    readable: Readable


@dataclass(frozen=True)
class Choice:
    """A candidate that was chosen, by its number, and its score where there was a choice."""

    number: int
    score: float | None


@dataclass(kw_only=True)
class Drawn:
    """Candidates of one sentence that are whole, by their numbers; an interrupted job goes on from them.

    Args:
        best: Once they are ranked: the best, best first. The others are forgotten then.
    """

    codes: dict[int, Int[Tensor, "codes"]] = field(default_factory=dict)
    stopped: dict[int, bool] = field(default_factory=dict)
    best: tuple[Choice, ...] = ()

    def add(self, numbers: Sequence[int], codes: Codes, stopped: Sequence[bool]) -> None:
        """Some more of them."""
        for number, row, has_ended in zip(numbers, codes.cpu(), stopped, strict=True):
            self.codes[number], self.stopped[number] = row, has_ended

    def choose(self, best: Sequence[Choice]) -> None:
        """All are ranked."""
        self.best = tuple(best)
        kept = {choice.number for choice in best}
        self.codes = {number: row for number, row in self.codes.items() if number in kept}
        self.stopped = {number: has_ended for number, has_ended in self.stopped.items() if number in kept}


def pieces_of(
    text: str, vocabulary: Vocabulary, *, language: str = "en", splits: bool = True
) -> list[Readable]:
    """The pieces of a text, also those in which there is nothing to speak."""
    pieces = tortoise_pieces(text) if splits else (text,)
    return [read(piece, vocabulary, language=language) for piece in pieces]


def sentences_of(pieces: Sequence[Readable]) -> list[Sentence]:
    """Those that are spoken one after another: the others have no letter in them.

    Raises:
        TextError: there is none.
    """
    spoken = [piece for piece in pieces if not piece.is_silent]
    if not spoken:
        raise TextError(
            "there is nothing to speak",
            expected="a text with a word in it",
            found=repr(" ".join(piece.text for piece in pieces)[:80]),
        )
    return [
        Sentence(number=number, total=len(spoken), readable=readable)
        for number, readable in enumerate(spoken)
    ]


def some_seed() -> int:
    """A seed that nobody chose."""
    return secrets.randbelow(MOST_SEED)


class Speaker:
    """A set with one voice.

    Args:
        networks: Of the set.
        decoder: How latents become sound: `diffusion`, or `hifigan` at once.
        listener: Hears how far each stage is.
    """

    def __init__(
        self,
        networks: Networks,
        voice: TortoiseVoice,
        *,
        decoder: str = "diffusion",
        listener: Listener | None = None,
    ) -> None:
        self.networks, self.voice, self.decoder = networks, voice, decoder
        self._listener = listener or Silent()

    @property
    def mel(self) -> MelSpec:
        """Of the sound."""
        return OUTPUT_MEL

    def roles_used(self, settings: Settings) -> tuple[Role, ...]:
        """Whose networks decide the sound, besides those that made the voice."""
        ranking: tuple[Role, ...] = ("ranking",) if settings.n_drawn > 1 else ()
        return ("text-to-codes", *ranking, *DECODERS[self.decoder])

    def spoken(
        self,
        sentence: Sentence,
        settings: Settings,
        *,
        seed: int,
        n_best: int = 1,
        drawn: Drawn | None = None,
    ) -> Iterator[Candidate]:
        """The best candidates for a sentence, best first, each as soon as it is sound.

        Args:
            drawn: Candidates from before; those that become whole are added, also where this is interrupted.
        """
        seeds, drawn = Seeds(seed=seed, sentence=sentence.number), drawn or Drawn()
        symbols = torch.tensor(sentence.readable.rows)
        if len(drawn.best) < n_best:
            self._draw(sentence, symbols, settings, seeds, drawn)
            drawn.choose(self._best(sentence, symbols, drawn, settings)[:n_best])
        for rank, choice in enumerate(drawn.best[:n_best], start=1):
            codes = drawn.codes[choice.number]
            latents = latents_of(self.networks.ar, self.voice.auto, symbols, codes)
            watch = self._watch("Spec", sentence, f"{rank} of {n_best}" if n_best > 1 else "")
            yield Candidate(
                number=choice.number,
                score=choice.score,
                has_stopped=drawn.stopped[choice.number],
                samples=self._sound(latents, choice.number, settings, seeds, watch),
            )

    def _sound(
        self,
        latents: Float[Tensor, "1 heard dim"],
        number: int,
        settings: Settings,
        seeds: Seeds,
        watch: Watch,
    ) -> Float[Tensor, "samples"]:
        if self.decoder != "diffusion" or self.voice.diffusion is None:
            return sound_of_latents(self.networks.latent_decoder, latents, self.voice.auto)
        spec = spec_of_latents(
            self.networks.diffusion,
            latents,
            self.voice.diffusion,
            settings=settings,
            generator=seeds.noise(number, "spec"),
            watch=watch,
        )
        return sound_of(self.networks.vocoder, spec, seeds.noise(number, "sound"))

    def _draw(
        self,
        sentence: Sentence,
        symbols: Int[Tensor, "symbols"],
        settings: Settings,
        seeds: Seeds,
        drawn: Drawn,
    ) -> None:
        """Candidates until there are as many as are asked for."""
        ar = self.networks.ar
        lacking = [number for number in range(settings.n_drawn) if number not in drawn.codes]
        if len(lacking) < settings.n_drawn:
            self._listener.say("Candidates", f"{settings.n_drawn - len(lacking)} are there from before")
        for first in range(0, len(lacking), settings.batch_size):
            numbers = lacking[first : first + settings.batch_size]
            drawing = Drawing(
                ar, self.voice.auto, symbols, candidates=numbers, settings=settings, seeds=seeds
            )
            decoding, is_whole = drawing.decoding, False
            try:
                while decoding.goes_on:
                    decoding.step()
                    self._tell_codes(sentence, drawing, first, len(lacking))
                is_whole = True
            finally:  # also where somebody stops it: what is whole is kept
                stopped = has_stopped(decoding.codes, ar.config.stop_code).tolist()
                kept = [place for place, ended in enumerate(stopped) if ended or is_whole]
                codes = drawing.whole(ar.config.stop_code)[kept]
                drawn.add([numbers[place] for place in kept], codes, [stopped[place] for place in kept])

    def _tell_codes(self, sentence: Sentence, drawing: Drawing, n_before: int, total: int) -> None:
        decoding = drawing.decoding
        n_stopped = int(decoding.has_stopped.sum())
        n = n_before + (n_stopped if decoding.goes_on else len(decoding.codes))
        note = f"{decoding.n_codes} codes{_place(sentence)}"
        self._listener.progress("Candidates", n, total, note)

    def _best(
        self, sentence: Sentence, symbols: Int[Tensor, "symbols"], drawn: Drawn, settings: Settings
    ) -> list[Choice]:
        """All candidates, best first."""
        numbers = sorted(drawn.codes)
        if len(numbers) < 2:
            return [Choice(number, None) for number in numbers]
        scores = ranked(
            self.networks.ranker,
            symbols,
            torch.stack([drawn.codes[number] for number in numbers]),
            batch_size=settings.batch_size,
            watch=self._watch("Ranking", sentence, ""),
        )
        found = [Choice(number, score) for number, score in zip(numbers, scores.tolist(), strict=True)]
        return sorted(found, key=lambda choice: -(choice.score or 0.0))

    def _watch(self, task: str, sentence: Sentence, label: str) -> "_Watch":
        return _Watch(self._listener, task, (label + _place(sentence)).strip())


@dataclass(frozen=True)
class _Watch:
    """Tells how far a stage is."""

    listener: Listener
    task: str
    note: str

    def __call__(self, done: int, total: int) -> None:
        self.listener.progress(self.task, done, total, self.note)


def _place(sentence: Sentence) -> str:
    return f"  sentence {sentence.number + 1} of {sentence.total}" if sentence.total > 1 else ""
