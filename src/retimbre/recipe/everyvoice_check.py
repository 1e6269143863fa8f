"""What contradicts itself in EveryVoice's files, or asks for what there is not: each in one line."""

import math

from retimbre.errors import RecipeError
from retimbre.recipe.everyvoice_files import Merged
from retimbre.recipe.everyvoice_schema import Audio, SpecToWav, SpecToWavModel, TextToSpec, TextToSpecModel

NEWEST = {"text-to-spec": (1, 1), "spec-to-wav": (1, 0)}
SPEC_TYPES = ("mel-librosa", "mel")
STYLE_HEADS = 4  # of the attention to style tokens
ISTFT_HOP = 4  # samples per column of the inverse transform


def require_text_to_spec(config: TextToSpec, merged: Merged, notes: list[str]) -> None:
    """One width everywhere, a text level and a spectrogram that there are.

    Raises:
        RecipeError: otherwise.
    """
    _require_version(config.VERSION, merged)
    _require_spectrogram(config.preprocessing.audio, merged)
    model = config.model
    _require_one_width(model, merged)
    if model.use_global_style_token_module and model.encoder.input_dim % STYLE_HEADS:
        raise RecipeError(
            f"{merged.where('model.encoder.input_dim')}: style tokens do not fit this width",
            expected=f"an input_dim that {STYLE_HEADS} divides",
            found=str(model.encoder.input_dim),
            do="write 'input_dim: 256' in all five",
        )
    audio = config.preprocessing.audio
    if audio.output_sampling_rate != audio.input_sampling_rate:
        notes.append("output_sampling_rate: only a vocoder's; text-to-spec is trained at the input rate")


def require_vocoder(config: SpecToWav, merged: Merged) -> None:
    """Rates, kernels and hop that fit each other.

    Raises:
        RecipeError: otherwise.
    """
    _require_version(config.VERSION, merged)
    audio, model = config.preprocessing.audio, config.model
    _require_spectrogram(audio, merged)
    if audio.output_sampling_rate % audio.input_sampling_rate:
        place = merged.where("preprocessing.audio.output_sampling_rate")
        raise RecipeError(
            f"{place}: a vocoder cannot speak at this rate",
            expected=f"a multiple of input_sampling_rate, {audio.input_sampling_rate}",
            found=str(audio.output_sampling_rate),
            do=f"write 'output_sampling_rate: {audio.input_sampling_rate}'",
        )
    _require_kernels(model, merged)
    _require_hop(model, audio, merged)


def _require_version(version: str, merged: Merged) -> None:
    newest = NEWEST[merged.stage]
    known = ".".join(map(str, newest))
    parts = version.split(".")
    if not all(part.isdecimal() for part in parts) or tuple(map(int, parts)) > newest:
        raise RecipeError(
            f"{merged.where('VERSION')}: this is of a newer EveryVoice than Retimbre knows",
            expected=f"VERSION up to {known}",
            found=version,
            do=f"update Retimbre, or write \"VERSION: '{known}'\" if the keys are those of EveryVoice 0.5",
        )


def _require_spectrogram(audio: Audio, merged: Merged) -> None:
    if audio.spec_type not in SPEC_TYPES:
        raise RecipeError(
            f"{merged.where('preprocessing.audio.spec_type')}: this kind of spectrogram is not supported",
            expected=" or ".join(SPEC_TYPES),
            found=audio.spec_type,
            do="write 'spec_type: mel-librosa'",
        )


def _require_one_width(model: TextToSpecModel, merged: Merged) -> None:
    predictors = model.variance_predictors
    widths = {
        "encoder": model.encoder.input_dim,
        "decoder": model.decoder.input_dim,
        "variance_predictors.duration": predictors.duration.input_dim,
        "variance_predictors.energy": predictors.energy.input_dim,
        "variance_predictors.pitch": predictors.pitch.input_dim,
    }
    first = model.encoder.input_dim
    other = next((name for name, width in widths.items() if width != first), None)
    if other:
        raise RecipeError(
            f"{merged.where(f'model.{other}.input_dim')}: the five values of input_dim differ",
            expected=f"{first} everywhere, as in encoder",
            found=f"{widths[other]} in {other}",
            do=f"write 'input_dim: {first}' in all five",
        )


def _require_kernels(model: SpecToWavModel, merged: Merged) -> None:
    rates, kernels = model.upsample_rates, model.upsample_kernel_sizes
    place = merged.where("model.upsample_kernel_sizes")
    if len(rates) != len(kernels):
        raise RecipeError(
            f"{place}: upsample_rates and upsample_kernel_sizes differ in length",
            expected="one kernel for each rate",
            found=f"{len(rates)} rates, {len(kernels)} kernels",
            do=f"write 'upsample_kernel_sizes: {[2 * rate for rate in rates]}'",
        )
    for rate, kernel in zip(rates, kernels, strict=True):
        if rate < 1 or kernel < rate or kernel % rate:
            raise RecipeError(
                f"{place}: a kernel of {kernel} does not go with an upsampling rate of {rate}",
                expected="a multiple of the rate",
                found=f"rates {rates}, kernels {kernels}",
                do=f"write 'upsample_kernel_sizes: {[2 * rate for rate in rates]}'",
            )


def _require_hop(model: SpecToWavModel, audio: Audio, merged: Merged) -> None:
    product, hop = math.prod(model.upsample_rates), audio.output_hop_size
    needed = hop // ISTFT_HOP if model.istft_layer else hop
    if product != needed:
        times = audio.output_sampling_rate // audio.input_sampling_rate
        why = f"fft_hop_size {audio.fft_hop_size}" + (f" x {times} for the output rate" if times > 1 else "")
        why += f" / {ISTFT_HOP} for the inverse STFT" if model.istft_layer else ""
        raise RecipeError(
            f"{merged.where('model.upsample_rates')}: upsample_rates do not make a frame of the spectrogram",
            expected=f"a product of {needed} ({why})",
            found=f"{' x '.join(map(str, model.upsample_rates))} = {product}",
            do="choose other rates, or another fft_hop_size for both stages",
        )
    if audio.vocoder_segment_size % product:
        raise RecipeError(
            f"{merged.where('preprocessing.audio.vocoder_segment_size')}: vocoder_segment_size is no whole "
            "number of frames",
            expected=f"a multiple of {product}",
            found=str(audio.vocoder_segment_size),
            do=f"write 'vocoder_segment_size: {max(1, round(audio.vocoder_segment_size / hop)) * hop}'",
        )
