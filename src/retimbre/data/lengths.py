"""Do recording, real spec, produced spec and text of each utterance fit in length? Asked before training."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from retimbre.audio.mel import MelSpec
from retimbre.data.prepare import LeftOut
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import RetimbreError


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """An utterance whose parts do not line up frame by frame; None is what could not be read."""

    utterance: Utterance
    audio_frames: int | None
    spec_frames: int | None
    produced_frames: int | None
    reason: str


def mismatches(
    store: Store,
    utterances: Iterable[Utterance],
    mel: MelSpec,
    *,
    with_produced: bool = False,
    output_mel: MelSpec | None = None,
) -> list[Mismatch]:
    """Utterances that cannot be trained on, because a part is missing, damaged or of another length.

    Args:
        with_produced: Compare what the text-to-spec model produced, too.
        output_mel: Compare the recording at a vocoder's rate, too.
    """
    compared = (_compare(store, u, mel, with_produced, output_mel) for u in utterances)
    return [mismatch for mismatch in compared if mismatch]


def long_texts(
    utterances: Iterable[Utterance],
    *,
    n_symbols: Callable[[Utterance], int],
    n_frames: Callable[[Utterance], int],
) -> list[LeftOut]:
    """Utterances with more symbols than frames: no alignment can give each symbol a frame."""
    lengths = ((utterance, n_symbols(utterance), n_frames(utterance)) for utterance in utterances)
    return [
        LeftOut(
            utterance=utterance,
            reason=f"the text is longer than the sound ({symbols} symbols, {frames} frames)",
        )
        for utterance, symbols, frames in lengths
        if symbols > frames
    ]


def _compare(
    store: Store, utterance: Utterance, mel: MelSpec, with_produced: bool, output_mel: MelSpec | None
) -> Mismatch | None:
    frames: dict[str, int | None] = {"audio": None, "spec": None, "output": None, "produced": None}
    reason = None
    try:
        frames["audio"] = mel.frames_in(store.load_audio(utterance, mel).n_samples)
        frames["spec"] = store.load_spec(utterance, mel).shape[1]
        if output_mel is not None:
            frames["output"] = output_mel.frames_in(store.load_audio(utterance, output_mel).n_samples)
        if with_produced:
            frames["produced"] = store.load_produced_spec(utterance, mel).shape[1]
    except RetimbreError as error:
        reason = str(error)
    if reason is None:
        reason = _difference({name: n for name, n in frames.items() if n is not None})
    if reason is None:
        return None
    return Mismatch(
        utterance=utterance,
        audio_frames=frames["audio"],
        spec_frames=frames["spec"],
        produced_frames=frames["produced"],
        reason=reason,
    )


def _difference(frames: dict[str, int]) -> str | None:
    names = {
        "audio": "the recording",
        "spec": "its spec",
        "output": "the recording at the vocoder's rate",
        "produced": "the produced spec",
    }
    if len(set(frames.values())) == 1:
        return None
    shown = [f"{names[name]} {n}" for name, n in frames.items()]
    return f"{', '.join(shown[:-1])} and {shown[-1]} frames"
