"""How much of its base's speech a tuned network has forgotten: what the base said, under the present weights.

Before anything is learnt, the base says a few sentences, with a voice that nobody has. Later, the same codes
are more surprising, the further the network has moved away from what it could say. Codes stay comparable
where sounds would not: no other stage is in between.

Axes used in this file:
    texts    sentences
    codes    places for the codes of the longest one, a stop among them
    clips    recordings
    dim      channels
"""

from collections.abc import Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_ar.sampling import generator_of
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_stages import Seeds
from retimbre.text.bpe import Vocabulary
from retimbre.training.tortoise_ar_checks import Held, spoken, surprise, voice_of

Text = Int[Tensor, "_"]  # symbols; each text has its own number of them
SEED: Final = 20220606  # of the voice that nobody has, and of what is drawn with it
SENTENCES: Final = (
    "the boat comes back before the rain.",
    "who left this window open all night?",
    "seven small birds sat on a wire, and one of them sang.",
    "please read the second letter again, slowly.",
)


def base_texts(vocabulary: Vocabulary) -> list[Text]:
    """The symbols of those of the sentences that a vocabulary can write: of another language, maybe none."""
    known = [text for text in SENTENCES if not vocabulary.unknown(text)]
    return [torch.tensor(vocabulary.encode(text)) for text in known]


class BaseSpeech(nn.Module):
    """What the base said. It is a part of a run's state: a run that goes on compares with the same.

    Args:
        texts: Symbols of sentences.
        max_codes: Of each of them; longer speech is cut off.
        settings: How codes are drawn; None: always the most likely.
    """

    codes: Int[Tensor, "texts codes"]
    n_codes: Int[Tensor, "texts"]
    voice: Float[Tensor, "dim"]
    nats: Float[Tensor, ""]
    is_known: Bool[Tensor, ""]

    def __init__(
        self,
        texts: Sequence[Text],
        *,
        dim: int,
        max_codes: int,
        settings: Settings | None,
    ) -> None:
        super().__init__()
        self.texts, self.max_codes, self.settings = texts, max_codes, settings
        self.register_buffer("codes", torch.zeros(len(texts), max_codes, dtype=torch.int64))
        self.register_buffer("n_codes", torch.zeros(len(texts), dtype=torch.int64))
        self.register_buffer("voice", torch.zeros(dim))
        self.register_buffer("nats", torch.zeros(()))
        self.register_buffer("is_known", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def measures(self, model: UnifiedVoice, heard: Sequence[Held]) -> dict[str, float]:
        """How much more surprising the base's speech is than it was to the base, for each code.

        The first time, it is listened to: the weights must still be those of the base.

        Args:
            model: In evaluation mode.
            heard: From these the voice that nobody has gets its size.
        """
        if not self.is_known:
            self._listen(model, heard)
        now = self._nats(model)
        return {"forgetting_nats": float(now - self.nats), "base_speech_nats": float(now)}

    def _listen(self, model: UnifiedVoice, heard: Sequence[Held]) -> None:
        self.voice.copy_(made_up_voice(torch.cat([voice_of(model, held) for held in heard])))
        for number, symbols in enumerate(self.texts):
            seeds = Seeds(seed=SEED, sentence=number)
            codes = spoken(
                model, self.voice.unsqueeze(0), symbols, self.settings, seeds, max_codes=self.max_codes
            )
            stops = (codes == model.config.stop_code).nonzero()
            said = codes[: int(stops[0]) + 1] if len(stops) else codes
            self.codes[number, : len(said)] = said
            self.n_codes[number] = len(said)
        self.nats.copy_(self._nats(model))
        self.is_known.fill_(True)

    def _nats(self, model: UnifiedVoice) -> Float[Tensor, ""]:
        total, n_all = 0.0, 0
        for number, symbols in enumerate(self.texts):
            said = self.codes[number, : int(self.n_codes[number])]
            stops = bool(said[-1] == model.config.stop_code)
            found = surprise(
                model, self.voice.unsqueeze(0), symbols, said[:-1] if stops else said, stops=stops
            )
            total, n_all = total + found.of_codes, n_all + found.n_codes
        return self.nats.new_tensor(total / n_all)


def made_up_voice(voices: Float[Tensor, "clips dim"]) -> Float[Tensor, "dim"]:
    """As much noise as voice, and as large as real ones.

    The speaker's own voice would not do: what is said with it is meant to change. Pure noise would not,
    either: no recording leads there, and a base may only mumble. Half of each is nobody's voice, and the
    same noise for every run.
    """
    mean = voices.float().mean(dim=0)
    size = mean.square().mean().sqrt()
    noise = torch.randn(len(mean), generator=generator_of(SEED, "voice")).to(mean)
    return (mean + size * noise) / 2**0.5
