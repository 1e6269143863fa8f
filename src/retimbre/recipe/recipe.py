"""Our own YAML: everything that describes one training run of one stage."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from retimbre.audio.effects import effect_of
from retimbre.recipe.section import FilePath, Section
from retimbre.recipe.tortoise import Tortoise
from retimbre.recipe.training import Training

Stage = Literal["text-to-spec", "spec-to-wav", "text-to-codes", "codes-to-spec", "wav-to-codes"]
ListForm = Literal["psv", "tsv", "csv", "festival", "ljspeech"]
PunctuationKind = Literal[
    "exclamations",
    "question_symbols",
    "quotemarks",
    "parentheses",
    "periods",
    "colons",
    "semi_colons",
    "hyphens",
    "commas",
    "ellipses",
]
MAY_BE_MISSING = ("training_filelist", "validation_filelist", "adopted")


def _known_effect(text: str) -> str:
    try:
        effect_of(text)
    except ValueError as error:
        raise PydanticCustomError("effect", "{usage}", {"usage": str(error)}) from error
    return text


EffectWords = Annotated[str, AfterValidator(_known_effect)]


class DataSet(Section):
    """One of several sets of recordings."""

    label: str = Field("", description="Its name, for text rules of its own.")
    recordings: FilePath = Field(description="Folder with the recordings.")
    filelist: FilePath = Field(description="LJSpeech metadata.csv, psv, csv, tsv or Festival's form.")
    filelist_format: ListForm | None = Field(None, description="None: found out.")
    trims_silence: bool = Field(True, description="Cut silence from both ends, keeping a margin.")
    effects: tuple[EffectWords, ...] = Field((), description="As in data.")

    def resolved_against(self, folder: Path) -> "DataSet":
        """The same with both paths made absolute, seen from `folder`."""
        return self.model_copy(
            update={"recordings": folder / self.recordings, "filelist": folder / self.filelist}
        )


class Data(Section):
    """Recordings, their texts, and which of them are kept for measuring."""

    recordings: FilePath = Field(description="Folder with the recordings (wav, flac, ogg or mp3).")
    filelist: FilePath = Field(description="LJSpeech metadata.csv, psv, csv, tsv or Festival's form.")
    filelist_format: ListForm | None = Field(None, description="None: found out.")
    preprocessed: FilePath = Field(Path("preprocessed"), description="Folder for the training material.")
    held_out: tuple[str, ...] = Field((), description="Basenames that are only ever measured on.")
    held_out_fraction: float = Field(
        0.1, gt=0, lt=1, description="Share that is only ever measured on, if no names are given."
    )
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="Share of the others that chooses the best weights of a run."
    )
    seed: int = Field(1234, description="Seed of both splits.")
    min_duration_s: float = Field(0.4, gt=0, description="Shorter recordings are left out, in seconds.")
    max_duration_s: float = Field(11.0, gt=0, description="Longer recordings are left out, in seconds.")
    trims_silence: bool = Field(True, description="Cut silence from both ends, keeping a margin.")
    effects: tuple[EffectWords, ...] = Field(
        (), description="What is done to a recording first, in order and in SoX's words, as in `norm -3`."
    )
    label: str = Field("", description="Name of this data set, for text rules of its own.")
    more: tuple[DataSet, ...] = Field(
        (),
        description="Further sets: label, recordings, filelist, filelist_format, trims_silence, effects.",
    )
    training_filelist: FilePath | None = Field(
        None, description="Exactly what is learnt from; with validation_filelist, instead of a split by lot."
    )
    validation_filelist: FilePath | None = Field(None, description="What is only ever measured on, likewise.")
    adopted: FilePath | None = Field(
        None, description="Folder of features that EveryVoice made; read where they fit, never written to."
    )

    def resolved_against(self, folder: Path) -> "Data":
        """The same with every path made absolute, seen from `folder`."""
        names = ("recordings", "filelist", "preprocessed")
        given = [name for name in MAY_BE_MISSING if getattr(self, name) is not None]
        paths: dict[str, object] = {name: folder / getattr(self, name) for name in (*names, *given)}
        return self.model_copy(
            update=paths | {"more": tuple(one.resolved_against(folder) for one in self.more)}
        )


class Spectrogram(Section):
    """Which spectrogram is trained on; only asked where no base checkpoint says it."""

    preset: Literal["mel-librosa", "mel", "hifigan"] = Field(
        "mel-librosa", description="A front end by name."
    )
    sample_rate_hz: int = Field(22_050, gt=0, description="Samples per second.")
    n_fft_samples: int = Field(1024, gt=0, description="Length of the Fourier transform.")
    window_samples: int = Field(1024, gt=0, description="Length of its window.")
    hop_samples: int = Field(256, gt=0, description="From one frame to the next.")
    n_mels: int = Field(80, gt=0, description="Bands.")
    low_hz: float = Field(0.0, ge=0, description="Lower end of the lowest band.")
    high_hz: float = Field(8000.0, gt=0, description="Upper end of the highest band.")


class SplitPlaces(Section):
    """After which signs a long text may be cut."""

    strong: str = Field("!?.", description="Ends of sentences.")
    weak: str = Field(":;,", description="Where there is no end of a sentence.")


class Text(Section):
    """How text is cleaned and which symbols there are; only asked where no base checkpoint says it."""

    characters: str = Field("abcdefghijklmnopqrstuvwxyz", description="Letters beside the punctuation.")
    phones: tuple[str, ...] = Field((), description="Phones instead of letters.")
    symbols: tuple[str, ...] = Field(
        (),
        description="The whole table in the order of its rows, instead of letters or phones; with a base, "
        "what it lacks of them is added.",
    )
    level: Literal["characters", "phones"] | None = Field(
        None, description="What the symbols are; none: phones where phones are given."
    )
    punctuation: dict[PunctuationKind, tuple[str, ...]] = Field(
        {}, description="Kind of punctuation -> its marks, instead of EveryVoice's."
    )
    silence: tuple[str, ...] = Field(("<SIL>",), description="Symbols of silence.")
    g2p: str = Field(
        "",
        description="Whose rules find the phones, as in 'eng'; 'own': each language's; none: in the list.",
    )
    cleaners: tuple[str, ...] = Field(
        ("lower", "nfc_normalize", "collapse_whitespace", "strip_text"), description="In this order."
    )
    to_replace: dict[str, str] = Field({}, description="Regular expression -> replacement.")
    language_cleaners: dict[str, tuple[str, ...]] = Field(
        {}, description="Language -> cleaners for it, instead of the common ones."
    )
    language_to_replace: dict[str, dict[str, str]] = Field(
        {}, description="Language -> replacements for it, instead of the common ones."
    )
    dataset_cleaners: dict[str, tuple[str, ...]] = Field(
        {}, description="Label of a data set -> cleaners for it, instead of all others."
    )
    dataset_to_replace: dict[str, dict[str, str]] = Field(
        {}, description="Label of a data set -> replacements for it, instead of all others."
    )
    split_text: bool = Field(True, description="Long texts are spoken in pieces.")
    boundaries: dict[str, SplitPlaces] = Field(
        {}, description="Language -> 'strong' and 'weak' signs after which its texts may be cut."
    )


class New(Section):
    """What the base of a text-to-spec recipe lacks and learns; rows at the end of its tables."""

    symbols: tuple[str, ...] = Field(
        (), description="Letters, phones or signs; those that no text has are left out."
    )
    speakers: tuple[str, ...] = Field((), description="Names of the list; others stay the base's one voice.")
    languages: tuple[str, ...] = Field((), description="Names of the list, as its codes of languages.")
    begin_as: dict[str, str] = Field(
        {}, description="New name -> the known one that it begins as; else the most similar, or the mean."
    )


class Decoder(Section):
    """Where the decoder differs from the encoder."""

    n_layers: int | None = Field(None, gt=0, description="None: as many as the encoder.")
    n_heads: int | None = Field(None, gt=0, description="None: as many as the encoder.")
    feedforward_dim: int | None = Field(None, gt=0, description="None: as the encoder.")
    kernel: int | None = Field(None, gt=0, description="None: as the encoder.")
    dropout: float | None = Field(None, ge=0, lt=1, description="None: as the encoder.")


class DurationPredictor(Section):
    """Sizes of the predictor of durations; its channels are those of the rest."""

    n_layers: int = Field(5, gt=0, description="Convolutions.")
    kernel: int = Field(3, gt=0, description="Their length, in symbols or frames; odd.")
    dropout: float = Field(0.5, ge=0, lt=1, description="After each.")
    is_depthwise: bool = Field(True, description="Each channel apart, then all together.")


class ProsodyPredictor(DurationPredictor):
    """Sizes of the predictor of pitch or of energy."""

    n_bins: int = Field(256, gt=1, description="Steps in which the values are told to the decoder.")
    level: Literal["phone", "frame"] | None = Field(None, description="None: as 'level' of text_to_spec.")


class TextToSpecModel(Section):
    """Sizes of a fastspeech2 trained from scratch. A base checkpoint brings its own."""

    dim: int = Field(256, gt=0, description="Channels everywhere.")
    n_layers: int = Field(4, gt=0, description="Conformer layers of encoder and of decoder.")
    n_heads: int = Field(2, gt=0, description="Attention heads.")
    feedforward_dim: int = Field(1024, gt=0, description="Inner channels of the feed-forward parts.")
    kernel: int = Field(9, gt=0, description="Length of the depthwise convolutions; odd.")
    dropout: float = Field(0.2, ge=0, lt=1, description="In encoder and decoder.")
    level: Literal["phone", "frame"] = Field("phone", description="Pitch and energy per symbol or per frame.")
    has_postnet: bool = Field(False, description="With a post-net: 4.3 M parameters at its usual size.")
    postnet_dim: int = Field(512, gt=0, description="Channels of the post-net.")
    learns_alignment: bool = Field(True, description="False: durations come with the training material.")
    has_speakers: bool = Field(False, description="One embedding for each speaker of the list.")
    has_languages: bool = Field(False, description="One embedding for each language of the list.")
    has_style_tokens: bool = Field(
        False, description="Global style tokens: speaks in the style of a recording."
    )
    reads_features: bool = Field(
        False, description="Phonological features of phones instead of a row for each."
    )
    decoder: Decoder = Field(Decoder(), description="Where it differs from the encoder.")
    duration: DurationPredictor = Field(DurationPredictor(), description="Predictor of durations.")
    pitch: ProsodyPredictor = Field(ProsodyPredictor(), description="Predictor of pitch.")
    energy: ProsodyPredictor = Field(ProsodyPredictor(), description="Predictor of energy.")


class SpecToWavModel(Section):
    """Sizes of a hifigan trained from scratch. A base checkpoint brings its own."""

    output_sample_rate_hz: int | None = Field(
        None, gt=0, description="Of its waveform, a multiple of the spectrogram's; none: the same."
    )
    is_istft: bool = Field(True, description="Inverse-STFT variant: fewer upsampling stages, much faster.")
    upsample_rates: tuple[int, ...] = Field(
        (8, 8), description="Product times istft hop = samples per frame."
    )
    upsample_kernels: tuple[int, ...] = Field((16, 16), description="Twice the rates.")
    initial_channels: int = Field(512, gt=0, description="Channels before the first upsampling.")
    resblock: Literal["1", "2"] = Field("1", description="Form of the residual blocks.")
    resblock_kernels: tuple[int, ...] = Field((3, 7, 11), description="One residual block per kernel.")
    resblock_dilations: tuple[tuple[int, ...], ...] = Field(
        ((1, 3, 5), (1, 3, 5), (1, 3, 5)), description="Dilations of each block."
    )


class Discriminators(Section):
    """Sizes of new discriminators; a base checkpoint that has some brings its own."""

    width: float = Field(1.0, gt=0, le=1, description="Share of the published number of channels.")
    periods: tuple[int, ...] = Field((2, 3, 5, 7, 11), description="Of the multi-period discriminator.")
    n_scales: int = Field(3, ge=1, description="Of the multi-scale discriminator.")


class Recipe(Section):
    """One training run of one stage."""

    stage: Stage = Field(description="Which stage is trained.")
    name: str = Field("run", pattern=r"^[\w-][\w.-]*$", description="Name of the run folder.")
    runs: FilePath = Field(Path("runs"), description="Where run folders are made.")
    base: FilePath | None = Field(None, description="Checkpoint to start from; none: from scratch.")
    contact: str = Field("", description="Who answers for the voice; travels with the checkpoint.")
    consent: str = Field(
        "", description="Whose voice it is, and what they agreed to; travels with the checkpoint."
    )
    data: Data = Field(description="Recordings and texts.")
    spectrogram: Spectrogram = Field(Spectrogram(), description="Only without a base.")
    text: Text = Field(Text(), description="Only without a base.")
    new: New = Field(New(), description="Only with a base of text-to-spec.")
    text_to_spec: TextToSpecModel = Field(TextToSpecModel(), description="Only without a base.")
    spec_to_wav: SpecToWavModel = Field(SpecToWavModel(), description="Only without a base.")
    discriminators: Discriminators = Field(Discriminators(), description="Only where the base has none.")
    tortoise: Tortoise = Field(Tortoise(), description="Only for TorToiSe's stages.")
    training: Training = Field(Training(), description="The run itself.")

    def resolved_against(self, folder: Path) -> "Recipe":
        """The same recipe with every path made absolute, seen from `folder`."""
        data = self.data.resolved_against(folder)
        base = folder / self.base if self.base is not None else None
        tortoise = self.tortoise.resolved_against(folder)
        return self.model_copy(
            update={"data": data, "runs": folder / self.runs, "base": base, "tortoise": tortoise}
        )
