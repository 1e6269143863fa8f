"""What the autoregressive stage thinks at each true code of an utterance: what diffusion is given.

Made as speaking makes it: the voice is heard from other recordings, the text has its zeros, nothing is
dropped. Kept in the store, in half the bits: 44 kB for a second of speech at the released width. Float16
changes a latent by at most 1/2048 of its value, where bfloat16 would change it by 1/256.

Axes used in this file:
    symbols      of the text
    codes        of the utterance
    dim          channels of the latents
    clips        recordings of the voice
    mels         bands of their spectrograms
    clip_frames  of their spectrograms
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from retimbre.data.store import Store
from retimbre.data.tensors import read_tensors, write_tensors
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.pipelines.tortoise_stages import as_read

FORM = 1  # of this file: another number where the same networks and recordings would give other latents
NAME_DIGITS = 12  # of the network's SHA-256 in the name of its folder

Latent = Float[Tensor, "codes dim"]
Clips = Float[Tensor, "clips mels clip_frames"]


@runtime_checkable
class Spoken(Protocol):
    """An utterance as TorToiSe's stages read it."""

    @property
    def utterance(self) -> Utterance:
        """Which one."""

    @property
    def symbols(self) -> Int[Tensor, "symbols"]:
        """Of its text, without start, stop and the zero that tortoise-tts puts behind every text."""

    @property
    def codes(self) -> Int[Tensor, "codes"]:
        """Of its recording."""

    @property
    def n_samples(self) -> int:
        """Of its prepared recording, 22,050 Hz."""


One = TypeVar("One", bound=Spoken)
AnyOne = TypeVar("AnyOne", bound=Spoken, contravariant=True)


@runtime_checkable
class Voices(Protocol[AnyOne]):
    """From whom the voice of an utterance is heard: of equal `random`, by both stages the same recordings."""

    def for_auto(self, encoded: AnyOne, random: np.random.Generator, /) -> Clips:
        """As the autoregressive stage hears it."""

    def for_diffusion(self, encoded: AnyOne, random: np.random.Generator, /) -> Clips:
        """As the diffusion decoder hears it."""


@runtime_checkable
class Latents(Protocol[AnyOne]):
    """Where latents come from."""

    @property
    def seed(self) -> int:
        """Of the choice of recordings that a voice is heard from."""

    @property
    def n_variants(self) -> int:
        """Of each utterance: each with its own choice of recordings to hear the voice from."""

    def of(self, encoded: AnyOne, variant: int = 0, /) -> Latent:
        """Those of an utterance, in float32."""


@dataclass(frozen=True, kw_only=True)
class Makers:
    """By whom latents are made.

    Args:
        text_to_codes: SHA-256 of the autoregressive stage.
        dvae: Of what made the codes.
        seed: Of the choice of recordings that a voice is heard from.
    """

    text_to_codes: str
    dvae: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class StoredLatents:
    """Latents that `write_latents` has made."""

    store: Store
    text_to_codes: str
    seed: int
    n_variants: int = 1

    def path(self, utterance: Utterance, variant: int = 0) -> Path:
        """Every network has a folder of its own: what it made stays true when another is tuned."""
        folder = self.store.root / "latents" / self.text_to_codes[:NAME_DIGITS]
        return folder / f"{utterance.stem}--latents-{variant}.safetensors"

    def of(self, encoded: Spoken, variant: int = 0) -> Latent:
        """Those of an utterance, in float32.

        Raises:
            DataError: if they are missing or damaged, or are those of another number of codes.
        """
        path = self.path(encoded.utterance, variant)
        latents = read_tensors(path).tensors["latents"].float()
        if len(latents) != len(encoded.codes):
            raise DataError(
                f"{path} belongs to another recording",
                expected=f"latents of {len(encoded.codes)} codes",
                found=str(len(latents)),
                do="let them be made again",
            )
        return latents

    def has(self, utterance: Utterance, variant: int, source: str) -> bool:
        """Are they there, whole, and made from just this?"""
        path = self.path(utterance, variant)
        try:
            return path.is_file() and read_tensors(path).facts.get("source") == source
        except DataError:
            return False


@dataclass(frozen=True, kw_only=True)
class FreshLatents(Generic[One]):
    """Latents that are made whenever they are wanted: slower, without anything on disk.

    Args:
        ar: The autoregressive stage; it is put into evaluation mode.
        seed: Of the choice of recordings that a voice is heard from.
    """

    ar: UnifiedVoice
    voices: Voices[One]
    seed: int
    n_variants: int = 1

    def of(self, encoded: One, variant: int = 0) -> Latent:
        """Those of an utterance, in float32."""
        clips = self.voices.for_auto(encoded, voice_choice(self.seed, encoded.utterance, variant))
        return teacher_forced_latents(self.ar, [encoded], [clips])[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Wanted(Generic[One]):
    encoded: One
    variant: int
    clips: Clips
    source: str


def voice_choice(seed: int, utterance: Utterance, variant: int = 0) -> np.random.Generator:
    """What chooses the recordings that a voice is heard from: both stages hear the same, as in speaking."""
    digest = hashlib.sha256(f"{seed},{variant},{utterance.stem}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest))


@torch.no_grad()
def teacher_forced_latents(
    ar: UnifiedVoice, encoded: Sequence[Spoken], clips: Sequence[Clips]
) -> list[Latent]:
    """The latents of some utterances at their true codes, as speaking would make them of each alone.

    A row is what speaking reads; padding stands behind it, where no place looks.

    Args:
        ar: Is put into evaluation mode.
        clips: From which each one's voice is heard.
    """
    ar.eval()
    device = next(ar.parameters()).device
    rows, ends = [], []
    for one, heard in zip(encoded, clips, strict=True):
        voice = ar.conditioning_latent(heard.to(device).unsqueeze(0)).unsqueeze(1)
        text = ar.embedded_symbols(ar.framed_symbols(as_read(one.symbols, ar).to(device)))
        sound = ar.embedded_codes(ar.framed_codes(one.codes.to(device).unsqueeze(0)))
        rows.append(torch.cat([voice, text, sound], dim=1)[0])
        # The start thinks of the first code, and so on: those of the last code and the stop are too many.
        ends.append((1 + text.shape[1], len(rows[-1]) - 2))
    states = ar.final_norm(ar.gpt(pad_sequence(rows, batch_first=True)))
    return [state[slice(*span)].float().cpu() for state, span in zip(states, ends, strict=True)]


def write_latents(
    encoded: Sequence[One],
    store: Store,
    ar: UnifiedVoice,
    *,
    voices: Voices[One],
    makers: Makers,
    n_variants: int = 1,
    batch_size: int = 8,
    listener: Listener | None = None,
) -> StoredLatents:
    """Make what is missing, or was made from anything else; what is there stays.

    Args:
        n_variants: So many for each utterance, each with a voice heard from its own choice of recordings.
    """
    listener = listener or Silent()
    stored = StoredLatents(
        store=store, text_to_codes=makers.text_to_codes, seed=makers.seed, n_variants=n_variants
    )
    waiting: list[_Wanted[One]] = []
    n_all, n_made = len(encoded) * n_variants, 0
    for n_looked, wanted in enumerate(_wanted(encoded, voices, makers, n_variants), start=1):
        if not stored.has(wanted.encoded.utterance, wanted.variant, wanted.source):
            waiting.append(wanted)
        if len(waiting) == batch_size or (waiting and n_looked == n_all):
            _write(stored, ar, waiting, makers)
            n_made, waiting = n_made + len(waiting), []
        listener.progress("Latents", n_looked, n_all)
    listener.say("Latents", f"{n_made} made, {n_all - n_made} there already")
    return stored


def _wanted(
    encoded: Sequence[One], voices: Voices[One], makers: Makers, n_variants: int
) -> Iterator[_Wanted[One]]:
    """The longest last, and similar ones together."""
    for one in sorted(encoded, key=lambda one: len(one.symbols) + len(one.codes)):
        for variant in range(n_variants):
            clips = voices.for_auto(one, voice_choice(makers.seed, one.utterance, variant))
            yield _Wanted(encoded=one, variant=variant, clips=clips, source=_source(one, clips, makers))


def _source(one: Spoken, clips: Clips, makers: Makers) -> str:
    """Everything that decides the latents."""
    digest = hashlib.sha256(f"{FORM},{makers.text_to_codes},{makers.dvae}".encode())
    for tensor in (one.symbols.long(), one.codes.long(), clips.float()):
        digest.update(f"{tuple(tensor.shape)}".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _write(stored: StoredLatents, ar: UnifiedVoice, wanted: Sequence[_Wanted[One]], makers: Makers) -> None:
    found = teacher_forced_latents(ar, [each.encoded for each in wanted], [each.clips for each in wanted])
    for each, latents in zip(wanted, found, strict=True):
        facts = {
            "source": each.source,
            "text_to_codes": makers.text_to_codes,
            "dvae": makers.dvae,
            "voice_seed": str(makers.seed),
            "variant": str(each.variant),
        }
        path = stored.path(each.encoded.utterance, each.variant)
        write_tensors(path, {"latents": _halved(latents)}, facts)


def _halved(latents: Latent) -> Latent:
    """In float16; a network whose latents are too large for that keeps its own."""
    half = latents.half()
    return half if half.isfinite().all() else latents
