"""DL-Art-School's two examples for TorToiSe as plain values: their keys and values, filled in or not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

NORMS = "../experiments/clips_mel_norms.pth"
TO_FILL = "CHANGEME_somewhere"
CHANGED_BY_USERS = {  # each line that says CHANGEME in a value
    "gpt": ("name", "datasets.train.name", "datasets.train.path", "datasets.val.name", "datasets.val.path"),
    "diff": (
        *("name", "datasets.train.path", "datasets.val.path"),
        "steps.ddpm_train.injectors.produce_latents.gpt_path",
    ),
}


def dlas_gpt() -> dict[str, Any]:
    """EXAMPLE_gpt.yml, filled in."""
    return {
        "name": "my-voice",
        "model": "extensibletrainer",
        "scale": 1,
        "gpu_ids": [0],
        "start_step": 0,
        "checkpointing_enabled": True,
        "fp16": False,
        "use_8bit": True,
        "wandb": False,
        "use_tb_logger": True,
        "datasets": {
            "train": {"name": "mine", "n_workers": 8, "batch_size": 128, **_gpt_list("train")},
            "val": {"name": "mine", "n_workers": 1, "batch_size": 64, **_gpt_list("val")},
        },
        "steps": {
            "gpt_train": {
                "training": "gpt",
                "loss_log_buffer": 500,
                "optimizer": "adamw",
                "optimizer_params": {
                    "lr": 1e-5,
                    "triton": False,
                    "weight_decay": 1e-2,
                    "beta1": 0.9,
                    "beta2": 0.96,
                },
                "clip_grad_eps": 4,
                "injectors": {
                    "paired_to_mel": _injector(
                        "torch_mel_spectrogram", "wav", "paired_mel", mel_norm_file=NORMS
                    ),
                    "paired_cond_to_mel": _injector(
                        "for_each",
                        "conditioning",
                        "paired_conditioning_mel",
                        subtype="torch_mel_spectrogram",
                        mel_norm_file=NORMS,
                    ),
                    "to_codes": _injector(
                        "discrete_token",
                        "paired_mel",
                        "paired_mel_codes",
                        dvae_config="../experiments/train_diffusion_vocoder_22k_level.yml",
                    ),
                    "paired_fwd_text": _injector(
                        "generator",
                        [
                            *("paired_conditioning_mel", "padded_text", "text_lengths"),
                            *("paired_mel_codes", "wav_lengths"),
                        ],
                        ["loss_text_ce", "loss_mel_ce", "logits"],
                        generator="gpt",
                    ),
                },
                "losses": {
                    "text_ce": {"type": "direct", "weight": 0.01, "key": "loss_text_ce"},
                    "mel_ce": {"type": "direct", "weight": 1, "key": "loss_mel_ce"},
                },
            }
        },
        "networks": {
            "gpt": {
                "type": "generator",
                "which_model_G": "unified_voice2",
                "kwargs": {
                    "layers": 30,
                    "model_dim": 1024,
                    "heads": 16,
                    "max_text_tokens": 402,
                    "max_mel_tokens": 604,
                    "max_conditioning_inputs": 2,
                    "mel_length_compression": 1024,
                    "number_text_tokens": 256,
                    "number_mel_codes": 8194,
                    "start_mel_token": 8192,
                    "stop_mel_token": 8193,
                    "start_text_token": 255,
                    "train_solo_embeddings": False,
                    "use_mel_codes_as_input": True,
                    "checkpointing": True,
                    "tortoise_compat": True,
                },
            }
        },
        "path": {"pretrain_model_gpt": "../experiments/autoregressive.pth", "strict_load": True},
        "train": {
            "niter": 50000,
            "warmup_iter": -1,
            "mega_batch_factor": 4,
            "val_freq": 500,
            "default_lr_scheme": "MultiStepLR",
            "gen_lr_steps": [500, 1000, 1400, 1800],
            "lr_gamma": 0.5,
            "ema_enabled": False,
        },
        "eval": {"pure": True},
        "logger": _logger(100, 500, debug_rate=500),
        "upgrades": {"number_of_checkpoints_to_save": 0, "number_of_states_to_save": 0},
    }


def dlas_diff() -> dict[str, Any]:
    """EXAMPLE_diff.yml, filled in."""
    return {
        "name": "my-voice-diffusion",
        "model": "extensibletrainer",
        "distortion": "sr",
        "scale": 1,
        "gpu_ids": [0],
        "start_step": 0,
        "checkpointing_enabled": True,
        "grad_scaler_enabled": False,
        "fp16": False,
        "use_8bit": True,
        "use_tb_logger": True,
        "wandb": False,
        "datasets": {
            "train": {"name": "TrainDS", "n_workers": 4, "batch_size": 32, **_diff_list("train")},
            "val": {"name": "TestDS", "n_workers": 2, "batch_size": 16, **_diff_list("val")},
        },
        "steps": {
            "ddpm_train": {
                "training": "ddpm",
                "loss_log_buffer": 2000,
                "step_outputs": ["loss"],
                "optimizer": "adamw",
                "optimizer_params": {
                    "lr": 1e-5,
                    "triton": False,
                    "weight_decay": 0.001,
                    "beta1": 0.9,
                    "beta2": 0.999,
                },
                "clip_grad_eps": 1.0,
                "injectors": _diff_injectors(),
                "losses": {
                    "diffusion_loss": {"after": 200, "type": "direct", "weight": 1, "key": "loss"},
                    "var_loss": {"after": 200, "type": "direct", "weight": 1, "key": "vb_loss"},
                    "mel_surrogate": {
                        "type": "pix",
                        "weight": 1,
                        "criterion": "l2",
                        "real": "target_mel",
                        "fake": "mel_pred",
                    },
                },
            }
        },
        "networks": {
            "ddpm": {
                "type": "generator",
                "which_model_G": "diffusion_tts_flat",
                "kwargs": {
                    "model_channels": 1024,
                    "num_layers": 10,
                    "in_channels": 100,
                    "out_channels": 200,
                    "in_latent_channels": 1024,
                    "in_tokens": 8193,
                    "dropout": 0,
                    "use_fp16": False,
                    "num_heads": 16,
                    "layer_drop": 0,
                    "unconditioned_percentage": 0.1,
                },
            }
        },
        "path": {
            "pretrain_model_gpt": "~/.cache/tortoise/models/diffusion_decoder.pth",
            "strict_load": True,
        },
        "train": {
            "niter": 50000,
            "warmup_iter": -1,
            "warmup_steps": 0,
            "mega_batch_factor": 8,
            "val_freq": 150,
            "sort_key": "wav_lengths",
            "auto_collate": True,
            "default_lr_scheme": "MultiStepLR",
            "gen_lr_steps": [99999999],
            "lr_gamma": 0.2,
            "ema_enabled": False,
        },
        "eval": {"pure": True},
        "logger": _logger(50, 150, debug_rate=99999999),
        "upgrades": {"number_of_checkpoints_to_save": 0, "number_of_states_to_save": 0},
    }


EXAMPLES = {"gpt": dlas_gpt, "diff": dlas_diff}


def dlas_file(folder: Path, kind: str, changes: Mapping[str, Any] | None = None) -> Path:
    """Write one of the examples into `folder`, with some dotted keys set; None takes a key out."""
    values = EXAMPLES[kind]()
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        section = values
        for name in parents:
            section = section.setdefault(name, {})
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    path = folder / f"{kind}.yml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def _gpt_list(part: str) -> dict[str, Any]:
    return {
        "mode": "paired_voice_audio",
        "path": f"../data/{part}.txt",
        "fetcher_mode": ["lj"],
        "phase": part,
        "max_wav_length": 255995,
        "max_text_length": 200,
        "sample_rate": 22050,
        "load_conditioning": True,
        "num_conditioning_candidates": 2,
        "conditioning_length": 44000,
        "use_bpe_tokenizer": True,
        "load_aligned_codes": False,
    }


def _diff_list(part: str) -> dict[str, Any]:
    return _gpt_list(part) | {
        "max_wav_length": 220500,
        "max_text_length": 999,
        "num_conditioning_candidates": 1,
        "conditioning_length": 102400,
        "needs_collate": False,
    }


def _injector(kind: str, enters: Any, leaves: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, "in": enters, "out": leaves, **more}


def _diff_injectors() -> dict[str, Any]:
    rates = {"input_sample_rate": 22050, "output_sample_rate": 24000}
    mel = {"mel_fmax": 12000, "sampling_rate": 24000, "n_mel_channels": 100}
    return {
        "to_mel": _injector("torch_mel_spectrogram", "wav", "mel", mel_norm_file=NORMS),
        "resample_wav": _injector("audio_resample", "wav", "wav_for_vocoder", **rates),
        "tacotron_mel": _injector(
            "mel_spectrogram", "wav_for_vocoder", "target_mel", do_normalization=True, **mel
        ),
        "resample_cond": _injector(
            "for_each", "conditioning", "conditioning_for_vocoder", subtype="audio_resample", **rates
        ),
        "cond_to_mel": _injector(
            "for_each", "conditioning_for_vocoder", "cond_mel", subtype="mel_spectrogram", **mel
        ),
        "produce_latents": _injector(
            "gpt_voice_latent",
            "wav",
            "gpt_latent",
            gpt_path="../experiments/tuned.pth",
            conditioning_clip="conditioning",
            text="padded_text",
            text_lengths="text_lengths",
            input_lengths="wav_lengths",
        ),
        "diffusion": _injector(
            "gaussian_diffusion",
            "target_mel",
            "loss",
            generator="ddpm",
            beta_schedule={"schedule_name": "linear", "num_diffusion_timesteps": 4000},
            diffusion_args={
                "model_mean_type": "epsilon",
                "model_var_type": "learned_range",
                "loss_type": "mse",
            },
            sampler_type="uniform",
            model_input_keys={
                "aligned_conditioning": "gpt_latent",
                "conditioning_input": "cond_mel",
                "return_code_pred": True,
            },
            extra_model_output_keys=["mel_pred"],
            out_key_vb_loss="vb_loss",
            out_key_x_start="x_start_pred",
        ),
    }


def _logger(every: int, saved: int, *, debug_rate: int) -> dict[str, Any]:
    return {
        "print_freq": every,
        "save_checkpoint_freq": saved,
        "visuals": ["gen", "mel"],
        "visual_debug_rate": debug_rate,
        "is_mel_spectrogram": True,
        "disable_state_saving": True,
    }
