"""Every path of the network, and one training step, give EveryVoice's numbers; alone and in any batch.

The numbers and their tolerances are described in tests/fixtures/everyvoice/README.md.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.optim import AdamW

from retimbre.checkpoint.fill import load_weights
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2 import model as network_module
from retimbre.models.fastspeech2.batch import Item, collate
from retimbre.models.fastspeech2.loss import LossWeights, text_to_spec_losses
from retimbre.models.fastspeech2.variance import Controls
from retimbre.recipe.training import Optimiser, Training
from retimbre.training.fabric import make_fabric
from retimbre.training.fastspeech2 import TextToSpecObjective
from retimbre.training.loop import train_steps
from retimbre.training.objective import Progress
from retimbre.training.schedules import learning_rate

FIXTURES = Path(__file__).parents[2] / "fixtures" / "everyvoice"
FOLDERS = ["fs2_durations_phone", "fs2_durations_frame", "fs2_learned_frame", "fs2_learned_phone"]
UTTERANCES = [0, 1, 2]
PARTS = ("encoder", "decoder", "duration", "pitch", "energy")
CONTROLS = {"infer": Controls(), "infer_slow": Controls(duration=1.5)}
LOUD = 4.0  # padding of a spec: whatever is there must not matter
BINARISATION = {0: 0.0, 40: 0.4}  # by EveryVoice's epoch; full at epoch 100


@dataclass(frozen=True)
class Reference:
    """One of the folders: the network with its weights, and EveryVoice's tensors."""

    network: torch.nn.Module
    tensors: dict
    meta: dict

    def item(self, number):
        """One utterance as it is read in training."""
        given = {name: self.tensors[f"u{number}_in_{name}"][0] for name in ("text", "mel", "duration")}
        durations = given["duration"]
        return Item(
            symbols=given["text"].long(),
            spec=given["mel"].T,
            pitch=self.tensors[f"u{number}_in_pitch"][0],
            energy=self.tensors[f"u{number}_in_energy"][0],
            durations=None if durations.is_floating_point() else durations,
        )

    def batch(self, *numbers, pad_spec=LOUD):
        return collate([self.item(number) for number in numbers], pad_spec)

    def of(self, number, mode):
        """EveryVoice's tensors of one utterance and mode by name, without the axis of the batch."""
        start = f"u{number}_{mode}_"
        names = {name: name.removeprefix(start) for name in self.tensors if name.startswith(start)}
        return {ours: self.tensors[name][0] for name, ours in names.items() if not ours.startswith("slow_")}

    def loss(self, number, epoch):
        start = f"u{number}_loss_epoch{epoch}_"
        return {name[len(start) :]: t.item() for name, t in self.tensors.items() if name.startswith(start)}


def network_of(folder, **changes):
    """EveryVoice's weights in our network, and what lies beside them."""
    weights, meta = load_file(folder / "weights.safetensors"), json.loads((folder / "meta.json").read_text())
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    inferred = FASTSPEECH2.config_from(shapes, {"config": meta["config"], "stats": meta["stats"]})
    assert inferred.assumed == ()
    sizes = {part: replace(getattr(inferred.config, part), **changes) for part in PARTS}
    network = FASTSPEECH2.build(replace(inferred.config, **sizes))
    load_weights(network, FASTSPEECH2.ledger_of(weights).tensors)
    return network, meta


@pytest.fixture(scope="module", params=FOLDERS)
def reference(request):
    network, meta = network_of(FIXTURES / request.param)
    return Reference(network.eval(), load_file(FIXTURES / request.param / "io.safetensors"), meta)


@torch.no_grad()
def run(network, mode, batch):
    """What a mode gives, under EveryVoice's names; also what no caller sees: decoder and log durations."""
    seen = {}
    parts = {"output": network.mel_linear, "duration_prediction": network.variance_adaptor.duration_predictor}
    hooks = [
        part.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output}))
        for name, part in parts.items()
    ]
    if mode == "train":
        found = of_training(network(batch))
    else:
        spoken = network.teacher_force(batch) if mode == "teacher" else None
        spoken = spoken or network.speak(batch.text, CONTROLS[mode])
        found = {
            "postnet_output": spoken.spec,
            "durations": spoken.durations,
            "pitch_prediction": spoken.pitch,
            "energy_prediction": spoken.energy,
        }
    for hook in hooks:
        hook.remove()
    return seen | found


def of_training(output):
    found = {
        "output": output.spec,
        "postnet_output": output.refined,
        "duration_prediction": output.prosody.log_durations,
        "durations": output.prosody.timing.durations,
    }
    for name in ("pitch", "energy"):
        found |= {
            f"{name}_prediction": getattr(output.prosody, name),
            f"{name}_target": getattr(output.truth, name),
        }
    if output.alignment is not None:
        symbols, path = output.alignment.log_prob.shape[2], output.alignment.timing.symbol_of_frame
        found["attn_logprob"] = output.alignment.log_prob.unsqueeze(1)
        found["attn_soft"] = output.alignment.log_soft.exp().unsqueeze(1)
        found["attn_hard"] = torch.nn.functional.one_hot(path, symbols).float().unsqueeze(1)
    return found


@pytest.mark.parametrize("number", UTTERANCES)
@pytest.mark.parametrize("mode", ["train", "teacher", *CONTROLS])
def test_every_mode_gives_the_reference(reference, mode, number):
    expected = reference.of(number, mode)

    found = run(reference.network, mode, reference.batch(number))

    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        tolerance = 0.0 if name in ("durations", "attn_hard") else 2e-4
        torch.testing.assert_close(found[name][0].to(theirs.dtype), theirs, atol=tolerance, rtol=0)


@pytest.mark.parametrize("number", UTTERANCES)
@pytest.mark.parametrize("epoch", BINARISATION)
def test_every_loss_is_the_reference(reference, epoch, number):
    batch = reference.batch(number)
    with torch.no_grad():
        output = reference.network(batch)
        losses = text_to_spec_losses(output, batch, LossWeights(), BINARISATION[epoch])

    found = {name: loss.item() for name, loss in losses.items()}
    expected = reference.loss(number, epoch)
    total = expected.pop("total")
    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        assert found[name] == pytest.approx(theirs, abs=1e-4 if name == "attn_ctc" else 1e-5), name
    assert sum(found.values()) == pytest.approx(total, abs=1e-4)


def test_the_weights_of_the_losses_are_everyvoices(reference):
    theirs = reference.meta["config"]["training"]
    for name in ("postnet", "pitch", "energy", "duration", "attn_ctc", "attn_bin"):
        assert getattr(LossWeights(), name) == theirs[f"{name}_loss_weight"]
    assert LossWeights().spec == theirs["mel_loss_weight"]


@pytest.mark.parametrize("mode", ["train", "teacher", *CONTROLS])
def test_in_a_padded_batch_every_utterance_has_what_it_has_alone(reference, mode):
    together = run(reference.network, mode, reference.batch(1, 0, 2))

    for row, number in enumerate([1, 0, 2]):
        for name, alone in run(reference.network, mode, reference.batch(number)).items():
            real = together[name][row][tuple(slice(n) for n in alone.shape[1:])]
            is_exact = name in ("durations", "attn_hard")
            torch.testing.assert_close(real, alone[0], atol=0.0 if is_exact else 2e-5, rtol=0)


def test_the_losses_of_a_padded_batch_are_means_over_what_is_real(reference):
    numbers = [1, 0, 2]
    alone, counts = [], []
    for number in numbers:
        batch = reference.batch(number)
        with torch.no_grad():
            output = reference.network(batch)
            alone.append(text_to_spec_losses(output, batch, LossWeights(), 0.4))
        n_symbols, n_frames = batch.symbols.shape[1], batch.spec.shape[1]
        counts.append({"duration": n_symbols, "attn_ctc": 1, "pitch": output.prosody.pitch.shape[1]})
        counts[-1] |= {name: n_frames for name in ("spec", "postnet", "attn_bin")}
        counts[-1]["energy"] = counts[-1]["pitch"]
    batch = reference.batch(*numbers)

    with torch.no_grad():
        together = text_to_spec_losses(reference.network(batch), batch, LossWeights(), 0.4)

    for name, loss in together.items():
        weighted = sum(one[name] * count[name] for one, count in zip(alone, counts, strict=True))
        expected = weighted / sum(count[name] for count in counts)
        assert loss.item() == pytest.approx(expected.item(), abs=2e-5), name


@dataclass(frozen=True)
class Step:
    """One training step: before it, and what EveryVoice has after it."""

    network: torch.nn.Module
    batch: object
    tensors: dict
    meta: dict

    def named(self, start):
        return {n.removeprefix(start): tensor for n, tensor in self.tensors.items() if n.startswith(start)}


@pytest.fixture
def step(monkeypatch):
    """The network in training, but without dropout; it is another one for each test."""
    monkeypatch.setattr(network_module, "POSTNET_DROPOUT", 0.0)
    folder = FIXTURES / "fs2_gradients"
    network, meta = network_of(folder, dropout=0.0)
    tensors = load_file(folder / "io.safetensors")
    read = {name: tensors[f"in_{name}"][0] for name in ("text", "mel", "pitch", "energy")}
    item = Item(symbols=read["text"].long(), spec=read["mel"].T, pitch=read["pitch"], energy=read["energy"])
    return Step(network.train(), collate([item], LOUD), tensors, meta)


def losses_of(step):
    return text_to_spec_losses(step.network(step.batch), step.batch, LossWeights(), 0.4)


def test_outputs_in_training_are_those_of_the_batchs_own_statistics(step):
    output = step.network(step.batch)

    found = of_training(output)
    found["duration_target"] = found["durations"].int()
    for name, theirs in step.named("train_").items():
        tolerance = 0.0 if name == "duration_target" else 5e-4
        torch.testing.assert_close(found[name], theirs, atol=tolerance, rtol=0)
    state = step.network.state_dict()
    for name, theirs in step.named("after.").items():
        torch.testing.assert_close(state[name], theirs, atol=1e-4, rtol=0)


# A bias in front of a batch norm, and that of attention's keys, has no effect: its gradient is rounding.
WITHOUT_EFFECT = ("conv_module.sequential.2.bias", ".0.conv.bias")


def has_no_effect(name):
    return name.endswith(WITHOUT_EFFECT) and "attention" not in name


def test_every_gradient_is_the_reference(step):
    losses = losses_of(step)
    sum(losses.values()).backward()

    for name, theirs in step.named("loss_epoch40_").items():
        if name in losses:
            assert losses[name].item() == pytest.approx(theirs.item(), abs=1e-4)
    gradients = {name: parameter.grad for name, parameter in step.network.named_parameters()}
    assert sorted(gradients) == step.meta["grad_norm_names"]
    for name, theirs in step.named("grad.").items():
        atol = 1e-4 * theirs.abs().max().item()
        if name.endswith("in_proj_bias"):
            third = len(theirs) // 3
            torch.testing.assert_close(gradients[name][third:-third], theirs[third:-third], atol=1e-6, rtol=0)
            theirs, gradients[name] = theirs.clone(), gradients[name].clone()
            theirs[third:-third] = gradients[name][third:-third] = 0.0
        torch.testing.assert_close(gradients[name], theirs, atol=atol, rtol=0)
    norms = zip(step.meta["grad_norm_names"], step.tensors["grad_norm_of_each"].tolist(), strict=True)
    for name, theirs in norms:
        ours = gradients[name].norm().item()
        assert ours == pytest.approx(theirs, rel=0 if has_no_effect(name) else 1e-4, abs=1e-6), name
    together = torch.nn.utils.get_total_norm(gradients.values()).item()
    assert together == pytest.approx(step.tensors["grad_norm"].item(), rel=1e-4)


SETTINGS = Optimiser(
    learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-6, schedule="noam", warmup_steps=1000
)


def test_the_learning_rate_is_everyvoices(step):
    # Updates are counted from 0, and the first two have the same rate.
    assert learning_rate(SETTINGS, 0, 10_000) == pytest.approx(step.meta["lr_first_step"], rel=1e-12)
    assert learning_rate(SETTINGS, 1, 10_000) == pytest.approx(step.meta["lr_first_step"], rel=1e-12)
    assert learning_rate(SETTINGS, 1000, 10_000) == pytest.approx(step.meta["lr_peak_step"], rel=1e-12)


@pytest.mark.parametrize(
    ("n_before", "kind", "tolerance"), [(0, "after_first_step.", 2e-7), (1000, "after_peak_step.", 1e-5)]
)
def test_a_step_of_our_loop_moves_the_weights_as_everyvoice_does(step, n_before, kind, tolerance):
    settings = Training(steps=n_before + 1, optimiser=SETTINGS)
    objective = TextToSpecObjective(step.network, LOUD, settings, {})
    objective._binarisation = lambda progress: 0.4  # grows by steps here, by epochs there
    optimiser = AdamW(step.network.parameters(), lr=1.0, betas=SETTINGS.betas, weight_decay=1e-6, fused=True)
    logged = {}

    train_steps(
        make_fabric(precision="32-true", accelerator="cpu"),
        objective,
        {"model": optimiser},
        [step.batch],
        Progress(step=n_before),
        settings,
        after_step=lambda progress, values: (logged.update(values), progress)[1],
    )

    state = step.network.state_dict()
    for name, theirs in step.named(kind).items():
        torch.testing.assert_close(state[name], theirs, atol=tolerance, rtol=0)
    if n_before:
        assert logged["model/gradient_norm"] == pytest.approx(step.tensors["grad_norm"].item(), rel=1e-4)
        after = step.tensors["loss_epoch40_total_after_peak_step"].item()
        assert sum(losses_of(step).values()).item() == pytest.approx(after, abs=1e-4)
