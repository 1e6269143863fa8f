"""Pitch curves of one utterance in several versions, as one picture: gaps where there is no voice."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from retimbre.audio.mel import MelSpec
from retimbre.audio.pitch import pitch_hz
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError
from retimbre.report.drawing import grid_line, label, picture_svg
from retimbre.report.markup import Html, tag
from retimbre.report.numbers import number

WIDTH, HEIGHT = 640.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 8.0, 8.0, 20.0  # room for the labels
GRID_HZ = (60, 80, 100, 120, 150, 200, 250, 300, 400, 500, 600, 800)
ROOM = 1.05  # above the highest and below the lowest pitch
FEWEST_FRAMES = 2  # of a line


def melody_svg(audio: Mapping[int, Audio], mel: MelSpec) -> Html:
    """The pitch of each version over time on a logarithmic scale; nothing where none has any.

    Args:
        audio: By the position of the system, which is its colour.
        mel: Whose frames are measured.
    """
    found = {
        position: curve for position, one in audio.items() if (curve := _voiced_hz(one, mel)) is not None
    }
    heard = [float(hz) for curve in found.values() for hz in curve if math.isfinite(hz)]
    if not heard:
        return Html("")
    low, high = min(heard) / ROOM, max(heard) * ROOM
    longest_s = max(mel.duration_s(len(curve)) for curve in found.values())

    def place(frame: int, hz: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * mel.duration_s(frame) / longest_s
        return f"{x:.1f},{_height(hz, low, high):.1f}"

    lines = [
        tag(
            "polyline",
            points=" ".join(place(frame, float(curve[frame])) for frame in stretch),
            class_=f"melody system-{position}",
        )
        for position, curve in found.items()
        for stretch in _stretches(np.isfinite(curve))
    ]
    shown = [hz for hz in GRID_HZ if low < hz < high]
    grid = [grid_line(LEFT, _height(float(hz), low, high), WIDTH - RIGHT) for hz in shown]
    labels = [label(LEFT - 5, _height(float(hz), low, high) + 4, f"{hz} Hz", "end") for hz in shown]
    labels.append(label(WIDTH - RIGHT, HEIGHT - 5, f"{number(longest_s, 1)} s", "end"))
    return picture_svg([*grid, *labels, *lines], WIDTH, HEIGHT, "pitch over time")


def _height(hz: float, low: float, high: float) -> float:
    share = math.log(hz / low) / math.log(high / low)
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)


def _voiced_hz(audio: Audio, mel: MelSpec) -> Float[np.ndarray, "frames"] | None:
    """NaN where there is no voice; None of what cannot be measured."""
    if not audio.samples.isfinite().all():
        return None
    try:
        pitch = pitch_hz(audio, mel)
    except AudioError:  # too short, or at another rate: there is nothing to draw
        return None
    return np.where(pitch.is_voiced.numpy(), pitch.f0_hz.numpy(), np.nan).astype(np.float32)


def _stretches(is_voiced: Bool[np.ndarray, "frames"]) -> list[range]:
    """The voiced frames, as ranges that can be drawn as a line."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_voiced, [False]]).astype(np.int8)))
    ranges = [range(start, end) for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]
    return [one for one in ranges if len(one) >= FEWEST_FRAMES]
