"""The four programs: their heads, and what each calls the sizes."""

import json
import re
from pathlib import Path

import pytest
import torch

from retimbre.errors import CheckpointError
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.variants import (
    VARIANTS,
    head_of,
    known_variant,
    kwargs_of,
    variant_of,
    with_head,
)


def test_the_head_of_each_variant_has_the_shape_that_its_files_have(expected):
    for path, entry in expected("ar_variants").values():
        present = {
            name: tuple(facts["shape"])
            for name, facts in entry["tensors"].items()
            if name.startswith(("aligned_head.", "alignment_head."))
        }
        config = UnifiedVoiceConfig(dim=entry["kwargs"]["model_dim"], n_heads=1)
        assert head_of(entry["variant"], config) == present, path


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_network_gets_the_head_that_a_variant_wants_and_else_stays(tiny, variant):
    tensors = tiny.state_dict()

    given = with_head(tensors, variant, tiny.config)

    head = head_of(variant, tiny.config)
    assert given.keys() - tensors.keys() == head.keys()
    assert all(given[name] is tensor for name, tensor in tensors.items())
    assert {name: tuple(given[name].shape) for name in head} == head
    for name in head:
        assert given[name].dtype == tensors["text_head.weight"].dtype
        assert bool(given[name].eq(0).all()) == name.endswith("bias")
    assert known_variant(variant_of(given)) == ("tortoise" if variant == "unified_voice2" else variant)


def test_a_head_for_half_precision_is_of_half_precision(tiny):
    tensors = {name: tensor.half() for name, tensor in tiny.state_dict().items()}

    given = with_head(tensors, "unified_voice4", tiny.config)

    assert given["alignment_head.weight"].dtype == torch.float16
    assert 0.01 < given["alignment_head.weight"].float().std() < 0.03


def test_half_a_head_tells_the_variant_too():
    assert variant_of(["aligned_head.bias"]) == "unified_voice3"
    assert variant_of(["mel_head.bias"]) == "tortoise / unified_voice2"


def test_arguments_are_plain_values():
    for variant in VARIANTS:
        kwargs = kwargs_of(UnifiedVoiceConfig(has_solo_embeddings=True), variant)
        assert json.loads(json.dumps(kwargs)) == kwargs
        assert kwargs.get("train_solo_embeddings", True) is True


def test_the_table_of_arguments_on_the_page_is_true():
    page = (Path(__file__).resolve().parents[3] / "docs" / "families" / "tortoise_ar.md").read_text(
        encoding="utf-8"
    )
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    ]
    head = next(row for row in rows if row[1:] == list(VARIANTS))
    table = {row[0].strip("`"): row[1:] for row in rows[rows.index(head) + 2 :] if len(row) == 5}
    of_all = [kwargs_of(UnifiedVoiceConfig(), variant) for variant in VARIANTS]

    heads = [re.findall(r"`(.+)`, (.+) rows", cell) for cell in table.pop("third head")]
    assert [
        {f"{name}.weight": (int(n), 1024), f"{name}.bias": (int(n),)} for found in heads for name, n in found
    ] == [head for variant in VARIANTS if (head := head_of(variant, UnifiedVoiceConfig()))]
    differing = {
        name for kwargs in of_all for name in kwargs if len({str(other.get(name)) for other in of_all}) > 1
    }
    assert differing <= table.keys()
    for name, cells in table.items():
        assert cells == [str(kwargs.get(name, "—")) for kwargs in of_all], name


def test_an_unknown_variant_is_refused():
    with pytest.raises(CheckpointError, match="no variant 'unified_voice5'.*one of tortoise, unified_voice2"):
        kwargs_of(UnifiedVoiceConfig(), "unified_voice5")
