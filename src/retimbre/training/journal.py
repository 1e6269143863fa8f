"""What a run writes on the way: metrics.jsonl, samples/, and TensorBoard events with sounds and pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from retimbre.audio.waveform import Audio
from retimbre.checkpoint.write import write_text
from retimbre.errors import MissingExtra
from retimbre.training.objective import Verdict
from retimbre.training.state import disk_errors_told


class Journal:
    """The measurements of a run, one JSON line per logged step, and the same in TensorBoard."""

    def __init__(self, run: Path, *, from_step: int = -1) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("Writing TensorBoard events", extra="train") from error
        self.run, self.path = run, run / "metrics.jsonl"
        _forget_after(self.path, from_step)
        self._events = SummaryWriter(str(run / "events"), purge_step=from_step + 1)

    def write(self, step: int, values: Mapping[str, float], *, kind: str) -> None:
        """One line: `kind` is "training" or "validation"."""
        line = {"step": step, "kind": kind} | {name: round(value, 6) for name, value in values.items()}
        with disk_errors_told(self.run, f"the measures of step {step}"):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            for name, value in values.items():
                self._events.add_scalar(f"{kind}/{name}", value, step)

    def show(self, step: int, verdict: Verdict) -> None:
        """Sounds and pictures of held-out utterances; the sounds as files in samples/, too."""
        with disk_errors_told(self.run, f"the pictures of step {step}"):
            for name, (made, rate_hz) in verdict.sounds.items():
                samples = made.nan_to_num()  # of a network that diverged
                self._keep_sound(step, name, Audio(samples=samples, sample_rate_hz=rate_hz))
                self._events.add_audio(name, samples.clamp(-1, 1).unsqueeze(0), step, sample_rate=rate_hz)
            for name, spec in verdict.pictures.items():
                self._events.add_image(name, _grey(spec), step, dataformats="HW")
            self._events.flush()

    def _keep_sound(self, step: int, name: str, audio: Audio) -> None:
        folder = self.run / "samples" / f"step-{step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        audio.save(folder / f"{name.replace('/', '-')}.wav")

    def close(self) -> None:
        """Write out what is still in memory."""
        with disk_errors_told(self.run, "the last of the TensorBoard events"):
            self._events.close()


def read_journal(run: Path, *, kind: str) -> list[dict[str, Any]]:
    """The lines of one kind, oldest first."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def _forget_after(path: Path, step: int) -> None:
    """A resumed run writes the steps after its checkpoint again; drop what it had written of them."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, TypeError, KeyError):
            continue  # the line that was being written when the run was stopped: after the checkpoint
    write_text(path, "".join(line + "\n" for line in kept))


def _grey(spec: Tensor) -> Tensor:
    """[mels frames] -> picture in 0..1, low bands at the bottom."""
    low, high = spec.min(), spec.max()
    return ((spec - low) / (high - low).clamp(min=1e-6)).flip(0)
