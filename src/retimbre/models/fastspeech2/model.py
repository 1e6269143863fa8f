"""FastSpeech 2 (https://arxiv.org/abs/2006.04558) of conformers, with learned alignment, as in EveryVoice.

Whatever a network gives for an utterance alone, it gives for it in any batch: padding never changes a result.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest utterance, padded
    frames   frames of the longest utterance, padded
    dim      channels of the encoder
    mels     bands of a spec
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from retimbre.errors import DataError
from retimbre.models.fastspeech2.alignment import Alignment, ConvNorm
from retimbre.models.fastspeech2.batch import Batch, Reference, TextBatch
from retimbre.models.fastspeech2.config import FastSpeech2Config, Level
from retimbre.models.fastspeech2.conformer import Conformer
from retimbre.models.fastspeech2.style import StyleEncoder
from retimbre.models.fastspeech2.symbols import FeatureInput
from retimbre.models.fastspeech2.timing import Timing
from retimbre.models.fastspeech2.variance import Controls, Prosody, Truth, VarianceAdaptor
from retimbre.nn.dropout import drop
from retimbre.nn.masks import mask_from_lengths
from retimbre.nn.norms import MaskedBatchNorm1d

POSTNET_LAYERS, POSTNET_KERNEL, POSTNET_DROPOUT = 5, 5, 0.5


@dataclass(frozen=True, kw_only=True)
class Output:
    """What the losses compare. Padding of the specs is silence, of everything else 0.

    Args:
        spec: Of the decoder.
        refined: Of the post-net, where there is one.
        prosody: What was predicted, and the timing that was used.
        truth: The pitch and energy that should have been predicted.
        alignment: How the timing was found; None where durations were given.
    """

    spec: Float[Tensor, "batch frames mels"]
    refined: Float[Tensor, "batch frames mels"] | None
    prosody: Prosody
    truth: Truth
    alignment: Alignment | None


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """A spec and how it came about; padding of the spec is silence.

    Args:
        spec: Of the post-net where there is one, else of the decoder.
        durations: Frames of each symbol.
        pitch: Normalised, of each symbol or frame.
        energy: Likewise.
    """

    spec: Float[Tensor, "batch frames mels"]
    n_frames: Int[Tensor, "batch"]
    durations: Int[Tensor, "batch symbols"]
    pitch: Float[Tensor, "batch pitch_times"]
    energy: Float[Tensor, "batch energy_times"]


class Positions(nn.Module):
    """Sines, then cosines, of the position at frequencies that fall from 1 to 1/10000."""

    inv_freq: Float[Tensor, "half_dim"]

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("inv_freq", 10000.0 ** (-torch.arange(0, dim, 2) / dim))

    def forward(self, n: int) -> Float[Tensor, "n dim"]:
        positions = torch.arange(n, device=self.inv_freq.device, dtype=self.inv_freq.dtype)
        angles = torch.outer(positions, self.inv_freq)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class PostNet(nn.Module):
    """Five convolutions that correct the spec of the decoder."""

    def __init__(self, n_mels: int, dim: int) -> None:
        super().__init__()
        dims = [n_mels] + [dim] * (POSTNET_LAYERS - 1) + [n_mels]
        self.convolutions = nn.ModuleList(
            nn.Sequential(ConvNorm(dim_in, dim_out, POSTNET_KERNEL), MaskedBatchNorm1d(dim_out))
            for dim_in, dim_out in zip(dims[:-1], dims[1:], strict=True)
        )

    def forward(
        self, spec: Float[Tensor, "batch frames mels"], is_frame: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames mels"]:
        """What to add to `spec`."""
        x, keep = spec, is_frame.unsqueeze(-1)
        for number, layer in enumerate(self.convolutions, start=1):
            conv, norm = layer.children()
            x = norm(conv(x * keep), is_frame)
            if number < POSTNET_LAYERS:
                x = x.tanh()
            x = drop(x, POSTNET_DROPOUT) if self.training else x
        return x


class FastSpeech2(nn.Module):
    """Text to spec, all frames at once."""

    def __init__(self, config: FastSpeech2Config) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.text_input_layer = (
            FeatureInput(config.n_symbols, config.n_features, dim)
            if config.n_features
            else nn.Embedding(config.n_symbols, dim, padding_idx=0)
        )
        self.position_embedding = Positions(dim)
        self.speaker_embedding = nn.Embedding(config.n_speakers, dim) if config.n_speakers else None
        self.language_embedding = nn.Embedding(config.n_languages, dim) if config.n_languages else None
        self.gst = StyleEncoder(dim=dim, n_mels=config.n_mels, sizes=config.style) if config.style else None
        self.encoder = Conformer(config.encoder)
        self.variance_adaptor = VarianceAdaptor(config)
        self.decoder = Conformer(config.decoder)
        self.mel_linear = nn.Linear(dim, config.n_mels)
        self.postnet = PostNet(config.n_mels, config.postnet_dim) if config.postnet_dim else None

    def forward(self, batch: Batch, *, has_true_prosody: bool = True) -> Output:
        """The training path: true timing, true pitch and energy; or, where they are not known, its own."""
        embedded = self.text_input_layer(batch.symbols)
        timing, alignment = self._true_timing(batch, embedded)
        truth = _truth(self.config, batch, timing)
        frames, prosody = self._adapt(
            batch.text,
            embedded,
            Controls(),
            batch.reference,
            timing=timing,
            truth=truth if has_true_prosody else None,
        )
        spec, refined = self._decode(frames, timing.is_frame)
        return Output(spec=spec, refined=refined, prosody=prosody, truth=truth, alignment=alignment)

    @torch.no_grad()
    def teacher_force(
        self, batch: Batch, *, has_true_prosody: bool = False, reference: Reference | None = None
    ) -> Spoken:
        """A spec as long as the recordings: true timing; pitch and energy predicted, or true as well.

        Args:
            reference: Whose style is followed, if not that of the recordings; only with style tokens.
        """
        self._require_style_tokens(reference)
        embedded = self.text_input_layer(batch.symbols)
        timing, _ = self._true_timing(batch, embedded)
        truth = _truth(self.config, batch, timing) if has_true_prosody else None
        frames, prosody = self._adapt(
            batch.text, embedded, Controls(), reference or batch.reference, timing=timing, truth=truth
        )
        return self._spoken(frames, prosody)

    @torch.no_grad()
    def speak(
        self,
        text: TextBatch,
        controls: Controls = Controls(),  # noqa: B008 (frozen)
        reference: Reference | None = None,
    ) -> Spoken:
        """A spec from text alone, or also in the style of a reference."""
        self._require_style_tokens(reference)
        return self._spoken(*self._adapt(text, self.text_input_layer(text.symbols), controls, reference))

    @torch.no_grad()
    def follow(
        self,
        text: TextBatch,
        timing: Timing,
        truth: Truth,
        controls: Controls = Controls(),  # noqa: B008 (frozen)
    ) -> Output:
        """A spec of given timing, pitch and energy, and what the network itself would have chosen instead."""
        embedded = self.text_input_layer(text.symbols)
        frames, prosody = self._adapt(text, embedded, controls, None, timing=timing, truth=truth)
        spec, refined = self._decode(frames, timing.is_frame)
        return Output(spec=spec, refined=refined, prosody=prosody, truth=truth, alignment=None)

    def _require_style_tokens(self, reference: Reference | None) -> None:
        if reference is not None and self.gst is None:
            raise DataError(
                "this network has no style tokens", found="a reference recording", do="speak without one"
            )

    def align(self, batch: Batch) -> Timing:
        """Which frames of the recordings belong to which symbol."""
        with torch.no_grad():
            return self._true_timing(batch, self.text_input_layer(batch.symbols))[0]

    def _true_timing(
        self, batch: Batch, embedded: Float[Tensor, "batch symbols dim"]
    ) -> tuple[Timing, Alignment | None]:
        if batch.durations is not None:
            return Timing.from_durations(batch.durations, n_frames_padded=batch.spec.shape[1]), None
        if not self.config.learns_alignment:
            raise DataError(
                "this network does not learn which frames belong to which symbol",
                expected="durations for every utterance",
                found="none",
                do="extract durations with an aligner, or tune a network with learned alignment",
            )
        alignment = self.variance_adaptor.attention(embedded, batch.n_symbols, batch.spec, batch.n_frames)
        return alignment.timing, alignment

    def _adapt(
        self,
        text: TextBatch,
        embedded: Float[Tensor, "batch symbols dim"],
        controls: Controls,
        reference: Reference | None,
        *,
        timing: Timing | None = None,
        truth: Truth | None = None,
    ) -> tuple[Float[Tensor, "batch frames dim"], Prosody]:
        is_symbol = mask_from_lengths(text.n_symbols, text.symbols.shape[1])
        x = self.encoder(embedded + self.position_embedding(embedded.shape[1]), is_symbol)
        if self.gst is not None:
            x = x + _style(self.gst, reference, len(x)).unsqueeze(1)
        if self.speaker_embedding is not None:
            x = x + self.speaker_embedding(text.speaker).unsqueeze(1)
        if self.language_embedding is not None:
            x = x + self.language_embedding(text.language).unsqueeze(1)
        return self.variance_adaptor(x, is_symbol, timing=timing, truth=truth, controls=controls)

    def _decode(
        self, x: Float[Tensor, "batch frames dim"], is_frame: Bool[Tensor, "batch frames"]
    ) -> tuple[Float[Tensor, "batch frames mels"], Float[Tensor, "batch frames mels"] | None]:
        decoded = self.decoder(x + self.position_embedding(x.shape[1]), is_frame)
        spec = self.mel_linear(decoded).float()
        refined = spec + self.postnet(spec, is_frame) if self.postnet else None
        padding = ~is_frame.unsqueeze(-1)
        spec = spec.masked_fill(padding, self.config.silence)
        return spec, None if refined is None else refined.masked_fill(padding, self.config.silence)

    def _spoken(self, frames: Float[Tensor, "batch frames dim"], prosody: Prosody) -> Spoken:
        spec, refined = self._decode(frames, prosody.timing.is_frame)
        return Spoken(
            spec=spec if refined is None else refined,
            n_frames=prosody.timing.n_frames,
            durations=prosody.timing.durations,
            pitch=prosody.pitch,
            energy=prosody.energy,
        )


def _style(gst: StyleEncoder, reference: Reference | None, n_utterances: int) -> Float[Tensor, "batch dim"]:
    if reference is None:
        return gst.without_reference(n_utterances)
    return gst(reference.spec, reference.n_frames)


def _truth(config: FastSpeech2Config, batch: Batch, timing: Timing) -> Truth:
    if batch.is_per_symbol and Level.FRAME in (config.pitch_level, config.energy_level):
        raise DataError(
            "pitch and energy have been averaged over symbols",
            expected="one value for each frame, as this network uses them",
            found="one for each symbol",
            do="prepare the data again",
        )

    def at(level: Level, values: Tensor) -> Tensor:
        is_averaged = batch.is_per_symbol or level is Level.FRAME
        return values if is_averaged else timing.mean_per_symbol(values)

    return Truth(pitch=at(config.pitch_level, batch.pitch), energy=at(config.energy_level, batch.energy))
