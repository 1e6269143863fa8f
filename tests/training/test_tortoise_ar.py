"""Training TorToiSe's text-to-codes: what a run learns, measures, keeps, and goes on with."""

import copy
import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.optim import AdamW

from building.codes import SMALL, Voices, new_network, utterances
from building.training import train
from retimbre.errors import DataError
from retimbre.models.description import Description, sizes_of
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.batch import CodesBatch
from retimbre.models.tortoise_ar.decoding import decode
from retimbre.models.tortoise_ar.dlas import DlasBatch, with_stops
from retimbre.models.tortoise_ar.from_shapes import config_from
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.pipelines.tortoise_stages import as_read
from retimbre.training.batching import Key, item_random
from retimbre.training.learner import Learner
from retimbre.training.objective import Parts, Progress
from retimbre.training.run import resume, start
from retimbre.training.tortoise_ar import text_to_codes_job
from retimbre.training.tortoise_ar_checks import Checks

LENGTHS = [(4, 9), (7, 15), (5, 12), (9, 20)]
TEXTS = [torch.tensor([3, 1, 4]), torch.tensor([2, 7, 1, 8])]
GREEDY = Checks(settings=None, n_spoken=2, max_base_codes=12)
STILL = replace(SMALL, dropout=0.0)


def job_of(settings, *, model=None, training=None, **more):
    model = model or new_network()
    arguments = {"voices": Voices(), "base_texts": TEXTS, "checks": GREEDY} | more
    return text_to_codes_job(
        Learner(
            network=model,
            description=Description(family="tortoise_ar", sizes=sizes_of(model.config)),
        ),
        settings,
        training=training or utterances(LENGTHS),
        validation=arguments.pop("validation", utterances([(5, 11), (3, 8)], seed=2)),
        **arguments,
    )


def batch_of(job, *items):
    return job.collate([job.dataset[Key(item, 0)] for item in items])


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_a_hundred_steps_lower_the_loss_and_the_codes_are_said_back_up_to_their_end(settings, tiny_recipe):
    chosen = settings(
        steps=100, batch_size=4, learning_rate=8e-3, validate_every_steps=100, log_every_steps=100
    )
    spoken = utterances(LENGTHS)
    job = job_of(chosen, model=new_network(STILL), validation=spoken, checks=replace(GREEDY, n_spoken=4))

    finished = start(tiny_recipe("text-to-codes", chosen), job, device="cpu")

    lines = list(map(json.loads, (finished.run / "metrics.jsonl").read_text().splitlines()))
    validations = [line for line in lines if line["kind"] == "validation"]
    assert validations[0]["codes_nats"] == pytest.approx(np.log(22), abs=0.2)  # it knows nothing yet
    assert validations[-1]["codes_nats"] < 0.1
    assert validations[-1]["accuracy"] == 1.0
    assert [validations[0]["stops"], validations[-1]["stops"]] == [0.0, 1.0]
    assert validations[-1]["forgetting_nats"] > 1.0
    kept = load_model(finished.model)
    assert kept.description.step == 100
    for utterance in spoken:
        clips = Voices().for_auto(utterance, np.random.default_rng(9))  # drawn anew
        with torch.no_grad():
            voice = kept.model.conditioning_latent(clips.unsqueeze(0))
        said = decode(kept.model, voice, as_read(utterance.symbols, kept.model), max_codes=28)
        assert said[0].tolist() == [*utterance.codes.tolist(), SMALL.stop_code]


def test_the_voice_of_an_utterance_is_drawn_anew_in_each_pass_and_by_nothing_else(settings):
    dataset = job_of(settings()).dataset
    expected = Voices().for_auto(None, item_random(settings().seed, Key(2, 5)))

    torch.rand(3)  # the generator that dropout uses
    assert dataset[Key(2, 5)].clips.equal(expected)
    assert not dataset[Key(2, 6)].clips.equal(expected)
    assert not dataset[Key(1, 5)].clips.equal(expected)
    assert len(dataset) == 4


def test_what_is_batched_together_is_of_similar_length_but_for_dlas(settings):
    assert list(job_of(settings()).lengths) == [13, 22, 17, 29]
    assert list(job_of(settings(), trains_as="dlas").lengths) == [1, 1, 1, 1]


@pytest.mark.parametrize("trains_as", ["inference", "dlas"])
def test_a_batch_in_parts_moves_the_weights_as_the_whole_does(settings, trains_as):
    """As DL-Art-School trains, parts count alike: only equal ones of one length give the same."""
    moved = []
    lengths = [(4, 9)] * 4 if trains_as == "dlas" else LENGTHS
    for n_parts in (1, 2):
        chosen = settings(batch_parts=n_parts, learning_rate=0.01, eps=1e-3)
        model = new_network(STILL)
        job = job_of(chosen, model=model, training=utterances(lengths), trains_as=trains_as)
        batch = batch_of(job, 0, 1, 2, 3)
        assert isinstance(batch, Parts) == (n_parts == 2)
        logged = train(job, chosen, batches=[batch])
        moved.append((weights(model), logged[0]["model/codes"], logged[0]["model/text"]))

    assert moved[1][1:] == pytest.approx(moved[0][1:], rel=1e-5)
    for name, tensor in moved[0][0].items():
        torch.testing.assert_close(moved[1][0][name], tensor, atol=2e-5, rtol=1e-4)


def test_losses_count_as_the_recipe_says(settings):
    chosen = settings(learning_rate=1e-9)
    logged = []
    for text, codes in ((1.0, 1.0), (0.25, 3.0)):
        weighted = chosen.model_copy(
            update={"loss": chosen.loss.model_copy(update={"text": text, "codes": codes})}
        )
        job = job_of(weighted, model=new_network(STILL))
        logged += train(job, weighted, batches=[batch_of(job, 0, 3)])

    assert logged[1]["model/text"] == pytest.approx(0.25 * logged[0]["model/text"], rel=1e-5)
    assert logged[1]["model/codes"] == pytest.approx(3.0 * logged[0]["model/codes"], rel=1e-5)


def test_validation_takes_the_path_of_speaking_whatever_is_trained(settings):
    """Silence that follows the codes of an utterance is none of it."""
    silent = utterances([(5, 11), (3, 8)], seed=2, n_silent=6)

    as_speaking = job_of(settings()).objective.validate(Progress())
    as_dlas = job_of(settings(), trains_as="dlas", validation=silent).objective.validate(Progress())

    assert as_dlas.measures == as_speaking.measures
    assert as_dlas.score == as_speaking.measures["codes_nats"]
    assert {"text_nats", "accuracy", "stops", "forgetting_nats"} <= as_speaking.measures.keys()


def test_validation_hears_the_voices_that_it_is_given(settings):
    """Those of training may be cut as DL-Art-School cuts them."""
    own = job_of(settings(), voices=Voices(n_frames=3), validation_voices=Voices())

    assert (
        own.objective.validate(Progress()).measures
        == job_of(settings()).objective.validate(Progress()).measures
    )
    assert own.dataset[Key(0, 0)].clips.shape[-1] == 3


def test_two_validations_of_the_same_weights_are_equal_and_dropout_is_active_between_them(settings):
    job = job_of(settings())
    first = job.objective.validate(Progress())
    batch, losses = batch_of(job, 0, 1), job.objective.turns()[0].losses

    trained = [float(losses(batch, None, Progress())["codes"].detach()) for _ in range(2)]

    assert job.objective.validate(Progress(step=3)).measures == first.measures
    assert trained[0] != trained[1]


def test_an_utterance_is_trained_as_it_was_asked_for(settings):
    assert isinstance(batch_of(job_of(settings()), 0, 1), CodesBatch)
    assert isinstance(batch_of(job_of(settings(), trains_as="dlas"), 0, 1), DlasBatch)
    silent = utterances(LENGTHS, n_silent=3)
    with_flag = batch_of(job_of(settings(), trains_as="dlas", training=silent), 0)
    without = batch_of(job_of(settings(), trains_as="dlas", training=silent, is_compatible=False), 0)
    assert [with_flag.codes.shape[1], without.codes.shape[1]] == [12, 8]


def test_a_run_without_validation_utterances_is_refused(settings):
    with pytest.raises(DataError, match="no validation utterance"):
        job_of(settings(), validation=[])


@pytest.mark.parametrize("trains_as", ["inference", "dlas"])
@pytest.mark.parametrize("stopped_at", [1, 3, 5])
def test_a_run_that_was_stopped_ends_as_if_nothing_had_happened(
    settings, tiny_recipe, compare, stopped_at, trains_as
):
    """What the base said is compared with, too, although its weights are gone by then."""
    chosen = settings(
        steps=6,
        batch_parts=2,
        validate_every_steps=2,
        checkpoint_every_steps=2,
        keep_checkpoints=1,
        learning_rate=0.01,
    )

    class Stopping:
        def say(self, label, text):
            pass

        def progress(self, task, done, total, note=""):
            if done == stopped_at:
                signal.raise_signal(signal.SIGINT)

    def run(name, how=start, listener=None):
        torch.manual_seed(chosen.seed)
        job = job_of(chosen, trains_as=trains_as)
        torch.manual_seed(chosen.seed)
        return how(tiny_recipe("text-to-codes", chosen, name=name), job, listener=listener, device="cpu")

    whole = run("whole")
    first = run("stopped", listener=Stopping())
    assert first.was_interrupted
    second = run("stopped", how=resume)

    assert compare(whole.run, second.run) == []
    lines = (second.run / "metrics.jsonl").read_text().splitlines()
    forgotten = [json.loads(line).get("forgetting_nats") for line in lines if "forgetting" in line]
    assert forgotten[0] == 0.0
    assert len({*forgotten}) == 4


def test_one_step_as_dlas_moves_the_weights_as_its_gradients_say(parity, settings):
    """Gradients of DL-Art-School's own pass, clipped by their norm, through torch's AdamW."""
    folder = parity("dlas_ar_train")
    tensors, io = load_file(folder / "weights.safetensors"), load_file(folder / "io.safetensors")
    heads = json.loads((folder / "meta.json").read_text())["kwargs"]["heads"]
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    model = UnifiedVoice(replace(config_from(shapes, {"heads": heads}).config, dropout=0.0)).train()
    model.load_state_dict(tensors)
    # A large epsilon, so that a step follows the size of a gradient and not its sign alone.
    clip = 0.5 * float(io["grad_norm_all"])
    chosen = settings(learning_rate=0.1, eps=1e-2, betas=(0.9, 0.96), weight_decay=0.01, clip_norm=clip)
    batch = DlasBatch(
        symbols=io["text"][:, : io["text_lengths"].max()],
        codes=with_stops(io["mel_codes"], io["code_lengths"], model.config.stop_code),
        clips=io["cond_mel"],
    )

    logged = train(job_of(chosen, model=model, trains_as="dlas"), chosen, batches=[batch])

    assert logged[0]["model/gradient_norm"] == pytest.approx(float(io["grad_norm_all"]), rel=1e-4)
    assert logged[0]["model/total"] == pytest.approx(float(io["loss_total_0p01text_1mel"]), abs=1e-5)
    after = weights(model)
    names = [name.removeprefix("grad.") for name in io if name.startswith("grad.")]
    for name in names:
        reference = torch.nn.Parameter(copy.deepcopy(tensors[name]))
        reference.grad = io[f"grad.{name}"] * (clip / (float(io["grad_norm_all"]) + 1e-6))
        AdamW([reference], lr=0.1, eps=1e-2, betas=(0.9, 0.96), weight_decay=0.01).step()
        moved = (reference.detach() - tensors[name]).abs().max().item()
        assert moved > 1e-4
        torch.testing.assert_close(after[name], reference.detach(), atol=1e-3 * moved, rtol=0)
    assert len(names) == 7
