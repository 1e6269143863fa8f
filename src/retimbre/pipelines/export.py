"""A vocoder without what only its training needs, in EveryVoice's format or in ours."""

import math
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parseaddr
from pathlib import Path
from typing import Any

import torch

from retimbre.audio.mel import MelSpec, spec_type
from retimbre.checkpoint.read import read
from retimbre.data.writing import write_with
from retimbre.errors import CheckpointError
from retimbre.models.description import Description
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.hifigan.config import GeneratorConfig
from retimbre.models.load import ENDING, Loaded, load_model, save_model
from retimbre.pipelines.fit import vocoder_in

MODEL_INFO = {"name": "HiFiGANGenerator", "version": "1.0"}
LIGHTNING = "2.6.1"  # EveryVoice 0.5.0 asks every file which version of Lightning wrote it
NOBODY = {"contact_name": "unknown", "contact_email": "unknown@example.org"}  # EveryVoice demands somebody
SEGMENT_FRAMES = 32


def export_spec_to_wav(checkpoint: Path, output: Path) -> Path:
    """Write the generator of a vocoder alone: to use, not to train on.

    Args:
        output: With the ending `.safetensors` in our format; else tensors and plain values, which EveryVoice
            reads as an exported checkpoint.

    Raises:
        CheckpointError: if the file would replace its own source, or EveryVoice knows no such vocoder.
    """
    if output.exists() and output.samefile(checkpoint):
        raise CheckpointError(f"{output} would be replaced by a part of itself", do="give another --output")
    if output.is_dir():
        raise CheckpointError(f"{output} is a folder", expected="the name of a file to write")
    loaded = load_model(checkpoint)
    generator = vocoder_in(loaded)
    if output.suffix == ENDING:
        return save_model(output, generator, replace(loaded.description, is_exported=True))
    content = _everyvoice_content(loaded, read(checkpoint).values)
    write_with(output, lambda part: torch.save(content, part))
    return output


def _everyvoice_content(loaded: Loaded, values: Mapping[str, Any]) -> dict[str, Any]:
    """The top level of the file; what EveryVoice wrote itself stays as it is."""
    hyper_parameters = values.get("hyper_parameters")
    if not isinstance(hyper_parameters, Mapping) or "config" not in hyper_parameters:
        hyper_parameters = {"config": _everyvoice_config(loaded)}
    # The memory of a tensor may be larger than the tensor, and would be written whole.
    tensors = {
        name: tensor.detach().cpu().clone() for name, tensor in vocoder_in(loaded).state_dict().items()
    }
    return {
        "epoch": values.get("epoch", 0),
        "global_step": loaded.description.step,
        "pytorch-lightning_version": values.get("pytorch-lightning_version", LIGHTNING),
        "hparams_name": values.get("hparams_name", "kwargs"),
        "hyper_parameters": hyper_parameters,
        "model_info": MODEL_INFO,
        "state_dict": HIFIGAN.theirs(tensors),
    }


def _everyvoice_config(loaded: Loaded) -> dict[str, Any]:
    """What EveryVoice must know of a vocoder that it has not trained."""
    described, config = loaded.description, vocoder_in(loaded).config
    _require_possible(loaded.path, described.output_mel, config)
    return {
        "VERSION": "1.0",
        "contact": _contact(described.lineage.get("contact")),
        "model": {
            "resblock": config.resblock,
            "upsample_rates": list(config.upsample_rates),
            "upsample_kernel_sizes": list(config.upsample_kernels),
            "upsample_initial_channel": config.initial_channels,
            "resblock_kernel_sizes": list(config.resblock_kernels),
            "resblock_dilation_sizes": [list(dilations) for dilations in config.resblock_dilations],
            "istft_layer": config.is_istft,
        },
        "preprocessing": {"audio": _everyvoice_audio(described)},
    }


def _contact(known: object) -> dict[str, str]:
    """Who answers for a voice, from EveryVoice's two words or from a recipe's one, as in `Ann <ann@…>`."""
    if isinstance(known, Mapping) and known:
        return {str(word): str(value) for word, value in known.items()}
    name, address = parseaddr(known) if isinstance(known, str) else ("", "")
    if "@" not in address:
        name, address = (str(known) if known else ""), ""
    told = {"contact_name": name, "contact_email": address}
    return NOBODY | {word: value for word, value in told.items() if value}


def _everyvoice_audio(described: Description) -> dict[str, Any]:
    mel = described.mel
    return {
        "input_sampling_rate": mel.sample_rate_hz,
        "output_sampling_rate": described.output_rate_hz,
        "alignment_sampling_rate": mel.sample_rate_hz,
        "n_fft": mel.n_fft_samples,
        "fft_window_size": mel.window_samples,
        "fft_hop_size": mel.hop_samples,
        "f_min": int(mel.low_hz),
        "f_max": int(mel.high_hz),
        "n_mels": mel.n_mels,
        "spec_type": spec_type(mel),
        "vocoder_segment_size": SEGMENT_FRAMES * described.output_mel.hop_samples,
    }


def _require_possible(path: Path, mel: MelSpec, config: GeneratorConfig) -> None:
    """Raise CheckpointError for a vocoder that no configuration of EveryVoice describes."""
    uneven = [
        f"{kernel} for {rate}"
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernels, strict=True)
        if kernel % rate
    ]
    n_fft = mel.n_fft_samples // math.prod(config.upsample_rates)
    reasons = {
        "a spectrogram of the kind mel-librosa or mel": None
        if spec_type(mel) in ("mel-librosa", "mel")
        else spec_type(mel),
        "kernels that are multiples of their rates": ", ".join(uneven) or None,
        f"an inverse STFT of {n_fft} samples": str(config.istft_n_fft_samples)
        if config.istft_n_fft_samples not in (None, n_fft)
        else None,
    }
    for expected, found in reasons.items():
        if found is not None:
            raise CheckpointError(
                f"EveryVoice knows no vocoder like {path.name}",
                expected=expected,
                found=found,
                do=f"give an --output that ends in {ENDING}, for Retimbre",
            )
