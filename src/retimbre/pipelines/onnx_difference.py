"""How far what an ONNX file gives is from what its network gives, on random inputs.

Two computations of one network round differently, and a network decides: a duration is rounded, a pitch falls
into one bin or the next. So the network is asked what it makes of the decisions that the file has taken, and
every number is then a smooth function of what came before.

Axes used in this file:
    batch    utterances
    symbols  symbols of the longest text, padded with 0
    mels     bands of a spec
    frames   of a spec
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retimbre.errors import CheckpointError
from retimbre.models.fastspeech2.batch import TextBatch
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.fastspeech2.timing import Timing
from retimbre.models.fastspeech2.variance import Controls, Truth, to_frames
from retimbre.models.hifigan.model import Generator
from retimbre.nn.masks import mask_from_lengths
from retimbre.pipelines.onnx_session import OnnxModel

BOUNDS = {"waveform": 1e-3, "spec": 1e-4, "pitch": 1e-4, "energy": 1e-4}  # of the largest value
EDGE_FRAMES = 1e-4  # a duration this near to half a frame may be rounded either way
TEXTS = ((1,), (2,), (7,), (41,), (150,), (23, 9, 1))  # symbols of each text of a batch
MOST_FRAMES = (
    4000  # a text that would last longer is not tried: attention needs memory for every pair of frames
)
SPECS = ((1, 1), (1, 7), (1, 64), (1, 301), (2, 33))  # batch and frames
CONTROLS = (Controls(), Controls(duration=1.3, pitch=0.8, energy=1.1))
LOUD, SPREAD = -5.0, 2.0  # of a random spec
SEED = 0


@dataclass(frozen=True, kw_only=True)
class OutputDifference:
    """Of one output over all inputs that were tried."""

    name: str
    largest: float  # absolute difference
    largest_value: float  # of the network
    bound: float  # of the share

    @property
    def share(self) -> float:
        """The largest difference as a share of the largest value."""
        return self.largest / max(self.largest_value, torch.finfo(torch.float32).tiny)

    @property
    def is_small(self) -> bool:
        """Is it within the bound? Never for what is not a number."""
        return self.share <= self.bound

    def to_text(self) -> str:
        """One line."""
        return (
            f"{self.name}: largest difference {self.largest:.1e}, "
            f"{self.share:.1e} of the largest value (bound {self.bound:.0e})"
        )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of a file and the network that it was made from, on random inputs.

    Args:
        n_inputs: How many inputs were tried, from one symbol or frame to long ones.
        n_durations: Of how many symbols the durations were compared; 0 for a vocoder.
        n_on_the_edge: How many of these differ because the network's own value is almost half a frame.
        n_wrong: How many differ for no such reason.
    """

    outputs: tuple[OutputDifference, ...]
    n_inputs: int
    n_durations: int = 0
    n_on_the_edge: int = 0
    n_wrong: int = 0

    @property
    def is_small(self) -> bool:
        """Is everything within its bound?"""
        return not self.n_wrong and all(output.is_small for output in self.outputs)

    def to_text(self) -> str:
        """Some lines for a person."""
        lines = [output.to_text() for output in self.outputs]
        if self.n_durations:
            lines.append(
                f"durations: of {self.n_durations}, {self.n_wrong} differ, "
                f"{self.n_on_the_edge} more at half a frame"
            )
        return "\n".join([*lines, f"compared on {self.n_inputs} random inputs"])

    def require_small(self, path: Path) -> None:
        """Raise CheckpointError if something is not within its bound."""
        if not self.is_small:
            raise CheckpointError(
                f"{path} was not written, for it would not give what the model gives",
                found=self.to_text().replace("\n", "; "),
                do="report this, with what 'retimbre inspect' says of the model",
            )


class Measured:
    """What was compared so far."""

    def __init__(self) -> None:
        self.largest: dict[str, tuple[float, float]] = {}
        self.n_inputs = self.n_durations = self.n_on_the_edge = self.n_wrong = 0

    def add(self, name: str, theirs: Tensor, ours: Tensor) -> None:
        """Compare one output; a difference in shape, or what is not a number, is infinitely large."""
        largest, largest_value = self.largest.get(name, (0.0, 0.0))
        here = torch.inf
        if theirs.shape == ours.shape:
            here = float((theirs - ours).abs().nan_to_num(nan=torch.inf).max())
        self.largest[name] = max(largest, here), max(largest_value, float(ours.abs().max()))

    def add_durations(
        self,
        theirs: Int[Tensor, "batch symbols"],
        ours: Int[Tensor, "batch symbols"],
        log_durations: Float[Tensor, "batch symbols"],
        is_symbol: Bool[Tensor, "batch symbols"],
    ) -> None:
        """Compare whole numbers, and look at what they were rounded from where they differ."""
        frames = log_durations.exp() - 1
        is_on_the_edge = (frames - frames.floor() - 0.5).abs() < EDGE_FRAMES
        differs = theirs != ours
        self.n_durations += int(is_symbol.sum())
        self.n_on_the_edge += int((differs & is_on_the_edge).sum())
        self.n_wrong += int((differs & ~is_on_the_edge).sum())

    def result(self) -> Difference:
        """Of everything together."""
        outputs = tuple(
            OutputDifference(name=name, largest=largest, largest_value=value, bound=BOUNDS[name])
            for name, (largest, value) in self.largest.items()
        )
        return Difference(
            outputs=outputs,
            n_inputs=self.n_inputs,
            n_durations=self.n_durations,
            n_on_the_edge=self.n_on_the_edge,
            n_wrong=self.n_wrong,
        )


def difference(file: OnnxModel, network: FastSpeech2 | Generator) -> Difference:
    """Compare a file with a network on the CPU, in float32 and evaluation mode."""
    measured, random = Measured(), torch.Generator().manual_seed(SEED)
    if isinstance(network, Generator):
        for batch, n_frames in SPECS:
            spec = torch.randn(batch, network.config.n_mels, n_frames, generator=random)
            _compare_sound(file, network, spec * SPREAD + LOUD, measured)
    else:
        frames_per_symbol = 0.0
        for number, lengths in enumerate(TEXTS):
            if frames_per_symbol * max(lengths) > MOST_FRAMES:
                continue
            text = _random_text(network, lengths, random)
            n_frames = _compare_speech(file, network, text, CONTROLS[number % len(CONTROLS)], measured)
            frames_per_symbol = max(frames_per_symbol, n_frames / max(lengths))
    return measured.result()


def _compare_sound(
    file: OnnxModel, network: Generator, spec: Float[Tensor, "batch mels frames"], measured: Measured
) -> None:
    measured.n_inputs += 1
    with torch.inference_mode():
        ours = network(spec).squeeze(1)
    measured.add("waveform", file({"spec": spec})["waveform"], ours)


def _compare_speech(
    file: OnnxModel, network: FastSpeech2, text: TextBatch, controls: Controls, measured: Measured
) -> int:
    """How many frames the longest utterance had."""
    theirs = file(inputs_of(text, controls))
    timing = Timing.from_durations(theirs["durations"])
    ours = network.follow(text, timing, Truth(pitch=theirs["pitch"], energy=theirs["energy"]), controls)
    spec = ours.spec if ours.refined is None else ours.refined
    measured.n_inputs += 1
    measured.add("spec", theirs["spec"], spec.transpose(1, 2))
    measured.add("pitch", theirs["pitch"], ours.prosody.pitch)
    measured.add("energy", theirs["energy"], ours.prosody.energy)
    is_symbol = mask_from_lengths(text.n_symbols, text.symbols.shape[1])
    log_durations = ours.prosody.log_durations
    durations = to_frames(log_durations, is_symbol, controls.duration)
    measured.add_durations(theirs["durations"], durations, log_durations, is_symbol)
    return spec.shape[1]


def inputs_of(text: TextBatch, controls: Controls) -> dict[str, Tensor]:
    """What a text-to-spec file reads, by the names of its inputs."""
    return {
        "symbols": text.symbols.long(),
        "lengths": text.n_symbols.long(),
        "speaker": text.speaker.long(),
        "language": text.language.long(),
        "duration_control": torch.tensor(controls.duration),
        "pitch_control": torch.tensor(controls.pitch),
        "energy_control": torch.tensor(controls.energy),
    }


def _random_text(network: FastSpeech2, lengths: tuple[int, ...], random: torch.Generator) -> TextBatch:
    n_symbols, config = torch.tensor(lengths), network.config
    symbols = torch.randint(1, config.n_symbols, (len(lengths), max(lengths)), generator=random)

    def any_row(n_rows: int | None) -> Int[Tensor, "batch"]:
        return torch.randint(n_rows or 1, (len(lengths),), generator=random)

    return TextBatch(
        symbols=symbols * mask_from_lengths(n_symbols, max(lengths)),
        n_symbols=n_symbols,
        speaker=any_row(config.n_speakers),
        language=any_row(config.n_languages),
    )
