"""What TorToiSe's stages are trained on: recordings as codes, texts as symbols, split as every recipe is."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from retimbre.audio.files import probe
from retimbre.data.prepare import LeftOut, RecordedSet, prepare_sets, write_left_out
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.errors import DataError
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.pipelines.encoding import DLAS_SAMPLES, Codes, CodesSource, Spoken, encode
from retimbre.pipelines.tortoise_voice_clips import AUTO_MEL
from retimbre.pipelines.tortoise_voice_specs import keep_voice_specs
from retimbre.recipe.recipe import Recipe
from retimbre.text.readable import Readable, read
from retimbre.training.listed import listed_in, tell_listed
from retimbre.training.material import tell_prepared
from retimbre.training.parts import Parts, parted, tell_parts, write_parts
from retimbre.training.tortoise_limits import Limits, counted, require_voices, why_no_spec, without_voiceless
from retimbre.training.tortoise_training_files import TrainingFiles

N_SHOWN = 5  # signs that are read as others
UNNAMED = "default"  # language of an utterance whose list names none


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """One utterance as TorToiSe's stages read it.

    Args:
        symbols: Of its text, without start and stop and without the end that speaking adds. None of them
            for wav-to-codes.
        codes: Of the prepared recording alone, `n_samples // 1024 + 1` of them. As DL-Art-School trains
            (`dlas`), of the recording and the silence after it, 250 of them. None of them for wav-to-codes.
        n_samples: Of the prepared recording, at 22,050 Hz.
    """

    utterance: Utterance
    symbols: Int[Tensor, "symbols"]
    codes: Int[Tensor, "codes"]
    n_samples: int


@dataclass(frozen=True, kw_only=True, eq=False)
class TortoiseMaterial:
    """Prepared utterances of one recipe of a TorToiSe stage.

    Args:
        training: What the weights learn from.
        validation: What chooses the best weights of a run; never learnt from.
        held_out: What the report measures on; neither learnt from nor chosen by.
        left_out: Every utterance of the lists that is in none of them, with the reason.
        dvae_sha256: Of the file that made the codes; empty where there are none.
    """

    store: Store
    training: tuple[Encoded, ...]
    validation: tuple[Encoded, ...]
    held_out: tuple[Encoded, ...]
    left_out: tuple[LeftOut, ...]
    files: TrainingFiles
    dvae_sha256: str

    @property
    def duration_s(self) -> float:
        """How long the training utterances sound together."""
        return sum(encoded.n_samples for encoded in self.training) / AUTO_MEL.sample_rate_hz

    @cached_property
    def utterances(self) -> tuple[Utterance, ...]:
        """All that can be used, each once."""
        every = (*self.training, *self.validation, *self.held_out)
        return tuple(dict.fromkeys(encoded.utterance for encoded in every))


def prepare_tortoise(
    recipe: Recipe,
    *,
    files: TrainingFiles,
    config: UnifiedVoiceConfig | None = None,
    listener: Listener | None = None,
    is_overwritten: bool = False,
    n_workers: int | None = None,
    device: str | torch.device = "cpu",
) -> TortoiseMaterial:
    """Prepare what changed, encode it, split it; every utterance that is left out is listed with its reason.

    Recordings stay as loud as they are: so are those from which a voice is heard in speaking.

    Args:
        config: Sizes of a new autoregressive network; where there is a file, they are in it.
        is_overwritten: Make everything again.
        n_workers: Processes; None takes all cores.
        device: Where recordings are encoded.

    Raises:
        DataError: too little can be used.
    """
    listener = listener or Silent()
    listed, store = listed_in(recipe.data), Store(recipe.data.preprocessed)
    tell_listed(listed, listener)
    prepared = prepare_sets(
        [_as_recorded(one) for one in listed.sets],
        store,
        mel=AUTO_MEL,
        steps=("audio",),
        n_workers=n_workers,
        overwrite=is_overwritten,
        on_progress=lambda basename, done, total: listener.progress("Preparing", done, total),
    )
    tell_prepared(prepared, listener)
    limits = Limits.of(config or files.ar_config or UnifiedVoiceConfig(), recipe.tortoise.trains_as)
    making = _Making(recipe=recipe, files=files, store=store, limits=limits)
    encoded, unusable = making.encoded(prepared.kept, listener, is_overwritten=is_overwritten, device=device)
    left_out = [*prepared.left_out, *unusable]
    write_left_out(store, left_out)
    parts = parted(
        [u for u in listed.learnt if u in encoded], [u for u in listed.measured if u in encoded], recipe
    )
    if making.hears_others:
        parts, voiceless = without_voiceless(parts)
        left_out += voiceless
        write_left_out(store, left_out)
        require_voices(parts)
    write_parts(store, parts)
    # Validation of text-to-codes hears as speaking does, whatever the network is trained as.
    hears_as_speaking = recipe.tortoise.trains_as == "inference" or recipe.stage == "text-to-codes"
    if recipe.stage != "wav-to-codes" and hears_as_speaking:
        keep_voice_specs(
            making.heard(parts),
            store,
            has_diffusion=recipe.stage != "text-to-codes",
            n_workers=n_workers,
            is_overwritten=is_overwritten,
            listener=listener,
        )
    material = TortoiseMaterial(
        store=store,
        training=tuple(encoded[utterance] for utterance in parts.training),
        validation=tuple(encoded[utterance] for utterance in parts.validation),
        held_out=tuple(encoded[utterance] for utterance in parts.held_out),
        left_out=tuple(left_out),
        files=files,
        dvae_sha256=files.sha256("wav-to-codes") if files.dvae else "",
    )
    tell_parts(parts, listener)
    _tell(material, listener)
    return material


def _as_recorded(one: RecordedSet) -> RecordedSet:
    return replace(one, options=replace(one.options, peak=None))


@dataclass(frozen=True, kw_only=True)
class _Making:
    """How utterances of one recipe become `Encoded`."""

    recipe: Recipe
    files: TrainingFiles
    store: Store
    limits: Limits

    @property
    def hears_others(self) -> bool:
        """Does a voice need other recordings of its speaker?"""
        section = self.recipe.tortoise
        hears_a_voice = self.recipe.stage != "wav-to-codes"
        return hears_a_voice and not section.hears_itself and section.trains_as == "inference"

    def heard(self, parts: Parts) -> Sequence[Utterance]:
        """Whose recordings a voice may be heard from."""
        if not self.recipe.tortoise.hears_itself:
            return parts.training
        return tuple(dict.fromkeys((*parts.training, *parts.validation, *parts.held_out)))

    def encoded(
        self,
        utterances: Sequence[Utterance],
        listener: Listener,
        *,
        is_overwritten: bool,
        device: str | torch.device,
    ) -> tuple[dict[Utterance, Encoded], list[LeftOut]]:
        """Those that can be used, and the others."""
        if self.recipe.stage == "wav-to-codes":
            return self._sounds(utterances)
        spoken, left_out = [], []
        readables = [self._read(utterance) for utterance in utterances]
        _tell_changed(readables, listener)
        for utterance, readable in zip(utterances, readables, strict=True):
            found = self._spoken(utterance, readable)
            if isinstance(found, LeftOut):
                left_out.append(found)
            else:
                spoken.append(found)
        encoding = encode(
            spoken,
            self.store,
            self._source(),
            device=device,
            is_overwritten=is_overwritten,
            listener=listener,
        )
        listener.say(
            "Codes",
            f"{encoding.n_encoded} encoded now, {len(spoken) - encoding.n_encoded} there already: "
            f"{self.store.root / 'codes'}",
        )
        made = zip(spoken, encoding.codes, strict=True)
        return {one.utterance: _encoded(one.utterance, codes) for one, codes in made}, left_out

    def _read(self, utterance: Utterance) -> Readable:
        language = self.recipe.tortoise.language if utterance.language == UNNAMED else utterance.language
        return read(utterance.text, self.files.vocabulary, language=language)

    def _spoken(self, utterance: Utterance, readable: Readable) -> Spoken | LeftOut:
        reason = self.limits.why_no_text(utterance, readable) or self.limits.why_no_recording(
            self._n_samples(utterance)
        )
        if reason is not None:
            return LeftOut(utterance=utterance, reason=reason)
        return Spoken(utterance=utterance, text=readable.text, symbols=readable.rows)

    def _source(self) -> CodesSource:
        if self.files.dvae is None:
            raise DataError(
                "nothing makes codes of the recordings", expected="a dVAE", do="give tortoise.dvae"
            )
        return CodesSource(
            dvae=self.files.dvae,
            dvae_sha256=self.files.sha256("wav-to-codes"),
            tokenizer_sha256=self.files.vocabulary.sha256,
            padded_samples=DLAS_SAMPLES if self.recipe.tortoise.trains_as == "dlas" else None,
        )

    def _sounds(self, utterances: Sequence[Utterance]) -> tuple[dict[Utterance, Encoded], list[LeftOut]]:
        """Recordings alone."""
        nothing = torch.empty(0, dtype=torch.int64)
        sounds, left_out = {}, []
        for utterance in utterances:
            n_samples = self._n_samples(utterance)
            if reason := why_no_spec(n_samples):
                left_out.append(LeftOut(utterance=utterance, reason=reason))
            else:
                sounds[utterance] = Encoded(
                    utterance=utterance, symbols=nothing, codes=nothing, n_samples=n_samples
                )
        return sounds, left_out

    def _n_samples(self, utterance: Utterance) -> int:
        return probe(self.store.audio_path(utterance, AUTO_MEL.sample_rate_hz)).n_samples


def _encoded(utterance: Utterance, codes: Codes) -> Encoded:
    return Encoded(utterance=utterance, symbols=codes.symbols, codes=codes.codes, n_samples=codes.n_samples)


def _tell_changed(readables: Sequence[Readable], listener: Listener) -> None:
    """Signs that are learnt as others: where English is read, or what is taken for it."""
    changed = Counter(change for readable in readables for change in readable.changed)
    if changed:
        shown = ", ".join(f"'{sign}' as '{read_as}'" for (sign, read_as), _ in changed.most_common(N_SHOWN))
        n = sum(bool(readable.changed) for readable in readables)
        listener.say(
            "Text",
            f"{n} texts are read with other signs, most often {shown}; of texts that are not English a list "
            "with the column 'language' says it",
        )


def _tell(material: TortoiseMaterial, listener: Listener) -> None:
    n_left_out = len(material.left_out)
    if n_left_out:
        listener.say(
            "Left out", f"{n_left_out}: {counted(material.left_out)}; see {material.store.left_out_path}"
        )
    folders = {encoded.utterance.basename.rpartition("/")[0] for encoded in material.training}
    speakers = {encoded.utterance.speaker for encoded in material.training}
    if len(folders) > 1 and len(speakers) == 1:
        listener.say(
            "Speakers",
            f"the recordings lie in {len(folders)} folders and are taken as one speaker's; where they are "
            "not, a list with the column 'speaker' says so",
        )
    listener.say(
        "Data",
        f"{len(material.training)} utterances of {len(speakers)} "
        f"speaker{'s' if len(speakers) > 1 else ''}, {material.duration_s / 60:.1f} min; "
        f"{len(material.validation)} to choose the best weights by, {len(material.held_out)} held out",
    )
