"""How well TorToiSe's text-to-codes speaks validation utterances, through the path that speaking takes.

Whatever the training computes, this is the same: the voice is the mean of its recordings, one place holds it,
the text has the end that speaking adds, and each utterance stands alone.

Axes used in this file:
    symbols  of a text
    codes    of a sound
    clips    recordings of a voice
    mels     bands of their spectrograms
    frames   of their spectrograms
    dim      channels
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from retimbre.models.tortoise_ar.config import END
from retimbre.models.tortoise_ar.decoding import decode
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import Drawing, Seeds, as_read

NEAR = 2  # codes: 93 ms

Symbols = Int[Tensor, "symbols"]
Codes = Int[Tensor, "codes"]


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What of a validation takes long: speaking code after code.

    Args:
        n_spoken: So many validation utterances at most are spoken, to see whether they stop in time.
        settings: How codes are drawn; None: always the most likely one, which large networks tend to repeat
            without end.
        max_base_codes: The most codes of each sentence of the base (see `BaseSpeech`).
    """

    n_spoken: int = 4
    settings: Settings | None = Settings(n_drawn=1)
    max_base_codes: int = 120


@dataclass(frozen=True, kw_only=True)
class Held:
    """A validation utterance, with recordings of its voice that are the same at every validation."""

    symbols: Symbols
    codes: Codes
    clips: Float[Tensor, "clips mels frames"]


@dataclass(frozen=True, kw_only=True)
class Surprise:
    """Sums over some predictions, in nats, and how many they are."""

    of_text: float
    n_text: int
    of_codes: float
    n_codes: int
    n_right: int  # codes that were the most likely ones


@torch.no_grad()
def voice_of(model: UnifiedVoice, held: Held) -> Float[Tensor, "1 dim"]:
    """Its voice under the present weights."""
    return model.conditioning_latent(held.clips.unsqueeze(0).to(_device(model)))


@torch.no_grad()
def surprise(
    model: UnifiedVoice, voice: Float[Tensor, "1 dim"], symbols: Symbols, codes: Codes, *, stops: bool = True
) -> Surprise:
    """How surprising a text and its codes are, given a voice.

    Args:
        stops: The codes are followed by a stop, which counts; otherwise they were cut off.
    """
    device = _device(model)
    sound = model.framed_codes(codes.to(device).unsqueeze(0))
    scores = model(voice, model.framed_symbols(as_read(symbols, model).to(device)), sound[:, :-1])
    n = len(codes) + 1 if stops else len(codes)
    of_codes, targets = scores.codes[0, :n].float(), sound[0, 1 : n + 1]
    of_text = scores.symbols[0, : len(symbols) + 1].float()
    said = functional.pad(symbols.to(device), (0, 1), value=END)
    return Surprise(
        of_text=float(functional.cross_entropy(of_text, said, reduction="sum")),
        n_text=len(symbols) + 1,
        of_codes=float(functional.cross_entropy(of_codes, targets, reduction="sum")),
        n_codes=n,
        n_right=int((of_codes.argmax(dim=-1) == targets).sum()),
    )


def held_out_measures(
    model: UnifiedVoice, utterances: Sequence[Held], checks: Checks, *, seed: int
) -> dict[str, float]:
    """Means over all predictions of some utterances.

    Returns:
        `codes_nats` and `text_nats` for each code and symbol, stops and ends among them; `accuracy`, the
        share of codes that were the most likely ones; and `stops`, the share of spoken utterances that stop
        within two codes of the true length (left out if none is to be spoken).
    """
    found, in_time = [], []
    for number, held in enumerate(utterances):
        voice = voice_of(model, held)
        found.append(surprise(model, voice, held.symbols, held.codes))
        if number < checks.n_spoken:
            n_spoken = n_codes_spoken(model, voice, held, checks.settings, Seeds(seed=seed, sentence=number))
            in_time.append(n_spoken is not None and abs(n_spoken - len(held.codes)) <= NEAR)
    n_codes = sum(each.n_codes for each in found)
    measures = {
        "codes_nats": sum(each.of_codes for each in found) / n_codes,
        "text_nats": sum(each.of_text for each in found) / sum(each.n_text for each in found),
        "accuracy": sum(each.n_right for each in found) / n_codes,
    }
    return measures | ({"stops": sum(in_time) / len(in_time)} if in_time else {})


def n_codes_spoken(
    model: UnifiedVoice, voice: Float[Tensor, "1 dim"], held: Held, settings: Settings | None, seeds: Seeds
) -> int | None:
    """How many codes the network says until it stops; None if it goes on for too long."""
    codes = spoken(model, voice, held.symbols, settings, seeds, max_codes=len(held.codes) + NEAR + 1)
    is_stop = codes == model.config.stop_code
    return int(is_stop.nonzero()[0]) if bool(is_stop.any()) else None


def spoken(
    model: UnifiedVoice,
    voice: Float[Tensor, "1 dim"],
    symbols: Symbols,
    settings: Settings | None,
    seeds: Seeds,
    *,
    max_codes: int,
) -> Codes:
    """The codes of a text, its stop among them if it came to one; see `Checks` for `settings`."""
    most = min(max_codes, model.config.max_codes)
    if settings is None:
        text = as_read(symbols, model).to(voice.device)
        return decode(model, voice, text, max_codes=most)[0]
    drawing = Drawing(model, voice[0], symbols, candidates=(0,), settings=settings, seeds=seeds)
    while drawing.decoding.goes_on and drawing.decoding.n_codes < most:
        drawing.decoding.step()
    return drawing.decoding.codes[0]


def _device(model: UnifiedVoice) -> torch.device:
    return model.text_embedding.weight.device
