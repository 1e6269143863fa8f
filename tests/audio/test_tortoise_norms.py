"""TorToiSe's norms are those of its file, bit for bit."""

import hashlib
import struct

import torch

from retimbre.audio.mel import tortoise_mel80
from retimbre.audio.tortoise_norms import tortoise_norms

# Of the 320 bytes of numbers in the mel_norms.pth whose own digest the docstring of `tortoise_norms` names.
SHA256_OF_NUMBERS = "c8d1452681391f3a4ea084d606b8f560f555fcb4f3ac9274839b75d12bd1af7e"


def test_the_norms_are_the_numbers_of_the_published_file_bit_for_bit():
    written = struct.pack("<80f", *tortoise_norms())

    assert hashlib.sha256(written).hexdigest() == SHA256_OF_NUMBERS


def test_the_norms_are_those_that_the_published_file_is_known_by():
    norms = torch.tensor(tortoise_norms(), dtype=torch.float64)
    first = torch.tensor([-7.00946, -6.083233, -4.643991, -3.356217, -2.454781], dtype=torch.float64)

    torch.testing.assert_close(norms[:5], first, atol=1e-6, rtol=0)
    assert round(norms[-1].item(), 6) == round(norms.min().item(), 6) == -9.482238
    assert round(norms.max().item(), 5) == -1.60359


def test_a_norm_is_the_number_that_a_tensor_of_them_gives_back():
    norms = tortoise_norms()

    assert tuple(torch.tensor(norms).tolist()) == norms
    assert tortoise_mel80(norms).differences(tortoise_mel80(tuple(torch.tensor(norms).tolist()))) == {}
