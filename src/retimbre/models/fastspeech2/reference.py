"""What EveryVoice calls the sizes of a FastSpeech 2: the `model` section of its text-to-spec configuration.

Source: the schema of EveryVoice 0.5.0 (`everyvoice-text-to-spec.schema.json`). What makes no difference to
the network (`loss`, `max_length`, `mel_loss`) has EveryVoice's default.
"""

from typing import Any

from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, Level, PredictorSizes

MAX_LENGTH = 1000


def model_section(config: FastSpeech2Config) -> dict[str, Any]:
    """With these values EveryVoice builds the same network."""
    features = "phonological_features" if config.n_features is not None else "characters"
    return {
        "encoder": _stack(config.encoder),
        "decoder": _stack(config.decoder),
        "variance_predictors": {
            "energy": _predictor(config.energy, config.n_energy_bins) | _level(config.energy_level),
            "duration": _predictor(config.duration, config.n_pitch_bins),
            "pitch": _predictor(config.pitch, config.n_pitch_bins) | _level(config.pitch_level),
        },
        "target_text_representation_level": features,
        "learn_alignment": config.learns_alignment,
        "use_global_style_token_module": config.style is not None,
        "max_length": MAX_LENGTH,
        "mel_loss": "mse",
        "use_postnet": config.postnet_dim is not None,
        "multilingual": config.n_languages is not None,
        "multispeaker": config.n_speakers is not None,
    }


def _stack(sizes: ConformerSizes) -> dict[str, Any]:
    return {
        "layers": sizes.n_layers,
        "heads": sizes.n_heads,
        "input_dim": sizes.dim,
        "feedforward_dim": sizes.feedforward_dim,
        "conv_kernel_size": sizes.kernel,
        "dropout": sizes.dropout,
    }


def _predictor(sizes: PredictorSizes, n_bins: int) -> dict[str, Any]:
    return {
        "loss": "mse",
        "n_layers": sizes.n_layers,
        "kernel_size": sizes.kernel,
        "dropout": sizes.dropout,
        "input_dim": sizes.dim,
        "n_bins": n_bins,
        "depthwise": sizes.is_depthwise,
    }


def _level(level: Level) -> dict[str, str]:
    return {"level": level.value}
