"""The one loop: what moves, by how much, and when it refuses to go on."""

from itertools import islice

import pytest
import torch

from building.training import batches_of, is_same, train, weights
from retimbre.errors import RunError
from retimbre.training.objective import Parts, Progress, Turn
from retimbre.training.optimisers import optimiser_of

FAMILIES = ("text-to-spec", "spec-to-wav")


def gradients(job, part):
    return [p.grad for p in job.objective.parts()[part].parameters() if p.grad is not None]


def norm_of(tensors):
    return torch.cat([t.flatten() for t in tensors]).norm().item()


class Changed:
    """An objective whose losses are changed on their way to the loop."""

    def __init__(self, objective, change):
        self.objective, self.change = objective, change

    def parts(self):
        return self.objective.parts()

    def validate(self, progress):
        return self.objective.validate(progress)

    def turns(self):
        def changed(turn):
            return lambda *arguments: self.change(turn.name, turn.losses(*arguments))

        return tuple(Turn(t.name, t.module, changed(t), t.is_active) for t in self.objective.turns())

    def begin(self, batch, progress):
        return self.objective.begin(batch, progress)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(
    ("stage", "loss", "share"),
    [("text-to-spec", "model/total", 0.75), ("spec-to-wav", "generator/mel", 0.9)],
)
def test_a_few_steps_on_one_batch_lower_the_loss(tiny_job, settings, stage, loss, share, precision):
    chosen = settings(steps=40, learning_rate=0.01, precision=precision)
    job = tiny_job(stage, chosen)
    batch = next(iter(batches_of(job, chosen)))

    logged = [step[loss] for step in train(job, chosen, batches=[batch] * 40)]

    assert sum(logged[-5:]) / 5 < share * sum(logged[:3]) / 3


def test_discriminators_learn_to_tell_recordings_from_noise(tiny_job, settings):
    chosen = settings(steps=40, learning_rate=0.01, discriminators_first_steps=40)
    job = tiny_job("spec-to-wav", chosen)
    batch = next(iter(batches_of(job, chosen)))

    logged = [step["discriminators/adversarial"] for step in train(job, chosen, batches=[batch] * 40)]

    assert logged[-1] < 0.8 * logged[0]


@pytest.mark.parametrize("stage", FAMILIES)
def test_exploding_gradients_of_every_optimiser_are_clipped(tiny_job, settings, stage):
    chosen = settings(steps=1, clip_norm=0.5)
    job = tiny_job(stage, chosen)
    louder = Changed(job.objective, lambda turn, losses: {name: 1e8 * v for name, v in losses.items()})

    (logged,) = train(job, chosen, objective=louder)

    for part in job.objective.parts():
        assert logged[f"{part}/gradient_norm"] > 1e4
        assert norm_of(gradients(job, part)) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("stage", FAMILIES)
def test_small_gradients_are_left_alone(tiny_job, settings, stage):
    chosen = settings(steps=1, clip_norm=1e9)
    job = tiny_job(stage, chosen)

    (logged,) = train(job, chosen)

    for part in job.objective.parts():
        assert norm_of(gradients(job, part)) == pytest.approx(logged[f"{part}/gradient_norm"], rel=1e-4)


@pytest.mark.parametrize(("stage", "turn"), [(FAMILIES[0], "model"), (FAMILIES[1], "generator")])
def test_a_diverged_loss_is_named_with_its_step_and_moves_nothing(tiny_job, settings, stage, turn):
    chosen = settings(steps=4)
    job = tiny_job(stage, chosen)
    before = weights(job, turn)
    name = {"model": "duration", "generator": "mel"}[turn]

    def spoilt(which, losses):
        return losses | ({name: losses[name] * float("nan")} if which == turn else {})

    with pytest.raises(
        RunError, match=rf"diverged at step 3: {name} is .* finite number.*--resume -c training"
    ):
        train(job, chosen, objective=Changed(job.objective, spoilt), progress=Progress(step=2))

    assert is_same(before, weights(job, turn))


@pytest.mark.parametrize("stage", FAMILIES)
def test_a_gradient_that_is_not_finite_moves_nothing(tiny_job, settings, stage):
    chosen = settings()
    job = tiny_job(stage, chosen)
    (part, *_) = [turn.name for turn in job.objective.turns()]
    before = weights(job, part)

    def steep(turn, losses):
        name, loss = next(iter(losses.items()))
        # Finite, but its slope is not.
        return losses | {name: loss + (loss - loss.detach()).abs().sqrt()}

    with pytest.raises(RunError, match=rf"diverged at step 1: the gradient of {part} is .* finite number"):
        train(job, chosen, objective=Changed(job.objective, steep))

    assert is_same(before, weights(job, part))


def test_only_the_discriminators_move_in_their_first_steps(tiny_job, settings):
    chosen = settings(steps=3, discriminators_first_steps=3)
    job = tiny_job("spec-to-wav", chosen)
    before = {part: weights(job, part) for part in job.objective.parts()}
    held = {name: t.clone() for name, t in job.objective.generator.state_dict().items()}

    logged = train(job, chosen)

    assert is_same(held, job.objective.generator.state_dict())
    assert not is_same(before["discriminators"], weights(job, "discriminators"))
    assert not any(name.startswith("generator/") for step in logged for name in step)


def test_the_generator_moves_as_soon_as_the_discriminators_had_their_first_steps(tiny_job, settings):
    chosen = settings(steps=4, discriminators_first_steps=3)
    job = tiny_job("spec-to-wav", chosen)
    before = weights(job, "generator")

    logged = train(job, chosen)

    assert [("generator/mel" in step) for step in logged] == [False, False, False, True]
    assert not is_same(before, weights(job, "generator"))


def test_before_the_adversarial_step_only_the_mel_loss_counts(tiny_job, settings):
    chosen = settings(steps=2, adversarial_from_step=2)
    job = tiny_job("spec-to-wav", chosen)
    before = {part: weights(job, part) for part in job.objective.parts()}

    logged = train(job, chosen)

    assert is_same(before["discriminators"], weights(job, "discriminators"))
    assert not is_same(before["generator"], weights(job, "generator"))
    names = {name for step in logged for name in step}
    assert names == {"generator/mel", "generator/total", "generator/gradient_norm", "learning_rate"}


def test_from_the_adversarial_step_on_both_learn_after_the_discriminators_first_steps(tiny_job, settings):
    chosen = settings(steps=6, adversarial_from_step=2, discriminators_first_steps=2)
    job = tiny_job("spec-to-wav", chosen)

    logged = train(job, chosen)

    assert ["generator/mel" in step for step in logged] == [True, True, False, False, True, True]
    assert ["discriminators/adversarial" in step for step in logged] == [False, False, True, True, True, True]
    assert ["generator/feature" in step for step in logged] == [False, False, False, False, True, True]


def test_the_turn_of_the_generator_leaves_no_gradient_in_the_discriminators(tiny_job, settings):
    chosen = settings(steps=1)
    job = tiny_job("spec-to-wav", chosen)
    inactive = {"discriminators": lambda progress: False}

    class WithoutTheirTurn(Changed):
        def turns(self):
            return tuple(
                Turn(t.name, t.module, t.losses, inactive.get(t.name, t.is_active))
                for t in self.objective.turns()
            )

    train(job, chosen, objective=WithoutTheirTurn(job.objective, None))

    assert gradients(job, "discriminators") == []
    assert all(p.requires_grad for p in job.objective.discriminators.parameters())


@pytest.mark.parametrize(
    ("stage", "part", "prefix"),
    [
        ("text-to-spec", "model", "encoder"),
        ("text-to-spec", "model", "postnet.convolutions.0"),
        ("spec-to-wav", "generator", "generator.conv_pre"),
        ("spec-to-wav", "discriminators", "discriminators.mpd"),
    ],
)
def test_frozen_tensors_do_not_move(tiny_job, settings, stage, part, prefix):
    chosen = settings(steps=3, frozen=(prefix,), weight_decay=0.1)
    job = tiny_job(stage, chosen)
    module = job.objective.parts()[part]
    before = {name: t.clone() for name, t in module.state_dict().items()}

    train(job, chosen)

    frozen = prefix.removeprefix(f"{part}.")
    moved = {name for name, t in module.state_dict().items() if not torch.equal(t, before[name])}
    assert any(name.startswith(frozen) for name in before)
    assert not [name for name in moved if name.startswith(frozen)]
    assert moved


@pytest.mark.parametrize("stage", FAMILIES)
def test_every_parameter_that_is_not_frozen_moves(tiny_job, settings, stage):
    chosen = settings(steps=2, weight_decay=0.0)
    job = tiny_job(stage, chosen)
    before = {part: weights(job, part) for part in job.objective.parts()}

    train(job, chosen)

    still = [
        f"{part}.{name}"
        for part, tensors in before.items()
        for name, tensor in weights(job, part).items()
        if torch.equal(tensor, tensors[name])
    ]
    assert still == []


def test_the_learning_rate_of_each_step_is_that_of_the_schedule(tiny_job, settings):
    chosen = settings(steps=4, warmup_steps=4, learning_rate=0.004)
    logged = train(tiny_job("text-to-spec", chosen), chosen)

    assert [step["learning_rate"] for step in logged] == pytest.approx([0.001, 0.002, 0.003, 0.004])


def test_the_loop_ends_after_the_step_in_which_it_is_asked_to(tiny_job, settings):
    chosen = settings(steps=10)
    job, asked = tiny_job("text-to-spec", chosen), []

    logged = train(job, chosen, is_stopping=lambda: asked.append(1) or len(asked) == 3)

    assert len(logged) == 3


def test_a_run_that_is_at_its_end_draws_no_batch(tiny_job, settings):
    chosen = settings(steps=4)
    job = tiny_job("text-to-spec", chosen)

    def none():
        raise AssertionError("a batch was drawn")
        yield

    assert train(job, chosen, batches=none(), progress=Progress(step=4)) == []


def test_batches_of_the_loop_are_those_of_the_order(tiny_job, settings):
    chosen = settings(steps=5)
    job = tiny_job("spec-to-wav", chosen)
    seen = []

    class Watching(Changed):
        def begin(self, batch, progress):
            seen.append(batch.wave)
            return super().begin(batch, progress)

    train(job, chosen, objective=Watching(job.objective, lambda turn, losses: losses))

    expected = [batch.wave for batch in islice(batches_of(job, chosen), 5)]
    assert len(seen) == 5
    assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))


class Halves:
    """An objective of one linear layer: the losses of a part are its share of the whole batch's mean."""

    def __init__(self):
        torch.manual_seed(4)
        self.layer = torch.nn.Linear(3, 1)

    def parts(self):
        return {"layer": self.layer}

    def turns(self):
        return (Turn("layer", self.layer, self.losses),)

    def begin(self, batch, progress):
        return None

    def losses(self, batch, shared, progress):
        rows, n_all = batch
        return {"square": self.layer(rows).square().sum() / n_all}

    def validate(self, progress):
        raise AssertionError("nobody asked")


@pytest.mark.parametrize("sizes", [(2, 3), (1, 1, 3), (4, 1)])
def test_a_batch_in_parts_moves_the_weights_as_the_whole_batch_does(settings, sizes):
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(5))
    given = settings(steps=1)
    whole, parted = Halves(), Halves()

    def moved(objective, batch):
        (turn,) = objective.turns()
        optimisers = {"layer": optimiser_of(turn, given.optimiser)}
        (logged,) = train(None, given, batches=[batch], objective=objective, optimisers=optimisers)
        return logged

    of_whole = moved(whole, (rows, 5))
    of_parts = moved(parted, Parts(tuple((part, 5) for part in rows.split(sizes))))

    assert of_parts == pytest.approx(of_whole, rel=1e-5)
    torch.testing.assert_close(parted.layer.weight, whole.layer.weight)
