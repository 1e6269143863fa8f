"""TorToiSe's norms: the numbers that its autoregressive front end divides the 80 bands by."""

import json
import struct
from functools import cache
from importlib.resources import files

TABLE = "tortoise_norms.json"


@cache
def tortoise_norms() -> tuple[float, ...]:
    """80 numbers, lowest band first, for `mel.tortoise_mel80`.

    All are negative, since they are logarithms: silence becomes a positive number, and loud bands small or
    negative ones. They are exactly the float32 numbers of the `mel_norms.pth` that the package tortoise-tts
    3.0.0 ships (SHA-256 1f69422a8a8f344c4fca2f0c6b8d41d2151d6615b7321e48e6bb15ae949b119c).
    """
    written = json.loads((files("retimbre.audio") / TABLE).read_text(encoding="utf-8"))
    single = struct.Struct(f"<{len(written)}f")
    return single.unpack(single.pack(*written))
