"""How badly a text-to-spec model does on each utterance: where it is worst, the data may be wrong.

The model's pitch and energy are its own, as when it speaks; its durations are those of the recording.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from retimbre.checkpoint.write import write_text
from retimbre.data.coverage import read_utterance
from retimbre.data.features import cleaned_audio, prepared_audio, spec_of
from retimbre.data.manifest import PSV
from retimbre.data.one_utterance import find_recording
from retimbre.data.prepare import RecordedSet
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import AudioError, CheckpointError, DataError, TextError
from retimbre.jobs.listener import Listener
from retimbre.models.fastspeech2.batch import Item, collate
from retimbre.models.fastspeech2.loss import LossWeights, text_to_spec_losses
from retimbre.models.load import Loaded
from retimbre.pipelines.everyvoice import ids_of, index_of
from retimbre.pipelines.fit import text_to_spec_in
from retimbre.pipelines.teacher_forcing import name_in_list

LOSSES = ("duration", "spec", "postnet", "attn_ctc", "attn_bin")  # pitch and energy are not judged
COLUMNS = (
    *("basename", "speaker", "language", "total", "trigram_coverage_score"),
    *(*LOSSES, "raw_text", "phone_coverage_score"),
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One utterance and its losses, weighted as in training.

    Args:
        symbols: What the model reads, symbol by symbol.
    """

    utterance: Utterance
    symbols: tuple[str, ...]
    losses: dict[str, float]

    @property
    def total(self) -> float:
        """All losses together."""
        return sum(self.losses.values())

    @property
    def trigrams(self) -> list[tuple[str, ...]]:
        """Every three symbols that follow each other."""
        return [self.symbols[first : first + 3] for first in range(len(self.symbols) - 2)]


def score_sets(
    sets: Sequence[RecordedSet], loaded: Loaded, weights: LossWeights, listener: Listener
) -> list[Score]:
    """Every utterance that can be read and heard; worst first. Each other one is named with its reason.

    Raises:
        CheckpointError: if the model does not find out itself which frames belong to which symbol.
    """
    model = text_to_spec_in(loaded)
    if not model.config.learns_alignment:
        raise CheckpointError(
            f"{loaded.path.name} does not learn which frames belong to which symbol",
            do="leave it out to check the data alone",
        )
    n_all = sum(len(one.utterances) for one in sets)
    scores = []
    for n_done, (one, utterance) in enumerate(_each(sets), start=1):
        try:
            scores.append(_score(one, utterance, loaded, weights))
        except (AudioError, DataError, TextError) as error:
            listener.say("Not scored", f"{utterance.basename}: {error.what}")
        listener.progress("Scoring", n_done, n_all)
    return sorted(scores, key=lambda score: -score.total)


def write_scores(folder: Path, scores: Sequence[Score], step: int) -> Path:
    """Under EveryVoice's name, with its columns: a rare symbol or trigram counts more than a common one."""
    symbols = Counter(symbol for score in scores for symbol in score.symbols)
    trigrams = Counter(trigram for score in scores for trigram in score.trigrams)
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n", **PSV)
    writer.writeheader()
    for score in scores:
        utterance = score.utterance
        writer.writerow(
            {
                "basename": utterance.basename,
                "speaker": utterance.speaker,
                "language": utterance.language,
                "total": score.total,
                **score.losses,
                "trigram_coverage_score": sum(1 / trigrams[trigram] for trigram in score.trigrams),
                "phone_coverage_score": sum(1 / symbols[symbol] for symbol in score.symbols),
                "raw_text": " ".join((utterance.text or utterance.phones or "").split()),
            }
        )
    path = folder / f"scores-{step}.psv"
    write_text(path, out.getvalue())
    return path


def _each(sets: Sequence[RecordedSet]) -> Iterator[tuple[RecordedSet, Utterance]]:
    return ((one, utterance) for one in sets for utterance in one.utterances)


def _score(one: RecordedSet, utterance: Utterance, loaded: Loaded, weights: LossWeights) -> Score:
    described, model = loaded.description, text_to_spec_in(loaded)
    ids = ids_of(read_utterance(utterance, described.reading), loaded)
    spec = _spec(one, utterance, loaded)
    unknown = torch.zeros(spec.shape[1])  # pitch and energy: the model's own are used
    item = Item(
        symbols=torch.tensor(ids),
        spec=spec,
        pitch=unknown,
        energy=unknown,
        speaker=_row(utterance.speaker, described.speakers, "speaker"),
        language=_row(utterance.language, described.languages, "language"),
        name=utterance.basename,
    )
    batch = collate([item], pad_spec=described.mel.silence).to(model.text_input_layer.weight.device)
    with torch.inference_mode():
        output = model(batch, has_true_prosody=False)
        losses = text_to_spec_losses(output, batch, weights, 1.0)
    return Score(
        utterance=utterance,
        symbols=tuple(described.symbols[row] for row in ids),
        losses={name: float(losses[name]) for name in LOSSES if name in losses},
    )


def _spec(one: RecordedSet, utterance: Utterance, loaded: Loaded) -> Float[Tensor, "mels frames"]:
    mel = loaded.description.mel
    if one.are_cleaned:
        return spec_of(
            cleaned_audio(Store(one.recordings).audio_path(utterance, mel.sample_rate_hz), mel), mel
        )
    recording = find_recording(one.recordings, utterance.basename)
    if recording is None:
        raise AudioError("no recording of that name")
    return spec_of(prepared_audio(recording, mel, one.options).audio, mel)


def _row(name: str, names: tuple[str, ...], what: str) -> int:
    return index_of(name_in_list(name, names), names, what)
