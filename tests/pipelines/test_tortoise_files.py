"""A file for TorToiSe or DL-Art-School has the names, shapes and places that strict loading asks for."""

import json

import pytest
import torch

from building.conversion import FAMILY, TORTOISE, WITH_WEIGHT_NORM, differing, network_of, save, tensors_of
from building.models import generator_config, save_vocoder
from building.tortoise_itself import ask_tortoise, needs_tortoise
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.variants import VARIANTS
from retimbre.pipelines.convert import Wish, convert

REFERENCES = {  # family -> a reference file with every tensor of its class
    "tortoise_ar": "tortoise_ar/weights.safetensors",
    "tortoise_dvae": "dvae/weights.safetensors",
    "tortoise_diffusion": "diffusion/weights.safetensors",
    "tortoise_clvp": "clvp/weights.safetensors",
    "tortoise_cvvp": "cvvp/weights.safetensors",
    "tortoise_random_latent": "random_latent/weights.safetensors",
    "univnet": "univnet/weights.safetensors",
    "tortoise_hifigan": "containers/tortoise_models/hifidecoder.pth",
}
# Variant -> the third head that its class has beside the tensors of TorToiSe's own.
HEADS = {
    "tortoise": set(),
    "unified_voice2": set(),
    "unified_voice3": {"aligned_head.weight", "aligned_head.bias"},
    "unified_voice4": {"alignment_head.weight", "alignment_head.bias"},
}


def state_of(path):
    return torch.load(path, weights_only=True, map_location="cpu")


def outline(tensors):
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


@pytest.mark.parametrize("name", REFERENCES)
def test_a_file_has_exactly_the_tensors_of_the_reference(parity, tmp_path, name):
    source = parity(REFERENCES[name])
    ours = convert(source, tmp_path / "ours.safetensors").files[0]

    content = state_of(convert(ours, tmp_path / "theirs.pth").files[0])

    if name == "univnet":
        assert list(content) == ["model_g"]
        content = content["model_g"]
    assert outline(content) == outline(tensors_of(source))


@pytest.mark.parametrize("name", TORTOISE)
def test_a_model_of_ours_is_a_plain_state_dict_but_for_the_vocoder_below_its_key(tmp_path, name):
    path = convert(save(tmp_path, name), tmp_path / "theirs.pth").files[0]

    content, contents = state_of(path), read(path)

    below = content["model_g"] if name == "univnet" else content
    assert all(isinstance(tensor, torch.Tensor) for tensor in below.values())
    assert len(content) == (1 if name == "univnet" else len(network_of(name).state_dict()))
    assert contents.weights_at == ("model_g" if name == "univnet" else "")
    assert not contents.notes
    assert any(part.endswith(".weight_g") for part in below) == (name in WITH_WEIGHT_NORM)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_each_variant_has_its_third_head_and_nothing_else(parity, tmp_path, variant, dtype):
    source = save(tmp_path, "tortoise_ar", dtype=dtype)

    done = convert(source, tmp_path / "theirs.pth", Wish(variant=variant))
    again = convert(source, tmp_path / "again.pth", Wish(variant=variant))

    tensors = tensors_of(done.files[0])
    head = {name: tensors.pop(name) for name in HEADS[variant]}
    assert differing(tensors, tensors_of(source)) == []
    assert {tuple(tensor.shape) for tensor in head.values()} == ({(256, 64), (256,)} if head else set())
    assert all(tensor.dtype == dtype and tensor.isfinite().all() for tensor in head.values())
    assert any("new, with random weights" in line for line in done.remarks) == bool(head)
    assert differing(tensors_of(again.files[0]), tensors_of(done.files[0])) == []


@pytest.mark.parametrize(
    ("file", "variant"),
    [
        ("uv3_aligned_head", "unified_voice3"),
        ("uv4_alignment_head", "unified_voice4"),
        ("uv4_two_types", "unified_voice4"),
    ],
)
def test_a_file_of_a_variant_has_the_names_of_its_class_and_no_new_head(parity, tmp_path, file, variant):
    source = parity(f"containers/ar_variants/{file}.pth")
    ours = convert(source, tmp_path / "ours.safetensors").files[0]

    done = convert(ours, tmp_path / "theirs.pth", Wish(variant=variant))
    other = convert(ours, tmp_path / "other.pth", Wish(variant=next(iter(set(HEADS) - {variant}))))

    masks = {name for name in tensors_of(source) if name.endswith((".attn.bias", ".attn.masked_bias"))}
    assert tensors_of(done.files[0]).keys() == tensors_of(source).keys() - masks
    assert not any("random weights" in line for line in done.remarks)
    assert not HEADS[variant] & tensors_of(other.files[0]).keys()


def test_masks_are_those_of_the_released_file(parity, tmp_path):
    source = parity("containers/tortoise_models/autoregressive.pth")
    ours = convert(source, tmp_path / "ours.safetensors").files[0]

    done = convert(ours, tmp_path / "theirs.pth", Wish(has_masks=True))

    assert differing(tensors_of(done.files[0]), tensors_of(source)) == []


def test_the_side_of_a_mask_is_that_of_both_tables_of_positions(tmp_path):
    path = convert(save(tmp_path, "tortoise_ar"), tmp_path / "a.pth", Wish(has_masks=True)).files[0]

    tensors = tensors_of(path)

    side = len(tensors["mel_pos_embedding.emb.weight"]) + len(tensors["text_pos_embedding.emb.weight"])
    mask, value = tensors["gpt.h.1.attn.bias"], tensors["gpt.h.1.attn.masked_bias"]
    assert (tuple(mask.shape), mask.dtype) == ((1, 1, side, side), torch.uint8)
    assert mask[0, 0].equal(torch.ones(side, side).tril().byte())
    assert (tuple(value.shape), value.dtype) == ((), torch.float32)
    assert sum(name.endswith(".attn.bias") for name in tensors) == 2
    assert load_model(path).description.family == "tortoise_ar"


@pytest.mark.parametrize("wish", [Wish(variant="unified_voice3"), Wish(has_masks=True)])
def test_only_the_autoregressive_network_has_variants_and_masks(tmp_path, wish):
    with pytest.raises(CheckpointError, match="has neither variants nor masks"):
        convert(save(tmp_path, "univnet"), tmp_path / "a.pth", wish)
    with pytest.raises(CheckpointError, match=r"neither variants nor masks.*found tortoise_ar.*for retimbre"):
        convert(save(tmp_path, "tortoise_ar"), tmp_path / "a.safetensors", wish)
    assert not (tmp_path / "a.pth").exists()


def test_a_variant_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no variant 'unified_voice5'"):
        convert(save(tmp_path, "tortoise_ar"), tmp_path / "a.pth", Wish(variant="unified_voice5"))
    assert not (tmp_path / "a.pth").exists()


def test_models_of_other_systems_are_no_models_of_tortoise(tmp_path):
    source = save_vocoder(tmp_path / "v.safetensors", generator_config())

    with pytest.raises(CheckpointError, match=r"cannot be written for tortoise.*found hifigan"):
        convert(source, tmp_path / "a.pth")


TORTOISE_READS = """
import json, sys, torch
from tortoise.models.autoregressive import UnifiedVoice
from tortoise.models.clvp import CLVP
from tortoise.models.cvvp import CVVP
from tortoise.models.diffusion_decoder import DiffusionTts
from tortoise.models.hifigan_decoder import HifiganGenerator
from tortoise.models.random_latent_generator import RandomLatentConverter
from tortoise.models.vocoder import UnivNetGenerator
classes = {
    "tortoise_ar": UnifiedVoice, "tortoise_clvp": CLVP, "tortoise_cvvp": CVVP,
    "tortoise_diffusion": DiffusionTts, "tortoise_hifigan": HifiganGenerator,
    "tortoise_random_latent": RandomLatentConverter,
    "univnet": UnivNetGenerator,
}
for case in json.load(open(sys.argv[1])):
    network = classes[case["family"]](**case["kwargs"])
    content = torch.load(case["path"], weights_only=True)
    content = content["model_g"] if case["family"] == "univnet" else content
    network.load_state_dict(content, strict=True)
    assert all(torch.equal(tensor, content[name]) for name, tensor in network.state_dict().items())
"""


@pytest.mark.slow
@needs_tortoise
def test_tortoise_itself_loads_every_kind_strictly(tmp_path):
    """The dVAE's class is DL-Art-School's: of it the names are compared above."""
    cases = []
    for name in TORTOISE.keys() - {"tortoise_dvae"}:
        path = convert(save(tmp_path, name), tmp_path / f"{name}.pth").files[0]
        kwargs = FAMILY[name].reference_kwargs(TORTOISE[name])
        cases.append({"family": name, "path": str(path), "kwargs": kwargs})
    (tmp_path / "cases.json").write_text(json.dumps(cases))

    ask_tortoise(TORTOISE_READS, tmp_path / "cases.json")
