"""A few steps of the one loop, without a run folder."""

from retimbre.training.batching import BatchOrder, batch_loader
from retimbre.training.fabric import make_fabric
from retimbre.training.loop import train_steps
from retimbre.training.objective import Progress
from retimbre.training.run import _ready


def train(job, settings, *, batches=None, objective=None, progress=None, optimisers=None, **more):
    """Run the loop; what it logged at each step."""
    fabric = make_fabric(precision=settings.precision, accelerator="cpu")
    logged = []

    def note(progress, values):
        logged.append(dict(values))
        return progress

    train_steps(
        fabric,
        objective or job.objective,
        optimisers or _ready(fabric, job, settings),
        batches or batches_of(job, settings),
        progress or Progress(),
        settings,
        after_step=note,
        **more,
    )
    return logged


def batches_of(job, settings):
    """Batches as a run has them, made in this process."""
    order = BatchOrder(job.lengths, settings.batch_size, seed=settings.seed)
    return batch_loader(job.dataset, order, job.collate, n_workers=0)


def weights(job, part):
    """A copy of what a part has learnt so far."""
    return {name: p.detach().clone() for name, p in job.objective.parts()[part].named_parameters()}


def is_same(one, other):
    """Are two copies of weights equal, bit for bit?"""
    return one.keys() == other.keys() and all(tensor.equal(other[name]) for name, tensor in one.items())
