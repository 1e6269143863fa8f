"""Texts in, sounds on disk out, with TorToiSe: the best candidates of each text, sentence after sentence."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retimbre import __version__
from retimbre.audio.growing import GrowingWav
from retimbre.audio.wav_facts import add_facts
from retimbre.data.manifest import read_filelist, read_utf8
from retimbre.errors import DataError, TextError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.adapter import Adapter
from retimbre.pipelines.lines import names_apart
from retimbre.pipelines.tortoise import Candidate, Sentence, Speaker, pieces_of, sentences_of, some_seed
from retimbre.pipelines.tortoise_estimate import estimate, free_memory
from retimbre.pipelines.tortoise_kept import ENDING, KeptCandidates
from retimbre.pipelines.tortoise_set import TortoiseSet
from retimbre.pipelines.tortoise_settings import Settings
from retimbre.pipelines.tortoise_speaker import VoiceChoice, open_set, speaker_of
from retimbre.pipelines.tortoise_stages import require_places
from retimbre.pipelines.tortoise_voice_files import save_voice
from retimbre.pipelines.tortoise_voices import TortoiseVoice


@dataclass(frozen=True, kw_only=True)
class SpeechRequest:
    """What is to be spoken, by whom, and how.

    Args:
        seed: None: one that nobody chose; it is said, and stands in each file.
        n_best: Files for each text: the best candidate, the second best, ….
        language: Of the texts: English is cleaned as TorToiSe does, others only made small.
        save_voice: A file to write the voice to.
        assume: What no tensor of the autoregressive network tells.
        adapters: What is folded into networks of the set.
    """

    texts: tuple[str, ...] = ()
    filelist: Path | None = None
    who: VoiceChoice = field(default_factory=VoiceChoice)
    settings: Settings = field(default_factory=Settings)
    seed: int | None = None
    n_best: int = 1
    language: str = "en"
    splits: bool = True
    output_dir: Path = Path("synthesis_output")
    is_simply_named: bool = False
    save_voice: Path | None = None
    assume: Mapping[str, Any] = field(default_factory=dict)
    adapters: tuple[Adapter, ...] = ()

    def __post_init__(self) -> None:
        if not self.texts and self.filelist is None:
            raise TextError("there is nothing to speak", do="give -t 'a text', or --filelist FILE")
        if not 1 <= self.n_best <= self.settings.n_drawn:
            raise DataError(
                f"{self.n_best} candidates cannot be written",
                expected=f"1 to {self.settings.n_drawn}, as many as are drawn",
                do="draw more of them with --draw N" if self.n_best > 1 else None,
            )


def speak_texts(
    models: Sequence[Path], request: SpeechRequest, *, listener: Listener | None = None
) -> Iterator[Path]:
    """Write what was asked for; the path of each file as soon as it is whole."""
    listener = listener or Silent()
    texts = texts_of(request)
    files = open_set(models, request.assume, request.adapters)
    jobs = {name: _sentences(text, files, request, listener) for name, text in texts.items()}
    speaker = speaker_of(files, request.who, request.settings, listener)
    if request.save_voice:
        save_voice(speaker.voice, request.save_voice)
        listener.say("Voice", f"saved as {request.save_voice}")
    seed = some_seed() if request.seed is None else request.seed
    if request.seed is None:
        listener.say("Seed", f"{seed} (the same with --seed {seed})")
    everything = [sentence for job in jobs.values() for sentence in job]
    plan = estimate(speaker, everything, request.settings, request.n_best)
    free = free_memory(speaker.networks.device)
    listener.say("Plan", plan.to_text(free))
    if free is not None and plan.n_bytes > free:
        listener.say("Memory", "that may be too little: --batch-size 4, or --precision bfloat16, need less")
    for name, sentences in jobs.items():
        facts = facts_of_job(texts[name], speaker, request, seed)
        yield from _speak(name, sentences, speaker, request, seed, facts, listener)


def texts_of(request: SpeechRequest) -> dict[str, str]:
    """Name of a file -> text."""
    if request.texts or request.filelist is None:
        return names_apart(request.texts)
    lines = [line.strip() for line in read_utf8(request.filelist).splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{request.filelist} lists nothing", expected="one text per line, or name|text")
    if "|" not in lines[0]:
        return names_apart(lines)
    found = {}
    for utterance in read_filelist(request.filelist):
        if utterance.basename in found:
            raise DataError(f"{request.filelist} names {utterance.basename} twice", do="correct the list")
        found[utterance.basename] = utterance.text
    return found


def facts_of_job(text: str, speaker: Speaker, request: SpeechRequest, seed: int) -> dict[str, Any]:
    """Whatever decides the sound, as plain values; they travel in the file."""
    files = speaker.networks.files
    used = speaker.roles_used(request.settings)
    return {
        "made_by": f"Retimbre {__version__}",
        "is_synthetic": True,
        "text": text,
        "language": request.language,
        "voice": {"name": speaker.voice.name, **speaker.voice.source},
        "seed": seed,
        "settings": request.settings.to_dict(),
        "decoder": speaker.decoder,
        "models": {role: files.sha256(role) for role in used},
        "assumed": dict(request.assume),
    }


def _speak(
    name: str,
    sentences: Sequence[Sentence],
    speaker: Speaker,
    request: SpeechRequest,
    seed: int,
    facts: Mapping[str, Any],
    listener: Listener,
) -> Iterator[Path]:
    """One text; its files grow sentence by sentence, and can be heard meanwhile."""
    place, ranks = _place(name, speaker.voice, request), range(1, request.n_best + 1)
    paths = [place.with_name(f"{place.name}{f'--{rank}' if len(ranks) > 1 else ''}.wav") for rank in ranks]
    decides = {**facts, "n_best": request.n_best}
    kept = KeptCandidates(path=place.with_name(f"{place.name}{ENDING}"), facts=decides)
    if note := kept.read():
        listener.say("Candidates", note)
    spoken: list[list[dict[str, Any]]] = [[] for _ in paths]
    wavs = [GrowingWav(path, speaker.mel.sample_rate_hz) for path in paths]
    try:
        for sentence in sentences:
            best = speaker.spoken(
                sentence, request.settings, seed=seed, n_best=request.n_best, drawn=kept.of(sentence.number)
            )
            for wav, said, candidate in zip(wavs, spoken, best, strict=True):
                wav.append(candidate.samples)
                said.append(_facts(sentence, candidate, wav.sample_rate_hz))
                if not candidate.has_stopped:
                    listener.say("Candidates", _cut_off(sentence, candidate))
    finally:  # what is spoken so far can be heard, and tells what it is
        for wav, said in zip(wavs, spoken, strict=True):
            wav.close()
            if said:
                add_facts(wav.path, {**facts, "sentences": said})
    kept.remove()
    for path, said in zip(paths, spoken, strict=True):
        if scores := [each["score"] for each in said if each["score"] is not None]:
            listener.say("Score", f"{path.name}: {sum(scores) / len(scores):.3f}")
        yield path


def _sentences(text: str, files: TortoiseSet, request: SpeechRequest, listener: Listener) -> list[Sentence]:
    """Those of one text; whatever is not read as it stands is said."""
    pieces = pieces_of(text, files.vocabulary, language=request.language, splits=request.splits)
    for note in dict.fromkeys(note for piece in pieces for note in piece.notes()):
        listener.say("Text", note)
    for piece in pieces:
        require_places(len(piece.rows), files.reports["text-to-codes"].config)
    return sentences_of(pieces)


def _facts(sentence: Sentence, candidate: Candidate, sample_rate_hz: int) -> dict[str, Any]:
    return {
        "text": sentence.readable.text,
        "candidate": candidate.number,
        "score": candidate.score,
        "has_stopped": candidate.has_stopped,
        "duration_s": round(len(candidate.samples) / sample_rate_hz, 3),
    }


def _cut_off(sentence: Sentence, candidate: Candidate) -> str:
    return (
        f"sentence {sentence.number + 1}, candidate {candidate.number} came to no end: words may be missing "
        "or repeated; another --seed, more --draw or shorter sentences may help"
    )


def _place(name: str, voice: TortoiseVoice, request: SpeechRequest) -> Path:
    """What the files of a text begin with; a voice's name may hold what no file name can."""
    by = "" if request.is_simply_named else "--" + (re.sub(r"[^\w&.-]+", "-", voice.name) or "voice")
    return request.output_dir / "wav" / f"{name}{by}"
