"""How well an autoregressive stage knows held-out speech, and where it stops: by the path that speaks.

Three ways of finding a length, each from the voice and the text alone but for what is said:

forced   The true codes are read as long as there are any, whatever the network would have said, then its own
         most likely ones; the length is the number of codes before the stop is first the most likely. This
         asks one thing: does the network know an end when it hears one? The teacher's pace is kept.
greedy   The most likely code each time.
sampled  Codes drawn with TorToiSe's temperature, top_p and top_k, several times.

The penalty on repeats is left out in all three: it is made for 8,192 codes, and among the few hundred of a
small code book each one recurs; it would be measured instead of the network.

Axes used in this file:
    symbols  of a text
    codes    of its recording
    clips    recordings of the voice
    mels     bands of their specs
    frames   of their specs
    dim      channels of the network
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from retimbre.models.tortoise_ar.decoding import Rows, Scores, Seen, decode
from retimbre.models.tortoise_ar.memory import Memory
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_ar.sampling import Sampling, choose, uniforms
from retimbre.pipelines.tortoise_stages import as_read

NEAR = 2  # codes: 93 ms
ROOM = 60  # codes beyond the true end, 2.8 s; what has not stopped by then has no end
DRAWN_AS = Sampling(repetition_penalty=1.0)
BEFORE = 2  # places that a choice sees before the first code: the prompt's stand-in and the start


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """An utterance that no training has seen, and from what its voice is heard, always the same.

    Args:
        symbols: Of its text, without start, stop and the end that speaking adds.
        codes: Of its recording.
        clips: Other recordings of the speaker, as the network hears them.
    """

    name: str
    symbols: Int[Tensor, "symbols"]
    codes: Int[Tensor, "codes"]
    clips: Float[Tensor, "clips mels frames"]

    @property
    def n_codes(self) -> int:
        """Its true length."""
        return len(self.codes)


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What each true thing costs, in nats: the mean over its places.

    Args:
        codes: Each code of the recording, and the stop after the last.
        stop: That stop alone.
        text: Each symbol and the stop after the last.
    """

    codes: float
    stop: float
    text: float


@torch.no_grad()
def knowledge(model: UnifiedVoice, held: Held) -> Knowledge:
    """The loss of one utterance alone, through what speaking calls."""
    voice, symbols = _prompt(model, held)
    text, sound = model.framed_symbols(symbols), model.framed_codes(held.codes.unsqueeze(0))
    logits = model(voice, text, sound)
    of_text = functional.cross_entropy(logits.symbols[0, :-1].float(), text[0, 1:])
    of_codes = functional.cross_entropy(logits.codes[0, :-1].float(), sound[0, 1:], reduction="none")
    return Knowledge(codes=float(of_codes.mean()), stop=float(of_codes[-1]), text=float(of_text))


@torch.no_grad()
def forced_length(model: UnifiedVoice, held: Held) -> int | None:
    """Codes before the stop while the true ones are read, all at once; None: it never stops."""
    voice, symbols = _prompt(model, held)
    text, memory, stop = model.framed_symbols(symbols), Memory(), model.config.stop_code
    sound = model.framed_codes(held.codes.unsqueeze(0))[:, :-1]
    x = torch.cat([voice.unsqueeze(1), model.embedded_symbols(text), model.embedded_codes(sound)], dim=1)
    states = model.gpt(x, memory)[:, -sound.shape[1] :]
    best = model.mel_head(model.final_norm(states))[0].argmax(dim=-1)
    stops = (best == stop).nonzero()
    if len(stops):
        return int(stops[0])
    code = best[-1:]
    for place in range(held.n_codes + 1, _room(model, held)):
        state = model.gpt(model.embedded_codes(code.unsqueeze(0), first=place), memory)
        code = model.mel_head(model.final_norm(state[:, -1])).argmax(dim=-1)
        if int(code) == stop:
            return place
    return None


def greedy_codes(model: UnifiedVoice, held: Held) -> Int[Tensor, "codes"]:
    """The most likely codes up to the stop, if there is one."""
    voice, symbols = _prompt(model, held)
    return decode(model, voice, symbols, max_codes=_room(model, held))[0]


def sampled_codes(model: UnifiedVoice, held: Held, *, n_each: int, seed: int) -> Int[Tensor, "each codes"]:
    """Codes drawn several times; the random numbers depend on the seed alone, never on the weights."""
    room = _room(model, held)
    numbers = uniforms(seed, range(n_each), room)

    def draw(scores: Scores, seen: Seen, rows: Rows) -> Int[Tensor, "batch"]:
        return choose(DRAWN_AS.scores(scores, seen), numbers[rows, seen.shape[1] - BEFORE])

    voice, symbols = _prompt(model, held)
    return decode(model, voice, symbols, max_codes=room, choose=draw, n_each=n_each)


def lengths_of(codes: Int[Tensor, "each codes"], stop: int) -> list[int | None]:
    """Codes before the first stop of each; None where there is none."""
    return [row.index(stop) if stop in row else None for row in codes.tolist()]


def is_near(found: int | None, true: int) -> bool:
    """Within two codes of the true length, and with an end."""
    return found is not None and abs(found - true) <= NEAR


def share_near(found: Sequence[int | None], true: int) -> float:
    """How many of several lengths are near."""
    return sum(is_near(one, true) for one in found) / len(found)


def _room(model: UnifiedVoice, held: Held) -> int:
    return min(held.n_codes + ROOM, model.config.max_codes)


@torch.no_grad()
def _prompt(model: UnifiedVoice, held: Held) -> tuple[Tensor, Tensor]:
    return model.conditioning_latent(held.clips.unsqueeze(0)), as_read(held.symbols, model)
