"""A conversion keeps every number: there and back again, in every spelling, for every family."""

from collections import Counter

import pytest
import torch

from building.conversion import (
    FULL_JUDGES,
    TEXT_TO_SPEC,
    TORTOISE,
    VOCODERS,
    WITH_WEIGHT_NORM,
    bits,
    differing,
    network_of,
    save,
    tensors_of,
)
from retimbre.checkpoint.read import read
from retimbre.checkpoint.stable_embedding import EPSILON
from retimbre.models.identify import identify
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.variants import HEADS
from retimbre.pipelines.convert import Wish, convert

SPELLINGS = ("parametrized", "older", "folded")
FULL_VOCODERS = "everyvoice_project/project/logs_and_checkpoints/VocoderExperiment/base/checkpoints"
TEXTS_TO_SPEC = "everyvoice_project/project/logs_and_checkpoints/FeaturePredictionExperiment"
VARIANTS = "containers/ar_variants"
# Reference file -> the format to give it back in, and with what.
REFERENCES = {
    **{
        f"containers/tortoise_models/{name}.pth": Wish()
        for name in (
            "autoregressive", "autoregressive_half", "clvp2", "cvvp", "diffusion_decoder", "dvae",
            "hifidecoder", "rlg_auto", "rlg_diffuser", "vocoder",
        )
    },
    **{
        f"{VARIANTS}/{name}.pth": Wish()
        for name in (
            "after_post_init", "gpt_legacy", "gpt_parameters", "heads_not_by_rule", "module_prefix",
            "state_dict_wrapper",
        )
    },
    f"{VARIANTS}/uv3_aligned_head.pth": Wish(variant="unified_voice3"),
    f"{VARIANTS}/uv4_alignment_head.pth": Wish(variant="unified_voice4"),
    f"{VARIANTS}/uv4_two_types.pth": Wish(variant="unified_voice4"),
    "containers/dlas_finetune/500_gpt.pth": Wish(),
    "containers/dlas_finetune/500_gpt_ema.pth": Wish(),
    **{
        f"{name}/weights.safetensors": Wish(to="tortoise")
        for name in (
            "clvp", "cvvp", "diffusion", "dlas_ar_train", "dvae", "random_latent", "tortoise_ar", "univnet",
        )
    },
    **{
        f"containers/hifigan_{kind}/g_00000100": Wish(to="hifigan")
        for kind in ("v1_legacy", "v1_zip", "v3_legacy", "v3_zip")
    },
    "containers/hifigan_v1_zip/g_folded": Wish(to="hifigan", weight_norm="folded"),
    "containers/hifigan_v3_zip/g_folded": Wish(to="hifigan", weight_norm="folded"),
    "hifigan/weights.safetensors": Wish(to="everyvoice", generator_only=True),
    "istft/weights.safetensors": Wish(to="everyvoice", generator_only=True),
    f"{FULL_VOCODERS}/last.ckpt": Wish(),
    f"{FULL_VOCODERS}/last-v1.ckpt": Wish(),
    "everyvoice_project/project/exported.ckpt": Wish(generator_only=True),
    "everyvoice_project/project/exported-matched.ckpt": Wish(generator_only=True),
    "everyvoice_project/derived/vocoder_weight_g_weight_v.ckpt": Wish(
        generator_only=True, weight_norm="older"
    ),
    f"{TEXTS_TO_SPEC}/base/checkpoints/last.ckpt": Wish(),
    f"{TEXTS_TO_SPEC}/nopostnet/checkpoints/last.ckpt": Wish(),
    "everyvoice_project/derived/text_to_spec_model_version_1_2.ckpt": Wish(),
}  # fmt: skip
ENDINGS = {"everyvoice": "back.ckpt", "hifigan": "back", "tortoise": "back.pth"}


def there_and_back(source, folder, wish):
    """The file as ours, then in its own format: the first new file, and what was said both times."""
    ours = convert(source, folder / "ours.safetensors")
    output = folder / (ENDINGS[wish.to] if wish.to else f"back{source.suffix}")
    back = convert(ours.files[0], output, wish)
    return back.files[0], [*ours.remarks, *back.remarks]


def said(remarks):
    """Why -> how many tensors were left out, as the remarks say it."""
    lines = [line.removeprefix("left out ") for line in remarks if line.startswith("left out ")]
    return {
        why: int(n.split()[0]) for n, _, why in (line.partition(": ") for line in lines) if n[0].isdigit()
    }


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_file_comes_back_bit_for_bit_and_what_does_not_is_said(parity, tmp_path, name):
    source, wish = parity(name), REFERENCES[name]

    path, remarks = there_and_back(source, tmp_path, wish)

    before, after = tensors_of(source), tensors_of(path)
    if "module_prefix" in name:
        before = {key.removeprefix("module."): tensor for key, tensor in before.items()}
    dropped = dict(identify(source).dropped)
    if wish.variant in HEADS:
        dropped = {key: why for key, why in dropped.items() if not key.startswith(HEADS[wish.variant][0])}
    dropped = {key.removeprefix("module."): why for key, why in dropped.items()}
    kept = {key: tensor for key, tensor in before.items() if key not in dropped}
    bare = {key.removeprefix("generator."): tensor for key, tensor in after.items()}
    assert differing(after if any(key in before for key in after) else bare, kept) == []
    assert said(remarks) == dict(Counter(dropped.values()))


@pytest.mark.parametrize("name", [*TORTOISE, *VOCODERS, *TEXT_TO_SPEC])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_model_of_ours_comes_back_bit_for_bit(tmp_path, name, dtype):
    source = save(tmp_path, name, dtype=dtype)
    ending = "pth" if name in TORTOISE else "ckpt"
    wish = Wish(generator_only=name in VOCODERS)

    there = convert(source, tmp_path / f"there.{ending}", wish).files[0]
    back = convert(there, tmp_path / "back.safetensors").files[0]

    found, expected = tensors_of(back), tensors_of(source)
    if name == "features" and dtype == torch.float16:  # worked out anew, in full
        assert torch.allclose(
            found.pop("text_input_layer.features"), expected.pop("text_input_layer.features").float()
        )
    assert differing(found, expected) == []
    assert {tensor.dtype for key, tensor in tensors_of(there).items()} == {
        tensor.dtype for key, tensor in network_of(name, dtype=dtype).state_dict().items()
    }


def test_discriminators_travel_with_their_generator(tmp_path):
    source = save(tmp_path, "hifigan", judges=FULL_JUDGES, step=5)

    for output in ("a.ckpt", "original", "b.safetensors"):
        there = convert(source, tmp_path / output).files[0]
        back = convert(there, tmp_path / f"{output}-back.safetensors", Wish(assume=periods_if(there)))

        assert differing(tensors_of(back.files[0]), tensors_of(source)) == [], output
        assert load_model(back.files[0]).description.sizes["periods"] == [2, 3]
        assert load_model(back.files[0]).description.step == 5


def periods_if(path):
    """The original's files do not say them."""
    return {"periods": [2, 3]} if path.name.startswith("g_") else {}


def test_a_generator_alone_leaves_its_discriminators_behind(tmp_path):
    source = save(tmp_path, "hifigan", judges=FULL_JUDGES)

    for output in ("a.ckpt", "original", "b.safetensors"):
        done = convert(source, tmp_path / output, Wish(generator_only=True))

        assert not load_model(done.files[0]).discriminators
        assert load_model(done.files[0]).description.is_exported
        assert not any(path.name.startswith("do_") for path in done.files)


@pytest.mark.parametrize("name", WITH_WEIGHT_NORM)
@pytest.mark.parametrize("first", SPELLINGS)
@pytest.mark.parametrize("second", SPELLINGS)
def test_each_spelling_of_weight_norm_becomes_each_other_one_and_sounds_the_same(
    tmp_path, name, first, second
):
    source = save(tmp_path, name)

    one = convert(source, tmp_path / "one.safetensors", Wish(weight_norm=first)).files[0]
    two = convert(one, tmp_path / "two.safetensors", Wish(weight_norm=second)).files[0]
    back = convert(two, tmp_path / "back.safetensors", Wish(weight_norm=first)).files[0]

    marks = {"parametrized": "original0", "older": "weight_g"}
    assert any(marks.get(second, "conv_post") in key for key in tensors_of(two))
    assert not any(mark in key for key in tensors_of(two) for how, mark in marks.items() if how != second)
    if first == "folded" or second != "folded":  # a fold keeps the weight, not its two parts
        assert differing(tensors_of(back), tensors_of(one)) == []
    expected = sound(source, name)
    for path in (one, two, back):
        torch.testing.assert_close(
            sound(path, name), expected, rtol=0, atol=1e-6 * expected.abs().max().item()
        )


def sound(path, name):
    """What a vocoder makes of the same input."""
    torch.manual_seed(3)
    network = load_model(path).model
    config = network.config
    if name == "univnet":
        given = (torch.randn(1, config.n_mels, 9), torch.randn(1, config.noise_dim, 9))
    elif name == "tortoise_hifigan":
        given = (torch.randn(1, 9, config.latent_dim), torch.randn(1, config.conditioning_dim))
    else:
        given = (torch.randn(1, config.n_mels, 9),)
    with torch.inference_mode():
        return network(*given)


def test_the_norm_of_a_bitsandbytes_embedding_goes_into_its_table_and_that_is_said(parity, tmp_path):
    source = parity(f"{VARIANTS}/stable_embedding.pth")

    path, remarks = there_and_back(source, tmp_path, Wish())

    before, after = tensors_of(source), tensors_of(path)
    norms = [key for key in before if ".norm." in key and not key.startswith("conditioning_encoder")]
    tables = {key.partition(".norm.")[0] + ".weight" for key in norms}
    assert len(tables) == 4
    assert any("folded into its table" in line for line in remarks)
    for table in tables:
        weight, bias = (
            before[f"{table.removesuffix('weight')}norm.{part}"].double() for part in ("weight", "bias")
        )
        rows = before[table].double()
        normed = (rows - rows.mean(1, keepdim=True)) / (
            rows.var(1, correction=0, keepdim=True) + EPSILON
        ).sqrt()
        assert (after[table] - (normed * weight + bias)).abs().max() < 1e-6
    rest = {key: tensor for key, tensor in before.items() if key not in {*norms, *tables}}
    assert differing({key: tensor for key, tensor in after.items() if key not in tables}, rest) == []


def test_third_heads_stay_in_our_file_for_the_program_that_wants_them(parity, tmp_path):
    source = parity(f"{VARIANTS}/uv3_aligned_head.pth")

    ours = convert(source, tmp_path / "ours.safetensors")
    plain = convert(ours.files[0], tmp_path / "plain.pth")

    assert bits(tensors_of(ours.files[0])["aligned_head.weight"]) == bits(
        tensors_of(source)["aligned_head.weight"]
    )
    assert said(ours.remarks) == {}
    assert "aligned_head.weight" not in tensors_of(plain.files[0])
    assert list(said(plain.remarks).values()) == [2]
    assert any("unified_voice3" in line for line in plain.remarks)
    assert load_model(ours.files[0]).description.family == "tortoise_ar"


def test_what_was_stated_is_no_longer_assumed_in_our_file(parity, tmp_path):
    source = parity(f"{VARIANTS}/heads_not_by_rule.pth")
    usual = identify(source)
    heads = 2 if usual.sizes["n_heads"] != 2 else 4

    first = convert(source, tmp_path / "usual.safetensors").files[0]
    told = convert(source, tmp_path / "told.safetensors", Wish(assume={"heads": heads}))
    later = convert(first, tmp_path / "later.safetensors", Wish(assume={"heads": heads}))

    assert any(line.startswith("assumed: heads") for line in convert(source, tmp_path / "x.pth").remarks)
    for done in (told, later):
        assert not any(line.startswith("assumed: heads") for line in done.remarks)
        described = load_model(done.files[0]).description
        assert described.sizes["n_heads"] == heads
        assert "heads" not in [assumption.name for assumption in described.assumed]
        assert differing(tensors_of(done.files[0]), tensors_of(first)) == []
    assert any("--assume start_text_token" in str(each) for each in described.assumed)


def test_a_file_in_parts_is_converted_as_a_whole(parity, tmp_path):
    """Of the parts of a sharded file none is replaced by the whole."""
    source = save(tmp_path, "univnet")
    content = tensors_of(source)
    folder = tmp_path / "parts"
    folder.mkdir()
    sharded(folder, content)
    index = folder / "model.safetensors.index.json"

    done = convert(index, tmp_path / "whole.pth").files[0]

    assert differing(tensors_of(convert(done, tmp_path / "back.safetensors").files[0]), content) == []


def sharded(folder, content):
    import json

    from safetensors.torch import save_file

    names = sorted(content)
    halves = {"a-1.safetensors": names[::2], "a-2.safetensors": names[1::2]}
    for file, part in halves.items():
        save_file({name: content[name].clone() for name in part}, folder / file)
    weight_map = {name: file for file, part in halves.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_tensors_of_one_memory_are_written_each_in_full(tmp_path):
    """The same numbers twice, a part of a larger tensor, and one that is turned."""
    source = save(tmp_path, "tortoise_random_latent")
    content = tensors_of(source)
    names = [name for name in content if content[name].dim() == 2]
    table = torch.randn(2, *content[names[0]].shape)
    content |= {names[0]: table[0], names[1]: table[0], names[2]: table[1].T}
    torch.save(content, tmp_path / "shared.pth")

    done = convert(tmp_path / "shared.pth", tmp_path / "own.safetensors").files[0]
    back = convert(done, tmp_path / "back.pth").files[0]

    assert differing(tensors_of(back), content) == []
    assert back.stat().st_size < sum(tensor.nbytes for tensor in content.values()) + 20_000
    assert not read(back).notes
