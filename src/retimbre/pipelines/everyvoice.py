"""text -> spec -> waveform, with the models of the EveryVoice chain."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.audio.waveform import Audio
from retimbre.errors import TextError
from retimbre.models.fastspeech2.batch import TextBatch, reference_batch
from retimbre.models.fastspeech2.variance import Controls
from retimbre.models.load import Loaded
from retimbre.pipelines.fit import require_fit, text_to_spec_in, vocoder_in
from retimbre.pipelines.windows import sound_of
from retimbre.text.reading import Read
from retimbre.text.symbols import SymbolTable


@dataclass(frozen=True)
class SpokenText:
    """A spec for a text: [mels frames], and how long each symbol is."""

    spec: Float[Tensor, "mels frames"]
    durations: Int[Tensor, "symbols"]


def encode(text: str, loaded: Loaded, *, language: str | None = None) -> tuple[int, ...]:
    """Text -> ids of the model's own table; what it cannot say is an error, never dropped.

    A model of phones gets those of the text, where its description names rules for the language; otherwise
    the text is taken for phones.
    """
    described = loaded.description
    return ids_of(described.reading.of(text, language=language or described.languages[0]), loaded)


def ids_of(read: Read, loaded: Loaded) -> tuple[int, ...]:
    """A text as the model reads it -> ids.

    Raises:
        TextError: if something of it cannot be said, or nothing is left.
    """
    encoded, shown = SymbolTable(loaded.description.symbols).encode(read.text), read.text[:60]
    if read.silent:
        raise TextError(
            f"there is no rule that says: {' '.join(dict.fromkeys(read.silent))}",
            do="write it out as it is spoken",
        )
    if encoded.unknown:
        unknown = " ".join(sorted(set(encoded.unknown)))
        raise TextError(
            f"the model has no symbols for: {unknown} (in '{shown}')",
            do="write the text with the model's own symbols; 'retimbre inspect FILE' lists them",
        )
    if not encoded.ids:
        raise TextError(f"nothing is left to speak of '{shown}'", expected="at least one known symbol")
    return tuple(encoded.ids)


def speak_spec(
    text: str, loaded: Loaded, *, speaker: str | None = None, language: str | None = None, pace: float = 1.0
) -> SpokenText:
    """What the text-to-spec model makes of a text, in one piece; `pace` 2 speaks twice as fast."""
    ids = encode(text, loaded, language=language)
    return speak_ids(ids, loaded, speaker=speaker, language=language, controls=Controls(duration=1 / pace))


def speak_ids(
    symbols: Sequence[int],
    loaded: Loaded,
    *,
    speaker: str | None = None,
    language: str | None = None,
    controls: Controls | None = None,
    style: Float[Tensor, "mels frames"] | None = None,
) -> SpokenText:
    """What the text-to-spec model makes of the rows of its own symbol table.

    Args:
        style: Spec of a recording whose style is followed; only for a model with style tokens.
    """
    ids, model = torch.tensor(symbols), text_to_spec_in(loaded)
    device = next(model.parameters()).device
    batch = TextBatch(
        symbols=ids.unsqueeze(0),
        n_symbols=torch.tensor([len(ids)]),
        speaker=torch.tensor([index_of(speaker, loaded.description.speakers, "speaker")]),
        language=torch.tensor([index_of(language, loaded.description.languages, "language")]),
    ).to(device)
    reference = None if style is None else reference_batch([style]).to(device)
    with torch.inference_mode():
        spoken = model.speak(batch, controls or Controls(), reference)
    n_frames = int(spoken.n_frames[0])
    return SpokenText(spoken.spec[0, :n_frames].T.cpu(), spoken.durations[0].cpu())


def index_of(name: str | None, names: tuple[str, ...], what: str) -> int:
    """Row of a speaker or language; the first one where none is named."""
    if name is None:
        return 0
    if name not in names:
        raise TextError(f"the model has no {what} '{name}'", expected=f"one of {', '.join(names)}")
    return names.index(name)


def vocode(spec: Float[Tensor, "mels frames"], loaded: Loaded) -> Audio:
    """A spec of any length as sound."""
    samples = sound_of(spec, vocoder_in(loaded))
    return Audio(samples=samples, sample_rate_hz=loaded.description.output_rate_hz)


@dataclass(frozen=True, kw_only=True)
class EveryVoiceChain:
    """Two models that fit each other."""

    text_to_spec: Loaded
    spec_to_wav: Loaded

    def __post_init__(self) -> None:
        require_fit(self.text_to_spec, self.spec_to_wav)

    def speak(self, text: str, *, speaker: str | None = None, language: str | None = None) -> Audio:
        """Text -> sound, in one piece."""
        return vocode(
            speak_spec(text, self.text_to_spec, speaker=speaker, language=language).spec, self.spec_to_wav
        )
