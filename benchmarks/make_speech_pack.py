"""Render the speech pack that ships with Retimbre: its sentences, spoken by the free CMU voice `rms`.

    apt-get install flite                # Debian and Ubuntu; version 2.2 made the recordings that ship
    python benchmarks/make_speech_pack.py            # write the recordings
    python benchmarks/make_speech_pack.py --check    # only compare: does flite still speak the same samples?

The sentences are those of metadata.csv in the pack. Running it twice writes the same samples.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

PACK = Path(__file__).resolve().parents[1] / "src" / "retimbre" / "starter" / "speech_pack"
VOICE = "rms"


def sentences() -> Iterator[tuple[str, str]]:
    """(id, text) of each line of the pack's list."""
    for line in (PACK / "metadata.csv").read_text(encoding="utf-8").splitlines():
        name, text, _ = line.split("|")
        yield name, text


def spoken(text: str, program: str) -> tuple[np.ndarray, int]:
    """The 16-bit samples of `text` and their rate in hertz."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "spoken.wav"
        subprocess.run([program, "-voice", VOICE, "-t", text, "-o", str(wav)], check=True)
        samples, sample_rate_hz = sf.read(wav, dtype="int16")
    return samples, int(sample_rate_hz)


def render(program: str) -> None:
    """Write every recording and print what the pack holds."""
    total_s, total_bytes = 0.0, 0
    for name, text in sentences():
        samples, sample_rate_hz = spoken(text, program)
        path = PACK / "wavs" / f"{name}.flac"
        sf.write(path, samples, sample_rate_hz, subtype="PCM_16")
        total_s += len(samples) / sample_rate_hz
        total_bytes += path.stat().st_size
    print(f"{total_s:.1f} s of speech in {total_bytes / 1e6:.2f} MB: {PACK}")


def changed(program: str) -> list[str]:
    """Ids whose recording differs from what flite speaks now."""
    found = []
    for name, text in sentences():
        now, _ = spoken(text, program)
        path = PACK / "wavs" / f"{name}.flac"
        if not path.exists() or not np.array_equal(sf.read(path, dtype="int16")[0], now):
            found.append(name)
    return found


def main() -> None:
    """Render or compare, as the command line says."""
    parser = argparse.ArgumentParser(description="Render the speech pack with flite.")
    parser.add_argument("--check", action="store_true", help="compare with the recordings, write nothing")
    arguments = parser.parse_args()
    program = shutil.which("flite")
    if program is None:
        sys.exit("error: the program 'flite' is not installed. Do: apt-get install flite (Debian, Ubuntu)")
    if not arguments.check:
        render(program)
    elif different := changed(program):
        sys.exit(f"error: flite speaks {len(different)} recordings differently: {', '.join(different)}")
    else:
        print("every recording is what flite speaks")


if __name__ == "__main__":
    main()
