"""What was tuned here opens in the programs that it came from: nothing but weights, its story beside it."""

import json

import pytest
import torch

from building.adapters import CONTACT, learner_over, save_adapter
from building.conversion import FAMILY, bits, differing, save, tensors_of
from building.dlas_itself import ask_dlas, needs_dlas
from building.tortoise_itself import ask_tortoise, needs_tortoise
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import CheckpointError
from retimbre.models.adapter import read_adapter
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.variants import kwargs_of
from retimbre.pipelines.convert import Wish, convert

FAMILIES = ("tortoise_ar", "tortoise_diffusion")
LINEAGE = {"contact": CONTACT, "base": {"file": "autoregressive.pth", "sha256": "9c6651"}, "seed": 3}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def tuned(tmp_path, family):
    """All of a network was trained."""
    return save(tmp_path, family, step=120, lineage=LINEAGE)


def state_of(path):
    return torch.load(path, weights_only=True, map_location="cpu")


def story_of(path):
    return json.loads((path.parent / f"{path.name}.json").read_text(encoding="utf-8"))


def inputs():
    random = torch.Generator().manual_seed(8)
    return {
        "voice": torch.randn(2, 64, generator=random),
        "symbols": torch.randint(1, 11, (2, 5), generator=random),
        "codes": torch.randint(0, 18, (2, 7), generator=random),
    }


def folded(tmp_path, family, **wished):
    """A base with adapters, as another program reads it; and the network that was trained."""
    base = save(tmp_path, family, step=7)
    learner = learner_over(base)
    learner.keep(tmp_path / "mine.safetensors", 40)
    wish = Wish(adapters=(read_adapter(tmp_path / "mine.safetensors"),), **wished)
    return convert(base, tmp_path / "out" / "tuned.pth", wish).files[0], learner.network.eval()


def test_a_tuned_network_is_a_plain_state_dict_with_its_story_beside_it(tmp_path, tuned, family):
    done = convert(tuned, tmp_path / "out" / "theirs.pth")

    assert [path.name for path in done.files] == ["theirs.pth", "theirs.pth.json"]
    assert differing(state_of(done.files[0]), tensors_of(tuned)) == []
    story = story_of(done.files[0])
    assert story["sha256"] == sha256_of(done.files[0])
    assert (story["family"], story["step"], story["lineage"]) == (family, 120, LINEAGE)


def test_folded_adapters_leave_nothing_of_themselves_but_their_story(tmp_path, family):
    path, _ = folded(tmp_path, family)

    content = state_of(path)

    plain = load_model(tmp_path / f"{family}.safetensors").model.state_dict()
    assert {n: (t.dtype, t.shape) for n, t in content.items()} == {
        n: (t.dtype, t.shape) for n, t in plain.items()
    }
    changed = {name for name in plain if bits(content[name]) != bits(plain[name])}
    adapter = read_adapter(tmp_path / "mine.safetensors")
    assert changed == {f"{name}.weight" for name in adapter.pairs}
    story = story_of(path)
    assert story["lineage"]["contact"] == CONTACT
    assert story["lineage"]["adapters"][0]["sha256"] == sha256_of(adapter.path)


def test_in_our_own_format_contact_and_lineage_are_in_the_file(tmp_path, family):
    base = save(tmp_path, family)
    adapter = read_adapter(save_adapter(tmp_path / "mine.safetensors", base), strength=0.5)

    done = convert(base, tmp_path / "folded.safetensors", Wish(adapters=(adapter,)))

    assert "folded in: mine.safetensors × 0.5" in done.remarks
    described = load_model(done.files[0]).description
    assert described.lineage["contact"] == CONTACT
    assert described.lineage["adapters"][0]["strength"] == 0.5
    expected = load_model(base, adapters=[adapter]).model.state_dict()
    assert differing(load_model(done.files[0]).model.state_dict(), expected) == []


def test_a_file_of_another_program_has_no_story_to_tell(tmp_path, family):
    theirs = tmp_path / "theirs.pth"
    torch.save(tensors_of(save(tmp_path, family)), theirs)

    assert [path.name for path in convert(theirs, tmp_path / "again.pth").files] == ["again.pth"]


def test_an_old_story_of_another_file_does_not_stay_beside_a_new_one(tmp_path, tuned):
    out = convert(tuned, tmp_path / "out.pth").files[0]
    before = story_of(out)
    other = save(tmp_path, "tortoise_clvp", step=5)

    convert(other, out)

    assert story_of(out)["sha256"] == sha256_of(out) != before["sha256"]


def test_adapters_are_not_replaced_by_what_they_are_folded_into(tmp_path, family):
    base = save(tmp_path, family)
    path = save_adapter(tmp_path / "mine.safetensors", base)
    before = path.read_bytes()

    with pytest.raises(CheckpointError, match="would replace what it is made of"):
        convert(base, path, Wish(adapters=(read_adapter(path),)))
    assert path.read_bytes() == before


STRICTLY = """
case = json.load(open(words[0]))
network = {"tortoise_ar": UnifiedVoice, "tortoise_diffusion": Diffusion}[case["family"]](**case["kwargs"])
content = torch.load(case["path"], weights_only=True)
network.load_state_dict(content, strict=True)
assert all(torch.equal(tensor, content[name]) for name, tensor in network.state_dict().items())
"""
OF_TORTOISE = (
    """
import json, sys, torch
from tortoise.models.autoregressive import UnifiedVoice
from tortoise.models.diffusion_decoder import DiffusionTts as Diffusion
words = sys.argv[1:]
"""
    + STRICTLY
)
OF_DLAS = (
    """
import json, torch
names = ("models.audio.tts.unified_voice2", "models.audio.tts.unet_diffusion_tts_flat", "maybe_bnb")
for _ in range(2):  # the first time, packages that are missing begin everything anew
    of_ar, of_diffusion, layers = map(imported, names)
layers.populate(False, False, False, embedding=None)  # as its train.py without bitsandbytes
UnifiedVoice, Diffusion = of_ar.UnifiedVoice, of_diffusion.DiffusionTtsFlat
words = sys.argv[2:]
"""
    + STRICTLY
)
AND_SPEAKS = """
given = torch.load(words[1], weights_only=True)
lengths = torch.tensor([7 * 1024] * 2)
with torch.no_grad():
    found = network.eval()(
        given["voice"], given["symbols"], torch.tensor([5, 5]), given["codes"], lengths,
        return_latent=True, clip_inputs=False,
    )
torch.save(found, words[2])
"""


def case_of(tmp_path, family, path, kwargs):
    case = tmp_path / "case.json"
    case.write_text(json.dumps({"family": family, "path": str(path), "kwargs": kwargs}))
    return case


@pytest.mark.slow
@needs_tortoise
def test_tortoise_itself_loads_what_was_folded_strictly(tmp_path, family):
    path, _ = folded(tmp_path, family)
    kwargs = FAMILY[family].reference_kwargs(load_model(path).model.config)

    ask_tortoise(OF_TORTOISE, case_of(tmp_path, family, path, kwargs))


@pytest.mark.slow
@needs_tortoise
def test_tortoise_itself_thinks_what_the_trained_network_thought(tmp_path):
    """The latents of the codes, from which sound is made."""
    path, trained = folded(tmp_path, "tortoise_ar")
    case = case_of(tmp_path, "tortoise_ar", path, kwargs_of(trained.config))
    given = inputs()
    torch.save(given, tmp_path / "given.pt")

    ask_tortoise(OF_TORTOISE + AND_SPEAKS, case, tmp_path / "given.pt", tmp_path / "found.pt")

    found = torch.load(tmp_path / "found.pt", weights_only=True)
    with torch.no_grad():
        expected = trained.latents(given["voice"], given["symbols"], given["codes"])
        of_base = load_model(tmp_path / "tortoise_ar.safetensors").model.latents(
            given["voice"], given["symbols"], given["codes"]
        )
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)
    assert (found - of_base).abs().max() > 0.01


@pytest.mark.slow
@needs_tortoise
def test_the_transformers_of_today_want_no_masks_in_the_file(tmp_path):
    """tortoise-tts-fast, and whatever else loads strictly with a new transformers, needs the default."""
    path, trained = folded(tmp_path, "tortoise_ar", has_masks=True)
    case = case_of(tmp_path, "tortoise_ar", path, kwargs_of(trained.config))

    with pytest.raises(AssertionError, match=r"(?s)Unexpected key.*attn\.bias"):
        ask_tortoise(OF_TORTOISE, case)


@pytest.mark.slow
@needs_dlas
def test_dl_art_school_loads_what_was_folded_strictly(tmp_path, family):
    path, trained = folded(
        tmp_path, family, **({"variant": "unified_voice2"} if family == "tortoise_ar" else {})
    )
    kwargs = (
        kwargs_of(trained.config, "unified_voice2")
        if family == "tortoise_ar"
        else FAMILY[family].reference_kwargs(trained.config)
    )

    ask_dlas(OF_DLAS, case_of(tmp_path, family, path, kwargs))
