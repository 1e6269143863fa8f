"""What a recipe trains on: recordings prepared, split, and compared with each other before training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retimbre.audio import mel as specs
from retimbre.audio.files import probe
from retimbre.audio.mel import MelSpec
from retimbre.data.coverage import read_utterance
from retimbre.data.lengths import long_texts, mismatches
from retimbre.data.manifest import read_filelist, write_filelist
from retimbre.data.prepare import LeftOut, PrepareOptions, prepare, write_left_out
from retimbre.data.split import split
from retimbre.data.stats import Stats
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.everyvoice import ids_of
from retimbre.pipelines.fit import text_to_spec_in
from retimbre.recipe.read import sizes_from_recipe
from retimbre.recipe.recipe import Recipe, Spectrogram


@dataclass(frozen=True, kw_only=True)
class Material:
    """Prepared utterances of one recipe.

    Args:
        training: What the weights learn from.
        validation: What chooses the best weights of a run; never learnt from.
        held_out: What the report measures on; neither learnt from nor chosen by.
    """

    store: Store
    mel: MelSpec
    training: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    held_out: tuple[Utterance, ...]
    left_out: tuple[LeftOut, ...]
    stats: Stats

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """All that can be used."""
        return self.training + self.validation + self.held_out

    @property
    def duration_s(self) -> float:
        """How long the training utterances sound together."""
        return sum(self.n_frames(u) * self.mel.hop_samples for u in self.training) / self.mel.sample_rate_hz

    def n_frames(self, utterance: Utterance) -> int:
        """Length of a prepared recording."""
        return self.mel.frames_in(probe(self.store.audio_path(utterance, self.mel.sample_rate_hz)).n_samples)


def spectrogram_of(section: Spectrogram) -> MelSpec:
    """The front end that a recipe names."""
    rate = section.sample_rate_hz
    with sizes_from_recipe("spectrogram"):
        if section.preset == "mel":
            return specs.everyvoice_mel(sample_rate_hz=rate)
        if section.preset == "hifigan":
            return specs.hifigan_original(sample_rate_hz=rate)
        return specs.mel_librosa(sample_rate_hz=rate)


def prepare_material(
    recipe: Recipe,
    *,
    mel: MelSpec | None = None,
    listener: Listener | None = None,
    is_overwritten: bool = False,
    n_workers: int | None = None,
) -> Material:
    """Prepare what changed, split, measure; every utterance that is left out is listed with its reason."""
    listener = listener or Silent()
    data = recipe.data
    mel = mel or _mel_of(recipe)
    store = Store(data.preprocessed)
    utterances = read_filelist(data.filelist, format=data.filelist_format)
    parts = split(utterances, held_out=data.held_out or data.held_out_fraction, seed=data.seed)
    prepared = prepare(
        utterances,
        data.recordings,
        store,
        mel=mel,
        options=PrepareOptions(
            min_duration_s=data.min_duration_s,
            max_duration_s=data.max_duration_s,
            trims_silence=data.trims_silence,
        ),
        n_workers=n_workers,
        overwrite=is_overwritten,
        on_progress=lambda basename, done, total: listener.progress("Preparing", done, total),
    )
    if prepared.n_mixed:
        listener.say("Stereo", f"{prepared.n_mixed} recordings have two channels: mixed to one")
    if prepared.n_clipped:
        listener.say("Clipped", f"a little of {prepared.n_clipped} recordings is clipped: they are kept")
    kept = set(prepared.kept)
    usable = [u for u in parts.training if u in kept]
    held_out = tuple(u for u in parts.validation if u in kept)
    _require_enough(usable, held_out)
    training, validation = _chosen_by(usable, data.validation_fraction, recipe)
    material = Material(
        store=store,
        mel=mel,
        training=training,
        validation=validation,
        held_out=held_out,
        left_out=tuple(prepared.left_out),
        stats=_write_parts(store, training, validation),
    )
    _tell(material, listener)
    return material


def without_long_texts(
    material: Material, recipe: Recipe, text_to_spec: Loaded, listener: Listener
) -> Material:
    """The material without utterances whose text has more symbols than their recording has frames.

    Given durations say which frames belong to a symbol, none among them; a model that learns the alignment
    gives each symbol one frame at least.
    """
    if not text_to_spec_in(text_to_spec).config.learns_alignment:
        return material
    reading = text_to_spec.description.reading
    found = long_texts(
        material.utterances,
        n_symbols=lambda utterance: len(ids_of(read_utterance(utterance, reading), text_to_spec)),
        n_frames=material.n_frames,
    )
    if not found:
        return material
    left_out = material.left_out + tuple(found)
    write_left_out(material.store, left_out)
    long = {left.utterance for left in found}
    usable = [u for u in material.training + material.validation if u not in long]
    held_out = tuple(u for u in material.held_out if u not in long)
    _require_enough(usable, held_out)
    training, validation = _chosen_by(usable, recipe.data.validation_fraction, recipe)
    stats = _write_parts(material.store, training, validation)
    material = replace(
        material, training=training, validation=validation, held_out=held_out, left_out=left_out, stats=stats
    )
    listener.say(
        "Long texts",
        f"{len(found)} utterances have more symbols than frames: left out, {len(training)} remain to train "
        f"on; see {material.store.left_out_path}",
    )
    return material


def _write_parts(store: Store, training: Sequence[Utterance], validation: Sequence[Utterance]) -> Stats:
    """What is learnt from and chosen by, as lists; the statistics are of what is learnt from."""
    stats = store.measure_stats(training)
    store.write_stats(stats)
    write_filelist(store.filelist_path("training"), training)
    write_filelist(store.filelist_path("validation"), validation)
    return stats


def _mel_of(recipe: Recipe) -> MelSpec:
    if recipe.base is None:
        return spectrogram_of(recipe.spectrogram)
    return load_model(recipe.base).description.mel


def _require_enough(usable: Sequence[Utterance], held_out: Sequence[Utterance]) -> None:
    if len(usable) < 2 or not held_out:
        raise DataError(
            "too few utterances could be used",
            expected="at least one to train on, one to choose the best weights by and one to measure on",
            found=f"{len(usable)} to train and choose by, {len(held_out)} held out",
            do="see left-out.tsv for what is wrong with the others; add recordings or hold out fewer",
        )


def _chosen_by(
    usable: Sequence[Utterance], fraction: float, recipe: Recipe
) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    """Training and validation utterances; no more of these than one validation takes."""
    share = min(fraction, recipe.training.validate_at_most / len(usable))
    parts = split(usable, held_out=share, seed=recipe.data.seed)
    return tuple(parts.training), tuple(parts.validation)


def _tell(material: Material, listener: Listener) -> None:
    n_left_out = len(material.left_out)
    where = f"; {n_left_out} left out: {material.store.root / 'left-out.tsv'}" if n_left_out else ""
    listener.say(
        "Data",
        f"{len(material.training)} utterances, {material.duration_s / 60:.1f} min; "
        f"{len(material.validation)} to choose the best weights by, {len(material.held_out)} held out{where}",
    )


def require_same_lengths(material: Material, *, has_produced: bool) -> None:
    """Recording, real spec and (for matching) produced spec of each utterance must be equally long."""
    found = mismatches(material.store, material.utterances, material.mel, with_produced=has_produced)
    if found:
        shown = "; ".join(f"{m.utterance.basename}: {m.reason}" for m in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise DataError(
            f"{len(found)} utterances have features of unequal length ({shown}{more})",
            do="prepare them again (--overwrite); produce specs by teacher forcing on these recordings",
        )
