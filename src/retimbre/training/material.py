"""What a recipe trains on: recordings prepared, split, and compared with each other before training."""

from dataclasses import dataclass, replace
from pathlib import Path

from retimbre.audio import mel as specs
from retimbre.audio.files import probe
from retimbre.audio.mel import MelSpec
from retimbre.data.adopted import Adopted
from retimbre.data.coverage import read_utterance
from retimbre.data.lengths import long_texts, mismatches
from retimbre.data.prepare import LeftOut, Prepared, RecordedSet, prepare_sets, write_left_out
from retimbre.data.stats import Stats
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.description import Description
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.everyvoice import ids_of
from retimbre.pipelines.fit import text_to_spec_in
from retimbre.recipe.read import sizes_from_recipe
from retimbre.recipe.recipe import Recipe, Spectrogram
from retimbre.training.listed import has_given_split, listed_in, tell_listed
from retimbre.training.parts import Parts, parted, tell_parts, write_parts


@dataclass(frozen=True, kw_only=True)
class Material:
    """Prepared utterances of one recipe.

    Args:
        training: What the weights learn from.
        validation: What chooses the best weights of a run; never learnt from.
        held_out: What the report measures on; neither learnt from nor chosen by.
        output_sample_rate_hz: Of a vocoder's output, where that differs from its spectrogram's.
    """

    store: Store
    mel: MelSpec
    training: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    held_out: tuple[Utterance, ...]
    left_out: tuple[LeftOut, ...]
    stats: Stats
    output_sample_rate_hz: int | None = None

    @property
    def output_mel(self) -> MelSpec:
        """The spectrogram of what a vocoder is to answer, frame by frame that of what it hears."""
        return self.mel.at_rate(self.output_sample_rate_hz or self.mel.sample_rate_hz)

    @property
    def utterances(self) -> tuple[Utterance, ...]:
        """All that can be used, each once."""
        return tuple(dict.fromkeys(self.training + self.validation + self.held_out))

    @property
    def duration_s(self) -> float:
        """How long the training utterances sound together."""
        return sum(self.n_frames(u) * self.mel.hop_samples for u in self.training) / self.mel.sample_rate_hz

    def n_frames(self, utterance: Utterance) -> int:
        """Length of a prepared recording."""
        return self.mel.frames_in(probe(self.store.audio_path(utterance, self.mel.sample_rate_hz)).n_samples)


def spectrogram_of(section: Spectrogram) -> MelSpec:
    """The front end that a recipe names."""
    sizes: specs.Sizes = {
        "sample_rate_hz": section.sample_rate_hz,
        "n_fft_samples": section.n_fft_samples,
        "window_samples": section.window_samples,
        "hop_samples": section.hop_samples,
        "n_mels": section.n_mels,
        "low_hz": section.low_hz,
        "high_hz": section.high_hz,
    }
    with sizes_from_recipe("spectrogram"):
        if section.preset == "mel":
            return specs.everyvoice_mel(**sizes)
        if section.preset == "hifigan":
            return specs.hifigan_original(**sizes)
        return specs.mel_librosa(**sizes)


def output_mel_of(recipe: Recipe, base: Description | None, mel: MelSpec) -> MelSpec | None:
    """The spectrogram of a vocoder's output, where that has a higher rate than what it hears.

    Raises:
        RecipeError: if the rate is no whole multiple.
    """
    if recipe.stage != "spec-to-wav":
        return None
    rate_hz = base.output_sample_rate_hz if base else recipe.spec_to_wav.output_sample_rate_hz
    if rate_hz is None or rate_hz == mel.sample_rate_hz:
        return None
    with sizes_from_recipe("spec_to_wav"):
        return mel.at_rate(rate_hz)


def prepare_material(
    recipe: Recipe,
    *,
    mel: MelSpec | None = None,
    base: Loaded | None = None,
    listener: Listener | None = None,
    is_overwritten: bool = False,
    n_workers: int | None = None,
) -> Material:
    """Prepare what changed, split, measure; every utterance that is left out is listed with its reason.

    Args:
        mel: The spectrogram, where it is neither the base's nor the recipe's.
        base: The recipe's base, where it is at hand already.
    """
    listener = listener or Silent()
    if mel is None and base is None and recipe.base is not None:
        base = load_model(recipe.base)
    if mel is None:
        mel = base.description.mel if base else spectrogram_of(recipe.spectrogram)
    output_mel = output_mel_of(recipe, base.description if base else None, mel)
    listed, adopted = listed_in(recipe.data), _adopted(recipe, base)
    tell_listed(listed, listener)
    store = Store(_folder(recipe, adopted))
    prepared = prepare_sets(
        [_from_everyvoice(one, adopted) for one in listed.sets],
        store,
        mel=mel,
        n_workers=n_workers,
        overwrite=is_overwritten,
        output_mel=output_mel,
        on_progress=lambda basename, done, total: listener.progress("Preparing", done, total),
    )
    kept = set(prepared.kept)
    parts = parted([u for u in listed.learnt if u in kept], [u for u in listed.measured if u in kept], recipe)
    material = Material(
        store=store,
        mel=mel,
        training=parts.training,
        validation=parts.validation,
        held_out=parts.held_out,
        left_out=tuple(prepared.left_out),
        stats=_write_parts(store, parts),
        output_sample_rate_hz=output_mel.sample_rate_hz if output_mel else None,
    )
    if adopted:
        _take_over(adopted, material, listener)
    tell_parts(parts, listener)
    _tell(prepared, material, listener)
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
    if has_given_split(recipe.data):
        learnt, measured = material.training, tuple(dict.fromkeys(material.validation + material.held_out))
    else:
        learnt, measured = material.training + material.validation, material.held_out
    parts = parted([u for u in learnt if u not in long], [u for u in measured if u not in long], recipe)
    material = replace(
        material,
        training=parts.training,
        validation=parts.validation,
        held_out=parts.held_out,
        left_out=left_out,
        stats=_write_parts(material.store, parts),
    )
    listener.say(
        "Long texts",
        f"{len(found)} utterances have more symbols than frames: left out, {len(parts.training)} remain to "
        f"train on; see {material.store.left_out_path}",
    )
    return material


def _write_parts(store: Store, parts: Parts) -> Stats:
    """What is learnt from and chosen by, as lists; the statistics are of what is learnt from."""
    stats = store.measure_stats(parts.training)
    store.write_stats(stats)
    write_parts(store, parts)
    return stats


# ---- what EveryVoice has prepared --------------------------------------------------------------------------


def _adopted(recipe: Recipe, base: Loaded | None) -> Adopted | None:
    """EveryVoice's folder, where what only it has is learnt from: produced specs, or durations."""
    if recipe.data.adopted is None:
        return None
    adopted = Adopted(recipe.data.adopted)
    if recipe.stage == "spec-to-wav":
        is_needed = recipe.training.spec_source == "produced" and adopted.has_produced_specs
    else:
        config = text_to_spec_in(base).config if base else recipe.text_to_spec
        is_needed = not config.learns_alignment and adopted.has_durations
    return adopted if is_needed else None


def _folder(recipe: Recipe, adopted: Adopted | None) -> Path:
    """Features of EveryVoice's audio lie apart: those of the recordings have other lengths."""
    ours = recipe.data.preprocessed
    return ours.with_name(f"{ours.name}-adopted") if adopted and adopted.has_audio else ours


def prepared_in(recipe: Recipe, base: Loaded | None) -> tuple[Store, list[RecordedSet]]:
    """Where the material of a recipe lies, and what is prepared there: EveryVoice's audio if that is used."""
    adopted = _adopted(recipe, base)
    sets = [_from_everyvoice(one, adopted) for one in listed_in(recipe.data).sets]
    return Store(_folder(recipe, adopted)), sets


def _from_everyvoice(one: RecordedSet, adopted: Adopted | None) -> RecordedSet:
    """Its audio instead of the recordings: what it made fits no other lengths."""
    if adopted is None or not adopted.has_audio:
        return one
    return replace(one, recordings=adopted.root, are_cleaned=True)


def _take_over(adopted: Adopted, material: Material, listener: Listener) -> None:
    """What only EveryVoice has, into our own folder; and whether its front end is ours."""
    store, mel, utterances = material.store, material.mel, material.utterances
    n_specs = adopted.copy_produced_specs(utterances, store, mel)
    n_durations = adopted.copy_durations(utterances, store)
    taken = f"{n_specs} produced specs and {n_durations} durations in {adopted.root} are used"
    if not adopted.has_audio:
        listener.say("EveryVoice", f"{taken}; it has no audio, so they belong to the recordings")
        return
    difference = adopted.spec_difference(utterances, store, mel)
    listener.say("EveryVoice", f"its audio, {taken}; {difference.sentence}")


def _tell(prepared: Prepared, material: Material, listener: Listener) -> None:
    if material.output_sample_rate_hz:
        heard_hz, spoken_hz = material.mel.sample_rate_hz, material.output_sample_rate_hz
        listener.say("Rates", f"the vocoder hears {heard_hz:,} Hz and speaks {spoken_hz:,} Hz")
    tell_prepared(prepared, listener)
    n_left_out = len(material.left_out)
    where = f"; {n_left_out} left out: {material.store.root / 'left-out.tsv'}" if n_left_out else ""
    listener.say(
        "Data",
        f"{len(material.training)} utterances, {material.duration_s / 60:.1f} min; "
        f"{len(material.validation)} to choose the best weights by, {len(material.held_out)} held out{where}",
    )


def tell_prepared(prepared: Prepared, listener: Listener) -> None:
    """What its reader should know about the recordings."""
    if prepared.n_mixed:
        listener.say("Stereo", f"{prepared.n_mixed} recordings have two channels: mixed to one")
    if prepared.n_clipped:
        listener.say("Clipped", f"a little of {prepared.n_clipped} recordings is clipped: they are kept")


def require_same_lengths(material: Material, *, has_produced: bool) -> None:
    """Recording, real spec and (for matching) produced spec of each utterance must be equally long."""
    found = mismatches(
        material.store,
        material.utterances,
        material.mel,
        with_produced=has_produced,
        output_mel=material.output_mel if material.output_sample_rate_hz else None,
    )
    if found:
        shown = "; ".join(f"{m.utterance.basename}: {m.reason}" for m in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise DataError(
            f"{len(found)} utterances have features of unequal length ({shown}{more})",
            do="prepare them again (--overwrite); produce specs by teacher forcing on these recordings",
        )
