"""Every key that a DL-Art-School YAML for TorToiSe may have, and what it means here.

Keys are dotted; `*` stands for a name that the file chooses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

RATE_HZ = 22050  # of everything that it reads
LABELS = "a label in its log"
LOG = "its own log; here it is metrics.jsonl and TensorBoard's events in the run's folder"
WIRING = "what is computed from what is fixed here, as in its examples"
PICTURES = "pictures of validation utterances are written at each validation"
GROUPS = "training.moving names the groups that learn"
SIZES = "sizes come from the checkpoint"  # where there is nothing to compare with


@dataclass(frozen=True, kw_only=True)
class Honoured:
    """A value of our recipes, by another name.

    Args:
        ours: Its key.
        convert: What becomes of it; ValueError says what was expected.
        remark: What is to be known about it.
    """

    ours: str
    convert: Callable[[Any], Any]
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class Same:
    """A value that cannot be chosen here.

    Args:
        accepted: What it may be.
        otherwise: What is said of another one.
        refuses: Another one ends in an error, because what was asked for would not be had.
    """

    accepted: tuple[Any, ...]
    otherwise: str
    refuses: bool = False


@dataclass(frozen=True)
class Ignored:
    """A value that goes nowhere, and why."""

    why: str


@dataclass(frozen=True)
class Apart:
    """A value that is understood together with others."""


Rule = Honoured | Same | Ignored | Apart


def whole(value: Any, least: int = 1) -> int:  # noqa: ANN401 - a file may hold anything
    """A number of things."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"a whole number of at least {least}")
    return value


def whole_or_none(value: Any) -> int:  # noqa: ANN401
    """A number of things, perhaps none."""
    return whole(value, least=0)


def number(value: Any) -> float:  # noqa: ANN401
    """A number that is not negative; YAML takes `1e-5` for a text."""
    try:
        found = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError):
        found = -1.0
    if not 0 <= found < float("inf"):
        raise ValueError("a number that is not negative")
    return found


def seconds(value: Any) -> float:  # noqa: ANN401
    """From samples."""
    return whole(value) / RATE_HZ


def steps_of_list(value: Any) -> list[int]:  # noqa: ANN401
    """Steps in their order."""
    if not isinstance(value, list) or value != sorted(map(whole, value)):
        raise ValueError("a list of steps in ascending order")
    return value


def truth(value: Any) -> bool:  # noqa: ANN401
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


TOP: Mapping[str, Rule] = {
    "name": Apart(),
    "model": Same(accepted=("extensibletrainer",), otherwise="extensibletrainer", refuses=True),
    "scale": Ignored("of pictures"),
    "distortion": Ignored("of pictures"),
    "gpu_ids": Ignored("a run trains on the first device, or on the processor"),
    "start_step": Same(accepted=(0, -1), otherwise="a run counts its steps from 0"),
    "force_start_step": Ignored("a run counts its steps from 0"),
    "checkpointing_enabled": Honoured(ours="training.recomputes", convert=truth),
    "fp16": Apart(),
    "use_8bit": Apart(),
    "grad_scaler_enabled": Ignored("neither float32 nor bfloat16 needs gradients to be scaled"),
    "wandb": Ignored(LOG),
    "wandb_project_name": Ignored(LOG),
    "wandb_run_name": Ignored(LOG),
    "use_tb_logger": Ignored(LOG),
    "eval.pure": Ignored("validation always goes through the path that speaking takes"),
    "logger.print_freq": Honoured(ours="training.log_every_steps", convert=whole),
    "logger.save_checkpoint_freq": Honoured(ours="training.checkpoint_every_steps", convert=whole),
    "logger.visuals": Ignored(PICTURES),
    "logger.visual_debug_rate": Ignored(PICTURES),
    "logger.is_mel_spectrogram": Ignored(PICTURES),
    "logger.disable_state_saving": Ignored(
        "everything is always saved, also on Ctrl-C: any run goes on by --resume"
    ),
    "upgrades.number_of_checkpoints_to_save": Apart(),
    "upgrades.number_of_states_to_save": Apart(),
}
DATA: Mapping[str, Rule] = {
    "name": Ignored(LABELS),
    "phase": Ignored(LABELS),
    "n_workers": Honoured(ours="training.n_workers", convert=whole_or_none),
    "batch_size": Honoured(ours="training.batch_size", convert=whole),
    "mode": Same(accepted=("paired_voice_audio",), otherwise="paired_voice_audio", refuses=True),
    "path": Apart(),
    "fetcher_mode": Same(
        accepted=("lj", ["lj"], "libritts", ["libritts"]),
        otherwise="lj: a list of lines 'path|text'",
        refuses=True,
    ),
    "max_wav_length": Honoured(ours="data.max_duration_s", convert=seconds),
    "max_text_length": Ignored("any text that the network has positions for is read; longer ones are listed"),
    "sample_rate": Same(accepted=(RATE_HZ,), otherwise=f"{RATE_HZ}, as the dVAE hears it", refuses=True),
    "load_conditioning": Same(accepted=(True,), otherwise="a voice is always heard from recordings"),
    "num_conditioning_candidates": Apart(),
    "conditioning_length": Apart(),
    "use_bpe_tokenizer": Same(accepted=(True,), otherwise="true: the network reads pieces", refuses=True),
    "tokenizer_vocab": Apart(),
    "load_aligned_codes": Same(
        accepted=(False,), otherwise="false: aligned codes are not learnt", refuses=True
    ),
    "needs_collate": Ignored("batches are always padded to their longest utterance"),
    "debug_loading_failures": Ignored("every utterance that is left out is always listed with its reason"),
}
STEP: Mapping[str, Rule] = {
    "training": Apart(),
    "loss_log_buffer": Ignored(LOG),
    "step_outputs": Ignored(LOG),
    "optimizer": Apart(),
    "optimizer_params.lr": Honoured(ours="training.optimiser.learning_rate", convert=number),
    "optimizer_params.weight_decay": Honoured(
        ours="training.optimiser.weight_decay",
        convert=number,
        remark="of matrices alone, as there",
    ),
    "optimizer_params.beta1": Apart(),
    "optimizer_params.beta2": Apart(),
    "optimizer_params.triton": Ignored("Lion needs no kernels of its own"),
    "clip_grad_eps": Apart(),
    "check_grads_for_nan": Ignored("a gradient that is no number always stops the run"),
}
INJECTOR: Mapping[str, Rule] = {
    **dict.fromkeys(("in", "out", "generator", "conditioning_clip", "text", "text_lengths"), Ignored(WIRING)),
    **dict.fromkeys(("input_lengths", "out_key_vb_loss", "out_key_x_start"), Ignored(WIRING)),
    **dict.fromkeys(("extra_model_output_keys", "dvae_name", "gpt_name", "gpt_config"), Ignored(WIRING)),
    "mel_norm_file": Ignored("TorToiSe's norms, which Retimbre has"),
    "type": Apart(),
    "subtype": Same(
        accepted=("torch_mel_spectrogram", "mel_spectrogram", "audio_resample"),
        otherwise="torch_mel_spectrogram, mel_spectrogram or audio_resample",
        refuses=True,
    ),
    "dvae_config": Apart(),
    "gpt_path": Apart(),
    "input_sample_rate": Same(accepted=(RATE_HZ,), otherwise=f"{RATE_HZ}", refuses=True),
    "output_sample_rate": Same(accepted=(24000,), otherwise="24000, as UnivNet speaks", refuses=True),
    "sampling_rate": Same(accepted=(24000,), otherwise="24000, as UnivNet speaks", refuses=True),
    "mel_fmax": Same(accepted=(12000,), otherwise="12000, as UnivNet reads it", refuses=True),
    "n_mel_channels": Same(accepted=(100,), otherwise="100, as UnivNet reads them", refuses=True),
    "do_normalization": Same(accepted=(True, False), otherwise="true or false", refuses=True),
    "beta_schedule.schedule_name": Same(accepted=("linear",), otherwise="linear", refuses=True),
    "beta_schedule.num_diffusion_timesteps": Same(accepted=(4000,), otherwise="4000", refuses=True),
    "diffusion_args.model_mean_type": Same(accepted=("epsilon",), otherwise="epsilon", refuses=True),
    "diffusion_args.model_var_type": Same(
        accepted=("learned_range",), otherwise="learned_range", refuses=True
    ),
    "diffusion_args.loss_type": Same(accepted=("mse",), otherwise="mse", refuses=True),
    "sampler_type": Same(accepted=("uniform",), otherwise="uniform", refuses=True),
    "model_input_keys.aligned_conditioning": Ignored(WIRING),
    "model_input_keys.conditioning_input": Ignored(WIRING),
    "model_input_keys.return_code_pred": Same(accepted=(True,), otherwise="true", refuses=True),
}
LOSS: Mapping[str, Rule] = dict.fromkeys(
    ("type", "weight", "key", "after", "criterion", "real", "fake"), Apart()
)
NETWORK: Mapping[str, Rule] = {
    "type": Same(accepted=("generator",), otherwise="generator", refuses=True),
    "which_model_G": Apart(),
}
KWARGS: Mapping[str, Mapping[str, Rule]] = {
    "text-to-codes": {
        **dict.fromkeys(("layers", "model_dim", "heads", "max_text_tokens", "max_mel_tokens"), Apart()),
        **dict.fromkeys(("max_conditioning_inputs", "number_text_tokens", "number_mel_codes"), Apart()),
        "mel_length_compression": Same(accepted=(1024,), otherwise="1024 samples per code", refuses=True),
        "start_mel_token": Same(accepted=(8192,), otherwise="the last but one code of the checkpoint"),
        "stop_mel_token": Same(accepted=(8193,), otherwise="the last code of the checkpoint"),
        "start_text_token": Same(accepted=(255,), otherwise="the last row of the checkpoint's text table"),
        "stop_text_token": Same(accepted=(0,), otherwise="0", refuses=True),
        "types": Same(accepted=(1,), otherwise="1", refuses=True),
        "train_solo_embeddings": Same(accepted=(False,), otherwise="false", refuses=True),
        "use_mel_codes_as_input": Same(accepted=(True,), otherwise="true", refuses=True),
        "checkpointing": Ignored("checkpointing_enabled says it"),
        "tortoise_compat": Apart(),
        "average_conditioning_embeddings": Apart(),
        "freeze_everything_but_position_embeddings": Same(
            accepted=(False,), otherwise=f"false; {GROUPS}", refuses=True
        ),
    },
    "codes-to-spec": {
        **dict.fromkeys(("model_channels", "num_layers", "in_channels", "out_channels"), Apart()),
        **dict.fromkeys(("in_latent_channels", "in_tokens", "num_heads"), Apart()),
        "dropout": Same(accepted=(0,), otherwise="nothing is dropped, as in the released network"),
        "layer_drop": Same(accepted=(0,), otherwise="no layer is left out, as in the released network"),
        "use_fp16": Same(accepted=(False,), otherwise="training.precision says it"),
        "unconditioned_percentage": Same(
            accepted=(0.1,), otherwise="0.1: for so many utterances nothing is said, which guidance needs"
        ),
        "freeze_everything_except_autoregressive_inputs": Same(
            accepted=(False,), otherwise=f"false; {GROUPS}", refuses=True
        ),
    },
}
PATH: Mapping[str, Rule] = {
    "strict_load": Same(accepted=(True,), otherwise="a checkpoint always has to fit completely"),
    "resume_state": Apart(),
    "optimizer_reset": Ignored("a new run always begins with a new optimiser"),
}
TRAIN: Mapping[str, Rule] = {
    "niter": Honoured(ours="training.steps", convert=whole),
    "warmup_iter": Apart(),
    "warmup_steps": Apart(),
    "mega_batch_factor": Honoured(
        ours="training.batch_parts", convert=whole, remark="and no utterance is dropped"
    ),
    "val_freq": Honoured(ours="training.validate_every_steps", convert=whole),
    "default_lr_scheme": Apart(),
    "gen_lr_steps": Honoured(ours="training.optimiser.milestones", convert=steps_of_list),
    "lr_gamma": Honoured(ours="training.optimiser.gamma", convert=number),
    "ema_enabled": Same(accepted=(False,), otherwise="no average of the weights is kept"),
    "ema_rate": Ignored("no average of the weights is kept"),
    "ema_on_cpu": Ignored("no average of the weights is kept"),
    "manual_seed": Honoured(ours="training.seed", convert=whole_or_none),
    "sort_key": Ignored("utterances of similar length always come together"),
    "auto_collate": Ignored("utterances of similar length always come together"),
}


def rules_of(stage: str, network: str) -> dict[str, Rule]:
    """Every known key of a file that trains this stage.

    Args:
        network: What the file calls the network.
    """
    sections: dict[str, Mapping[str, Rule]] = {
        "": TOP,
        "datasets.train.": DATA,
        "datasets.val.": DATA,
        "steps.*.": STEP,
        "steps.*.injectors.*.": INJECTOR,
        "steps.*.losses.*.": LOSS,
        "networks.*.": NETWORK,
        "networks.*.kwargs.": KWARGS[stage],
        "path.": {**PATH, f"pretrain_model_{network}": Apart(), "pretrain_model_gpt": Apart()},
        "train.": TRAIN,
    }
    return {f"{prefix}{name}": rule for prefix, rules in sections.items() for name, rule in rules.items()}
