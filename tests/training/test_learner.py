"""What of a network learns: all, groups, or small matrices alone; a run of these resumes bit for bit."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from building.adapters import CONTACT, learner_over
from building.conversion import TORTOISE, bits, differing, network_of, save, tensors_of
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import RecipeError, RunError
from retimbre.models.adapter import read_adapter
from retimbre.models.description import Description, sizes_of
from retimbre.models.load import load_model
from retimbre.nn.lora import Adapters
from retimbre.recipe.training import Lora, Training
from retimbre.training.job import Job
from retimbre.training.learner import attach, learner_of
from retimbre.training.objective import Turn, Verdict
from retimbre.training.run import resume, start
from retimbre.training.state import complete_checkpoints

CONFIG = TORTOISE["tortoise_ar"]


class NextCode:
    """Predict the next code of random codes, after random text by a random voice."""

    def __init__(self, learner):
        self.learner = learner

    def parts(self):
        return {"network": self.learner.part}

    def turns(self):
        return (Turn("network", self.learner.part, self.losses),)

    def begin(self, batch, progress):
        return None

    def losses(self, batch, begun, progress):
        network = self.learner.network.train()
        voice, symbols, codes = batch
        logits = network(voice, symbols, codes[:, :-1]).codes
        return {"codes": functional.cross_entropy(logits.transpose(1, 2), codes[:, 1:])}

    def validate(self, progress):
        self.learner.network.eval()
        return Verdict({"codes": 1.0}, 1.0 / (1 + progress.step))


class Items(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, key):
        random = torch.Generator().manual_seed(100 * key.draw + key.item)
        voice = torch.randn(CONFIG.dim, generator=random)
        symbols = torch.randint(0, CONFIG.n_symbols, (5,), generator=random)
        return voice, symbols, torch.randint(0, CONFIG.n_codes, (8,), generator=random)


def job_over(base, settings):
    read = load_model(base)
    lineage = {"contact": CONTACT, "base": {"file": base.name, "sha256": sha256_of(base)}}
    torch.manual_seed(settings.seed)
    learner = learner_of(read.model, replace(read.description, lineage=lineage), settings)
    return Job(
        objective=NextCode(learner),
        dataset=Items(),
        lengths=[8] * 6,
        collate=lambda items: tuple(torch.stack(column) for column in zip(*items, strict=True)),
        description=replace(read.description, lineage=lineage),
        keep=learner.keep,
    )


@pytest.fixture
def base(tmp_path):
    return save(tmp_path, "tortoise_ar", step=7)


@pytest.fixture
def lora_settings(settings):
    return settings(steps=6, checkpoint_every_steps=3, lora=Lora(rank=2, alpha=4, dropout=0.3))


def recipe_for(tiny_recipe, settings, name):
    return tiny_recipe("text-to-codes", settings, name=name)


def test_a_run_of_small_matrices_saves_them_alone_and_goes_on_bit_for_bit(
    tiny_recipe, base, lora_settings, compare
):
    whole = start(
        recipe_for(tiny_recipe, lora_settings, "whole"), job_over(base, lora_settings), device="cpu"
    )
    first = lora_settings.model_copy(update={"steps": 3})
    start(recipe_for(tiny_recipe, first, "run"), job_over(base, first), device="cpu")
    resumed = resume(
        recipe_for(tiny_recipe, lora_settings, "run"), job_over(base, lora_settings), device="cpu"
    )

    newest = complete_checkpoints(resumed.run)[-1]
    saved = load_file(newest / "model.safetensors")
    assert all(".lora_" in name for name in saved)
    assert len(saved) == 2 * 4 * CONFIG.n_layers
    assert (newest / "model.safetensors").stat().st_size < base.stat().st_size / 5
    for name in ("model.safetensors", "state.safetensors"):
        of_whole = load_file(complete_checkpoints(whole.run)[-1] / name)
        of_resumed = load_file(newest / name)
        assert {n: bits(t) for n, t in of_whole.items()} == {n: bits(t) for n, t in of_resumed.items()}
    assert differing(tensors_of(whole.model), tensors_of(resumed.model)) == []


def test_what_a_run_keeps_is_a_file_of_adapters_that_says_what_it_is_of(tiny_recipe, base, lora_settings):
    done = start(recipe_for(tiny_recipe, lora_settings, "run"), job_over(base, lora_settings), device="cpu")

    kept = read_adapter(done.model)

    assert kept.description.family == "tortoise_ar"
    assert kept.description.base.file == base.name
    assert kept.description.base.sha256 == sha256_of(base)
    assert (kept.description.rank, kept.description.alpha, kept.description.step) == (2, 4.0, 6)
    assert kept.description.targets == ("attention", "feed-forward")
    assert kept.description.lineage["contact"] == CONTACT
    assert any(up.any() for _, up in kept.pairs.values())


def test_a_run_of_small_matrices_is_not_resumed_beside_another_base(
    tiny_recipe, base, tmp_path, lora_settings
):
    first = lora_settings.model_copy(update={"steps": 3})
    start(recipe_for(tiny_recipe, first, "run"), job_over(base, first), device="cpu")
    (tmp_path / "elsewhere").mkdir()
    other = save(tmp_path / "elsewhere", "tortoise_ar", step=8)

    with pytest.raises(RunError, match=r"beside another base: expected tortoise_ar.safetensors \(sha256 "):
        resume(recipe_for(tiny_recipe, lora_settings, "run"), job_over(other, lora_settings), device="cpu")


def test_a_whole_network_goes_on_whatever_its_base_is_now(tiny_recipe, base, tmp_path, settings):
    chosen = settings(steps=2, checkpoint_every_steps=1, moving=("codes", "attention.1"))
    first = chosen.model_copy(update={"steps": 1})
    start(recipe_for(tiny_recipe, first, "run"), job_over(base, first), device="cpu")
    (tmp_path / "elsewhere").mkdir()
    other = save(tmp_path / "elsewhere", "tortoise_ar", step=8)

    done = resume(recipe_for(tiny_recipe, chosen, "run"), job_over(other, chosen), device="cpu")

    moved = set(differing(tensors_of(done.model), tensors_of(base)))
    assert {"mel_head.weight", "gpt.h.1.attn.c_attn.weight"} <= moved
    assert not any(name.startswith(("gpt.h.0.", "text_", "conditioning_")) for name in moved)
    assert load_model(done.model).description.step == 8 + 2


def test_all_of_a_network_learns_unless_something_is_said():
    network = network_of("tortoise_ar")
    description = Description(family="tortoise_ar", sizes=sizes_of(CONFIG))

    learner = learner_of(network, description, Training())

    assert learner.part is network
    assert all(tensor.requires_grad for tensor in network.parameters())
    frozen = learner_of(network, description, Training(moving=("layers",), frozen=("gpt.h.0",)))
    moving = {name for name, tensor in frozen.part.named_parameters() if tensor.requires_grad}
    assert moving
    assert all(name.startswith("gpt.h.1.") for name in moving)


@pytest.mark.parametrize(
    ("family", "targets", "expected"),
    [
        ("tortoise_ar", ("attention", "feed-forward"), 8),
        ("tortoise_ar", ("attention.1",), 2),
        ("tortoise_ar", ("text",), 1),
        ("tortoise_ar", ("voice",), 13),
        ("tortoise_diffusion", ("attention",), 2 * (3 + 4 + 5 + 3 + 2)),
        ("tortoise_diffusion", ("feed-forward.0",), 2),
        ("tortoise_diffusion", ("time",), 2 + 3 + 2 + 3),
    ],
)
def test_every_matrix_of_a_group_gets_small_ones(family, targets, expected):
    network = network_of(family)

    adapters = attach(network, Lora(rank=3, targets=targets), family)

    assert isinstance(adapters, Adapters)
    assert len(adapters.by_layer()) == expected
    assert {tensor.ndim for tensor in adapters.parameters()} == {2}


def test_the_diffusion_decoder_with_adapters_gives_at_first_what_it_gave():
    network = network_of("tortoise_diffusion")
    noisy, aligned = torch.randn(2, 5, 7), torch.randn(2, 64, 7)
    steps = torch.tensor([3, 900])
    with torch.no_grad():  # which kernels torch takes depends on what asks for gradients
        before = network(noisy, steps, aligned)

    adapters = attach(network, Lora(rank=2, targets=("attention", "feed-forward")), "tortoise_diffusion")

    with torch.no_grad():
        assert torch.equal(network(noisy, steps, aligned), before)
    network(noisy, steps, aligned).square().sum().backward()
    used = [name for name, pair in adapters.by_layer().items() if pair.lora_B.weight.grad is not None]
    assert {name for name in adapters.by_layer() if name.startswith("layers.")} <= set(used)


@pytest.mark.parametrize("target", ["norms", "positions", "embeddings"])
def test_a_group_without_matrices_is_refused(target):
    with pytest.raises(RecipeError, match=rf"no matrices in '{target}'.*training.moving instead"):
        attach(network_of("tortoise_ar"), Lora(targets=("attention", target)), "tortoise_ar")


def test_small_matrices_and_moving_tensors_contradict_each_other(base):
    read = load_model(base)
    for more in ({"moving": ("text",)}, {"frozen": ("gpt",)}):
        with pytest.raises(RecipeError, match=r"small matrices and nothing else.*found training."):
            learner_of(read.model, read.description, Training(lora=Lora(), **more))


def test_small_matrices_need_a_base(base):
    read = load_model(base)
    with pytest.raises(RecipeError, match=r"training.lora needs a base"):
        learner_of(read.model, read.description, Training(lora=Lora()))


def test_a_base_in_bfloat16_speaks_and_learns_with_its_adapters(base):
    learner = learner_over(base)
    network = learner.network.bfloat16()
    voice, symbols, codes = (
        torch.randn(2, 64).bfloat16(),
        torch.tensor([[11, 3, 0]] * 2),
        torch.tensor([[18, 4]] * 2),
    )

    logits = network(voice, symbols, codes).codes

    assert logits.dtype == torch.bfloat16
    logits.float().square().sum().backward()
    assert all(tensor.grad.dtype == torch.float32 for tensor in learner.part.parameters())


@pytest.mark.parametrize("is_reduced", [False, True])
def test_recomputed_layers_give_small_matrices_the_same_gradients_bit_for_bit(base, is_reduced):
    found = []
    for n_recomputed in (0, CONFIG.n_layers):
        learner = learner_over(base, dropout=0.3)
        gpt = learner.network.train().gpt
        gpt.n_recomputed = n_recomputed
        torch.manual_seed(4)
        x = torch.randn(2, 7, CONFIG.dim)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_reduced):
            places = gpt(x)
        places.float().square().sum().backward()
        found.append([bits(tensor.grad) for tensor in learner.part.parameters()])

    assert found[0] == found[1]
