"""A file of adapters: small, complete, says what it is, and is taken for nothing else."""

import json
import re

import pytest
from safetensors.torch import load_file, save_file

from building.adapters import CONTACT, learner_over, save_adapter
from building.conversion import bits, save
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import CheckpointError, UnknownFamily
from retimbre.models.adapter import ADAPTER_KEY, AdapterDescription, BaseFile, read_adapter
from retimbre.models.complete import empty_network
from retimbre.models.identify import identify
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.recipe.training import Lora
from retimbre.training.learner import attach

FAMILIES = ("tortoise_ar", "tortoise_diffusion")


@pytest.fixture(params=FAMILIES)
def base(tmp_path, request):
    return save(tmp_path, request.param)


@pytest.fixture
def adapter(tmp_path, base):
    return save_adapter(tmp_path / "mine.safetensors", base)


def rewritten(path, change=lambda tensors: tensors, **values):
    """The file with other tensors, or other values in its description."""
    described = {**json.loads(path.with_suffix(".json").read_text()), **values}
    tensors = change(load_file(path))
    save_file(tensors, path, metadata={ADAPTER_KEY: json.dumps(described)})
    return path


def test_what_was_learnt_is_read_back_bit_for_bit_under_the_names_of_peft(tmp_path, base):
    learner = learner_over(base)
    learner.keep(tmp_path / "mine.safetensors", 40)

    read = read_adapter(tmp_path / "mine.safetensors")

    learnt = learner.adapters.by_layer()
    assert read.pairs.keys() == learnt.keys()
    for name, (down, up) in read.pairs.items():
        assert bits(down) == bits(learnt[name].lora_A.weight)
        assert bits(up) == bits(learnt[name].lora_B.weight)
    names = re.compile(r"base_model\.model\..+\.lora_[AB]\.weight")
    assert all(names.fullmatch(name) for name in load_file(tmp_path / "mine.safetensors"))
    assert read.factor == 1.5
    assert read.description.to_dict() == json.loads((tmp_path / "mine.json").read_text())


def test_a_description_survives_json():
    described = AdapterDescription(
        family="tortoise_ar",
        base=BaseFile(file="a.pth", sha256="12", weights_sha256="34"),
        rank=3,
        alpha=0.5,
        targets=("attention.1-2", "text"),
        step=9,
        lineage={"contact": "Ann", "base": {"file": "a.pth"}},
    )

    assert AdapterDescription.from_dict(json.loads(json.dumps(described.to_dict()))) == described


def test_inspect_says_what_it_is_and_for_which_base(adapter, base):
    report = identify(adapter)

    assert report.family is None
    assert report.problem is None
    assert report.kind == "retimbre-adapter"
    assert f"a LoRA adapter for a {base.stem}" in report.recognised
    assert report.sizes["base_sha256"] == sha256_of(base)
    assert report.sizes["contact"] == CONTACT
    assert (report.sizes["rank"], report.sizes["alpha"], report.step) == (2, 3.0, 40)
    assert base.name in report.to_text()
    assert "attention" in report.to_text()


def test_it_is_no_model_by_itself(adapter):
    with pytest.raises(UnknownFamily, match=r"LoRA adapter .* no model by itself"):
        load_model(adapter)


def test_a_model_is_no_adapter(base):
    with pytest.raises(
        CheckpointError, match=r"holds no adapters: expected a file that 'training.lora' wrote"
    ):
        read_adapter(base)


def test_half_of_a_pair_is_refused(adapter):
    def without_one(tensors):
        return {name: tensor for n, (name, tensor) in enumerate(tensors.items()) if n}

    with pytest.raises(CheckpointError, match=r"not complete.*found only one of base_model"):
        read_adapter(rewritten(adapter, without_one))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format_version": 2}, r"expected format_version 1, found 2\. Update Retimbre"),
        ({"base": {}}, "damaged: found KeyError"),
        ({"rank": "many"}, "damaged: found ValueError"),
        ({"lineage": 3}, "damaged: found TypeError"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused_and_named(adapter, values, said):
    rewritten(adapter, **values)

    with pytest.raises(CheckpointError, match=rf"mine.safetensors: .*{said}"):
        read_adapter(adapter)
    assert "damaged" in identify(adapter).recognised


def test_names_in_the_head_of_the_file_cannot_command_a_terminal(adapter):
    rewritten(adapter, targets=["\x1b[2J"], family="tortoise\x1b[31m_ar")

    assert "\x1b" not in identify(adapter).to_text()


def test_the_released_network_gets_adapters_of_some_megabytes():
    network = empty_network(UnifiedVoice, UnifiedVoiceConfig())
    sizes = {
        (rank, targets): sum(t.numel() * 4 for t in attach(network, lora, "tortoise_ar").parameters())
        for rank, targets in ((4, ("attention",)), (16, ("attention", "feed-forward")))
        if (lora := Lora(rank=rank, targets=targets))
    }

    assert sum(t.numel() * 4 for t in network.parameters()) == 4 * 421_526_786
    assert sizes == {(4, ("attention",)): 2_949_120, (16, ("attention", "feed-forward")): 31_457_280}
