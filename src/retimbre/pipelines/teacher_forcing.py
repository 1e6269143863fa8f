"""What a text-to-spec model really produces, as long as the recordings.

Teacher forcing takes only the durations from the recording: they come from aligning its spec with the text.
Pitch and energy are the model's own, so the produced spec has the model's faults, which is what a vocoder
must learn to hear, and exactly the recording's length, which is what makes it a training pair.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from retimbre.audio.files import probe
from retimbre.data.coverage import read_utterance, unknown_symbols
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError, TextError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.fastspeech2.batch import Item, collate, reference_batch
from retimbre.models.load import Loaded
from retimbre.pipelines.everyvoice import ids_of, index_of
from retimbre.pipelines.fit import text_to_spec_in
from retimbre.text.symbols import SymbolTable


def training_item(utterance: Utterance, store: Store, loaded: Loaded) -> Item:
    """One utterance as the model reads it: ids, spec, and pitch and energy normalised by its stats."""
    features = store.load_features(utterance, mel=loaded.description.mel)
    stats = loaded.description.stats
    if stats is None:
        raise DataError(
            f"{loaded.path.name} does not say what pitch and energy were normalised with",
            do="train it again, or use a checkpoint that carries its stats",
        )
    return Item(
        symbols=torch.tensor(ids_of(read_utterance(utterance, loaded.description.reading), loaded)),
        spec=features.spec,
        pitch=stats.pitch.normalise(features.f0_hz),
        energy=stats.energy.normalise(features.energy),
        speaker=_row(utterance.speaker, loaded.description.speakers, "speaker"),
        language=_row(utterance.language, loaded.description.languages, "language"),
        durations=_durations(utterance, store, loaded),
        name=utterance.basename,
    )


def _durations(utterance: Utterance, store: Store, loaded: Loaded) -> Int[Tensor, "symbols"] | None:
    """Given durations, for a model that does not find the alignment itself."""
    if text_to_spec_in(loaded).config.learns_alignment:
        return None
    durations = store.load_durations(utterance)
    if durations is None:
        raise DataError(
            f"{loaded.path.name} does not learn which frames belong to which symbol",
            expected=f"durations of {utterance.basename} in {store.duration_path(utterance)}",
            found="none",
            do="extract durations with an aligner, or take a model with learned alignment",
        )
    return durations


def _row(name: str, names: tuple[str, ...], what: str) -> int:
    return index_of(name_in_list(name, names), names, what)


def name_in_list(name: str, names: tuple[str, ...]) -> str | None:
    """What a list says of speaker or language; None where it says nothing, or the model knows only one."""
    return None if name == "default" or len(names) == 1 else name


def require_known_symbols(utterances: Sequence[Utterance], loaded: Loaded, *, do: str | None = None) -> None:
    """Raise TextError, naming symbols and utterances, if the model cannot read some of the texts.

    Args:
        do: What helps, where the model could still be given more symbols.
    """
    description = loaded.description
    unknown = unknown_symbols(utterances, SymbolTable(description.symbols), description.reading)
    if unknown:
        shown = "; ".join(f"'{symbol}' in {', '.join(names[:3])}" for symbol, names in unknown.items())
        raise TextError(
            f"the text-to-spec model has no symbols for some of the texts ({shown})",
            do=do
            or "correct the list, or take a model that knows them; 'retimbre inspect FILE' lists its symbols",
        )


def teacher_forced_specs(
    utterances: Sequence[Utterance],
    store: Store,
    loaded: Loaded,
    *,
    has_true_prosody: bool = False,
    style: Float[Tensor, "mels frames"] | None = None,
    batch_size: int = 8,
    listener: Listener | None = None,
) -> Iterator[tuple[Utterance, Float[Tensor, "mels frames"]]]:
    """The produced spec of each utterance, as long as its recording; the same in any batch.

    Args:
        has_true_prosody: Give the model the recording's pitch and energy too, instead of its own.
        style: Spec of another recording whose style all of them follow, instead of each its own recording's.
    """
    listener = listener or Silent()
    model = text_to_spec_in(loaded)
    device = model.text_input_layer.weight.device
    mel = loaded.description.mel
    _require_prepared(utterances, store, mel.sample_rate_hz)
    ordered = sorted(utterances, key=lambda u: probe(store.audio_path(u, mel.sample_rate_hz)).n_samples)
    for start in range(0, len(ordered), batch_size):
        group = ordered[start : start + batch_size]
        items = [training_item(utterance, store, loaded) for utterance in group]
        batch = collate(items, pad_spec=mel.silence).to(device)
        with torch.inference_mode():
            spoken = model.teacher_force(
                batch,
                has_true_prosody=has_true_prosody,
                reference=None if style is None else reference_batch([style] * len(group)).to(device),
            )
        for row, utterance in enumerate(group):
            yield utterance, spoken.spec[row, : int(spoken.n_frames[row])].T.cpu().clone()
        listener.progress("Produced specs", min(start + batch_size, len(ordered)), len(ordered))


def _require_prepared(utterances: Sequence[Utterance], store: Store, sample_rate_hz: int) -> None:
    missing = [u for u in utterances if not store.audio_path(u, sample_rate_hz).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(utterances)} utterances are not prepared in {store.root}",
            expected=f"{store.audio_path(missing[0], sample_rate_hz).name} and the like",
            found=f"nothing for {', '.join(u.basename for u in missing[:3])}",
            do=f"run 'retimbre preprocess', or take the list of what is prepared: {store.filelist_path()}",
        )


def write_produced_specs(
    utterances: Sequence[Utterance],
    store: Store,
    loaded: Loaded,
    *,
    has_true_prosody: bool = False,
    batch_size: int = 8,
    listener: Listener | None = None,
) -> int:
    """Write each produced spec under its utterance's basename, as EveryVoice does; how many."""
    n_written = 0
    for utterance, spec in teacher_forced_specs(
        utterances,
        store,
        loaded,
        has_true_prosody=has_true_prosody,
        batch_size=batch_size,
        listener=listener,
    ):
        store.write_produced_spec(utterance, spec, loaded.description.mel)
        n_written += 1
    return n_written
