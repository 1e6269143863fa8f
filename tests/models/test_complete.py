"""Whatever is wrong with one tensor of a file, the message names that tensor."""

import re
from dataclasses import asdict
from time import process_time

import pytest
import torch

from building.mutations import mutations
from building.rankers import CLVP, CVVP
from retimbre.checkpoint.keys import DIRECTION, LENGTH, older_weight_norm
from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import Contents
from retimbre.checkpoint.shapes import outline_of, shapes_of
from retimbre.errors import CheckpointError, UnknownFamily
from retimbre.models.complete import network_outline
from retimbre.models.explain import explain
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, PredictorSizes, StyleSizes
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.model import Generator
from retimbre.models.identify import identify
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.from_shapes import TABLES
from retimbre.models.tortoise_ar.variants import HEADS, head_of
from retimbre.models.tortoise_clvp import TORTOISE_CLVP
from retimbre.models.tortoise_cvvp import TORTOISE_CVVP
from retimbre.models.tortoise_diffusion import TORTOISE_DIFFUSION
from retimbre.models.tortoise_diffusion.config import DiffusionConfig
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_hifigan import TORTOISE_HIFIGAN
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.tortoise_random_latent import TORTOISE_RANDOM_LATENT
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig
from retimbre.models.univnet import UNIVNET
from retimbre.models.univnet.config import UnivNetConfig

SYMBOLS, STYLE_TOKENS = "text_input_layer.weight", "gst.stl.gst_embs"
SPEAKERS, LANGUAGES = "speaker_embedding.weight", "language_embedding.weight"
STACK = ConformerSizes(n_layers=2, n_heads=2, dim=8, feedforward_dim=12, kernel=5)
PREDICTOR = PredictorSizes(n_layers=2, dim=8, kernel=3)
TEXT_TO_SPEC = FastSpeech2Config(
    n_symbols=11, n_mels=10, encoder=STACK, decoder=STACK, duration=PREDICTOR, pitch=PREDICTOR,
    energy=PREDICTOR, n_pitch_bins=6, n_energy_bins=7, attention_dim=9, postnet_dim=13, n_speakers=4,
    n_languages=3, style=StyleSizes(n_tokens=5, n_heads=2, channels=(4, 4), summary_dim=6),
)  # fmt: skip
VOCODER = GeneratorConfig(
    n_mels=7, upsample_rates=(4, 2, 2), upsample_kernels=(8, 4, 4), initial_channels=16,
    resblock_kernels=(3, 5), resblock_dilations=((1, 3, 5), (1, 3, 5)),
)  # fmt: skip
JUDGES = DiscriminatorConfig(width=1 / 32, periods=(2, 3, 5), n_scales=3)


def tensors_of(*networks):
    return outline_of({name: t for network in networks for name, t in network.state_dict().items()})


def explained(tensors, tmp_path):
    return explain(
        Contents(path=tmp_path / "a.pth", container="torch-zip", tensors=LazyTensors.in_memory(tensors))
    )


def first_and_last(tensors):
    """Of tensors whose names end alike but for numbers, two: the rest would only take time."""
    alike = {}
    for name in tensors:
        alike.setdefault(re.sub(r"\d+", "N", ".".join(name.split(".")[-3:])), []).append(name)
    return {name for names in alike.values() for name in (names[0], names[-1])}


def unnamed(tensors, tmp_path, **options):
    """What was done to a tensor that the message does not name."""
    found = []
    chosen = first_and_last(tensors)
    for mutation in (each for each in mutations(tensors, **options) if each.name in chosen):
        try:
            explained(mutation.tensors, tmp_path)
        except CheckpointError as error:
            if mutation.named not in str(error):
                found.append((mutation.kind, mutation.name, str(error)))
        else:
            found.append((mutation.kind, mutation.name, "no error"))
    return found


def test_one_wrong_tensor_of_a_text_to_spec_model_is_named(tmp_path):
    rows = dict.fromkeys((SYMBOLS, SPEAKERS, LANGUAGES, STYLE_TOKENS), (0,))
    found = unnamed(tensors_of(FastSpeech2(TEXT_TO_SPEC)), tmp_path, free=rows)
    # Without its table of speakers it is a good model of one speaker: only the configuration tells.
    assert found == [("remove", SPEAKERS, "no error"), ("remove", LANGUAGES, "no error")]


@pytest.mark.parametrize("table", [SPEAKERS, LANGUAGES])
def test_a_missing_table_of_a_model_of_many_is_named(table):
    shapes = shapes_of(tensors_of(FastSpeech2(TEXT_TO_SPEC)))
    del shapes[table]
    model = {"multispeaker": True, "multilingual": True}
    for known in (asdict(TEXT_TO_SPEC), {"config": {"model": model}}):
        with pytest.raises(CheckpointError, match=table):
            FASTSPEECH2.config_from(shapes, known)


def test_one_wrong_tensor_of_a_vocoder_is_named(tmp_path):
    bands = {"conv_pre.parametrizations.weight.original1": (1,)}
    assert unnamed(tensors_of(Generator(VOCODER)), tmp_path, free=bands) == []


def test_one_wrong_tensor_of_discriminators_is_named(tmp_path):
    generator, judges = tensors_of(Generator(VOCODER)), tensors_of(Discriminators(JUDGES))
    chosen = first_and_last(judges)
    for mutation in (each for each in mutations(judges) if each.name in chosen):
        with pytest.raises(CheckpointError) as raised:
            explained(generator | mutation.tensors, tmp_path)
        assert mutation.named in str(raised.value)


# ---- TorToiSe --------------------------------------------------------------------------------------------

AUTOREGRESSIVE = UnifiedVoiceConfig(
    n_layers=2, dim=16, n_heads=2, n_conditioning_layers=2, n_symbols=12, n_codes=20, n_symbol_positions=14,
    n_code_positions=17, start_symbol=11, start_code=18, stop_code=19,
)  # fmt: skip
DECODER = LatentDecoderConfig(
    latent_dim=7, conditioning_dim=9, upsample_rates=(4, 2, 2), upsample_kernels=(8, 4, 4),
    initial_channels=16, resblock_kernels=(3, 5), resblock_dilations=((1, 3, 5), (1, 3, 5)),
)  # fmt: skip
NETWORKS = {
    TORTOISE_AR: AUTOREGRESSIVE,
    TORTOISE_CLVP: CLVP,
    TORTOISE_CVVP: CVVP,
    TORTOISE_DIFFUSION: DiffusionConfig(n_mels=9, dim=16, n_layers=2, n_heads=2, latent_dim=11, n_codes=13),
    TORTOISE_DVAE: DvaeConfig(n_mels=10, n_codes=17, codebook_dim=9, dim=12, n_layers=2, n_resblocks=2),
    TORTOISE_HIFIGAN: DECODER,
    TORTOISE_RANDOM_LATENT: RandomLatentConfig(dim=5),
    UNIVNET: UnivNetConfig(n_mels=10, noise_dim=6, dim=4, strides=(4, 2), dilations=(1, 3)),
    HIFIGAN: VOCODER,
}
FREE = {  # lengths that one tensor alone tells: with another one it is another good network
    "mel_pos_embedding.emb.weight": (0,),
    "text_pos_embedding.emb.weight": (0,),
    "text_emb.weight": (0,),
    "speech_emb.weight": (0,),
    "speech_emb.emb.weight": (0,),
    "code_embedding.weight": (0,),
    "latent_conditioner.0.weight": (1,),
    "conv_pre.parametrizations.weight.original1": (1,),
    "conv_pre.weight_v": (1,),
    "conv_pre.weight": (1,),
    "cond_layer.weight": (1,),
}


def weights_of(family):
    """A tiny network's, without numbers."""
    return dict(network_outline(family.build, NETWORKS[family]))


def folded(tensors):
    """Without weight norm."""
    lengths = {name for name in tensors if name.endswith(LENGTH)}
    named = {name.replace(DIRECTION, ".weight"): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in named.items() if name not in lengths}


def prefixed(tensors, prefix="module."):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def free_in(tensors):
    return {name: axes for name in tensors for end, axes in FREE.items() if name in (end, "module." + end)}


@pytest.mark.parametrize("family", NETWORKS, ids=lambda family: family.name)
def test_one_wrong_tensor_is_named(family, tmp_path):
    tensors = weights_of(family)
    assert unnamed(tensors, tmp_path, free=free_in(tensors)) == []


@pytest.mark.parametrize(
    "family", [TORTOISE_AR, TORTOISE_CLVP, UNIVNET, HIFIGAN], ids=lambda family: family.name
)
def test_below_the_prefix_of_a_wrapper_it_is_named_with_the_prefix(family, tmp_path):
    tensors = prefixed(older_weight_norm(weights_of(family)))
    assert unnamed(tensors, tmp_path, free=free_in(tensors)) == []


@pytest.mark.parametrize("family", [HIFIGAN, TORTOISE_HIFIGAN, UNIVNET], ids=lambda family: family.name)
@pytest.mark.parametrize("spelling", [older_weight_norm, folded])
def test_it_is_named_in_the_other_spellings_of_weight_norm(family, spelling, tmp_path):
    tensors = spelling(weights_of(family))
    assert unnamed(tensors, tmp_path, free=free_in(tensors)) == []


def test_it_is_named_below_the_prefix_of_everyvoice(tmp_path):
    tensors = HIFIGAN.theirs(weights_of(HIFIGAN))
    free = {f"generator.{name}": axes for name, axes in FREE.items()}
    assert unnamed(tensors, tmp_path, free=free) == []


def test_a_wrong_tensor_of_discriminators_is_named_in_the_older_spelling(tmp_path):
    generator, judges = tensors_of(Generator(VOCODER)), older_weight_norm(tensors_of(Discriminators(JUDGES)))
    chosen = first_and_last(judges)
    for mutation in (each for each in mutations(judges) if each.name in chosen):
        with pytest.raises(CheckpointError) as raised:
            explained(older_weight_norm(generator) | mutation.tensors, tmp_path)
        assert mutation.named in str(raised.value)


def test_layers_of_a_clvp_without_their_wrapper_are_named_so(tmp_path):
    tensors = {name.replace(".wrap.", "."): tensor for name, tensor in weights_of(TORTOISE_CLVP).items()}
    assert unnamed(tensors, tmp_path, free=free_in(tensors)) == []


@pytest.mark.parametrize("variant", sorted(HEADS))
def test_a_wrong_tensor_beside_a_third_head_is_named(variant, tmp_path):
    """The third head itself is not needed: half of it is as good as none."""
    third = {
        name: torch.empty(shape, device="meta") for name, shape in head_of(variant, AUTOREGRESSIVE).items()
    }
    tensors = weights_of(TORTOISE_AR) | third
    found = unnamed(tensors, tmp_path, free=free_in(tensors))
    assert {name.split(".")[0] for _, name, _ in found} <= {HEADS[variant][0]}
    assert all(kind in ("remove", "resize", "transpose") for kind, _, _ in found)


def test_a_wrong_norm_of_a_table_and_a_wrong_mask_are_named(tmp_path):
    tensors = weights_of(TORTOISE_AR)
    for table in TABLES:
        norm = table.removesuffix("weight") + "norm."
        tensors |= {
            f"{norm}{part}": torch.empty(AUTOREGRESSIVE.dim, device="meta") for part in ("weight", "bias")
        }
    side = AUTOREGRESSIVE.n_code_positions + AUTOREGRESSIVE.n_symbol_positions
    masks = {f"gpt.h.{layer}.attn.bias": torch.empty(1, 1, side, side, device="meta") for layer in range(2)}
    found = unnamed({**tensors, **masks}, tmp_path)
    # A mask that is not there is as good as one: newer files have none.
    assert [(kind, name) for kind, name, _ in found] == [("remove", name) for name in masks]


def test_a_folded_table_is_reported_with_each_of_its_tensors(tmp_path):
    tensors = weights_of(TORTOISE_AR)
    norm = {f"text_embedding.norm.{part}": torch.empty(AUTOREGRESSIVE.dim) for part in ("weight", "bias")}
    entries = explained({**tensors, **norm}, tmp_path).entries
    assert {each.name for each in entries if "folded" in each.why} == {"text_embedding.weight", *norm}


# ---- whatever a file holds -------------------------------------------------------------------------------


def test_a_file_of_two_families_is_of_neither(tmp_path):
    both = weights_of(UNIVNET) | weights_of(TORTOISE_DIFFUSION)
    with pytest.raises(UnknownFamily, match="several families fit .* one of tortoise_diffusion, univnet"):
        explained(both, tmp_path)


@pytest.mark.parametrize("family", [HIFIGAN, TORTOISE_AR], ids=lambda family: family.name)
def test_a_hundred_thousand_unknown_tensors_give_a_short_message_soon(family, tmp_path):
    strange = {f"strange.{number}.weight": torch.empty(1, device="meta") for number in range(100_000)}
    tensors = {**weights_of(family), **strange}
    started = process_time()
    with pytest.raises(CheckpointError) as raised:
        explained(tensors, tmp_path)
    assert process_time() - started < 10
    assert len(str(raised.value)) < 2000


NUMBERED = {
    TORTOISE_AR: ("gpt.h.{}.ln_1.weight", "conditioning_encoder.attn.{}.norm.weight"),
    TORTOISE_CLVP: ("text_transformer.transformer.attn_layers.layers.{}.0.0.g",),
    TORTOISE_CVVP: ("speech_transformer.transformer.attn_layers.layers.{}.0.0.g",),
    TORTOISE_DIFFUSION: ("layers.{}.attn.norm.weight",),
    TORTOISE_DVAE: ("encoder.{}.net.0.weight", "decoder.{}.0.conv.weight"),
    TORTOISE_HIFIGAN: ("resblocks.{}.convs1.0.weight_g", "ups.{}.weight_v"),
    TORTOISE_RANDOM_LATENT: ("layers.{}.weight",),
    UNIVNET: ("res_stack.{}.convt_pre.1.weight_v", "res_stack.0.conv_blocks.{}.1.bias"),
    HIFIGAN: ("resblocks.{}.convs1.0.weight_g", "ups.{}.weight_v", "resblocks.0.convs1.{}.bias"),
}


@pytest.mark.parametrize(
    ("family", "template"), [(family, one) for family, several in NUMBERED.items() for one in several]
)
@pytest.mark.parametrize("number", [999_999_999, 10**30])
def test_a_number_in_a_name_builds_no_billion_layers(family, template, number, tmp_path):
    """Not even where every tensor of a layer has it."""
    tensors = older_weight_norm(weights_of(family))
    before = template.partition("{}")[0]
    layer = re.compile(rf"{re.escape(before)}\d+\.")
    far = {
        layer.sub(f"{before}{number}.", name): tensor for name, tensor in tensors.items() if layer.match(name)
    }
    assert far
    one = {template.format(number): torch.empty(1, device="meta")}
    with pytest.raises(CheckpointError, match=re.escape(str(number))):
        explained({**tensors, **one}, tmp_path)
    with pytest.raises(CheckpointError):
        explained({**tensors, **far}, tmp_path)


@pytest.mark.parametrize("family", NETWORKS, ids=lambda family: family.name)
def test_half_and_mixed_precision_are_reported(family, tmp_path):
    names = list(weights_of(family))
    halves = {name: torch.empty(t.shape, dtype=torch.float16) for name, t in weights_of(family).items()}
    mixed = {**halves, names[-1]: halves[names[-1]].bfloat16()}
    for tensors, expected in (
        (halves, {"float16": len(names)}),
        (mixed, {"float16": len(names) - 1, "bfloat16": 1}),
    ):
        torch.save(tensors, tmp_path / "a.pth")
        assert identify(tmp_path / "a.pth").precision == expected
    assert f"{len(names) - 1} float16, 1 bfloat16" in identify(tmp_path / "a.pth").to_text()
