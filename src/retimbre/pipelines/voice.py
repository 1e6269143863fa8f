"""Voice: the models of one voice, checked to fit together; speak(text) -> Audio."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retimbre.audio.waveform import Audio
from retimbre.errors import CheckpointError, DataError
from retimbre.models.identify import identify
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.everyvoice import EveryVoiceChain, vocode
from retimbre.pipelines.pieces import pieces_of
from retimbre.pipelines.speaking import speak_pieces
from retimbre.pipelines.speaking_voice import SpeakingVoice, speaking_voice
from retimbre.starter.find import starter_spec_to_wav, starter_text_to_spec

ENDINGS = (".safetensors", ".ckpt", ".pth", ".pt")


@dataclass(frozen=True)
class Voice:
    """What `load_voice` returns."""

    chain: EveryVoiceChain

    @property
    def sample_rate_hz(self) -> int:
        """Of everything that it speaks."""
        return self.chain.spec_to_wav.description.output_rate_hz

    @property
    def speakers(self) -> tuple[str, ...]:
        """Names that `speak` knows; the first one speaks unless another is named."""
        return self.chain.text_to_spec.description.speakers

    @property
    def languages(self) -> tuple[str, ...]:
        """Likewise."""
        return self.chain.text_to_spec.description.languages

    def speak(self, text: str, *, speaker: str | None = None, language: str | None = None) -> Audio:
        """A text as sound; a long one is spoken in pieces.

        Raises:
            TextError: if the text has symbols that the model does not know, or the name is unknown.
        """
        text_to_spec = self.chain.text_to_spec
        pieces = pieces_of(text, text_to_spec, language=language)
        said = speak_pieces(pieces, text_to_spec, speaker=speaker, language=language)
        return vocode(said.spec, self.chain.spec_to_wav)


def load_voice(
    path: Path | str | None = None,
    *,
    vocoder: Path | str | None = None,
    device: str = "cpu",
    **tortoise: Any,  # noqa: ANN401 (checked by speaking_voice)
) -> Voice | SpeakingVoice:
    """The models of one voice, checked to fit together.

    Args:
        path: A text-to-spec checkpoint, or a folder that holds it; or a folder with TorToiSe's models; none:
            the bundled starter voice.
        vocoder: A spec-to-wav checkpoint; none: the one in the folder.
        device: `cpu`, `cuda`, …
        tortoise: For TorToiSe's models: `voice`, `preset` and whatever else `speaking_voice` takes.

    Raises:
        CheckpointError: if a file cannot be used, or the folder does not hold one checkpoint per stage.
        StagesDoNotFit: if the vocoder reads another spectrogram than the text-to-spec model writes.
        DataError: if there is no such voice, preset or setting.
    """
    if path is not None and _is_tortoise(Path(path)):
        models = [Path(path), *([Path(vocoder)] if vocoder else [])]
        return speaking_voice(models, device=device, **tortoise)
    if tortoise:
        raise DataError(
            f"{path or 'the starter voice'} is no set of TorToiSe's models",
            expected="a folder with autoregressive.pth and the others",
            found=f"{', '.join(tortoise)} given for it",
            do=f"leave out {', '.join(tortoise)}",
        )
    if path is None:
        text_to_spec = load_model(starter_text_to_spec(), device=device)
        return _voice(text_to_spec, load_model(vocoder or starter_spec_to_wav(), device=device))
    path = Path(path)
    if path.is_dir():
        found = _in_folder(path, device)
        spec_to_wav = load_model(vocoder, device=device) if vocoder else _only(found, "spec-to-wav", path)
        return _voice(_only(found, "text-to-spec", path), spec_to_wav)
    if vocoder is None:
        raise CheckpointError(
            f"{path} is one stage of a voice",
            expected="a text-to-spec checkpoint and a vocoder",
            found="only one file",
            do=f"give both: load_voice('{path.name}', vocoder='…')",
        )
    return _voice(load_model(path, device=device), load_model(vocoder, device=device))


def _voice(text_to_spec: Loaded, spec_to_wav: Loaded) -> Voice:
    return Voice(EveryVoiceChain(text_to_spec=text_to_spec, spec_to_wav=spec_to_wav))


def _in_folder(folder: Path, device: str) -> list[Loaded]:
    """Every checkpoint that lies directly in the folder."""
    return [load_model(file, device=device) for file in _files(folder)]


def _is_tortoise(path: Path) -> bool:
    return path.is_dir() and any(
        identify(file, is_hashed=False).stage == "text-to-codes" for file in _files(path)
    )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in ENDINGS and path.is_file())


def _only(found: list[Loaded], stage: str, folder: Path) -> Loaded:
    """The one checkpoint of a stage; which of several is meant, nobody can guess."""
    matches = [loaded for loaded in found if loaded.stage == stage]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(loaded.path.name for loaded in matches) or "none"
    raise CheckpointError(
        f"{folder} does not say which {stage} checkpoint to take",
        expected=f"one {stage} checkpoint in it",
        found=names,
        do="name both files: load_voice(TEXT_TO_SPEC, vocoder=SPEC_TO_WAV)",
    )
