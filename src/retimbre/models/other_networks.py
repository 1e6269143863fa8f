"""Networks that no family of ours builds: XTTS, StyleTTS 2, BigVGAN, and TorToiSe's detector of itself."""

from collections.abc import Mapping
from typing import Any

from retimbre.checkpoint.read import Contents
from retimbre.checkpoint.shapes import shapes_of
from retimbre.models.assumptions import Assumption
from retimbre.models.family import Shapes
from retimbre.models.recognised import (
    UNTRAINABLE,
    Recognised,
    conv_names,
    known,
    length,
    mapping,
    whole_number,
)
from retimbre.models.votes import count

STYLETTS2_PARTS = (
    "bert", "bert_encoder", "predictor", "decoder", "text_encoder", "predictor_encoder", "style_encoder",
    "diffusion", "text_aligner", "pitch_extractor", "mpd", "msd", "wd",
)  # fmt: skip
STYLETTS2_TELLING = {"predictor", "predictor_encoder", "style_encoder", "text_aligner", "pitch_extractor"}
XTTS_SETTINGS = {  # what no tensor tells -> what the configuration in the file calls it
    "heads": "gpt_n_heads",
    "start_audio_token": "gpt_start_audio_token",
    "stop_audio_token": "gpt_stop_audio_token",
}
HEAD_DIM = 64


def xtts(contents: Contents) -> Recognised | None:
    """Coqui's XTTS, whole (perhaps from its trainer, with a dVAE) or its GPT alone."""
    shapes = {name.removeprefix("xtts."): shape for name, shape in shapes_of(contents.tensors).items()}
    gpt = {name.removeprefix("gpt."): shape for name, shape in shapes.items() if name.startswith("gpt.")}
    is_whole = _is_gpt(gpt)
    if not is_whole:
        gpt = shapes
    version = _xtts_version(gpt)
    has_decoder = any(name.startswith("hifigan_decoder.") for name in shapes)
    if not _is_gpt(gpt) or not (version or (is_whole and has_decoder)):
        return None
    settings = mapping(mapping(contents.values.get("config")).get("model_args"))
    facts = _xtts_sizes(gpt)
    rules = _xtts_rules(facts)
    facts |= {name: whole_number(settings.get(setting)) for name, setting in XTTS_SETTINGS.items()}
    facts["d_vector_dim"] = length(shapes, 1, "hifigan_decoder.waveform_decoder.cond_layer.weight")
    facts["has_dvae"] = True if "dvae.codebook.embed" in shapes else None
    for name in ("step", "epoch"):
        facts[name] = whole_number(contents.values.get(name))
    title = f"XTTS {version}".strip() + ("" if is_whole else ", its GPT alone")
    return Recognised(
        name="-".join(filter(None, ("xtts", version, "" if is_whole else "gpt"))),
        what=f"{title}: {UNTRAINABLE}",
        facts=known(facts),
        assumed=tuple(rule for rule in rules if facts.get(rule.name) is None),
    )


def styletts2(contents: Contents) -> Recognised | None:
    """StyleTTS 2, as its own trainer saves it (each part apart below `net`) or as EveryVoice does."""
    shapes = _styletts2_shapes(contents)
    parts = {name.split(".")[0] for name in shapes}
    info = mapping(contents.values.get("model_info"))
    of_everyvoice = info.get("name") in ("StyleTTS2Module", "StyleTTS2")
    if len(parts & STYLETTS2_TELLING) < 3 and not of_everyvoice:
        return None
    n_out = length(shapes, 0, *conv_names("decoder.generator.conv_post"))
    facts = {
        "parts": tuple(part for part in STYLETTS2_PARTS if part in parts),
        "n_token": length(shapes, 0, "text_encoder.embedding.weight"),
        "hidden_dim": length(shapes, 1, "text_encoder.embedding.weight"),
        "style_dim": length(shapes, 0, "style_encoder.unshared.weight"),
        "decoder": None if n_out is None else "hifigan" if n_out == 1 else "istftnet",
        "version": info.get("version") if of_everyvoice else None,
        "step": whole_number(contents.values.get("iters", contents.values.get("global_step"))),
        "epoch": whole_number(contents.values.get("epoch")),
    }
    title = "StyleTTS 2" + (" of EveryVoice" if of_everyvoice else "")
    return Recognised(name="styletts2", what=f"{title}: {UNTRAINABLE}", facts=known(facts))


def bigvgan(contents: Contents) -> Recognised | None:
    """A BigVGAN generator: like HiFi-GAN, but its activations have tensors of their own."""
    shapes = {name.removeprefix("generator."): shape for name, shape in shapes_of(contents.tensors).items()}
    layers = {name.rsplit(".", 1)[-1] for name in shapes if ".activations." in name and ".act." in name}
    if "alpha" not in layers or not any(name.startswith("resblocks.0.") for name in shapes):
        return None
    n_stages = count(shapes, [f"ups.{{}}.0.{part}" for part in ("bias", "weight_v", "weight")])
    kernels = [length(shapes, 2, *conv_names(f"ups.{stage}.0")) for stage in range(n_stages)]
    facts = {
        "num_mels": length(shapes, 1, *conv_names("conv_pre")),
        "upsample_initial_channel": length(shapes, 0, *conv_names("conv_pre")),
        "upsample_kernel_sizes": None if None in kernels else tuple(kernels),
        "resblock": "1" if any(name.startswith("resblocks.0.convs1.") for name in shapes) else "2",
        "activation": "snakebeta" if "beta" in layers else "snake",
        "use_bias_at_final": "conv_post.bias" in shapes,
    }
    return Recognised(name="bigvgan", what=f"BigVGAN, spec -> wav: {UNTRAINABLE}", facts=known(facts))


def is_classifier(shapes: Shapes) -> bool:
    """Are these the tensors of TorToiSe's `classifier.pth`?"""
    telling = ("enc.init.0.weight", "enc.final.2.weight", "enc.attn.0.qkv.weight", "head.weight")
    return sum(name in shapes for name in telling) >= 3


def classifier(contents: Contents) -> Recognised | None:
    """TorToiSe's detector of its own speech."""
    shapes = shapes_of(contents.tensors)
    if not is_classifier(shapes):
        return None
    facts = {
        "classes": length(shapes, 0, "head.weight", "head.bias"),
        "embedding_dim": length(shapes, 1, "head.weight"),
        "base_channels": length(shapes, 0, "enc.init.0.weight"),
        "attn_blocks": count(shapes, ["enc.attn.{}.qkv.weight", "enc.attn.{}.proj_out.weight"]),
    }
    return Recognised(
        name="tortoise-classifier",
        what="TorToiSe's classifier, which tells whether TorToiSe spoke a recording: "
        "recognised, of no use to Retimbre",
        facts=known(facts),
    )


def _is_gpt(shapes: Shapes) -> bool:
    telling = ("text_embedding.weight", "mel_embedding.weight", "gpt.h.0.ln_1.weight", "final_norm.weight")
    return sum(name in shapes for name in telling) >= 2


def _xtts_version(gpt: Shapes) -> str:
    """How a voice is given to it: through a perceiver since version 2, as codes before."""
    if any(name.startswith("conditioning_perceiver.") for name in gpt):
        return "v2"
    has_prompt = any(name.startswith(("prompt_embedding.", "prompt_pos_embedding.")) for name in gpt)
    return "v1" if has_prompt else ""


def _xtts_sizes(gpt: Shapes) -> dict[str, Any]:
    """What the tensors of the GPT tell, by Coqui's names."""
    text_positions = length(gpt, 0, "text_pos_embedding.emb.weight")
    code_positions = length(gpt, 0, "mel_pos_embedding.emb.weight")
    numbered = [f"gpt.h.{{}}.{name}" for name in ("ln_1.weight", "ln_2.weight", "ln_1.bias")]
    return {
        "layers": count(gpt, numbered),
        "model_dim": length(gpt, 1, "mel_embedding.weight", "text_embedding.weight"),
        "number_text_tokens": length(gpt, 0, "text_embedding.weight", "text_head.weight"),
        "num_audio_tokens": length(gpt, 0, "mel_embedding.weight", "mel_head.weight"),
        "max_text_tokens": None if text_positions is None else text_positions - 2,
        "max_mel_tokens_plus_max_conditioning_inputs": None if code_positions is None else code_positions - 2,
        "use_perceiver_resampler": _xtts_version(gpt) == "v2",
    }


def _xtts_rules(sizes: Mapping[str, Any]) -> list[Assumption]:
    """What no tensor tells, by the rules of the released files."""
    dim, n_codes = sizes["model_dim"] or 0, sizes["num_audio_tokens"] or 0
    divides = dim % HEAD_DIM == 0
    because = f"model_dim / {HEAD_DIM}" + ("" if divides else ", which is no whole number here")
    rules = (
        ("heads", dim // HEAD_DIM if dim and divides else None, because),
        ("start_audio_token", n_codes - 2 if n_codes else None, "the last row but one"),
        ("stop_audio_token", n_codes - 1 if n_codes else None, "the last row"),
        ("residual", "norm(x) + h", "so XTTS does in its conditioning encoder"),
    )
    return [
        Assumption(name=name, value=value, because=because, can_be_stated=False)
        for name, value, because in rules
    ]


def _styletts2_shapes(contents: Contents) -> Shapes:
    """Name -> shape, each name with its part in front: `x` of `net/decoder` is `decoder.x`."""
    at, shapes = contents.weights_at or "", shapes_of(contents.tensors)
    if at.startswith("net/"):
        named = {f"{at}/{name}": shape for name, shape in shapes.items()}
        named |= shapes_of(contents.other_tensors)
        parts = {name.removeprefix("net/"): shape for name, shape in named.items() if name.startswith("net/")}
        shapes = {name.replace("/", ".", 1): shape for name, shape in parts.items()}
    return {name.replace(".module.", ".", 1): shape for name, shape in shapes.items()}
