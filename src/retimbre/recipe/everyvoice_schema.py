"""The keys of EveryVoice's YAML files, versions 0.1 to 0.5, with its defaults.

Each field's description names the recipe's key that its value goes to, or says why it goes nowhere. Such
fields are `unused`; where one is written in a file, a note repeats the reason.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

RENAMED = {  # keys that had other names: before 2023-11-11, and in the guide of 0.1
    ("preprocessing", "audio", "fft_window_frames"): "fft_window_size",
    ("preprocessing", "audio", "fft_hop_frames"): "fft_hop_size",
    ("training", "finetune_ckpt"): "finetune_checkpoint",
}
T2S, S2W = "text_to_spec", "spec_to_wav"
NO_EFFECT = "without effect in EveryVoice, too"
Loss = Literal["mse", "mae"]
Level = Literal["phone", "frame"]
Word = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]


def kept(default: Any, goes_to: str, **limits: Any) -> Any:  # noqa: ANN401 - stands for any field
    """A field that has a counterpart."""
    return Field(default, description=goes_to, **limits)


def unused(default: Any, why: str) -> Any:  # noqa: ANN401 - stands for any field
    """A field that has none."""
    return Field(default, description=why, json_schema_extra={"unused": True})


class Part(BaseModel):
    """A section of EveryVoice's files: frozen, and no unknown word passes."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


# ---- shared-data -------------------------------------------------------------------------------------------


class Audio(Part):
    """Which recordings are taken, and what a spectrogram is."""

    min_audio_length: float = kept(0.4, "data.min_duration_s")
    max_audio_length: float = kept(11.0, "data.max_duration_s")
    max_wav_value: float = unused(32767.0, NO_EFFECT)
    input_sampling_rate: int = kept(22050, "spectrogram.sample_rate_hz", gt=0)
    output_sampling_rate: int = kept(22050, "spec_to_wav.output_sample_rate_hz", gt=0)
    alignment_sampling_rate: int = unused(22050, "only for the aligner that EveryVoice had up to 0.3")
    alignment_bit_depth: int = unused(16, "only for the aligner that EveryVoice had up to 0.3")
    target_bit_depth: int = unused(16, "prepared recordings always have 16 bits")
    n_fft: int = kept(1024, "spectrogram.n_fft_samples", gt=0)
    fft_window_size: int = kept(1024, "spectrogram.window_samples", gt=0)
    fft_hop_size: int = kept(256, "spectrogram.hop_samples", gt=0)
    f_min: float = kept(0, "spectrogram.low_hz")
    f_max: float = kept(8000, "spectrogram.high_hz")
    n_mels: int = kept(80, "spectrogram.n_mels", gt=0)
    spec_type: str = kept("mel-librosa", "spectrogram.preset")
    vocoder_segment_size: int = kept(8192, "training.segment_frames", gt=0)

    @property
    def output_hop_size(self) -> int:
        """Samples of a vocoder's output for each frame."""
        return self.fft_hop_size * self.output_sampling_rate // self.input_sampling_rate


class Dataset(Part):
    """One set of recordings."""

    label: Word = kept("YourDataSet", "data.label")
    permissions_obtained: bool = kept(False, "data.recordings")  # must be true
    data_dir: Path | None = kept(None, "data.recordings")
    filelist: Path | None = kept(None, "data.filelist")
    filelist_loader: str = kept("everyvoice.utils.generic_psv_filelist_reader", "data.filelist_format")
    sox_effects: list[list[Word]] = kept([["channels", "1"]], "data.effects")


class Preprocessing(Part):
    """everyvoice-shared-data.yaml."""

    dataset: Word = unused("YourDataSet", "a name that nothing is called by")
    train_split: float = kept(0.9, "data.held_out_fraction", ge=0, le=1)
    dataset_split_seed: int = kept(1234, "data.seed")
    save_dir: Path = kept(Path("preprocessed/YourDataSet"), "data.adopted")
    audio: Audio = kept(Audio(), "spectrogram")
    path_to_audio_config_file: Path | None = kept(None, "spectrogram")
    source_data: list[Dataset] = kept([], "data.more")


# ---- shared-text -------------------------------------------------------------------------------------------


class Punctuation(Part):
    """Punctuation by kind. Without a value: the defaults of the version that has the kind."""

    exclamations: list[str] | None = kept(None, "text.symbols")
    question_symbols: list[str] | None = kept(None, "text.symbols")
    quotemarks: list[str] | None = kept(None, "text.symbols")
    parentheses: list[str] | None = kept(None, "text.symbols")
    periods: list[str] | None = kept(None, "text.symbols")
    colons: list[str] | None = kept(None, "text.symbols")
    semi_colons: list[str] | None = kept(None, "text.symbols")
    hyphens: list[str] | None = kept(None, "text.symbols")
    commas: list[str] | None = kept(None, "text.symbols")
    ellipses: list[str] | None = kept(None, "text.symbols")
    big_breaks: list[str] | None = kept(None, "text.symbols")  # this one and the next two: 0.1 and 0.2
    small_breaks: list[str] | None = kept(None, "text.symbols")
    ellipsis: list[str] | None = kept(None, "text.symbols")


class Symbols(Part):
    """Lists of symbols; besides these two, any `<label>_characters` and `<label>_phones`."""

    model_config = ConfigDict(extra="allow")

    silence: list[str] = kept(["<SIL>"], "text.symbols")
    punctuation: Punctuation = kept(Punctuation(), "text.symbols")


class Boundaries(Part):
    """Where a long text may be split."""

    strong: str = kept("!?.", "text.boundaries")
    weak: str = kept(":;,", "text.boundaries")


CLEANERS = ("everyvoice.utils.collapse_whitespace", "everyvoice.utils.strip_text")


class Text(Part):
    """everyvoice-shared-text.yaml."""

    symbols: Symbols = kept(Symbols(), "text.symbols")
    to_replace: dict[str, str] = kept({}, "text.to_replace")
    language_to_replace: dict[str, dict[str, str]] = kept({}, "text.language_to_replace")
    dataset_to_replace: dict[str, dict[str, str]] = kept({}, "text.dataset_to_replace")
    cleaners: list[str] = kept(list(CLEANERS), "text.cleaners")
    language_cleaners: dict[str, list[str]] = kept({}, "text.language_cleaners")
    dataset_cleaners: dict[str, list[str]] = kept({}, "text.dataset_cleaners")
    g2p_engines: dict[str, str] = kept({}, "text.g2p")
    split_text: bool = kept(True, "text.split_text")
    boundaries: dict[str, Boundaries] = kept({}, "text.boundaries")


# ---- training of both stages -------------------------------------------------------------------------------


class Logger(Part):
    """Where results go."""

    name: Word = kept("BaseExperiment", "name")
    save_dir: Path = kept(Path("logs_and_checkpoints"), "runs")
    sub_dir_callable: str = unused("everyvoice.utils.get_current_time", "a run's folder is named without it")
    version: Word = kept("base", "name")


class Optimiser(Part):
    """Of all kinds that EveryVoice has."""

    learning_rate: float = kept(1e-4, "training.optimiser.learning_rate", gt=0)
    eps: float = kept(1e-8, "training.optimiser.eps", gt=0)
    weight_decay: float = kept(0.01, "training.optimiser.weight_decay", ge=0)
    betas: tuple[float, float] = kept((0.9, 0.98), "training.optimiser.betas")
    alpha: float = kept(0.99, "training.optimiser.alpha", ge=0, lt=1)
    name: Literal["adam", "adamw", "rms"] = kept("adamw", "training.optimiser.name")


class Noam(Part):
    """AdamW whose learning rate rises and falls."""

    learning_rate: float = kept(1e-4, "training.optimiser.learning_rate", gt=0)
    eps: float = kept(1e-8, "training.optimiser.eps", gt=0)
    weight_decay: float = kept(0.01, "training.optimiser.weight_decay", ge=0)
    betas: tuple[float, float] = kept((0.9, 0.98), "training.optimiser.betas")
    warmup_steps: int = kept(1000, "training.optimiser.warmup_steps", gt=0)
    name: str = kept("noam", "training.optimiser.schedule")


class Training(Part):
    """What both stages have in common."""

    batch_size: int = kept(16, "training.batch_size", gt=0)
    save_top_k_ckpts: int = kept(5, "training.keep_checkpoints", ge=-1)
    ckpt_steps: int | None = kept(None, "training.checkpoint_every_steps", ge=0)
    ckpt_epochs: int | None = kept(1, "training.checkpoint_every_steps", ge=0)
    val_check_interval: int | float | None = kept(500, "training.validate_every_steps", ge=0)
    check_val_every_n_epoch: int | None = unused(None, "measuring goes by steps (val_check_interval)")
    max_epochs: int = kept(1000, "training.steps", ge=-1)
    max_steps: int = kept(100_000, "training.steps", ge=-1)
    finetune_checkpoint: Path | None = kept(None, "base")
    training_filelist: Path | None = kept(None, "data.training_filelist")
    validation_filelist: Path | None = kept(None, "data.validation_filelist")
    filelist_loader: str = kept("everyvoice.utils.generic_psv_filelist_reader", "data.filelist_format")
    logger: Logger = kept(Logger(), "runs")
    val_data_workers: int = unused(0, NO_EFFECT)
    train_data_workers: int = kept(4, "training.n_workers", ge=0)
    use_weighted_sampler: bool = unused(
        False, "every utterance is drawn as often as any other; rare data sets are not drawn more often"
    )


class Contact(Part):
    """Who answers for the voice."""

    contact_name: str = Field(description="contact")
    contact_email: str = Field(description="contact")


class ModelFile(Part):
    """What the files of both stages have besides their sections."""

    VERSION: Word = kept("1.0", "stage")
    contact: Contact = Field(description="contact")
    path_to_model_config_file: Path | None = kept(None, "stage")
    path_to_training_config_file: Path | None = kept(None, "training")
    path_to_preprocessing_config_file: Path | None = kept(None, "data")


# ---- text-to-spec ------------------------------------------------------------------------------------------


class Conformer(Part):
    """Encoder or decoder."""

    layers: int = kept(4, f"{T2S}.n_layers", gt=0)
    heads: int = kept(2, f"{T2S}.n_heads", gt=0)
    input_dim: int = kept(256, f"{T2S}.dim", gt=0)
    feedforward_dim: int = kept(1024, f"{T2S}.feedforward_dim", gt=0)
    conv_kernel_size: int = kept(9, f"{T2S}.kernel", gt=0)
    dropout: float = kept(0.2, f"{T2S}.dropout", ge=0, lt=1)


class DurationPredictor(Part):
    """How long each symbol lasts."""

    loss: Loss = kept("mse", "training.loss.duration_distance")
    n_layers: int = kept(5, f"{T2S}.duration.n_layers", gt=0)
    kernel_size: int = kept(3, f"{T2S}.duration.kernel", gt=0)
    dropout: float = kept(0.5, f"{T2S}.duration.dropout", ge=0, lt=1)
    input_dim: int = kept(256, f"{T2S}.dim", gt=0)
    n_bins: int = unused(256, "durations have no bins, in EveryVoice neither")
    depthwise: bool = kept(True, f"{T2S}.duration.is_depthwise")


class ProsodyPredictor(DurationPredictor):
    """Predictor of pitch or of energy."""

    n_bins: int = kept(256, f"{T2S}.pitch.n_bins", gt=1)
    level: Level = kept("phone", f"{T2S}.pitch.level")


class Predictors(Part):
    """All three."""

    energy: ProsodyPredictor = kept(ProsodyPredictor(), f"{T2S}.energy")
    duration: DurationPredictor = kept(DurationPredictor(), f"{T2S}.duration")
    pitch: ProsodyPredictor = kept(ProsodyPredictor(), f"{T2S}.pitch")


class TextToSpecModel(Part):
    """Sizes of FastSpeech 2."""

    encoder: Conformer = kept(Conformer(), T2S)
    decoder: Conformer = kept(Conformer(), f"{T2S}.decoder")
    variance_predictors: Predictors = kept(Predictors(), T2S)
    target_text_representation_level: Literal["characters", "phones", "phonological_features"] = kept(
        "characters", "text.level"
    )
    learn_alignment: bool = kept(True, f"{T2S}.learns_alignment")
    use_global_style_token_module: bool = kept(False, f"{T2S}.has_style_tokens")
    max_length: int = unused(1000, NO_EFFECT)
    mel_loss: Loss = kept("mse", "training.loss.spec_distance")
    use_postnet: bool = kept(True, f"{T2S}.has_postnet")
    multilingual: bool = kept(False, f"{T2S}.has_languages")
    multispeaker: bool = kept(False, f"{T2S}.has_speakers")


NOAM = Noam(learning_rate=1e-3, betas=(0.9, 0.999), weight_decay=1e-6)


class TextToSpecTraining(Training):
    """What is said of training text-to-spec."""

    optimizer: Noam = kept(NOAM, "training.optimiser")
    vocoder_path: Path | None = unused(None, "only for the sounds in EveryVoice's logs")
    mel_loss_weight: float = kept(1.0, "training.loss.spec", ge=0)
    postnet_loss_weight: float = kept(1.0, "training.loss.postnet", ge=0)
    pitch_loss_weight: float = kept(0.1, "training.loss.pitch", ge=0)
    energy_loss_weight: float = kept(0.1, "training.loss.energy", ge=0)
    duration_loss_weight: float = kept(0.1, "training.loss.duration", ge=0)
    attn_ctc_loss_weight: float = kept(0.1, "training.loss.attn_ctc", ge=0)
    attn_bin_loss_weight: float = kept(0.1, "training.loss.attn_bin", ge=0)
    attn_bin_loss_warmup_epochs: int = kept(100, "training.loss.attn_bin_full_step", ge=1)


class TextToSpec(ModelFile):
    """everyvoice-text-to-spec.yaml, with what it refers to."""

    model: TextToSpecModel = kept(TextToSpecModel(), T2S)
    training: TextToSpecTraining = kept(TextToSpecTraining(), "training")
    preprocessing: Preprocessing = kept(Preprocessing(), "data")
    text: Text = kept(Text(), "text")
    path_to_text_config_file: Path | None = kept(None, "text")


# ---- spec-to-wav -------------------------------------------------------------------------------------------


class SpecToWavModel(Part):
    """Sizes of HiFi-GAN and of its discriminators."""

    resblock: Annotated[Literal["1", "2"], BeforeValidator(str)] = kept("1", f"{S2W}.resblock")
    upsample_rates: list[int] = kept([8, 8, 2, 2], f"{S2W}.upsample_rates", min_length=1)
    upsample_kernel_sizes: list[int] = kept([16, 16, 4, 4], f"{S2W}.upsample_kernels", min_length=1)
    upsample_initial_channel: int = kept(512, f"{S2W}.initial_channels", gt=0)
    resblock_kernel_sizes: list[int] = kept([3, 7, 11], f"{S2W}.resblock_kernels")
    resblock_dilation_sizes: list[list[int]] = kept(
        [[1, 3, 5], [1, 3, 5], [1, 3, 5]], f"{S2W}.resblock_dilations"
    )
    activation_function: str = kept("everyvoice.utils.original_hifigan_leaky_relu", S2W)
    istft_layer: bool = kept(False, f"{S2W}.is_istft")
    msd_layers: int = kept(3, "discriminators.n_scales", ge=1)
    mpd_layers: list[int] = kept([2, 3, 5, 7, 11], "discriminators.periods")


class SpecToWavTraining(Training):
    """What is said of training a vocoder."""

    generator_warmup_steps: int = kept(0, "training.adversarial_from_step", ge=0)
    gan_type: Literal["original", "wgan"] = kept("original", "training")  # must be original
    optimizer: Optimiser = kept(Optimiser(), "training.optimiser")
    wgan_clip_value: float = unused(0.01, "only for gan_type: wgan")
    finetune: bool = kept(False, "training.spec_source")


class SpecToWav(ModelFile):
    """everyvoice-spec-to-wav.yaml, with what it refers to."""

    model: SpecToWavModel = kept(SpecToWavModel(), S2W)
    training: SpecToWavTraining = kept(SpecToWavTraining(), "training")
    preprocessing: Preprocessing = kept(Preprocessing(), "data")
