import torch
from torch import nn

from retimbre.models.fastspeech2.config import ConformerSizes
from retimbre.models.fastspeech2.conformer import Conformer, SelfAttention
from retimbre.nn.masks import mask_from_lengths

SIZES = ConformerSizes(n_layers=2, n_heads=2, dim=8, feedforward_dim=12, kernel=5, dropout=0.2)


def test_attention_has_the_tensors_and_the_output_of_multihead_attention():
    torch.manual_seed(0)
    ours = SelfAttention(SIZES).eval()
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    theirs.load_state_dict(ours.state_dict())
    is_real = mask_from_lengths(torch.tensor([9, 4, 1]), 9)
    x = torch.randn(3, 9, 8)

    expected, _ = theirs(x, x, x, key_padding_mask=~is_real)

    torch.testing.assert_close(ours(x, is_real), expected, atol=1e-6, rtol=1e-5)


def test_attention_in_training_is_on_average_what_it_is_outside():
    torch.manual_seed(0)
    attention = SelfAttention(SIZES)
    x, is_real = torch.randn(1, 6, 8).expand(4000, -1, -1), mask_from_lengths(torch.tensor([5] * 4000), 6)

    mean = attention(x, is_real).mean(0)
    expected = attention.eval()(x[:1], is_real[:1])[0]

    torch.testing.assert_close(mean, expected, atol=0.03, rtol=0)


def test_padding_never_changes_a_real_frame_not_even_in_training():
    torch.manual_seed(0)
    exact = ConformerSizes(n_layers=2, dim=8, feedforward_dim=12, kernel=5, dropout=0.0)
    conformer, lengths = Conformer(exact), torch.tensor([7, 3])
    tight = torch.randn(2, 7, 8)
    wide = torch.cat([tight, torch.randn(2, 6, 8)], dim=1)
    is_tight, is_wide = mask_from_lengths(lengths, 7), mask_from_lengths(lengths, 13)

    for is_training in (True, False):
        conformer.train(is_training)
        torch.testing.assert_close(
            conformer(wide, is_wide)[is_wide], conformer(tight, is_tight)[is_tight], atol=1e-5, rtol=1e-5
        )
