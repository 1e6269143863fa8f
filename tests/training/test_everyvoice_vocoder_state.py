"""Going on where EveryVoice's training of a vocoder stopped: both optimisers, and the very next update."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from building.listeners import Heard
from retimbre.audio.mel import mel_librosa
from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.lazy import LazyTensors
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError, RunError
from retimbre.jobs.listener import Silent
from retimbre.models.hifigan.batch import VocoderBatch
from retimbre.models.hifigan.config import DiscriminatorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.load import load_model
from retimbre.recipe.recipe import Data, Recipe
from retimbre.recipe.training import Optimiser, Training
from retimbre.training import everyvoice_state
from retimbre.training.everyvoice_state import beginning_of
from retimbre.training.fabric import make_fabric
from retimbre.training.freezing import freeze
from retimbre.training.hifigan import SpecToWavObjective
from retimbre.training.loop import train_steps
from retimbre.training.objective import Progress
from retimbre.training.optimisers import optimiser_of

FIXTURES = Path(__file__).parents[1] / "fixtures" / "everyvoice"
FOLDER = FIXTURES / "resume_vocoder"
MEL = mel_librosa()
# EveryVoice was let go on without clipping; it lowers the rate by a thousandth per epoch, here of one step.
SETTINGS = Training(
    steps=30,
    continues_base=True,
    optimiser=Optimiser(
        learning_rate=1e-4, schedule="exponential", decay=0.999**1000, clip_norm=1e9, betas=(0.9, 0.98)
    ),
)
UPDATES = {"last": 20, "last-v1": 3}


@pytest.fixture
def folder(parity):
    project = parity("everyvoice_project") / "project"
    return project / "logs_and_checkpoints/VocoderExperiment/base/checkpoints"


def recipe_from(checkpoint, settings=SETTINGS):
    nothing = Path("nothing")
    data = Data(recordings=nothing, filelist=nothing)
    return Recipe(stage="spec-to-wav", base=checkpoint, data=data, training=settings)


def by_formula(rank, shape):
    """The numbers of the rule that the fixtures share, from -1 to 1."""
    mixed = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(2654435761)
    mixed += np.uint32((rank + 1) * 40503 * 65537 % 2**32)
    mixed ^= mixed >> 15
    mixed *= np.uint32(1274126177)
    mixed ^= mixed >> 13
    return torch.from_numpy(mixed / 2**31 - 1).float().view(shape)


def judging_weights():
    """Those of the first discriminator of each kind in the fixture of one step."""
    stored, weights = load_file(FIXTURES / "hifigan_step" / "weights.safetensors"), {}
    with torch.device("meta"):
        shapes = Discriminators(DiscriminatorConfig()).state_dict()
    for kind in ("mpd.", "msd."):
        for rank, name in enumerate(sorted(n for n in shapes if n.startswith(kind))):
            if not name.startswith(f"{kind}discriminators.0."):
                continue
            values = stored[name] if name in stored else by_formula(rank, shapes[name].shape)
            if name.endswith("original0"):
                values = 1.5 + 0.3 * values
            elif name.endswith("bias"):
                values = 0.02 * values
            weights[name] = values
    return weights


def with_known_discriminators(contents, moving):
    """The file, with a state of the discriminators' optimiser that differs from number to number."""
    ranks = {n: r for r, n in enumerate(sorted(n for n in contents.tensors if n[0] == "m"))}
    others = dict(contents.other_tensors)
    for number, name in enumerate(moving):
        place, shape, rank = f"optimizer_states/1/state/{number}", contents.tensors[name].shape, ranks[name]
        assert others[f"{place}/exp_avg"].shape == shape
        others[f"{place}/exp_avg"] = 0.05 * by_formula(500 + rank, shape)
        others[f"{place}/exp_avg_sq"] = 0.0025 * (1 + 0.5 * by_formula(900 + rank, shape))
    return replace(contents, other_tensors=LazyTensors.in_memory(others))


@pytest.mark.parametrize("name", ["last", "last-v1"])
def test_the_next_step_is_the_one_that_everyvoice_makes(folder, monkeypatch, name):
    expected = load_file(FOLDER / f"{name}.safetensors")
    meta = json.loads((FOLDER / "meta.json").read_text())["runs"][name]
    loaded = load_model(folder / f"{name}.ckpt")
    discriminators = Discriminators(DiscriminatorConfig(periods=(2,), n_scales=1))
    load_weights(discriminators, judging_weights())
    moves = [n.removeprefix("exp_avg.") for n in expected if n.startswith("exp_avg.m")]
    freeze(discriminators, tuple(n for n, _ in discriminators.named_parameters() if n not in moves))
    contents = with_known_discriminators(read(folder / f"{name}.ckpt"), meta["order"])
    monkeypatch.setattr(everyvoice_state, "read", lambda path: contents)
    rate = meta["learning_rates"][0] / 0.999 ** UPDATES[name]
    settings = SETTINGS.model_copy(
        update={"optimiser": SETTINGS.optimiser.model_copy(update={"learning_rate": rate})}
    )
    objective = SpecToWavObjective(loaded.model.train(), discriminators.train(), MEL, settings, {})
    optimisers = {turn.name: optimiser_of(turn, settings.optimiser) for turn in objective.turns()}
    listener = Heard()
    beginning = beginning_of(recipe_from(folder / f"{name}.ckpt", settings), objective.parts(), listener)
    for turn in objective.turns():
        beginning.fill(optimisers[turn.name], turn)
    logged = {}
    batch = VocoderBatch(
        spec=expected["in_spec"][None], wave=expected["in_wave"][None, None], n_frames=torch.tensor([16])
    )

    assert beginning.step == UPDATES[name] == meta["global_step_before"] / 2
    assert listener.said == [
        f"Continued: {name}.ckpt from its step {UPDATES[name]}, with its optimisers "
        f"({sum(meta['n_in_optimisers'])} tensors)"
    ]
    train_steps(
        make_fabric(precision="32-true", accelerator="cpu"),
        objective,
        optimisers,
        [batch],
        Progress(step=beginning.step),
        settings.model_copy(update={"steps": beginning.step + 1}),
        after_step=lambda progress, values: (logged.update(values), progress)[1],
    )

    assert logged["learning_rate"] == pytest.approx(meta["learning_rates"][0], rel=1e-9)
    assert logged["discriminators/adversarial"] == pytest.approx(
        expected["log.disc.d_loss_total"].item(), rel=1e-5
    )
    assert logged["generator/total"] == pytest.approx(expected["log.gen.gen_loss_total"].item(), rel=1e-4)
    parameters = {
        **{f"generator.{n}": p for n, p in loaded.model.named_parameters()},
        **dict(discriminators.named_parameters()),
    }
    state = {**optimisers["generator"].state, **optimisers["discriminators"].state}
    assert {float(s["step"]) for s in state.values()} == {UPDATES[name] + 1}
    for key, theirs in expected.items():
        slot, _, tensor = key.partition(".")
        if slot == "after":
            ours = parameters[tensor].detach().flatten()[: len(theirs)]
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)
        elif slot.startswith("exp_avg"):
            ours = state[parameters[tensor]][slot].flatten()[: len(theirs)]
            torch.testing.assert_close(ours, theirs, atol=2e-5 * theirs.abs().max().item(), rtol=0)


def test_every_tensor_gets_what_stands_in_the_file_under_its_place(folder):
    """In the file each tensor of the discriminators' state is one number of its own, repeated."""
    loaded = load_model(folder / "last.ckpt")
    discriminators = Discriminators(DiscriminatorConfig(periods=(2,), n_scales=1))
    parts = {"generator": loaded.model, "discriminators": discriminators}
    beginning = beginning_of(recipe_from(folder / "last.ckpt"), parts, Silent())
    order = json.loads((FOLDER / "meta.json").read_text())["runs"]["last"]["order"]
    stored = read(folder / "last.ckpt").other_tensors

    assert set(beginning.slots) == {n for part in parts.values() for n, _ in part.named_parameters()}
    for number, name in enumerate(order):
        theirs = stored[f"optimizer_states/1/state/{number}/exp_avg"]
        assert beginning.slots[name]["exp_avg"].equal(theirs)


def test_what_was_frozen_begins_anew(folder):
    loaded = load_model(folder / "last-v1.ckpt")
    parts = {
        "generator": loaded.model,
        "discriminators": Discriminators(DiscriminatorConfig(periods=(2,), n_scales=1)),
    }
    listener = Heard()
    beginning_of(recipe_from(folder / "last-v1.ckpt"), parts, listener)

    assert listener.said[0].endswith(
        "from its step 3, with its optimisers (107 tensors); 17 tensors begin anew"
    )


def test_it_is_said_where_the_learning_rate_jumps(folder):
    loaded, listener = load_model(folder / "last-v1.ckpt"), Heard()
    beginning_of(recipe_from(folder / "last-v1.ckpt"), {"generator": loaded.model}, listener)

    assert listener.said[1] == "Learning rate: 9.97e-05 at this step; the base had come to 9.97e-06"


def test_a_vocoder_that_has_come_to_its_end_is_not_gone_on_with(folder):
    done = SETTINGS.model_copy(update={"steps": 20})

    with pytest.raises(RunError, match=r"20 steps already.*max_steps, half of it\) above 20, found 20"):
        beginning_of(recipe_from(folder / "last.ckpt", done), {}, Silent())


def test_an_exported_generator_has_nothing_to_go_on_with(parity):
    exported = parity("everyvoice_project") / "project" / "exported.ckpt"

    with pytest.raises(CheckpointError, match=r"exported\.ckpt holds no state of an optimiser"):
        beginning_of(recipe_from(exported), {}, Silent())
