"""Adapters over their base: right for that one alone, and together they are what was trained."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from building.adapters import CONTACT, learner_over, save_adapter
from building.conversion import bits, differing, network_of, save, tensors_of
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import CheckpointError
from retimbre.models.adapted import adapted, base_file, weights_sha256
from retimbre.models.adapter import ADAPTER_KEY, read_adapter
from retimbre.models.explain import explain_file
from retimbre.models.load import load_model, save_model
from retimbre.pipelines.convert import convert

FAMILIES = ("tortoise_ar", "tortoise_diffusion")


def heard(family, network):
    """What a network says to inputs that are the same each time."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        if family == "tortoise_ar":
            voice = torch.randn(2, 64, generator=random)
            symbols = torch.randint(0, 12, (2, 6), generator=random)
            codes = torch.randint(0, 20, (2, 9), generator=random)
            return network(voice, symbols, codes).codes
        noisy = torch.randn(2, 5, 7, generator=random)
        aligned = torch.randn(2, 64, 7, generator=random)
        return network(noisy, torch.tensor([3, 900]), aligned)


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def base(tmp_path, family):
    return save(tmp_path, family, step=7, lineage={"written_by": "somebody"})


def test_the_base_with_an_adapter_says_what_the_trained_network_said(tmp_path, family, base):
    learner = learner_over(base, targets=("attention", "feed-forward"))
    learner.keep(tmp_path / "mine.safetensors", 40)
    trained = heard(family, learner.network.eval())

    read = load_model(base, adapters=[read_adapter(tmp_path / "mine.safetensors")])

    said = heard(family, read.model)
    torch.testing.assert_close(said, trained, atol=2e-5, rtol=1e-5)
    assert (said - heard(family, load_model(base).model)).abs().max() > 0.01


def test_strength_scales_what_is_added_and_none_adds_nothing(tmp_path, family, base):
    path = save_adapter(tmp_path / "mine.safetensors", base)

    plain, none, half, whole = (
        load_model(base, adapters=adapters).model.state_dict()
        for adapters in ([], *([read_adapter(path, strength=s)] for s in (0.0, 0.5, 1.0)))
    )

    assert differing(none, plain) == []
    changed = differing(whole, plain)
    assert changed
    for name in changed:
        middle = (plain[name].double() + whole[name].double()) / 2
        torch.testing.assert_close(half[name].double(), middle, atol=1e-6, rtol=1e-5)


def test_several_over_one_base_are_added_up_in_any_order(tmp_path, family, base):
    one = read_adapter(save_adapter(tmp_path / "one.safetensors", base, seed=1), strength=0.5)
    two = read_adapter(save_adapter(tmp_path / "two.safetensors", base, seed=2, rank=3))

    forward = load_model(base, adapters=[one, two]).model.state_dict()
    backward = load_model(base, adapters=[two, one]).model.state_dict()

    plain = load_model(base).model.state_dict()
    alone = [load_model(base, adapters=[each]).model.state_dict() for each in (one, two)]
    for name, tensor in plain.items():
        expected = alone[0][name].double() + alone[1][name].double() - tensor.double()
        torch.testing.assert_close(forward[name].double(), expected, atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(forward[name], backward[name], atol=2e-6, rtol=1e-5)


def test_contact_and_lineage_of_all_travel_with_the_two_together(tmp_path, family, base):
    one = save_adapter(tmp_path / "one.safetensors", base, step=40)
    two = save_adapter(tmp_path / "two.safetensors", base, step=30, contact="Bob <bob@b.example>")
    adapters = [read_adapter(one), read_adapter(two, strength=0.5)]

    described = load_model(base, adapters=adapters).description

    assert described.lineage["contact"] == f"{CONTACT}; Bob <bob@b.example>"
    assert described.lineage["base"] == {
        "file": base.name, "sha256": sha256_of(base), "lineage": {"written_by": "somebody"},
    }  # fmt: skip
    told = [(each["file"], each["sha256"], each["strength"]) for each in described.lineage["adapters"]]
    assert told == [("one.safetensors", sha256_of(one), 1.0), ("two.safetensors", sha256_of(two), 0.5)]
    assert described.lineage["adapters"][0]["lineage"]["data"]["utterances"] == 3
    assert described.step == 7 + 40
    json.dumps(described.to_dict(), allow_nan=False)


def test_another_base_is_refused_and_both_are_named(tmp_path, family, base):
    path = save_adapter(tmp_path / "mine.safetensors", base)
    tensors = load_file(base)
    name = next(name for name in tensors if name.endswith(".bias"))
    network = network_of(family)
    network.load_state_dict({**tensors, name: tensors[name] + 1e-3})
    other = save_model(tmp_path / "other.safetensors", network, load_model(base).description)

    with pytest.raises(CheckpointError) as told:
        load_model(other, adapters=[read_adapter(path)])

    said = str(told.value)
    assert "mine.safetensors was trained over another base than other.safetensors" in said
    assert f"{base.name} (sha256 {sha256_of(base)[:12]}…)" in said
    assert f"other.safetensors (sha256 {sha256_of(other)[:12]}…)" in said


def test_the_same_weights_in_another_format_are_the_same_base(tmp_path, family, base):
    path = save_adapter(tmp_path / "mine.safetensors", base)
    converted = convert(base, tmp_path / "autoregressive_network.pth").files[0]
    assert sha256_of(converted) != sha256_of(base)

    over_both = [
        load_model(one, adapters=[read_adapter(path)]).model.state_dict() for one in (base, converted)
    ]

    assert differing(*over_both) == []


def test_a_network_of_another_kind_is_refused(tmp_path):
    auto, diffusion = (save(tmp_path, family) for family in FAMILIES)
    path = save_adapter(tmp_path / "mine.safetensors", auto)

    with pytest.raises(
        CheckpointError, match=r"another kind of network.*a tortoise_ar, found.*tortoise_diffu"
    ):
        load_model(diffusion, adapters=[read_adapter(path)])


@pytest.mark.parametrize("fault", ["unknown layer", "wider", "rank"])
def test_matrices_that_do_not_fit_are_named_even_over_the_right_base(tmp_path, fault):
    base = save(tmp_path, "tortoise_ar")
    path = save_adapter(tmp_path / "mine.safetensors", base)
    described = (tmp_path / "mine.json").read_text()
    tensors = load_file(path)
    layer = "base_model.model.gpt.h.1.attn.c_attn"
    if fault == "unknown layer":
        for end in (".lora_A.weight", ".lora_B.weight"):
            tensors["base_model.model.gpt.ln_f" + end] = tensors.pop(layer + end)
    elif fault == "wider":
        tensors[f"{layer}.lora_A.weight"] = torch.randn(2, 65)
    else:
        tensors[f"{layer}.lora_A.weight"] = torch.randn(3, 64)
    save_file(tensors, path, metadata={ADAPTER_KEY: described})

    name = "gpt.ln_f" if fault == "unknown layer" else "gpt.h.1.attn.c_attn"
    with pytest.raises(CheckpointError, match=rf"mine.safetensors does not fit tortoise_ar.*'{name}' with"):
        load_model(base, adapters=[read_adapter(path)])


def test_weights_are_known_by_their_numbers_names_and_shapes_whatever_their_order_and_type():
    tensors = {"a": torch.randn(3, 4).half(), "b": torch.arange(5)}
    known = weights_sha256(tensors)

    assert known == weights_sha256({"b": tensors["b"], "a": tensors["a"].float()})
    assert known != weights_sha256({**tensors, "a": tensors["a"].view(4, 3)})
    assert known != weights_sha256({"a": tensors["a"], "c": tensors["b"]})
    assert known != weights_sha256({**tensors, "a": tensors["a"] * 2})
    assert weights_sha256({"a": tensors["a"].T}) == weights_sha256({"a": tensors["a"].T.contiguous()})


def test_what_is_remembered_of_a_base_is_what_its_network_has(tmp_path, family, base):
    learner = learner_over(base)

    assert learner.over.base == base_file(explain_file(base))


def test_without_adapters_a_file_stays_as_it_is(base):
    found = explain_file(base)

    assert adapted(found, []) is found
    assert {name: bits(t) for name, t in found.weights().items()} == {
        name: bits(t) for name, t in tensors_of(base).items()
    }


def test_a_base_whose_hash_is_known_is_not_read_for_it(tmp_path, base, monkeypatch):
    path = save_adapter(tmp_path / "mine.safetensors", base)
    known, adapter = sha256_of(base), read_adapter(path)
    monkeypatch.setattr("retimbre.models.adapted.sha256_of", lambda path: pytest.fail("it was read"))
    with monkeypatch.context() as patch:
        patch.setattr("retimbre.models.adapted.weights_sha256", lambda tensors: pytest.fail("it was read"))

        over = adapted(explain_file(base), [adapter], sha256=known)

    assert over.adapters == (adapter,)
    with pytest.raises(CheckpointError, match="another base"):
        adapted(explain_file(base), [replace_base(adapter)], sha256=known)


def replace_base(adapter):
    base = replace(adapter.description.base, sha256="0" * 64, weights_sha256="0" * 64)
    return replace(adapter, description=replace(adapter.description, base=base))


def test_a_moved_base_is_still_the_base(tmp_path, base, family):
    path = save_adapter(tmp_path / "mine.safetensors", base)
    moved = tmp_path / "moved.safetensors"
    shutil.move(base, moved)

    assert load_model(moved, adapters=[read_adapter(path)]).description.family == family
