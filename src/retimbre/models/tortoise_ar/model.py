"""TorToiSe's autoregressive network: text and a voice -> codes, and the latents that become sound
(https://arxiv.org/abs/2305.07243), with the tensor names of tortoise-tts.

It reads one sequence: the voice, then the text, then the codes, each of the latter two from its start to its
stop. Every place predicts the one after it.

Axes used in this file:
    batch    utterances
    clips    recordings of a voice
    mels     bands of their spectrograms
    frames   of their spectrograms
    voices   places for the voice: one; networks trained by DL-Art-School may have had one for each recording
    symbols  of the text
    codes    of the sound
    places   all of these, one after another
    dim      channels
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from retimbre.errors import DataError
from retimbre.models.tortoise_ar.conditioning import ConditioningEncoder
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.gpt2 import GPT2, Head, Projection, Table, draw
from retimbre.nn.packed import Precision

Symbols = Int[Tensor, "batch symbols"]
Codes = Int[Tensor, "batch codes"]
Latent = Float[Tensor, "batch dim"]


@dataclass(frozen=True, kw_only=True)
class Logits:
    """What each place predicts of the next one, before the softmax: a row for each place that was read."""

    symbols: Float[Tensor, "batch symbols n_symbols"]
    codes: Float[Tensor, "batch codes n_codes"]


class Positions(nn.Module):
    """A vector for each place in a text, or in a sequence of codes; the start has place 0."""

    def __init__(self, n_places: int, dim: int) -> None:
        super().__init__()
        self.emb = Table(n_places, dim)

    def forward(self, x: Float[Tensor, "batch n dim"], first: int = 0) -> Float[Tensor, "batch n dim"]:
        """`x` with the places from `first` on added."""
        n_needed = first + x.shape[1]
        if n_needed > self.emb.num_embeddings:
            raise DataError(
                "a sequence is longer than the network has places for",
                expected=f"at most {self.emb.num_embeddings}, start and stop included",
                found=str(n_needed),
                do="split the text into shorter pieces",
            )
        return x + self.emb.weight[first:n_needed]


class UnifiedVoice(nn.Module):
    """Speaks by predicting one code after another."""

    mel_solo_embedding: nn.Parameter
    text_solo_embedding: nn.Parameter

    def __init__(self, config: UnifiedVoiceConfig) -> None:
        super().__init__()
        self.config = config
        self.conditioning_encoder = ConditioningEncoder(config)
        self.text_embedding = Table(config.n_symbols, config.dim)
        self.mel_embedding = Table(config.n_codes, config.dim)
        self.gpt = GPT2(config)
        self.mel_pos_embedding = Positions(config.n_code_positions, config.dim)
        self.text_pos_embedding = Positions(config.n_symbol_positions, config.dim)
        self.final_norm = nn.LayerNorm(config.dim)
        self.text_head = Head(config.dim, config.n_symbols)
        self.mel_head = Head(config.dim, config.n_codes)
        if config.has_solo_embeddings:  # only carried along: nothing here reads them
            self.mel_solo_embedding = nn.Parameter(torch.empty(1, 1, config.dim))
            self.text_solo_embedding = nn.Parameter(torch.empty(1, 1, config.dim))
            draw(self.mel_solo_embedding)
            draw(self.text_solo_embedding)

    def forward(self, latent: Latent, symbols: Symbols, codes: Codes, *, codes_first: bool = False) -> Logits:
        """What follows each symbol and each code that is given, start and stop among them (see `framed_…`).

        Args:
            latent: The voice, from `conditioning_latent`.
            symbols: From the start on.
            codes: From the start on.
            codes_first: The other order, in which the codes are known when the text is predicted.
        """
        places = self.states(latent.unsqueeze(1), symbols, codes, codes_first=codes_first)[:, 1:]
        if codes_first:
            of_codes, of_symbols = places[:, : codes.shape[1]], places[:, codes.shape[1] :]
        else:
            of_symbols, of_codes = places[:, : symbols.shape[1]], places[:, symbols.shape[1] :]
        return Logits(symbols=self.text_head(of_symbols), codes=self.mel_head(of_codes))

    def conditioning_latent(self, mels: Float[Tensor, "batch clips mels frames"]) -> Latent:
        """The voice of some recordings of it: the mean of what each of them gives."""
        n_clips = mels.shape[1]
        return self.conditioning_encoder(mels.flatten(0, 1)).unflatten(0, (-1, n_clips)).mean(dim=1)

    def latents(self, latent: Latent, symbols: Symbols, codes: Codes) -> Float[Tensor, "batch codes dim"]:
        """What the network thinks at each code: a richer description of the sound than the code itself.

        Args:
            latent: The voice.
            symbols: Of the text, without start and stop.
            codes: Without start and stop.
        """
        text, sound = self.framed_symbols(symbols), self.framed_codes(codes)
        places = self.states(latent.unsqueeze(1), text, sound)
        # The start thinks of the first code, and so on: those of the last code and the stop are too many.
        return places[:, 1 + text.shape[1] : -2]

    def states(
        self,
        voices: Float[Tensor, "batch voices dim"],
        symbols: Symbols,
        codes: Codes,
        *,
        codes_first: bool = False,
    ) -> Float[Tensor, "batch places dim"]:
        """What the network thinks at every place, those of the voice included."""
        text, sound = self.embedded_symbols(symbols), self.embedded_codes(codes)
        parts = [voices, sound, text] if codes_first else [voices, text, sound]
        return self.final_norm(self.gpt(torch.cat(parts, dim=1)))

    def pack(self, precision: Precision = "float32", *, rows: int = 1) -> None:
        """Lay out the weights for speaking: faster, but from here on nothing can be trained or saved.

        Args:
            precision: Of the transformer's weights; the scores themselves are always of float32.
            rows: How many sequences will be spoken at a time.
        """
        for module in self.gpt.modules():
            if isinstance(module, Projection):
                module.pack(precision, rows)
        self.mel_head.pack("float32", rows)

    def embedded_symbols(self, symbols: Symbols) -> Float[Tensor, "batch symbols dim"]:
        """A text, from its start on, as it enters the transformer."""
        return self.text_pos_embedding(self.text_embedding(symbols))

    def embedded_codes(self, codes: Codes, first: int = 0) -> Float[Tensor, "batch codes dim"]:
        """Codes as they enter the transformer; `first` is the place of the first, 0 for the start."""
        return self.mel_pos_embedding(self.mel_embedding(codes), first)

    def framed_symbols(self, symbols: Symbols) -> Int[Tensor, "batch symbols_and_ends"]:
        """A text between its start and its stop."""
        return _between(symbols, self.config.start_symbol, self.config.stop_symbol)

    def framed_codes(self, codes: Codes) -> Int[Tensor, "batch codes_and_ends"]:
        """Codes between their start and their stop."""
        return _between(codes, self.config.start_code, self.config.stop_code)


def _between(ids: Int[Tensor, "batch n"], start: int, stop: int) -> Int[Tensor, "batch n_and_ends"]:
    return functional.pad(functional.pad(ids, (1, 0), value=start), (0, 1), value=stop)
