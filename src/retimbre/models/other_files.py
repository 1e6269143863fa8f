"""Files beside the models, and which of all files that no family of ours builds one is.

Ask here after the families: what one of them recognises is never looked at.
"""

import sys
from collections import Counter

import torch

from retimbre.checkpoint.read import Contents
from retimbre.checkpoint.shapes import shapes_of
from retimbre.errors import CheckpointError
from retimbre.models.adapter import described_in, is_adapter
from retimbre.models.complete import visible
from retimbre.models.hifigan.from_shapes import discriminator_tensors
from retimbre.models.other_networks import bigvgan, classifier, is_classifier, styletts2, xtts
from retimbre.models.recognised import Recognised, Row, known, mapping, whole_number

__all__ = ["ROWS", "Recognised", "is_classifier", "recognise"]

# The first of the 80 divisors that TorToiSe and XTTS were released with.
RELEASED_NORMS = (-7.00946, -6.083233, -4.643991, -3.356217, -2.454781)
AUTO, DIFFUSION = "autoregressive", "diffusion"  # the latents in a voice of ours
VOICE_KEY = "retimbre_voice"  # in its head
LATENT, EMBEDDING = "gpt_cond_latent", "speaker_embedding"
NOBODY = {  # packages that do not tell whose a file is; the last three are names of Python itself
    "pytorch_lightning", "lightning", "lightning_fabric", "torch", "torchmetrics", "numpy", "omegaconf",
    "__builtin__", "copy_reg", "__main__",
}  # fmt: skip


def recognise(contents: Contents) -> Recognised | None:
    """What a file is that no family recognises; None where nobody knows."""
    return next((found for row in ROWS if (found := row(contents))), None)


def tortoise_voice(contents: Contents) -> Recognised | None:
    """Two latents, or four values of which the last two are spectrograms and nothing."""
    shapes = shapes_of(contents.tensors)
    is_pair = {"0", "1"} <= shapes.keys() <= {"0", "1", "2", "3"}
    if not is_pair or any(len(shapes[name]) != 2 or shapes[name][0] != 1 for name in ("0", "1")):
        return None
    return Recognised(
        name="tortoise-voice",
        what="a voice that TorToiSe saved: what it heard in recordings, no model",
        facts=known(
            {
                "autoregressive_latent": shapes["0"][1],
                "diffusion_latent": shapes["1"][1],
                "holds_spectrograms": True if "2" in shapes else None,
            }
        ),
    )


def retimbre_voice(contents: Contents) -> Recognised | None:
    """One or two latents, and in the head of the file what they came from."""
    shapes = shapes_of(contents.tensors)
    is_named = {AUTO} <= shapes.keys() <= {AUTO, DIFFUSION} and VOICE_KEY in contents.metadata
    if not is_named or any(len(shape) != 1 for shape in shapes.values()):
        return None
    return Recognised(
        name="retimbre-voice",
        what="a voice for TorToiSe that Retimbre saved: what it heard in recordings, no model",
        facts={f"{name}_latent": shapes[name][0] for name in sorted(shapes)},
    )


def adapters(contents: Contents) -> Recognised | None:
    """Small matrices, and in the head of the file for which base."""
    if not is_adapter(contents):
        return None
    try:
        said = described_in(contents)
    except CheckpointError as error:
        return Recognised(name="retimbre-adapter", what=f"a LoRA adapter that is damaged: {error}")
    return Recognised(
        name="retimbre-adapter",
        what=f"a LoRA adapter for a {visible(said.family)}, which speaks over its base "
        f"{visible(said.base.file)} (--adapter FILE): no model by itself",
        facts=known(
            {
                "family": visible(said.family),
                "rank": said.rank,
                "alpha": said.alpha,
                "targets": list(map(visible, said.targets)),
                "step": said.step,
                "contact": visible(str(said.lineage.get("contact") or "")) or None,
                "base_file": visible(said.base.file),
                "base_sha256": visible(said.base.sha256),
            }
        ),
    )


def mel_norms(contents: Contents) -> Recognised | None:
    """One tensor of 80 negative numbers. TorToiSe's and XTTS's released files are the same, byte by byte."""
    outline = contents.tensors.meta().get(".")
    if outline is None or tuple(outline.shape) != (80,) or not outline.dtype.is_floating_point:
        return None
    norms = contents.tensors["."].double()
    if not bool((norms < 0).all()):
        return None
    first = torch.tensor(RELEASED_NORMS, dtype=torch.float64)
    return Recognised(
        name="mel-norms",
        what="divisors of the bands of a log-mel, TorToiSe's mel_norms.pth or XTTS's mel_stats.pth: no model",
        facts={"n_mels": 80, "is_released": torch.allclose(norms[:5], first, atol=1e-4)},
    )


def xtts_speakers(contents: Contents) -> Recognised | None:
    """A latent and an embedding for each name."""
    shapes = shapes_of(contents.tensors)
    names = [name.removesuffix(f"/{LATENT}") for name in shapes if name.endswith(f"/{LATENT}")]
    if not names or not all(f"{name}/{EMBEDDING}" in shapes for name in names):
        return None
    return Recognised(
        name="xtts-speakers",
        what="speakers that XTTS comes with: what it heard in their recordings, no model",
        facts={"speakers": names},
    )


def dlas_training_state(contents: Contents) -> Recognised | None:
    """Optimisers and schedulers, without weights."""
    values = contents.values
    if not {"optimizers", "schedulers", "iter"} <= values.keys() or len(contents.tensors):
        return None
    step = whole_number(values["iter"])
    is_8bit = any(name.endswith(("/state1", "/qmap1")) for name in contents.other_tensors)
    return Recognised(
        name="dlas-training-state",
        what="optimisers of a DL-Art-School run, no model: the weights are in "
        + (f"models/{step}_gpt.pth or its like" if step is not None else "another file"),
        facts=known({"step": step, "epoch": whole_number(values.get("epoch")), "is_8bit": is_8bit}),
    )


def lightning(contents: Contents) -> Recognised | None:
    """What PyTorch Lightning saved for another program."""
    values = contents.values
    version = values.get("pytorch-lightning_version")
    if version is None and not (contents.weights_at == "state_dict" and "hyper_parameters" in values):
        return None
    packages = sorted({name.split(".")[0] for name in contents.notes} - NOBODY - sys.stdlib_module_names)
    model = mapping(values.get("model_info")).get("name")
    whose = f"EveryVoice's {model}" if model else ", ".join(packages) or "a program that it does not name"
    return Recognised(
        name="lightning",
        what=f"a checkpoint of PyTorch Lightning, written for {whose}: no model that Retimbre knows",
        facts=known(
            {
                "lightning_version": version,
                "step": whole_number(values.get("global_step")),
                "epoch": whole_number(values.get("epoch")),
                "packages": tuple(packages) or None,
            }
        ),
    )


def hifigan_discriminators(contents: Contents) -> Recognised | None:
    """Discriminators without their generator, as the original HiFi-GAN writes them in `do_…`."""
    tensors = discriminator_tensors(contents.tensors.meta())
    if not tensors:
        return None
    judges = {tuple(name.split(".")[:3]) for name in tensors}  # mpd.discriminators.0
    counts = Counter(f"{kind}_count" for kind, *_ in judges)
    return Recognised(
        name="hifigan-discriminators",
        what="discriminators without their generator, which the original HiFi-GAN keeps in g_… beside them",
        facts=known(
            {
                **dict(sorted(counts.items())),
                "step": whole_number(contents.values.get("steps")),
                "epoch": whole_number(contents.values.get("epoch")),
            }
        ),
    )


# The more telling first; a Lightning checkpoint may hold any of the others.
ROWS: tuple[Row, ...] = (
    xtts,
    styletts2,
    bigvgan,
    classifier,
    tortoise_voice,
    retimbre_voice,
    adapters,
    mel_norms,
    xtts_speakers,
    dlas_training_state,
    hifigan_discriminators,
    lightning,
)
