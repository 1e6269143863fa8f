"""Files that no family builds are known for what they are, and nothing else is taken for one of them."""

import json
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.other_files import RELEASED_NORMS, is_classifier, recognise

# The two files of divisors differ by their names alone: what was released is one and the same.
NAMES = {
    "tortoise-mel-norms": "mel-norms",
    "xtts-mel-stats": "mel-norms",
    "hifigan-discriminators-and-optimizers": "hifigan-discriminators",
}
TOLD_BY_NAMES_ALONE = ("msd_first_norm", "others_norm")  # of discriminators, in words
STEP = ("iter", "steps")
RECOGNISED = (
    {
        ("tortoise_models", "voice.pth"),
        ("tortoise_models", "cond_latents_0123abcd.pth"),
        ("tortoise_models", "mel_norms.pth"),
        ("dlas_finetune", "500.state"),
        ("dlas_finetune", "500_8bit.state"),
        ("xtts_v2_model", "model.pth"),
        ("xtts_v2_model", "mel_stats.pth"),
        ("xtts_v2_model", "speakers_xtts.pth"),
        ("xtts_trainer", "best_model_900.pth"),
        ("xtts_trainer", "gpt_only.pth"),
    }
    | {
        (f"hifigan_{kind}_{container}", "do_00000100")
        for kind in ("v1", "v3")
        for container in ("legacy", "zip")
    }
    | {
        (f"awkward_numpy{version}", f"{name}.ckpt")
        for version in (1, 2)
        for name in ("lightning_like", "lightning_like_legacy", "windows_path")
    }
)


def saved(tmp_path, value):
    """What a file that torch.save made of this value holds."""
    torch.save(value, tmp_path / "file.pth")
    return read(tmp_path / "file.pth")


def tensors(shapes):
    return OrderedDict((name, torch.randn(shape)) for name, shape in shapes.items())


def expected_of(parity, folder, file):
    """What the file's maker says, and whether it is a tensor file at all."""
    return json.loads((parity("containers") / folder / "expected.json").read_text())["files"][file]


@pytest.mark.parametrize(("folder", "file"), sorted(RECOGNISED))
def test_a_file_is_known_with_what_its_maker_says_of_it(parity, folder, file):
    expected = expected_of(parity, folder, file)

    found = recognise(read(parity("containers") / folder / file))

    assert found is not None
    assert found.name == NAMES.get(expected["family"], expected["family"])
    derived = expected.get("derived", {})
    derived = {name: value for name, value in derived.items() if name not in TOLD_BY_NAMES_ALONE}
    assert derived.items() <= found.facts.items()
    training = dict(expected.get("training", {}))
    training = {"step" if name in STEP else name: value for name, value in training.items()}
    assert training.items() <= found.facts.items()
    rules = {each.name: each.value for each in found.assumed}
    assert not rules.keys() & found.facts.keys()
    for name, entry in expected.get("assumed", {}).items():
        if "config" in entry:  # the configuration in the file knows better than the rule
            assert found.facts[name] == entry["true"]
        elif "gives" in entry:
            assert (found.facts | rules)[name] == entry["gives"]


def test_no_other_file_is_taken_for_one_of_them(parity):
    taken = set()
    for path in sorted(parity("containers").glob("*/*")):
        try:
            contents = read(path)
        except CheckpointError:
            continue  # a JSON file, or one that is refused
        if recognise(contents):
            taken.add((path.parent.name, path.name))

    assert taken == RECOGNISED


def test_a_training_state_says_its_step_and_kind_and_where_the_weights_are(parity):
    full, half = (
        recognise(read(parity("containers") / "dlas_finetune" / f"500{kind}.state")) for kind in ("", "_8bit")
    )

    assert (full.facts, half.facts) == (
        {"step": 500, "epoch": 3, "is_8bit": False},
        {"step": 500, "epoch": 3, "is_8bit": True},
    )
    assert "models/500_gpt.pth" in full.what


def test_a_lightning_checkpoint_says_whose_it_is(parity):
    found = recognise(read(parity("containers") / "awkward_numpy2" / "lightning_like.ckpt"))

    assert "written for vanished_trainer" in found.what
    assert found.facts["lightning_version"] == "1.9.5"
    assert found.facts["step"] == 900


def test_a_lightning_checkpoint_of_an_everyvoice_model_that_is_not_ours_is_named(tmp_path):
    found = recognise(
        saved(
            tmp_path,
            {
                "pytorch-lightning_version": "2.6.1",
                "state_dict": tensors({"a.weight": (3,)}),
                "model_info": {"name": "Aligner", "version": "1.0"},
            },
        )
    )

    assert "EveryVoice's Aligner" in found.what


# ---- XTTS ------------------------------------------------------------------------------------------------


def gpt(dim=128, n_layers=2, n_text=50, n_codes=66):
    shapes = {
        "conditioning_encoder.init.weight": (dim, 80, 1),
        "text_embedding.weight": (n_text, dim),
        "mel_embedding.weight": (n_codes, dim),
        "mel_pos_embedding.emb.weight": (53, dim),
        "text_pos_embedding.emb.weight": (32, dim),
        "final_norm.weight": (dim,),
    }
    return shapes | {f"gpt.h.{layer}.ln_1.weight": (dim,) for layer in range(n_layers)}


V1 = {"prompt_embedding.weight": (66, 128), "prompt_pos_embedding.emb.weight": (216, 128)}
V2 = {"conditioning_perceiver.latents": (32, 128)}
DECODER = {"hifigan_decoder.waveform_decoder.cond_layer.weight": (16, 24, 1)}


@pytest.mark.parametrize("prefix", ["", "xtts."])
@pytest.mark.parametrize(("voice", "version"), [(V1, "v1"), (V2, "v2")])
def test_both_versions_of_xtts_are_told_apart_with_and_without_the_trainers_prefix(
    tmp_path, voice, version, prefix
):
    shapes = {f"gpt.{name}": shape for name, shape in (gpt() | voice).items()} | DECODER
    found = recognise(
        saved(tmp_path, {"model": tensors({prefix + name: shape for name, shape in shapes.items()})})
    )

    assert found.name == f"xtts-{version}"
    assert found.what == f"XTTS {version}: recognised, not yet trainable with Retimbre"
    assert found.facts["use_perceiver_resampler"] == (version == "v2")
    assert found.facts["d_vector_dim"] == 24
    assert found.facts["max_text_tokens"] == 30


def test_heads_of_xtts_follow_the_width_where_no_configuration_says_them(tmp_path):
    found = recognise(saved(tmp_path, tensors(gpt() | V1)))

    rules = {each.name: (each.value, each.can_be_stated) for each in found.assumed}
    assert found.name == "xtts-v1-gpt"
    assert rules == {
        "heads": (2, False),
        "start_audio_token": (64, False),
        "stop_audio_token": (65, False),
        "residual": ("norm(x) + h", False),
    }


@pytest.mark.parametrize("config", [None, "text", {"model_args": 3}, {"model_args": {"gpt_n_heads": "two"}}])
def test_a_strange_configuration_beside_the_weights_is_passed_over(tmp_path, config):
    shapes = {f"gpt.{name}": shape for name, shape in (gpt() | V2).items()}

    found = recognise(saved(tmp_path, {"model": tensors(shapes), "config": config, "step": "many"}))

    assert {each.name: each.value for each in found.assumed}["heads"] == 2
    assert "step" not in found.facts


def test_tortoises_own_gpt_is_not_taken_for_xtts(tmp_path):
    assert recognise(saved(tmp_path, tensors(gpt()))) is None


def test_a_voice_of_xtts_needs_both_of_its_tensors(tmp_path):
    shapes = {"gpt_cond_latent": (1, 32, 8), "speaker_embedding": (1, 16, 1)}

    found = recognise(saved(tmp_path, {name: tensors(shapes) for name in ("Ann", "Bo/b", "Cy")}))

    assert found.facts == {"speakers": ["Ann", "Bo/b", "Cy"]}
    assert recognise(saved(tmp_path, {"Ann": {"gpt_cond_latent": torch.randn(1, 32, 8)}})) is None


# ---- StyleTTS 2 ------------------------------------------------------------------------------------------

STYLETTS2 = {
    "bert": {"embeddings.word_embeddings.weight": (17, 6)},
    "decoder": {"generator.conv_post.weight_v": (1, 8, 7), "generator.conv_post.weight_g": (1, 1, 1)},
    "predictor": {"lstm.weight_ih_l0": (8, 5)},
    "text_encoder": {"embedding.weight": (17, 10)},
    "style_encoder": {"unshared.weight": (12, 5), "unshared.bias": (12,)},
    "predictor_encoder": {"unshared.weight": (12, 5)},
    "text_aligner": {"to_mfcc.dct_mat": (4, 4)},
    "pitch_extractor": {"classifier.weight": (3, 3)},
}


@pytest.mark.parametrize("module", ["", "module."])
def test_styletts2_is_known_by_its_parts(tmp_path, module):
    net = {part: tensors({module + name: s for name, s in own.items()}) for part, own in STYLETTS2.items()}

    found = recognise(saved(tmp_path, {"net": net, "epoch": 4, "iters": 900, "optimizer": {"a": 1}}))

    assert found.what == "StyleTTS 2: recognised, not yet trainable with Retimbre"
    assert found.facts["parts"] == (
        "bert", "predictor", "decoder", "text_encoder", "predictor_encoder", "style_encoder", "text_aligner",
        "pitch_extractor",
    )  # fmt: skip
    del found.facts["parts"]
    assert found.facts == {
        "n_token": 17, "hidden_dim": 10, "style_dim": 12, "decoder": "hifigan", "step": 900, "epoch": 4,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["StyleTTS2Module", "StyleTTS2"])
def test_everyvoices_styletts2_is_known_by_either_of_its_names(tmp_path, name):
    flat = {f"{part}.{inner}": shape for part, own in STYLETTS2.items() for inner, shape in own.items()}
    flat["decoder.generator.conv_post.weight_v"] = (22, 8, 7)

    found = recognise(
        saved(
            tmp_path,
            {
                "state_dict": tensors(flat),
                "model_info": {"name": name, "version": "1.1"},
                "pytorch-lightning_version": "2.6.1",
                "hyper_parameters": {"config": {}},
                "global_step": 70,
            },
        )
    )

    assert found.what.startswith("StyleTTS 2 of EveryVoice: recognised")
    assert found.facts["decoder"] == "istftnet"
    assert (found.facts["version"], found.facts["step"]) == ("1.1", 70)


# ---- BigVGAN, TorToiSe's classifier, its voices and divisors -----------------------------------------------


@pytest.mark.parametrize("spelling", ["weight", "weight_v", "parametrizations.weight.original1"])
@pytest.mark.parametrize("activation", ["snake", "snakebeta"])
def test_bigvgan_is_known_by_its_activations(tmp_path, spelling, activation):
    shapes = {
        f"conv_pre.{spelling}": (32, 100, 7),
        "conv_pre.bias": (32,),
        f"ups.0.0.{spelling}": (32, 16, 16),
        "ups.0.0.bias": (16,),
        f"ups.1.0.{spelling}": (16, 8, 4),
        "ups.1.0.bias": (8,),
        f"resblocks.0.convs1.0.{spelling}": (16, 16, 3),
        "resblocks.0.activations.0.act.alpha": (16,),
        f"conv_post.{spelling}": (1, 8, 7),
    }
    if activation == "snakebeta":
        shapes["resblocks.0.activations.0.act.beta"] = (16,)

    found = recognise(saved(tmp_path, {"generator": tensors(shapes)}))

    assert found.name == "bigvgan"
    assert found.facts == {
        "num_mels": 100,
        "upsample_initial_channel": 32,
        "upsample_kernel_sizes": (16, 4),
        "resblock": "1",
        "activation": activation,
        "use_bias_at_final": False,
    }


def test_tortoises_classifier_is_known_even_where_a_tensor_is_missing(tmp_path):
    shapes = {
        "enc.init.0.weight": (32, 1, 3),
        "enc.final.2.weight": (12, 64, 1),
        "head.weight": (2, 12),
        **{f"enc.attn.{block}.qkv.weight": (36, 12, 1) for block in range(4)},
    }

    found = recognise(saved(tmp_path, tensors(shapes)))

    assert found.facts == {"classes": 2, "embedding_dim": 12, "base_channels": 32, "attn_blocks": 4}
    for name in ("enc.init.0.weight", "enc.final.2.weight", "head.weight"):
        assert is_classifier({other: shape for other, shape in shapes.items() if other != name})
    assert not is_classifier({"head.weight": (2, 12), "enc.init.0.weight": (32, 1, 3)})


def test_the_released_divisors_are_told_from_others(tmp_path):
    norms = -torch.rand(80) * 8 - 1.5
    assert recognise(saved(tmp_path, norms)).facts == {"n_mels": 80, "is_released": False}

    norms[:5] = torch.tensor(RELEASED_NORMS)
    assert recognise(saved(tmp_path, norms)).facts == {"n_mels": 80, "is_released": True}


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(80),
        -torch.ones(81),
        -torch.ones(80, dtype=torch.int64),
        -torch.ones(1, 80),
        torch.full((80,), float("nan")),
    ],
    ids=["positive", "81", "integers", "two-axes", "nan"],
)
def test_not_every_row_of_numbers_is_one_of_divisors(tmp_path, value):
    assert recognise(saved(tmp_path, value)) is None


@pytest.mark.parametrize(
    "value",
    [
        (torch.randn(1, 4),),
        (torch.randn(2, 4), torch.randn(1, 8)),
        (torch.randn(1, 4), torch.randn(8)),
        [torch.randn(1, 4), torch.randn(1, 8), None, None, torch.randn(1)],
    ],
    ids=["one", "two-rows", "one-axis", "five"],
)
def test_not_every_tuple_is_a_voice(tmp_path, value):
    assert recognise(saved(tmp_path, value)) is None


@pytest.mark.parametrize(
    ("shapes", "metadata"),
    [
        ({"autoregressive": (4,)}, {}),
        ({"diffusion": (4,)}, {"retimbre_voice": "{}"}),
        ({"autoregressive": (1, 4)}, {"retimbre_voice": "{}"}),
        ({"autoregressive": (4,), "more": (4,)}, {"retimbre_voice": "{}"}),
    ],
    ids=["no-head", "no-first-latent", "two-axes", "more-tensors"],
)
def test_not_every_file_with_such_a_name_is_a_voice_of_ours(tmp_path, shapes, metadata):
    save_file(tensors(shapes), tmp_path / "file.safetensors", metadata)

    assert recognise(read(tmp_path / "file.safetensors")) is None


def test_the_page_names_everything_that_is_recognised(parity):
    page = (Path(__file__).resolve().parents[2] / "docs" / "families" / "others.md").read_text(
        encoding="utf-8"
    )
    names = {recognise(read(parity("containers") / folder / file)).name for folder, file in RECOGNISED}

    for name in names | {
        "retimbre-voice",
        "xtts-v1",
        "xtts-v1-gpt",
        "styletts2",
        "bigvgan",
        "tortoise-classifier",
    }:
        assert f"`{name}`" in page, name
