"""Named groups: which tensors they hold, and what is said of a name that is none."""

import re
from pathlib import Path

import pytest

from building.conversion import network_of
from retimbre.errors import RecipeError
from retimbre.training.groups import GROUPS, move_only, tensors_in


@pytest.fixture(scope="module", params=["tortoise_ar", "tortoise_diffusion", "tortoise_dvae"])
def family(request):
    return request.param


def names_of(family):
    return [name for name, _ in network_of(family).named_parameters()]


def group(family, *names):
    return tensors_in(names, names_of(family), family)


def beginnings(names, depth=1):
    return {".".join(name.split(".")[:depth]) for name in names}


def test_every_tensor_is_in_a_group_and_no_group_is_empty(family):
    found = {name: group(family, name) for name in GROUPS[family].patterns}

    assert all(found.values()), found
    assert frozenset.union(*found.values()) == set(names_of(family))


def test_no_tensor_of_the_autoregressive_network_is_voice_text_codes_and_transformer_at_once():
    parts = [group("tortoise_ar", name) for name in ("voice", "text", "codes", "transformer")]

    assert sum(map(len, parts)) == len(frozenset.union(*parts)) == len(names_of("tortoise_ar"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("voice", {"conditioning_encoder"}),
        ("text", {"text_embedding", "text_pos_embedding", "text_head"}),
        ("codes", {"mel_embedding", "mel_pos_embedding", "mel_head"}),
        ("embeddings", {"text_embedding", "mel_embedding"}),
        ("positions", {"text_pos_embedding", "mel_pos_embedding"}),
        ("heads", {"text_head", "mel_head"}),
        ("transformer", {"gpt", "final_norm"}),
        ("norms", {"gpt", "final_norm"}),
    ],
)
def test_groups_of_the_autoregressive_network_are_its_parts(name, expected):
    assert beginnings(group("tortoise_ar", name)) == expected


def test_layers_are_attention_feed_forward_and_norms_and_can_be_had_one_by_one():
    of_first = group("tortoise_ar", "layers.0")

    assert beginnings(of_first, 3) == {"gpt.h.0"}
    parts = [group("tortoise_ar", f"{name}.0") for name in ("attention", "feed-forward", "norms")]
    assert frozenset.union(*parts) == of_first
    assert sum(map(len, parts)) == len(of_first) == 12
    assert group("tortoise_ar", "layers.0-1") == group("tortoise_ar", "layers")
    assert beginnings(group("tortoise_ar", "attention.1"), 4) == {"gpt.h.1.attn"}
    assert not {"gpt.ln_f.weight", "final_norm.bias"} & group("tortoise_ar", "norms.0-1")


def test_latents_are_what_dl_art_school_calls_the_autoregressive_inputs():
    assert beginnings(group("tortoise_diffusion", "latents")) == {"latent_conditioner"}
    assert beginnings(group("tortoise_diffusion", "voice")) == {"contextual_embedder"}
    assert {"layers.0", "layers.1"} < beginnings(group("tortoise_diffusion", "denoiser"), 2)
    assert beginnings(group("tortoise_diffusion", "attention.1"), 3) == {"layers.1.attn"}


def test_only_the_groups_move_together():
    network = network_of("tortoise_ar")

    n_moving = move_only(network, ["text", "layers.1"], "tortoise_ar")

    moving = {name for name, tensor in network.named_parameters() if tensor.requires_grad}
    assert moving == group("tortoise_ar", "text", "layers.1")
    assert len(moving) == n_moving == 16


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("atention", r"names 'atention', which is no group.*one of voice, text.*Write attention"),
        ("atention.0-1", r"names 'atention.0-1', which is no group.*Write attention"),
        ("xyzzy", r"one of voice, text, codes.*found xyzzy$"),
        ("layers.2", r"'layers.2', which no layers are: expected layers.0 to layers.1"),
        ("layers.0-2", r"'layers.0-2', which no layers are"),
        ("layers.1-0", r"'layers.1-0', which no layers are"),
        ("voice.0", r"'voice.0', which no layers are: expected voice: it has no layers"),
        ("layers.", r"no group of a tortoise_ar"),
        ("gpt.h.0", r"no group of a tortoise_ar"),
        ("", r"no group of a tortoise_ar"),
    ],
)
def test_what_is_no_group_or_layer_is_named_with_the_nearest_that_is(wrong, said):
    network = network_of("tortoise_ar")

    with pytest.raises(RecipeError, match=said) as told:
        move_only(network, ["text", wrong], "tortoise_ar")
    assert str(told.value).startswith("training.moving ")
    assert all(tensor.requires_grad for tensor in network.parameters())


def test_other_families_have_no_groups():
    with pytest.raises(RecipeError, match=r"training.moving is for networks of TorToiSe.*found a hifigan"):
        move_only(network_of("hifigan"), ["decoder"], "hifigan")


def test_the_page_has_every_group_of_every_family(family):
    page = (Path(__file__).resolve().parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")
    section = re.search(rf"\n`{family}`, for .*?\n\n(\|.*?)\n\n", page, re.S)

    assert section is not None
    assert re.findall(r"^\| `([a-z-]+)` \|", section[1], re.M) == list(GROUPS[family].patterns)
