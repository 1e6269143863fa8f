"""TorToiSe's side of bench_tortoise.py: tortoise-tts 3.0.0 in an environment of its own.

    PYTHON benchmarks/tortoise_theirs.py TASK.json

Its autoregressive network decodes with its cache, as its program does by default; where it is asked for
bfloat16, under autocast, or by the switch that its diffusion network has.
"""

import sys
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn
from tortoise_child import Kept, Run, Task, serve

warnings.simplefilter("ignore")
for package in ("progressbar", "inflect", "unidecode"):  # of other parts of its program
    if find_spec(package) is None:
        sys.modules[package] = MagicMock()

from tortoise import api  # noqa: E402
from tortoise.models.autoregressive import UnifiedVoice  # noqa: E402
from tortoise.models.clvp import CLVP  # noqa: E402
from tortoise.models.diffusion_decoder import DiffusionTts  # noqa: E402
from tortoise.models.random_latent_generator import RandomLatentConverter  # noqa: E402
from tortoise.models.vocoder import UnivNetGenerator  # noqa: E402

GUIDED_STEPS, GUIDED_STEP = 80, 8  # late: at the beginning much noise would hide what differs
SAMPLING = {
    "do_sample": True,
    "temperature": 0.8,
    "top_p": 0.8,
    "repetition_penalty": 2.0,
    "length_penalty": 1.0,
}
SEED = 1

task = Task.read(Path(sys.argv[1]))
kept = Kept()


def loaded(name: str, build: Callable[..., nn.Module], **changed: Any) -> nn.Module:  # noqa: ANN401
    """A network of the set, built as TorToiSe does."""
    network = build(**{**task.kwargs[name], **changed})
    content = torch.load(task.folder / f"{name}.pth", weights_only=True, mmap=True)
    content = content.get("model_g", content)
    network.load_state_dict(content, strict=name != "autoregressive")  # its file has masks of older versions
    network.eval()
    return network


def autoregressive(*, cached: bool = True) -> UnifiedVoice:
    """With the parts that decode."""

    def make() -> UnifiedVoice:
        network = loaded("autoregressive", UnifiedVoice)
        network.post_init_gpt2_config(kv_cache=cached)
        return network

    return kept.get(f"autoregressive {cached}", make)


def diffusion(kind: str) -> DiffusionTts:
    """In the precision that is asked for."""
    is_reduced = kind == "bfloat16"
    return kept.get(
        f"diffusion {kind}", lambda: loaded("diffusion_decoder", DiffusionTts, use_fp16=is_reduced)
    )


def vocoder() -> UnivNetGenerator:
    """Without weight norm."""

    def make() -> UnivNetGenerator:
        network = loaded("vocoder", UnivNetGenerator)
        network.eval(inference=True)
        return network

    return kept.get("vocoder", make)


def reduced(kind: str) -> AbstractContextManager[Any]:
    """Autocast, where it is asked for."""
    return torch.autocast("cpu", torch.bfloat16, enabled=kind == "bfloat16")


def decode(kind: str, batch: int, *, cached: bool = True) -> Run:
    """Codes for a text; of all that could be drawn only the likeliest is left: they can be compared."""
    network = autoregressive(cached=cached)

    def run() -> Tensor:
        with reduced(kind):
            return network.inference_speech(
                task.inputs["voice"],
                task.inputs["symbols"],
                num_return_sequences=batch,
                max_generate_length=task.n_codes,
                top_k=1,
                **SAMPLING,
            )

    return run


def latents(kind: str) -> Run:
    """The second pass over the codes that were chosen."""
    network, codes = autoregressive(), task.inputs["codes"]
    lengths = torch.tensor([task.inputs["symbols"].shape[1]]), torch.tensor([codes.shape[1] * 1024])

    def run() -> Tensor:
        with reduced(kind):
            return network(
                task.inputs["voice"],
                task.inputs["symbols"],
                lengths[0],
                codes.clone(),
                lengths[1],
                return_latent=True,
                clip_inputs=False,
            ).float()

    return run


def aligned(network: DiffusionTts) -> dict[str, Tensor]:
    """What no step changes, as an argument of the network."""
    content, voice = task.inputs["latents"], task.inputs["two_voices"]
    n_frames = task.inputs["noisy"].shape[-1]
    return {"precomputed_aligned_embeddings": network.timestep_independent(content, voice, n_frames, False)}


def diffusion_call(kind: str) -> Run:
    """The network, once."""
    network = diffusion(kind)
    known = aligned(network)
    return lambda: network(task.inputs["noisy"], task.inputs["timesteps"], **known)


def guided_step(kind: str) -> Run:
    """What the spec is without its noise, drawn away from that of nothing said."""
    network = diffusion(kind)
    known = aligned(network)
    diffuser = api.load_discrete_vocoder_diffuser(desired_diffusion_steps=GUIDED_STEPS, cond_free_k=2.0)
    noisy, step = task.inputs["noisy"], torch.tensor([GUIDED_STEP])
    return lambda: diffuser.p_mean_variance(network, noisy, step, model_kwargs=known)["pred_xstart"]


def ranking(kind: str) -> Run:
    """The score of each candidate."""
    network = kept.get("clvp", lambda: loaded("clvp2", CLVP))
    candidates = task.inputs["candidates"]
    text = task.inputs["symbols"].repeat(len(candidates), 1)

    def run() -> Tensor:
        with reduced(kind):
            return network(text, candidates, return_loss=False).float()

    return run


def sound() -> Run:
    """A spec as a waveform."""
    network = vocoder()
    return lambda: network.inference(task.inputs["spec"], task.inputs["noise"])


def random_voices() -> Run:
    """Both latents of a voice that nobody has."""
    networks = {
        name: kept.get(name, lambda name=name: loaded(name, RandomLatentConverter))
        for name in ("rlg_auto", "rlg_diffuser")
    }
    return lambda: torch.cat(
        [network.layers(task.inputs[name]) for name, network in networks.items()], dim=1
    )  # the class itself draws its noise, which then could not be the same


def sentence() -> Run:
    """Its own function for a whole sentence, with the preset `ultra_fast` and a full batch."""
    speaker = api.TextToSpeech.__new__(api.TextToSpeech)  # its constructor fetches weights and fixes sizes
    speaker.autoregressive_batch_size = task.batch
    speaker.enable_redaction = speaker.half = False
    speaker.device = torch.device("cpu")
    speaker.cvvp = speaker.rlg_auto = speaker.rlg_diffusion = None
    speaker.tokenizer = MagicMock(**{"encode.return_value": task.inputs["symbols"][0].tolist()})
    speaker.autoregressive, speaker.diffusion = autoregressive(), diffusion("float32")
    speaker.clvp, speaker.vocoder = kept.get("clvp", lambda: loaded("clvp2", CLVP)), vocoder()
    voice = task.inputs["voice"], task.inputs["two_voices"]
    sampling = {name: value for name, value in SAMPLING.items() if name != "do_sample"}
    return lambda: speaker.tts(
        "",
        conditioning_latents=voice,
        num_autoregressive_samples=task.batch,
        diffusion_iterations=task.n_steps,
        cond_free=False,
        use_deterministic_seed=SEED,
        verbose=False,
        **sampling,
    )


STAGES = {
    ("same-codes", "float32"): lambda: decode("float32", 1, cached=False),
    ("decode-1", "float32"): lambda: decode("float32", 1),
    ("decode-1", "bfloat16"): lambda: decode("bfloat16", 1),
    ("decode-16", "float32"): lambda: decode("float32", task.batch),
    ("decode-16", "bfloat16"): lambda: decode("bfloat16", task.batch),
    ("latents", "float32"): lambda: latents("float32"),
    ("latents", "bfloat16"): lambda: latents("bfloat16"),
    ("diffusion-call", "float32"): lambda: diffusion_call("float32"),
    ("diffusion-call", "bfloat16"): lambda: diffusion_call("bfloat16"),
    ("guided-step", "float32"): lambda: guided_step("float32"),
    ("guided-step", "bfloat16"): lambda: guided_step("bfloat16"),
    ("clvp", "float32"): lambda: ranking("float32"),
    ("clvp", "bfloat16"): lambda: ranking("bfloat16"),
    ("univnet", "float32"): sound,
    ("random-voices", "float32"): random_voices,
    ("sentence", "float32"): sentence,
}

if __name__ == "__main__":
    serve("theirs", STAGES, task, kept)
