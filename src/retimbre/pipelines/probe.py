"""What no shape tells of TorToiSe's autoregressive network: heads and residual, by the lowest loss.

A recording becomes codes through the dVAE. The network then predicts each of them from the voice, the text
and the codes before, once for every form that its weights could have. In its true form it predicts best.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from retimbre.audio.files import load_audio
from retimbre.audio.mel import log_mel, tortoise_mel80
from retimbre.audio.tortoise_norms import tortoise_norms
from retimbre.audio.waveform import Audio
from retimbre.errors import AudioError, CheckpointError, TextError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.complete import visible
from retimbre.models.explain import explain_file
from retimbre.models.identify import identify
from retimbre.models.load import load_model
from retimbre.models.report import Report
from retimbre.models.tortoise_ar.config import RESIDUALS, UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_dvae.model import DiscreteVAE
from retimbre.pipelines.probe_result import Probe, Trial
from retimbre.text.bpe import Vocabulary, clean

MEL = tortoise_mel80(tortoise_norms())
VOICE_SAMPLES = 132_300  # TorToiSe reads six seconds of a recording to know its voice
NARROWEST_HEAD = 8  # channels
N_ENDS = 2  # rows of codes that the dVAE does not have: start and stop
NETWORK, CODEBOOK = "tortoise_ar", "tortoise_dvae"
TRIED = ("heads", "residual")
USAGE = 'retimbre inspect autoregressive.pth dvae.pth --probe RECORDING --text "…"'


def probe(
    files: Sequence[Path],
    recording: Path,
    text: str,
    *,
    assume: Mapping[str, Any],
    listener: Listener | None = None,
) -> Probe:
    """Heads and residual of the autoregressive network among `files`, which also hold its dVAE.

    As TorToiSe speaks: the voice is one vector, from the first six seconds of the recording (with silence
    after a shorter one), and the text ends with two stops. `Probe` says when a difference counts.

    Args:
        files: One of tortoise_ar, one of tortoise_dvae, at most one tokenizer.json; others are not used.
        text: What is said in the recording, numbers as words.
        assume: Values that no tensor tells; heads or residual among them are not tried out.
        listener: Hears how far it is.

    Raises:
        CheckpointError: A file is missing, is there twice, or does not fit the others.
        AudioError: The recording cannot be used, or is longer than the network can speak.
        TextError: There is no text, it is too long, or the tokenizer.json is none.
    """
    listener = listener or Silent()
    found = _sorted(files)
    stated = _divided(assume, found.network, found.codebook)
    explained = explain_file(found.network.path, stated=stated[NETWORK])
    config: UnifiedVoiceConfig = explained.config
    _require_same_codes(found, config)
    vocabulary, notes = _vocabulary(found, config)
    audio = load_audio(recording, sample_rate_hz=MEL.sample_rate_hz)
    pair = _Pair(
        voice=_voice(audio),
        symbols=_symbols(text, vocabulary, config),
        codes=_codes(audio, found.codebook, stated[CODEBOOK], config, recording),
    )
    asked = _names(found.network) - set(stated[NETWORK])
    candidates = _candidates(config, asked)
    trials = _trials(candidates, explained.weights(), pair, listener)
    return Probe(
        network=found.network.path,
        codebook=found.codebook.path,
        recording=recording,
        duration_s=audio.duration_s,
        n_codes=pair.codes.shape[1],
        n_symbols=pair.symbols.shape[1] - 1,
        n_code_rows=config.n_codes,
        tried=tuple(name for name in TRIED if len({getattr(trial, name) for trial in trials}) > 1),
        trials=trials,
        stated=stated[NETWORK],
        notes=(*notes, *_heard(audio), *_unknown(text, vocabulary)),
    )


@dataclass(frozen=True, kw_only=True)
class _Files:
    network: Report
    codebook: Report
    vocabulary: Path | None


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """The recording and its text as the network reads them."""

    voice: Float[Tensor, "1 1 mels frames"]
    symbols: Int[Tensor, "1 symbols"]
    codes: Int[Tensor, "1 codes"]


def _sorted(files: Sequence[Path]) -> _Files:
    tokenizers = [path for path in files if path.suffix == ".json"]
    if len(tokenizers) > 1:
        raise CheckpointError(
            "several vocabularies", expected="at most one", found=_listed(map(str, tokenizers))
        )
    reports = [identify(path) for path in files if path not in tokenizers]
    return _Files(
        network=_only(NETWORK, reports),
        codebook=_only(CODEBOOK, reports),
        vocabulary=tokenizers[0] if tokenizers else None,
    )


def _only(family: str, reports: Iterable[Report]) -> Report:
    reports = list(reports)
    fitting = [report for report in reports if report.family == family]
    if len(fitting) != 1:
        known = [f"{report.path}: {report.family or _problem(report)}" for report in reports]
        raise CheckpointError(
            f"--probe needs a {family}" if not fitting else f"--probe takes one {family}",
            expected=f"one file of {NETWORK} and one of {CODEBOOK}",
            found="; ".join(known) or "no checkpoint",
            do=f"give both: {USAGE}",
        )
    return fitting[0]


def _problem(report: Report) -> str:
    return f"unknown ({visible(report.recognised or report.problem or '')})"


def _names(report: Report) -> set[str]:
    """What the user can state of a file."""
    return {assumption.name for assumption in report.assumed if assumption.can_be_stated}


def _divided(assume: Mapping[str, Any], *reports: Report) -> dict[str, dict[str, Any]]:
    """Of each file what is stated about it. No name is asked of both kinds."""
    by_family = {
        str(report.family): {name: value for name, value in assume.items() if name in _names(report)}
        for report in reports
    }
    if left := set(assume).difference(*by_family.values()):
        raise CheckpointError(
            f"nothing is assumed about {_listed(sorted(left))}",
            expected=f"some of {_listed(sorted(set[str]().union(*map(_names, reports))))}",
            do="leave it out: the files tell it",
        )
    return by_family


def _require_same_codes(found: _Files, config: UnifiedVoiceConfig) -> None:
    codebook, network = found.codebook, found.network
    if codebook.config.n_mels != MEL.n_mels:
        raise CheckpointError(
            f"{codebook.path} and {network.path} do not read the same spectrogram",
            expected=f"a dVAE of {MEL.n_mels} bands",
            found=f"{codebook.config.n_mels} bands",
            do="give the dVAE that the network was trained with",
        )
    if codebook.config.n_codes + N_ENDS != config.n_codes:
        raise CheckpointError(
            f"{codebook.path} is not the dVAE of {network.path}",
            expected=f"{config.n_codes - N_ENDS:,} codes, and start and stop beside them in the network",
            found=f"{codebook.config.n_codes:,} codes in {codebook.path.name}",
            do="give the dVAE that the network was trained with",
        )


def _vocabulary(found: _Files, config: UnifiedVoiceConfig) -> tuple[Vocabulary, tuple[str, ...]]:
    """The vocabulary that the network reads, and what is to be said of it.

    The bundled one must have a row for each of the network's; one in a file may leave rows unused.
    """
    own = found.vocabulary
    vocabulary = Vocabulary.from_file(own) if own else Vocabulary.tortoise()
    n_pieces, n_rows = len(vocabulary), config.n_per_type
    if n_pieces > n_rows or (n_pieces < n_rows and not own):
        source = str(own) if own else "TorToiSe's own vocabulary"
        raise CheckpointError(
            f"{source} is not that of {found.network.path}",
            expected=f"{n_pieces + 1:,} rows of text symbols: {n_pieces:,} pieces and the start",
            found=f"{config.n_symbols:,} in the network",
            do="give the tokenizer.json that it was trained with beside the other files",
        )
    unused = n_rows - n_pieces
    return vocabulary, (f"{own} leaves {unused:,} rows of the network unused",) if unused else ()


def _voice(audio: Audio) -> Float[Tensor, "1 1 mels frames"]:
    """Six seconds from the start, or the whole recording and silence after it."""
    samples = functional.pad(audio.samples[:VOICE_SAMPLES], (0, max(0, VOICE_SAMPLES - audio.n_samples)))
    return log_mel(samples, MEL)[None, None]


def _heard(audio: Audio) -> tuple[str, ...]:
    if audio.n_samples > VOICE_SAMPLES:
        return (
            "the voice is that of the first 6 s; TorToiSe itself takes six seconds anywhere in a recording",
        )
    return ("the voice is that of the recording with silence up to 6 s after it, as TorToiSe has it",)


def _symbols(text: str, vocabulary: Vocabulary, config: UnifiedVoiceConfig) -> Int[Tensor, "1 symbols"]:
    rows = vocabulary.encode(text)
    if not clean(text).strip():
        raise TextError("there is no text", expected="what is said in the recording", found=repr(text))
    if len(rows) >= config.max_symbols:
        raise TextError(
            "the text is too long for this network",
            expected=f"at most {config.max_symbols - 1:,} symbols",
            found=f"{len(rows):,}",
            do="take a shorter recording",
        )
    # TorToiSe puts a stop of its own before the one that the network adds.
    return torch.tensor([[*rows, config.stop_symbol]])


def _unknown(text: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    unknown = sorted(set(vocabulary.unknown(text)))
    if not unknown:
        return ()
    return (f"no piece stands for {_listed(map(repr, unknown))}: write as it is spoken, numbers as words",)


@torch.inference_mode()
def _codes(
    audio: Audio, file: Report, stated: Mapping[str, Any], config: UnifiedVoiceConfig, recording: Path
) -> Int[Tensor, "1 codes"]:
    codebook = load_model(file.path, assume=stated).model
    if not isinstance(codebook, DiscreteVAE):
        raise CheckpointError(f"{file.path} has changed while it was read")
    MEL.require_long_enough(audio.n_samples)
    n_codes = codebook.config.codes_in(MEL.frames_in(audio.n_samples))
    if n_codes > config.max_codes:
        longest_s = audio.duration_s * config.max_codes / n_codes
        raise AudioError(
            f"{recording} is too long for this network",
            expected=f"at most {longest_s:.1f} s, {config.max_codes:,} codes",
            found=f"{audio.duration_s:.1f} s",
            do="take a shorter recording with its text",
        )
    return codebook.encode(log_mel(audio.samples, MEL)[None])


def _candidates(config: UnifiedVoiceConfig, asked: set[str]) -> list[UnifiedVoiceConfig]:
    """Every form that the weights could have: what nobody knows in each of its values."""
    widest = config.dim // min(NARROWEST_HEAD, config.dim)
    divisors = [heads for heads in range(1, widest + 1) if config.dim % heads == 0]
    heads = divisors if "heads" in asked else [config.n_heads]
    residuals = RESIDUALS if "residual" in asked else (config.residual,)
    return [replace(config, n_heads=one, residual=other) for one, other in product(heads, residuals)]


def _trials(
    candidates: Sequence[UnifiedVoiceConfig], weights: Mapping[str, Tensor], pair: _Pair, listener: Listener
) -> tuple[Trial, ...]:
    """One for each candidate, the lowest loss of the codes first. All share one copy of the weights."""
    shared = {name: tensor.float() for name, tensor in weights.items()}
    trials = []
    for number, config in enumerate(candidates):
        listener.progress("Probe", number, len(candidates))
        with torch.device("meta"):
            model = UnifiedVoice(config).eval()
        model.load_state_dict(shared, assign=True)
        trials.append(_trial(model, pair))
    listener.progress("Probe", len(candidates), len(candidates))
    return tuple(sorted(trials, key=lambda trial: trial.code_loss))


@torch.inference_mode()
def _trial(model: UnifiedVoice, pair: _Pair) -> Trial:
    symbols, codes = model.framed_symbols(pair.symbols), model.framed_codes(pair.codes)
    logits = model(model.conditioning_latent(pair.voice), symbols, codes)
    return Trial(
        heads=model.config.n_heads,
        residual=model.config.residual,
        code_losses=tuple(_losses(logits.codes, codes)),
        text_loss=statistics.fmean(_losses(logits.symbols, symbols)),
    )


def _losses(logits: Float[Tensor, "1 places rows"], framed: Int[Tensor, "1 places"]) -> list[float]:
    """Of all places but the last, each of which predicts the next, in nats."""
    losses: list[float] = functional.cross_entropy(logits[0, :-1], framed[0, 1:], reduction="none").tolist()
    return losses


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
