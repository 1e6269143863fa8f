"""Going on where EveryVoice's own training stopped: its steps, its optimiser, and the very next update."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from building.listeners import Heard
from retimbre.checkpoint.fill import load_weights
from retimbre.errors import CheckpointError, RecipeError, RunError
from retimbre.jobs.listener import Silent
from retimbre.models.fastspeech2.batch import Item, collate
from retimbre.models.fastspeech2.extend import extended
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.load import load_model
from retimbre.recipe.recipe import Data, Recipe
from retimbre.recipe.training import LossWeights, Optimiser, Training
from retimbre.training.everyvoice_state import beginning_of
from retimbre.training.fabric import make_fabric
from retimbre.training.fastspeech2 import TextToSpecObjective
from retimbre.training.loop import train_steps
from retimbre.training.objective import Progress
from retimbre.training.optimisers import optimiser_of

FOLDER = Path(__file__).parents[1] / "fixtures" / "everyvoice" / "resume"
NOAM = Optimiser(
    learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-6, schedule="noam", warmup_steps=20
)
# A bias in front of a batch norm, and that of attention's keys, has no effect: its gradient is rounding.
WITHOUT_EFFECT = ("conv_module.sequential.2.bias", "in_proj_bias")
SETTINGS = Training(steps=11, optimiser=NOAM, loss=LossWeights(attn_bin_full_step=100), continues_base=True)


@pytest.fixture
def checkpoint(parity):
    experiment = parity("everyvoice_project") / "project/logs_and_checkpoints/FeaturePredictionExperiment"
    return experiment / "nopostnet/checkpoints/last.ckpt"


def recipe_from(checkpoint, settings=SETTINGS):
    nothing = Path("nothing")
    data = Data(recordings=nothing, filelist=nothing)
    return Recipe(stage="text-to-spec", base=checkpoint, data=data, training=settings)


def without_dropout(model):
    def calm(sizes):
        return replace(sizes, dropout=0.0)

    old = model.config
    config = replace(
        old,
        encoder=calm(old.encoder),
        decoder=calm(old.decoder),
        duration=calm(old.duration),
        pitch=calm(old.pitch),
        energy=calm(old.energy),
    )
    network = FastSpeech2(config)
    load_weights(network, model.state_dict())
    return network.train()


def test_the_next_step_is_the_one_that_everyvoice_makes(checkpoint):
    expected, meta = load_file(FOLDER / "io.safetensors"), json.loads((FOLDER / "meta.json").read_text())
    network = without_dropout(load_model(checkpoint).model)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    item = Item(
        symbols=expected["in_text"],
        spec=expected["in_mel"].T.contiguous(),
        pitch=expected["in_pitch"],
        energy=expected["in_energy"],
    )
    objective = TextToSpecObjective(network, -11.512925, SETTINGS, {})
    (turn,) = objective.turns()
    optimiser = optimiser_of(turn, SETTINGS.optimiser)
    beginning = beginning_of(recipe_from(checkpoint), {"model": network}, Silent())
    beginning.fill(optimiser, turn)
    logged = {}

    assert beginning.step == meta["step_before"]
    train_steps(
        make_fabric(precision="32-true", accelerator="cpu"),
        objective,
        {"model": optimiser},
        [collate([item], -11.512925)],
        Progress(step=beginning.step),
        SETTINGS,
        after_step=lambda progress, values: (logged.update(values), progress)[1],
    )

    assert logged["learning_rate"] == pytest.approx(meta["learning_rate"], rel=1e-12)
    assert logged["model/gradient_norm"] == pytest.approx(expected["grad_norm"].item(), rel=1e-4)
    for name in ("spec", "pitch", "energy", "duration", "attn_ctc", "attn_bin"):
        assert logged[f"model/{name}"] == pytest.approx(expected[f"loss_{name}"].item(), rel=1e-4), name
    state, moved = network.state_dict(), 0.0
    for name, tensor in expected.items():
        name = name.removeprefix("after.")
        if name in state and not name.endswith(WITHOUT_EFFECT):
            torch.testing.assert_close(state[name], tensor, atol=2e-6, rtol=1e-5)
            moved = max(moved, float((state[name] - before[name]).abs().max()))
    assert moved > 2e-4
    parameters = dict(network.named_parameters())
    for slot in ("exp_avg", "exp_avg_sq"):
        for name, tensor in expected.items():
            if name.startswith(f"{slot}."):
                ours = optimiser.state[parameters[name.removeprefix(f"{slot}.")]][slot]
                torch.testing.assert_close(ours, tensor, atol=1e-4 * float(tensor.abs().max()), rtol=0)
    assert float(optimiser.state[parameters["mel_linear.bias"]]["step"]) == expected["step"].item() == 11


def test_a_frozen_part_does_not_shift_what_the_optimiser_knows(checkpoint):
    network = load_model(checkpoint).model.train()
    network.encoder.requires_grad_(False)
    (turn,) = TextToSpecObjective(network, 0.0, SETTINGS, {}).turns()
    optimiser = optimiser_of(turn, SETTINGS.optimiser)
    beginning = beginning_of(recipe_from(checkpoint), {"model": network}, Silent())
    beginning.fill(optimiser, turn)

    found = {name: optimiser.state.get(p) for name, p in network.named_parameters()}
    assert not any(slots for name, slots in found.items() if name.startswith("encoder."))
    for name in (
        "text_input_layer.weight",
        "mel_linear.weight",
        "decoder.conformer_layers.0.ffn1.sequential.1.bias",
    ):
        assert found[name]["exp_avg"].equal(beginning.slots[name]["exp_avg"])
        assert found[name]["exp_avg_sq"].equal(beginning.slots[name]["exp_avg_sq"])


def test_it_is_said_where_a_training_goes_on(checkpoint):
    listener = Heard()
    beginning_of(recipe_from(checkpoint), {"model": load_model(checkpoint).model}, listener)

    assert listener.said == ["Continued: last.ckpt from its step 10, with its optimiser (117 tensors)"]


def test_a_training_that_has_come_to_its_end_is_not_gone_on_with(checkpoint):
    done = SETTINGS.model_copy(update={"steps": 10})

    with pytest.raises(RunError, match=r"trained for 10 steps already.*above 10, found 10"):
        beginning_of(recipe_from(checkpoint, done), {"model": load_model(checkpoint).model}, Silent())


def without_optimiser(values):
    del values["optimizer_states"]


def of_another_shape(values):
    values["optimizer_states"][0]["state"][5]["exp_avg"] = torch.randn(3, 3)


def of_fewer_parameters(values):
    values["optimizer_states"][0]["param_groups"][0]["params"].pop()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_optimiser, r"a\.ckpt holds no state of an optimiser.*continues_base=false"),
        (of_another_shape, r"does not fit its weights: .*exp_avg \(3, 3\)"),
        (of_fewer_parameters, r"does not fit its weights: expected 119 parameters, found 118"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(checkpoint, tmp_path, change, message):
    values = torch.load(checkpoint, weights_only=True)
    change(values)
    torch.save(values, tmp_path / "a.ckpt")
    network = load_model(checkpoint).model

    with pytest.raises(CheckpointError, match=message):
        beginning_of(recipe_from(tmp_path / "a.ckpt"), {"model": network}, Silent())


def test_the_state_of_another_kind_of_optimiser_is_refused(checkpoint):
    rms = SETTINGS.model_copy(update={"optimiser": NOAM.model_copy(update={"name": "rms"})})

    with pytest.raises(CheckpointError, match=r"does not fit its weights.*square_avg, step"):
        beginning_of(recipe_from(checkpoint, rms), {"model": load_model(checkpoint).model}, Silent())


def test_without_a_base_there_is_nothing_to_go_on_with(checkpoint):
    network = load_model(checkpoint).model

    with pytest.raises(RecipeError, match=r"nothing to go on with.*found no base"):
        beginning_of(recipe_from(None), {"model": network}, Silent())


def test_rows_that_were_added_to_a_table_begin_with_nothing_learnt_of_them(checkpoint):
    listener = Heard()
    loaded = load_model(checkpoint)
    grown, _ = extended(loaded, symbols=["ŋ", "5"], speakers=["eve"])
    before = beginning_of(recipe_from(checkpoint), {"model": loaded.model}, Silent()).slots[
        "text_input_layer.weight"
    ]
    slots = beginning_of(recipe_from(checkpoint), {"model": grown.model}, listener).slots
    after = slots["text_input_layer.weight"]

    assert after["step"] == before["step"] == 10
    for name in ("exp_avg", "exp_avg_sq"):
        assert after[name].shape == grown.model.text_input_layer.weight.shape
        assert after[name][:-2].equal(before[name])
        assert after[name][:-2].any()
        assert not after[name][-2:].any()
    assert "speaker_embedding.weight" not in slots
    assert listener.said == [
        "Continued: last.ckpt from its step 10, with its optimiser (117 tensors); 1 tensors begin anew"
    ]


def test_a_training_with_added_rows_is_gone_on_with(checkpoint):
    """The old rows make the step that they would have made; the new ones one of their own."""

    def stepped(symbols, added):
        torch.manual_seed(3)
        loaded, _ = extended(load_model(checkpoint), symbols=added)
        network = without_dropout(loaded.model)
        beginning = beginning_of(recipe_from(checkpoint), {"model": network}, Silent())
        objective = TextToSpecObjective(network, -11.5, SETTINGS, {})
        (turn,) = objective.turns()
        optimiser = optimiser_of(turn, SETTINGS.optimiser)
        beginning.fill(optimiser, turn)
        draw = torch.Generator().manual_seed(7)
        item = Item(
            symbols=torch.tensor(symbols),
            spec=torch.randn(80, 31, generator=draw) - 5,
            pitch=torch.randn(31, generator=draw),
            energy=torch.randn(31, generator=draw),
        )
        train_steps(
            make_fabric(precision="32-true", accelerator="cpu"),
            objective,
            {turn.name: optimiser},
            [collate([item], pad_spec=-11.5)],
            Progress(step=beginning.step),
            SETTINGS,
            after_step=lambda progress, _: progress,
        )
        return network.text_input_layer.weight.detach()

    n_rows = len(load_model(checkpoint).description.symbols)
    plain, grown = stepped([5, 9, 11, 4], []), stepped([5, 9, 11, 4], ["ŋ"])
    torch.testing.assert_close(grown[:n_rows], plain, rtol=0, atol=1e-6)
    begun = load_model(checkpoint).model.text_input_layer.weight
    assert not begun[9].equal(grown[9])
    used = stepped([5, 9, n_rows, 4], ["ŋ"])
    assert not used[-1].isclose(grown[-1], atol=1e-6).all()
