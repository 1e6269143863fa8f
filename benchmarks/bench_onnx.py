"""Is the starter voice faster as ONNX files than in torch, at one thread?

Both are measured in turn, several times, in one run; the ratio of the smallest times is what counts, because
other work on the machine only ever adds time.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from retimbre.models.fastspeech2.batch import text_batch
from retimbre.models.fastspeech2.variance import Controls
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.everyvoice import encode
from retimbre.pipelines.fit import text_to_spec_in, vocoder_in
from retimbre.pipelines.onnx_difference import inputs_of
from retimbre.pipelines.onnx_files import write_onnx
from retimbre.pipelines.onnx_session import OnnxModel
from retimbre.starter.find import starter_spec_to_wav, starter_text_to_spec

ROUNDS = 7
TEXT = "It was a bright cold day, and the clocks of the town were striking one after the other."


def seconds(run: Callable[[], object]) -> float:
    """One run, timed."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def written(loaded: Loaded, path: Path) -> OnnxModel:
    """The model as a file; prints what that took and how far the two differ."""
    began = time.perf_counter()
    difference = write_onnx(loaded, path)
    took_s = time.perf_counter() - began
    megabytes = path.stat().st_size / 1e6
    print(f"{loaded.stage}: {megabytes:.1f} MB, written and compared in {took_s:.1f} s")
    print(difference.to_text())
    return OnnxModel(path, n_threads=1)


def compare(name: str, in_torch: Callable[[], object], in_onnx: Callable[[], object]) -> None:
    """Print one line."""
    in_torch(), in_onnx()  # warm up
    rounds = [(seconds(in_torch), seconds(in_onnx)) for _ in range(ROUNDS)]
    torch_s, onnx_s = (min(column) for column in zip(*rounds, strict=True))
    print(f"{name:<13} torch {torch_s:.3f} s, ONNX {onnx_s:.3f} s: ratio {torch_s / onnx_s:.2f}")


@torch.inference_mode()
def main() -> None:
    """Print the figures of both stages."""
    torch.set_num_threads(1)
    text_to_spec, vocoder = load_model(starter_text_to_spec()), load_model(starter_spec_to_wav())
    speaker, generator = text_to_spec_in(text_to_spec), vocoder_in(vocoder)
    with tempfile.TemporaryDirectory() as folder:
        speak = written(text_to_spec, Path(folder) / "text-to-spec.onnx")
        sound = written(vocoder, Path(folder) / "spec-to-wav.onnx")
    text = text_batch([encode(TEXT, text_to_spec)])
    inputs = inputs_of(text, Controls())
    spec = speak(inputs)["spec"]
    spoken_s = (
        spec.shape[2] * text_to_spec.description.mel.hop_samples / vocoder.description.mel.sample_rate_hz
    )
    print(f"one thread, {text.symbols.shape[1]} symbols, {spoken_s:.1f} s of speech, best of {ROUNDS} rounds")
    compare("text-to-spec", lambda: speaker.speak(text), lambda: speak(inputs))
    compare("spec-to-wav", lambda: generator(spec), lambda: sound({"spec": spec}))
    generator.remove_weight_norm()
    compare("  folded", lambda: generator(spec), lambda: sound({"spec": spec}))


if __name__ == "__main__":
    main()
