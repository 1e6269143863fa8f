from dataclasses import asdict, replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from retimbre.checkpoint.fill import load_weights
from retimbre.errors import DataError
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.fastspeech2.batch import Batch, collate, reference_batch, text_batch
from retimbre.models.fastspeech2.config import ConformerSizes, Level, PredictorSizes, StyleSizes
from retimbre.models.fastspeech2.loss import LossWeights, text_to_spec_losses
from retimbre.models.fastspeech2.timing import Timing
from retimbre.models.fastspeech2.variance import Controls, Truth
from retimbre.nn.masks import mask_from_lengths

SILENCE = -11.5
assert_close = partial(torch.testing.assert_close, atol=2e-5, rtol=1e-4)
SIZES = [(4, 17), (9, 30), (1, 6), (7, 7)]
STYLE = StyleSizes(n_tokens=3, n_heads=2, channels=(3, 4), summary_dim=5)
KINDS = [
    {},
    {"postnet_dim": None},
    {"pitch_level": Level.FRAME},
    {"pitch_level": Level.FRAME, "energy_level": Level.FRAME, "n_speakers": 3, "n_languages": 2},
    {"style": STYLE, "n_features": 7},
]


def alone(batch, number):
    """One utterance of a batch, without padding."""
    symbols, frames = int(batch.n_symbols[number]), int(batch.n_frames[number])
    one = slice(number, number + 1)
    return Batch(
        symbols=batch.symbols[one, :symbols],
        n_symbols=batch.n_symbols[one],
        spec=batch.spec[one, :frames],
        n_frames=batch.n_frames[one],
        pitch=batch.pitch[one, :frames],
        energy=batch.energy[one, :frames],
        speaker=batch.speaker[one],
        language=batch.language[one],
    )


def wider(batch):
    """The same batch with more padding, and something else in it."""
    is_real = mask_from_lengths(batch.n_frames, batch.spec.shape[1])
    more = {"symbols": (0, 3), "spec": (0, 0, 0, 5), "pitch": (0, 5), "energy": (0, 5)}
    padded = {name: functional.pad(getattr(batch, name), widths) for name, widths in more.items()}
    is_padding = ~functional.pad(is_real, (0, 5))
    for name in ("spec", "pitch", "energy"):
        padded[name][is_padding] = 3.0
    return replace(batch, **padded)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_spoken_alone_is_spoken_in_any_batch(tiny_network, kind):
    network = tiny_network(**kind)
    torch.manual_seed(1)
    texts = [torch.randint(1, 12, (n,)).tolist() for n in (3, 11, 1, 8)]

    together = network.speak(text_batch(texts), Controls(duration=1.3))

    assert len(set(together.n_frames.tolist())) > 2
    for number, text in enumerate(texts):
        single = network.speak(text_batch([text]), Controls(duration=1.3))
        n_frames, n_values = int(single.n_frames), single.pitch.shape[1]
        assert int(together.n_frames[number]) == n_frames
        assert together.durations[number, : len(text)].equal(single.durations[0])
        assert_close(together.spec[number, :n_frames], single.spec[0])
        assert_close(together.pitch[number, :n_values], single.pitch[0])
        assert together.spec[number, n_frames:].eq(network.config.silence).all()


@pytest.mark.parametrize("changes", [{}, {"postnet_dim": None, "pitch_level": Level.FRAME}])
def test_following_its_own_prosody_it_says_what_it_speaks(tiny_network, changes):
    network, controls = tiny_network(**changes), Controls(duration=1.3, pitch=0.8, energy=1.2)
    texts = text_batch([[3, 1, 4, 1, 5], [9, 2]])
    spoken = network.speak(texts, controls)

    timing = Timing.from_durations(spoken.durations)
    output = network.follow(texts, timing, Truth(pitch=spoken.pitch, energy=spoken.energy), controls)

    assert spoken.spec.equal(output.spec if output.refined is None else output.refined)
    assert spoken.pitch.equal(output.prosody.pitch)
    assert spoken.energy.equal(output.prosody.energy)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_forced_alone_is_forced_in_any_batch(tiny_network, make_batch, kind):
    network, batch = tiny_network(**kind), make_batch(*SIZES)

    together = network.teacher_force(batch)

    for number, (n_symbols, n_frames) in enumerate(SIZES):
        single = network.teacher_force(alone(batch, number))
        assert single.n_frames.tolist() == [n_frames]
        assert together.durations[number, :n_symbols].equal(single.durations[0])
        assert_close(together.spec[number, :n_frames], single.spec[0])


@pytest.mark.parametrize("kind", KINDS)
def test_forced_with_the_true_prosody_it_writes_what_training_sees(tiny_network, make_batch, kind):
    network, batch = tiny_network(**kind), make_batch(*SIZES)

    trained, forced = network(batch), network.teacher_force(batch, has_true_prosody=True)

    assert_close(forced.spec, trained.spec if trained.refined is None else trained.refined)
    assert (forced.spec - network.teacher_force(batch).spec).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_predicted_alone_is_predicted_in_any_batch(tiny_network, make_batch, kind):
    network, batch = tiny_network(**kind), make_batch(*SIZES)

    together = network(batch)

    for number, (n_symbols, n_frames) in enumerate(SIZES):
        single = network(alone(batch, number))
        assert_close(together.spec[number, :n_frames], single.spec[0])
        if single.refined is not None:
            assert_close(together.refined[number, :n_frames], single.refined[0])
        for name in ("log_durations", "pitch", "energy"):
            values = getattr(single.prosody, name)[0]
            assert_close(getattr(together.prosody, name)[number, : len(values)], values)
        log_prob = together.alignment.log_prob[number, :n_frames, :n_symbols]
        assert_close(log_prob, single.alignment.log_prob[0])


def test_padding_changes_neither_losses_nor_gradients_nor_running_statistics(tiny_network, make_batch):
    exact = {name: replace(PredictorSizes(n_layers=2, dim=6), dropout=0.0) for name in ("duration", "pitch")}
    conformer = ConformerSizes(n_layers=1, dim=8, feedforward_dim=12, kernel=5, dropout=0.0)
    sizes = exact | {
        "energy": exact["pitch"],
        "encoder": conformer,
        "decoder": conformer,
        "postnet_dim": None,
    }
    batch = make_batch(*SIZES)
    found = []
    for one in (batch, wider(batch)):
        network = tiny_network(**sizes).train()
        losses = text_to_spec_losses(network(one), one, LossWeights(), 0.7)
        sum(losses.values()).backward()
        gradients = {name: tensor.grad for name, tensor in network.named_parameters()}
        found.append((losses, gradients, dict(network.named_buffers())))

    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_a_few_steps_on_one_batch_lower_the_loss(tiny_network, make_batch):
    network, batch = tiny_network().train(), make_batch((4, 17), (9, 30), (1, 6))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    totals = []
    for _ in range(30):
        optimiser.zero_grad()
        total = sum(text_to_spec_losses(network(batch), batch, LossWeights(), 1.0).values())
        total.backward()
        optimiser.step()
        totals.append(total.item())

    assert totals[-1] < 0.6 * totals[0]


def test_every_parameter_is_trained(tiny_network, make_batch):
    network = tiny_network(n_speakers=3, n_languages=2, style=STYLE).train()
    batch = make_batch((4, 17), (9, 30))

    sum(text_to_spec_losses(network(batch), batch, LossWeights(), 1.0).values()).backward()

    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []
    assert network.text_input_layer.weight.grad[0].eq(0).all()


def test_bfloat16_autocast_trains_and_aligns_as_float32_does(tiny_network, make_batch):
    network, batch = tiny_network().train(), make_batch(*SIZES)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(batch)
        losses = text_to_spec_losses(output, batch, LossWeights(), 1.0)
    sum(losses.values()).backward()

    assert output.prosody.timing.durations.equal(network.align(batch).durations)
    assert output.spec.dtype == output.prosody.pitch.dtype == torch.float32
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(tensor.grad.isfinite().all() for tensor in network.parameters())
    assert all(tensor.dtype in (torch.float32, torch.long) for tensor in network.state_dict().values())


def test_bfloat16_changes_a_spec_only_a_little(tiny_network, make_batch):
    network, batch = tiny_network(), make_batch(*SIZES)
    expected = network(batch).spec
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(batch).spec

    assert (rounded - expected).abs().mean() < 0.02 * expected.std()


def test_given_durations_replace_the_alignment(tiny_network, make_item):
    durations = torch.tensor([3, 0, 5])
    item = make_item(3, 8, durations=durations)
    network = tiny_network(learns_alignment=False)
    batch = collate([item], SILENCE)

    output = network(batch)

    assert output.alignment is None
    assert output.prosody.timing.durations.tolist() == [durations.tolist()]
    assert "attn_ctc" not in text_to_spec_losses(output, batch, LossWeights(), 1.0)
    assert network.teacher_force(batch).spec.shape == (1, 8, 5)


def test_averaged_pitch_is_used_as_it_is(tiny_network, make_item):
    per_frame = make_item(3, 8, durations=torch.tensor([3, 1, 4]))
    pitch, energy = (
        torch.stack([part.mean() for part in values.split([3, 1, 4])])
        for values in (per_frame.pitch, per_frame.energy)
    )
    averaged = replace(per_frame, pitch=pitch, energy=energy)
    network = tiny_network()

    ours, theirs = (network(collate([item], SILENCE)) for item in (per_frame, averaged))

    assert_close(ours.truth.pitch, theirs.truth.pitch)
    assert_close(ours.spec, theirs.spec)


def test_averaged_pitch_is_refused_by_a_network_that_wants_it_per_frame(tiny_network, make_item):
    averaged = {"pitch": torch.randn(3), "energy": torch.randn(3), "durations": torch.tensor([3, 1, 4])}
    batch = collate([make_item(3, 8, **averaged)], SILENCE)

    with pytest.raises(DataError, match="expected one value for each frame"):
        tiny_network(pitch_level=Level.FRAME)(batch)


def test_without_durations_and_without_alignment_nothing_can_be_trained(tiny_network, make_batch):
    with pytest.raises(DataError, match=r"expected durations for every utterance, found none"):
        tiny_network(learns_alignment=False)(make_batch((3, 8)))


def test_speakers_and_languages_sound_different(tiny_network):
    network = tiny_network(n_speakers=3, n_languages=2)
    text = [[3, 1, 4, 1, 5]] * 3

    spoken = network.speak(text_batch(text, speaker=[0, 1, 0], language=[0, 0, 1]))

    n_frames = int(spoken.n_frames.min())
    for other in (1, 2):
        assert (spoken.spec[other, :n_frames] - spoken.spec[0, :n_frames]).abs().max() > 0.01


def test_a_reference_is_followed_by_a_network_with_style_tokens(tiny_network):
    network, text = tiny_network(style=STYLE), text_batch([[3, 1, 4, 1, 5]])
    specs = [torch.randn(5, 14), torch.randn(5, 9) * 3]
    spoken = [network.speak(text, reference=reference_batch([spec])).spec for spec in specs]
    spoken.append(network.speak(text).spec)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        n_frames = min(spoken[one].shape[1], spoken[other].shape[1])
        assert (spoken[one] - spoken[other])[:, :n_frames].abs().max() > 1e-4


def test_a_reference_is_refused_by_a_network_without_style_tokens(tiny_network):
    with pytest.raises(DataError, match="no style tokens"):
        tiny_network().speak(text_batch([[3]]), reference=reference_batch([torch.randn(5, 9)]))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_gives_equal_output(tiny_network, tmp_path, kind):
    network, text = tiny_network(**kind), text_batch([[3, 1, 4], [1, 5]])
    expected = network.speak(text)
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    tensors = load_file(tmp_path / "network.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    again = FASTSPEECH2.build(FASTSPEECH2.config_from(shapes, asdict(network.config)).config).eval()
    load_weights(again, FASTSPEECH2.ledger_of(tensors).tensors)

    assert again.speak(text).spec.equal(expected.spec)
