"""Losses are those of the reference, and padding, parts and odd lengths change nothing."""

import pytest
import torch
from safetensors.torch import load_file

from retimbre.checkpoint.fill import load_weights
from retimbre.models.tortoise_dvae.batch import DvaeItem, collate
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_dvae.loss import decoder_loss, there_and_back
from retimbre.models.tortoise_dvae.model import DiscreteVAE

TINY = DvaeConfig(n_mels=5, n_codes=9, codebook_dim=6, dim=4, n_resblocks=2)
EVEN = DvaeConfig(n_mels=5, n_codes=9, codebook_dim=6, dim=4, n_resblocks=1, kernel=4)
TRANSPOSED = DvaeConfig(
    n_mels=5, n_codes=9, codebook_dim=6, dim=4, n_resblocks=1, kernel=4, is_transposed=True
)
FORMS = pytest.mark.parametrize("config", [TINY, EVEN, TRANSPOSED], ids=["odd", "even", "transposed"])


@pytest.fixture
def reference(parity):
    """The network of the fixture, its inputs and what the reference made of them."""
    weights = load_file(parity("dvae") / "weights.safetensors")
    model = DiscreteVAE(DvaeConfig(n_codes=96, codebook_dim=32, dim=24))
    load_weights(model, weights)
    return model, load_file(parity("dvae") / "io.safetensors")


def network(config, seed=0):
    torch.manual_seed(seed)
    return DiscreteVAE(config)


def items(*lengths, n_mels=5, codes=None):
    return [DvaeItem(spec=torch.randn(n_mels, n)) for n in lengths]


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_losses_gradients_and_the_moved_code_book_are_those_of_the_reference(reference):
    model, known = reference
    (batch,) = collate([DvaeItem(spec=spec) for spec in known["mel"]], model.config)
    learnt = there_and_back(model, batch)
    found = gradients(model, learnt.reconstruction + learnt.commitment)
    model.codebook.learn(learnt.vectors, learnt.codes, revives=False)

    torch.testing.assert_close(learnt.reconstruction.detach(), known["train_recon_loss"])
    torch.testing.assert_close(learnt.commitment.detach(), known["train_commitment_loss"])
    torch.testing.assert_close(learnt.spec.detach(), known["train_out"], atol=2e-4, rtol=1e-4)
    for name in ("encoder.0.0.weight", "decoder.0.weight"):
        torch.testing.assert_close(found[name], known[f"grad.{name}"], atol=1e-4, rtol=1e-3)
    for name, buffer in model.codebook.named_buffers():
        torch.testing.assert_close(buffer, known[f"train_codebook_{name}"], atol=1e-4, rtol=1e-4)


@FORMS
def test_losses_are_means_over_real_frames_whatever_stands_beside_them(config):
    model, batch_of = network(config), items(29, 12, 37, 31)
    (batch,) = collate(batch_of, config)
    together = there_and_back(model, batch)
    alone = [there_and_back(model, collate([item], config)[0]) for item in batch_of]
    frames = [min(item.n_frames, one.spec.shape[-1]) for item, one in zip(batch_of, alone, strict=True)]
    codes = [len(one.codes) for one in alone]

    for name, counts in (("reconstruction", frames), ("commitment", codes)):
        values = [getattr(one, name) * n for one, n in zip(alone, counts, strict=True)]
        torch.testing.assert_close(getattr(together, name), sum(values) / sum(counts))
    assert together.codes.tolist() == [code for one in alone for code in one.codes.tolist()]
    torch.testing.assert_close(together.vectors, torch.cat([one.vectors for one in alone]))


@pytest.mark.parametrize("n_parts", [2, 3, 7])
def test_a_batch_in_parts_has_the_losses_and_gradients_of_the_whole(n_parts):
    model, batch_of = network(TINY), items(29, 12, 37, 31, 8)
    whole = there_and_back(model, collate(batch_of, TINY)[0])
    parts = [there_and_back(model, part) for part in collate(batch_of, TINY, n_parts=n_parts)]
    one, other = (
        gradients(model, sum(part.reconstruction + part.commitment for part in some))
        for some in ([whole], parts)
    )

    assert len(parts) == min(n_parts, 5)
    torch.testing.assert_close(sum(part.reconstruction for part in parts), whole.reconstruction)
    for name, gradient in one.items():
        torch.testing.assert_close(other[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 5, 7, 50, 51])
def test_any_length_can_be_learnt_from(n_frames):
    learnt = there_and_back(network(TINY), collate(items(n_frames), TINY)[0])

    assert learnt.reconstruction.isfinite()
    assert len(learnt.codes) == -(-n_frames // 4)


def test_the_encoder_learns_as_if_there_were_no_code_book():
    model = network(TINY)
    (batch,) = collate(items(24), TINY)
    found = gradients(model, there_and_back(model, batch).reconstruction)
    vectors = model.vectors(batch.spec).detach().requires_grad_()
    entries = model.codebook(model.codes_of(vectors)).transpose(1, 2).requires_grad_()
    (model.decode_entries(entries) - batch.spec).square().mean().backward()
    model.zero_grad()
    model.vectors(batch.spec).backward(entries.grad)

    torch.testing.assert_close(found["encoder.0.0.weight"], model.encoder[0][0].weight.grad)


def test_the_decoder_alone_learns_what_the_inference_path_computes():
    model, batch_of = network(TINY), items(29, 12, 34)
    with torch.no_grad():
        of_items = [model.encode(item.spec.unsqueeze(0))[0] for item in batch_of]
    coded = [DvaeItem(spec=item.spec, codes=codes) for item, codes in zip(batch_of, of_items, strict=True)]
    loss = decoder_loss(model, collate(coded, TINY)[0])
    found = gradients(model, loss)
    errors = [
        (model.decode(codes.unsqueeze(0))[0, :, : item.n_frames] - item.spec).square().sum()
        for item, codes in zip(batch_of, of_items, strict=True)
    ]

    torch.testing.assert_close(loss, sum(errors) / (5 * (29 + 12 + 34)))
    assert found.keys() == {name for name, _ in model.named_parameters() if name.startswith("decoder")}
