"""The network gives what EveryVoice 0.5.0 gives for the same weights."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from retimbre.checkpoint.fill import load_weights
from retimbre.checkpoint.read import read
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.alignment import Alignment
from retimbre.models.fastspeech2.batch import Batch, Item, collate, text_batch
from retimbre.models.fastspeech2.loss import (
    LossWeights,
    attention_binarisation,
    attention_ctc,
    text_to_spec_losses,
)
from retimbre.models.fastspeech2.timing import Timing
from retimbre.models.fastspeech2.variance import Controls

LONGEST = 0  # EveryVoice lets padding reach the shorter utterance of a batch, but not this one
FIXTURES = ["fs2", "fs2_multi"]


@pytest.fixture(params=FIXTURES)
def reference(parity, request):
    """The network, the whole batch as it was given, and EveryVoice's tensors."""
    folder = parity(request.param)
    weights, tensors = load_file(folder / "weights.safetensors"), load_file(folder / "io.safetensors")
    meta = json.loads((folder / "meta.json").read_text())
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    inferred = FASTSPEECH2.config_from(shapes, {"config": meta["config"], "stats": meta["stats"]})
    assert inferred.assumed == ()
    network = FASTSPEECH2.build(inferred.config).eval()
    load_weights(network, FASTSPEECH2.ledger_of(weights).tensors)
    return network, whole_batch(tensors), tensors


def whole_batch(tensors):
    names = {"text": "symbols", "src_lens": "n_symbols", "mel": "spec", "mel_lens": "n_frames"}
    same = {"pitch": "pitch", "energy": "energy", "speaker_id": "speaker", "language_id": "language"}
    return Batch(**{ours: tensors[f"in_{theirs}"] for theirs, ours in (names | same).items()})


def assert_close(ours, theirs, tolerance=2e-4):
    """Of the longest utterance, all frames or symbols of which are real."""
    torch.testing.assert_close(ours[LONGEST], theirs[LONGEST, : ours.shape[1]], atol=tolerance, rtol=0)


def test_training_path(reference):
    network, batch, theirs = reference
    output = network(batch)
    predicted, truth = output.prosody, output.truth

    assert predicted.timing.durations.equal(theirs["train_duration_target"].long())  # of both utterances
    assert_close(output.spec, theirs["train_output"])
    assert_close(output.refined, theirs["train_postnet_output"])
    assert_close(output.alignment.log_prob, theirs["train_attn_logprob"].squeeze(1), 1e-4)
    assert_close(output.alignment.log_soft.exp(), theirs["train_attn_soft"].squeeze(1), 1e-5)
    assert_close(predicted.log_durations, theirs["train_duration_prediction"])
    for name in ("pitch", "energy"):
        assert_close(getattr(predicted, name), theirs[f"train_{name}_prediction"])
        assert_close(getattr(truth, name), theirs[f"train_{name}_target"], 1e-5)


def test_teacher_forcing(reference):
    network, batch, theirs = reference
    spoken = network.teacher_force(batch)

    assert spoken.durations.equal(theirs["teacher_duration_target"].long())
    assert_close(spoken.spec, theirs["teacher_postnet_output"])
    assert_close(spoken.pitch, theirs["teacher_pitch_prediction"])
    assert_close(spoken.energy, theirs["teacher_energy_prediction"])


@pytest.mark.parametrize(
    ("name", "controls"),
    [("infer", Controls()), ("infer_ctl", Controls(pitch=1.2, energy=0.7, duration=1.5))],
)
def test_free_running(reference, name, controls):
    network, batch, theirs = reference
    spoken = network.speak(batch.text, controls)
    n_frames = int(theirs[f"{name}_tgt_mask"][LONGEST].sum())

    assert int(spoken.n_frames[LONGEST]) == n_frames
    assert_close(spoken.spec[:, :n_frames], theirs[f"{name}_postnet_output"])
    if name == "infer":
        assert_close(spoken.pitch[:, :n_frames], theirs["infer_pitch_prediction"])


def test_losses_of_the_alignment(reference):
    _, batch, theirs = reference
    soft = theirs["train_attn_soft"].squeeze(1)
    timing = Timing.from_durations(theirs["train_duration_target"])
    log_prob = theirs["train_attn_logprob"].squeeze(1)
    alignment = Alignment(log_prob=log_prob, log_soft=soft.log(), timing=timing)

    ctc, binarisation = attention_ctc(log_prob, batch), attention_binarisation(alignment)

    assert 0.1 * ctc.item() == pytest.approx(theirs["loss_epoch0_attn_ctc"].item(), abs=1e-4)
    assert 0.1 * 0.4 * binarisation.item() == pytest.approx(theirs["loss_epoch40_attn_bin"].item(), abs=1e-5)


def test_other_losses_are_everyvoices_without_the_dilution_by_padding(reference):
    network, batch, theirs = reference
    output = network(batch)
    predicted = {name: theirs[f"train_{name}_prediction"] for name in ("pitch", "energy")}
    predicted["log_durations"] = theirs["train_duration_prediction"]
    target = {name: theirs[f"train_{name}_target"] for name in ("pitch", "energy")}
    specs = {"spec": theirs["train_output"], "refined": theirs["train_postnet_output"]}
    prosody, truth = replace(output.prosody, **predicted), replace(output.truth, **target)

    losses = text_to_spec_losses(
        replace(output, prosody=prosody, truth=truth, **specs), batch, LossWeights(), 0.0
    )

    of_symbols, of_frames = 35 / 40, 110 / 124  # the share that is no padding
    per_value = of_symbols if predicted["pitch"].shape[1] == 20 else of_frames
    shares = {"spec": of_frames, "postnet": of_frames, "duration": of_symbols} | dict.fromkeys(
        target, per_value
    )
    ours = {name: losses[name].item() * share for name, share in shares.items()}
    assert ours == pytest.approx({name: theirs[f"loss_epoch0_{name}"].item() for name in ours}, abs=1e-5)


@pytest.fixture
def project(parity):
    """EveryVoice's small project, the network of its checkpoint, and what it gave."""
    folder = parity("everyvoice_project")
    checkpoint = "logs_and_checkpoints/FeaturePredictionExperiment/base/checkpoints/last.ckpt"
    contents = read(folder / "project" / checkpoint)
    tensors = FASTSPEECH2.ledger_of(contents.tensors).tensors
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    inferred = FASTSPEECH2.config_from(shapes, contents.values["hyper_parameters"])
    assert inferred.assumed == ()
    network = FASTSPEECH2.build(inferred.config).eval()
    load_weights(network, tensors)
    return folder, network, json.loads((folder / "expected" / "expected.json").read_text())


@pytest.mark.parametrize(("name", "control"), [("one_sentence", 1.0), ("one_sentence_slower", 1.5)])
def test_a_sentence_of_a_real_checkpoint(project, name, control):
    folder, network, expected = project
    (wanted,), (spec_file,) = expected[name]["outputs"], (folder / "expected" / name).glob("*.pt")
    theirs = torch.load(spec_file, weights_only=True)

    spoken = network.speak(text_batch([expected["tokens"][0]["ids"]]), Controls(duration=control))

    assert spoken.durations.tolist() == [wanted["frames_per_symbol"]]
    torch.testing.assert_close(spoken.spec[0].T, theirs, atol=2e-4, rtol=0)
    assert spoken.pitch[0].tolist() == pytest.approx(wanted["pitch_prediction"], abs=2e-5)
    assert spoken.energy[0].tolist() == pytest.approx(wanted["energy_prediction"], abs=2e-5)


TRANSCRIPTS = {
    "LJ001-0011": "it is of the first importance that the letter used should be fine in form;",
    "LJ002-0035": "8. the press yard.",
}


def item_of(folder, expected, name):
    """One recording as EveryVoice preprocessed it; pitch and energy do not count in teacher forcing."""
    stem = f"{name}--speaker_0--eng--spec"
    spec = torch.load(
        folder / "project" / "preprocessed" / "spec" / f"{stem}-22050-mel-librosa.pt", weights_only=True
    )
    ids = torch.tensor([expected["symbols"].index(letter) for letter in TRANSCRIPTS[name]])
    nothing = torch.zeros(spec.shape[1])
    theirs = torch.load(
        folder / "expected" / "teacher_forced_training_batch1" / f"{stem}-pred-22050-mel-librosa.pt",
        weights_only=True,
    )
    return Item(symbols=ids, spec=spec, pitch=nothing, energy=nothing, name=name), theirs


def test_teacher_forcing_of_a_real_checkpoint_alone_and_in_one_batch(project):
    folder, network, expected = project
    items, theirs = zip(*(item_of(folder, expected, name) for name in TRANSCRIPTS), strict=True)
    wanted = [output["duration_target"] for output in expected["teacher_forced_training_batch1"]["outputs"]]

    alone = [network.teacher_force(collate([item], -11.512925)) for item in items]
    together = network.teacher_force(collate(items, -11.512925))

    for number, (single, spec, durations) in enumerate(zip(alone, theirs, wanted, strict=True)):
        assert single.durations[0].tolist() == durations
        torch.testing.assert_close(single.spec[0].T, spec, atol=2e-4, rtol=0)
        torch.testing.assert_close(together.spec[number, : spec.shape[1]].T, spec, atol=2e-4, rtol=0)
