"""What was spoken, written under EveryVoice's file names: spec, sound, TextGrid, ReadAlong."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from retimbre.audio.files import save_audio
from retimbre.audio.mel import MelSpec, spec_type
from retimbre.checkpoint.write import write_text, write_torch_tensor
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.models.load import Loaded
from retimbre.pipelines.everyvoice import vocode
from retimbre.pipelines.readalong import readalong_xml
from retimbre.pipelines.readalong_page import readalong_html
from retimbre.pipelines.request import Request
from retimbre.pipelines.textgrid import textgrid
from retimbre.pipelines.timing import Times

FOLDERS = {
    ".pt": "synthesized_spec",
    ".wav": "wav",
    ".TextGrid": "textgrids",
    ".readalong": "readalongs",
    ".html": "readalongs",
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """A spoken text: its spec, and the times of its words where they were asked for."""

    utterance: Utterance
    spec: Float[Tensor, "mels frames"]
    times: Times | None = None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where results go and what is written of each."""

    folder: Path
    request: Request
    text_to_spec: Loaded
    vocoder: Loaded | None

    def write(self, result: Result) -> Iterator[Path]:
        """The path of each file as it is written."""
        asked, mel = self.request.output_types, self.text_to_spec.description.mel
        if "spec" in asked:
            yield self._spec(result, mel)
        wav = self._wav(result) if self.vocoder and self.request.needs_sound else None
        if wav is not None:
            yield wav
        if result.times is None:
            return
        times, language = result.times, result.utterance.language
        if "textgrid" in asked:
            yield self._text(result, ".TextGrid", textgrid(times, mel))
        if "readalong-xml" in asked:
            yield self._text(result, ".readalong", readalong_xml(times, mel, language=language))
        if "readalong-html" in asked and wav is not None:
            page = readalong_html(times, mel, language=language, wav=wav.read_bytes())
            yield self._text(result, ".html", page)

    def path(self, utterance: Utterance, ending: str, details: str) -> Path:
        """`details` are what a simple name leaves out."""
        simple = self.request.is_simply_named
        name = f"{utterance.basename}{ending}" if simple else f"{utterance.stem}--{details}{ending}"
        return self.folder / FOLDERS[ending] / name

    def _spec(self, result: Result, mel: MelSpec) -> Path:
        if self.request.is_simply_named:
            path = self.path(result.utterance, ".pt", "")
        else:
            path = Store(self.folder).produced_spec_path(result.utterance, mel)
        write_torch_tensor(path, result.spec)
        return path

    def _wav(self, result: Result) -> Path:
        assert self.vocoder is not None  # the caller has asked
        steps = f"ckpt={self.text_to_spec.description.step}--v_ckpt={self.vocoder.description.step}"
        path = self.path(result.utterance, ".wav", f"{steps}--pred")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_audio(path, vocode(result.spec, self.vocoder))
        return path

    def _text(self, result: Result, ending: str, content: str) -> Path:
        mel = self.text_to_spec.description.mel
        path = self.path(result.utterance, ending, f"{mel.sample_rate_hz}-{spec_type(mel)}")
        write_text(path, content)
        return path
