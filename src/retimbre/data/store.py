"""Store: where training material lies on disk, and reading and writing it. The layout is EveryVoice's."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retimbre.audio.files import load_audio, probe
from retimbre.audio.mel import MelSpec, spec_type
from retimbre.audio.pitch import Pitch
from retimbre.audio.waveform import Audio
from retimbre.checkpoint.read import read_tensor
from retimbre.checkpoint.write import write_torch_tensor
from retimbre.data.stats import Stats, measure, measure_lengths
from retimbre.data.tensors import read_tensors, write_tensors
from retimbre.data.utterance import Utterance
from retimbre.data.writing import write_text, write_with
from retimbre.errors import DataError

REDO = "run 'retimbre preprocess' again"


@dataclass(frozen=True, kw_only=True)
class Features:
    """Everything known about one utterance, raw: hertz, and energies as they are.

    Args:
        f0_hz: Interpolated where there is no voice.
    """

    samples: Float[Tensor, "samples"]
    spec: Float[Tensor, "mels frames"]
    f0_hz: Float[Tensor, "frames"]
    is_voiced: Bool[Tensor, "frames"]
    energy: Float[Tensor, "frames"]


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """What is written beside a prepared recording.

    Args:
        source: Fingerprint of what it was made from; None if another program made it.
        content: Digest of the file.
        is_mixed: Made from two channels.
        clipped_share: Share of the recording's samples that were clipped.
    """

    source: str | None
    content: str
    n_samples: int
    is_mixed: bool = False
    clipped_share: float = 0.0


@dataclass(frozen=True)
class Store:
    """A folder of training material, named `preprocessed` in an EveryVoice project."""

    root: Path

    def audio_path(self, utterance: Utterance, sample_rate_hz: int) -> Path:
        """The prepared recording."""
        return self.root / "audio" / f"{utterance.stem}--audio-{sample_rate_hz}.wav"

    def spec_path(self, utterance: Utterance, mel: MelSpec) -> Path:
        """The spectrogram of the prepared recording."""
        return self.root / "spec" / f"{utterance.stem}--spec-{spec_kind(mel)}.safetensors"

    def pitch_path(self, utterance: Utterance) -> Path:
        """Raw pitch."""
        return self.root / "pitch" / f"{utterance.stem}--pitch.safetensors"

    def energy_path(self, utterance: Utterance) -> Path:
        """Raw energy."""
        return self.root / "energy" / f"{utterance.stem}--energy.safetensors"

    def duration_path(self, utterance: Utterance) -> Path:
        """Frames of each symbol, where an aligner has measured them."""
        return self.root / "duration" / f"{utterance.stem}--duration.safetensors"

    def codes_path(self, utterance: Utterance, *, kind: str = "") -> Path:
        """What TorToiSe's stages read: codes of the recording, symbols of the text; another kind is apart."""
        return self.root / "codes" / f"{utterance.stem}--codes{f'-{kind}' if kind else ''}.safetensors"

    def voice_path(self, utterance: Utterance, mel: MelSpec) -> Path:
        """What one of TorToiSe's networks, by its spectrogram, hears of the recording as one of a voice."""
        return self.root / "voice" / f"{utterance.stem}--voice-{spec_kind(mel)}.safetensors"

    def produced_spec_path(self, utterance: Utterance, mel: MelSpec) -> Path:
        """What a text-to-spec model made of the text: EveryVoice's own name and format."""
        return self.root / "synthesized_spec" / f"{utterance.stem}--spec-pred-{spec_kind(mel)}.pt"

    def filelist_path(self, part: Literal["all", "training", "validation"] = "all") -> Path:
        """The list of all prepared utterances, or of one side of the split."""
        return self.root / ("filelist.psv" if part == "all" else f"{part}_filelist.psv")

    @property
    def stats_path(self) -> Path:
        """EveryVoice's stats.json."""
        return self.root / "stats.json"

    @property
    def left_out_path(self) -> Path:
        """Which utterances were not prepared, and why."""
        return self.root / "left-out.tsv"

    @property
    def prepared_path(self) -> Path:
        """How this folder was made."""
        return self.root / "prepared.json"

    def write_audio(
        self, utterance: Utterance, audio: Audio, *, source: str, is_mixed: bool, clipped_share: float = 0.0
    ) -> AudioFacts:
        """Write a prepared recording, then what is known about it."""
        path = self.audio_path(utterance, audio.sample_rate_hz)
        write_with(path, audio.save)
        facts = AudioFacts(
            source=source,
            content=_digest(path),
            n_samples=audio.n_samples,
            is_mixed=is_mixed,
            clipped_share=clipped_share,
        )
        write_text(path.with_suffix(".json"), json.dumps(asdict(facts)) + "\n")
        return facts

    def audio_facts(self, utterance: Utterance, sample_rate_hz: int) -> AudioFacts | None:
        """What is known about a prepared recording; None if there is none, or if it is damaged."""
        path = self.audio_path(utterance, sample_rate_hz)
        if not path.is_file():
            return None
        content = _digest(path)
        beside = path.with_suffix(".json")
        if not beside.is_file():
            return AudioFacts(source=None, content=content, n_samples=probe(path).n_samples)
        try:
            facts = AudioFacts(**json.loads(beside.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return None
        return facts if facts.content == content else None

    def load_audio(self, utterance: Utterance, mel: MelSpec) -> Audio:
        """The prepared recording, exactly as the features were computed from it.

        Raises:
            DataError: if it is missing or damaged.
        """
        path = self.audio_path(utterance, mel.sample_rate_hz)
        if self.audio_facts(utterance, mel.sample_rate_hz) is None:
            found = "a damaged file" if path.is_file() else "nothing of that name"
            raise DataError(f"{path} cannot be used", expected="a prepared recording", found=found, do=REDO)
        return load_audio(path, sample_rate_hz=mel.sample_rate_hz)

    def write_spec(
        self, utterance: Utterance, spec: Float[Tensor, "mels frames"], *, mel: MelSpec, source: str
    ) -> None:
        """Write a spectrogram together with what its numbers mean."""
        facts = {"source": source, "mel": json.dumps(mel.to_dict())}
        write_tensors(self.spec_path(utterance, mel), {"spec": spec}, facts)

    def write_pitch(self, utterance: Utterance, pitch: Pitch, *, source: str) -> None:
        """Write raw pitch."""
        tensors = {"f0_hz": pitch.f0_hz, "is_voiced": pitch.is_voiced}
        write_tensors(self.pitch_path(utterance), tensors, {"source": source})

    def write_energy(self, utterance: Utterance, energy: Float[Tensor, "frames"], *, source: str) -> None:
        """Write raw energy."""
        write_tensors(self.energy_path(utterance), {"energy": energy}, {"source": source})

    def load_spec(self, utterance: Utterance, mel: MelSpec) -> Float[Tensor, "mels frames"]:
        """The spectrogram of the recording.

        Raises:
            DataError: if it is missing or damaged.
            StagesDoNotFit: if it is not the spectrogram that `mel` describes.
        """
        path = self.spec_path(utterance, mel)
        file = read_tensors(path)
        theirs = MelSpec.from_dict(json.loads(file.facts["mel"]))
        mel.require_same(theirs, ours="the model", theirs=str(path))
        return file.tensors["spec"]

    def load_pitch(self, utterance: Utterance) -> Pitch:
        """Raw pitch."""
        tensors = read_tensors(self.pitch_path(utterance)).tensors
        return Pitch(f0_hz=tensors["f0_hz"], is_voiced=tensors["is_voiced"])

    def load_energy(self, utterance: Utterance) -> Float[Tensor, "frames"]:
        """Raw energy."""
        return read_tensors(self.energy_path(utterance)).tensors["energy"]

    def load_features(self, utterance: Utterance, *, mel: MelSpec) -> Features:
        """All features of one utterance; raw, so that whoever trains chooses what they are normalised with.

        Raises:
            DataError: if something is missing or damaged, or has another length than the rest.
        """
        spec, pitch = self.load_spec(utterance, mel), self.load_pitch(utterance)
        energy, audio = self.load_energy(utterance), self.load_audio(utterance, mel)
        frames = {mel.frames_in(audio.n_samples), spec.shape[1], len(pitch.f0_hz), len(energy)}
        if len(frames) > 1:
            raise DataError(
                f"the features of {utterance.stem} do not belong together",
                expected="one number of frames",
                found=", ".join(map(str, sorted(frames))),
                do=REDO,
            )
        return Features(
            samples=audio.samples, spec=spec, f0_hz=pitch.f0_hz, is_voiced=pitch.is_voiced, energy=energy
        )

    def write_durations(self, utterance: Utterance, frames: Int[Tensor, "symbols"]) -> None:
        """Write how many frames each symbol lasts."""
        write_tensors(self.duration_path(utterance), {"frames": frames.to(torch.int64)}, {})

    def load_durations(self, utterance: Utterance) -> Int[Tensor, "symbols"] | None:
        """Frames of each symbol; None if nobody has measured them."""
        path = self.duration_path(utterance)
        return read_tensors(path).tensors["frames"] if path.is_file() else None

    def write_produced_spec(
        self, utterance: Utterance, spec: Float[Tensor, "mels frames"], mel: MelSpec
    ) -> None:
        """Write what a text-to-spec model made, so that EveryVoice reads it too."""
        write_torch_tensor(self.produced_spec_path(utterance, mel), spec.float())

    def load_produced_spec(self, utterance: Utterance, mel: MelSpec) -> Float[Tensor, "mels frames"]:
        """What a text-to-spec model made of the text.

        Raises:
            CheckpointError: if the file is missing or holds anything but one tensor.
            DataError: if that tensor is no spectrogram of this kind.
        """
        path = self.produced_spec_path(utterance, mel)
        return mels_first(read_tensor(path), mel.n_mels, path)

    def measure_stats(self, utterances: Sequence[Utterance]) -> Stats:
        """Statistics of raw pitch and energy over `utterances`: give it those that are trained on."""
        phones = [u.phones for u in utterances if u.phones]
        texts = [u.text for u in utterances if u.text]
        return Stats(
            pitch=measure(self.load_pitch(u).f0_hz for u in utterances),
            energy=measure(self.load_energy(u) for u in utterances),
            character_length=measure_lengths(texts) if texts else None,
            phone_length=measure_lengths(phones) if phones else None,
        )

    def write_stats(self, stats: Stats) -> None:
        """Write EveryVoice's stats.json."""
        self.write_json(self.stats_path, stats.to_dict())

    def load_stats(self) -> Stats:
        """Read stats.json, ours or EveryVoice's."""
        return Stats.from_dict(_read_json(self.stats_path))

    def write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        """Indented JSON."""
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def spec_kind(mel: MelSpec) -> str:
    """Rate and kind of a spectrogram, as file names tell them."""
    return f"{mel.sample_rate_hz}-{spec_type(mel)}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def mels_first(spec: Tensor, n_mels: int, path: Path) -> Float[Tensor, "mels frames"]:
    """A spec as a file holds it, in either orientation, as [mels frames].

    Raises:
        DataError: if it is no spectrogram of this kind.
    """
    spec = spec.squeeze(0) if spec.ndim == 3 else spec
    if spec.ndim == 2 and n_mels in spec.shape:
        # EveryVoice wrote [frames mels] until October 2024. A square one is taken as today's.
        return (spec if spec.shape[0] == n_mels else spec.T).float().contiguous()
    raise DataError(
        f"{path} is no spectrogram of this kind",
        expected=f"{n_mels} bands and any number of frames",
        found=" x ".join(map(str, spec.shape)) or "one number",
        do="produce the specs again with the model that belongs to this data",
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read", found=str(error), do=REDO) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} cannot be read", expected="a JSON object", do=REDO)
    return content
