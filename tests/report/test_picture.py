"""Pictures are valid and their colours grow evenly."""

import base64
import io

import numpy as np
import pytest

from retimbre.report.picture import difference_colours, difference_uri, loudness_colours, spectrogram_uri


def lightness(colours):
    """CIE L*, from the definition of sRGB."""
    encoded = colours / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(np.maximum(linear @ [0.2126, 0.7152, 0.0722], 1e-9)) - 16


def test_louder_is_lighter_in_even_steps():
    found = lightness(loudness_colours())
    assert found[0] < 12
    assert found[-1] > 88
    every_16th = np.diff(found[::16])
    assert every_16th.min() > 0.5 * every_16th.mean()


def test_differences_are_darker_the_larger_and_alike_on_both_sides():
    found = lightness(difference_colours())
    assert np.argmax(found) in (127, 128)
    assert np.abs(found - found[::-1]).max() < 8
    red, blue = difference_colours()[-1], difference_colours()[0]
    assert red[0] > red[2]
    assert blue[2] > blue[0]


def test_a_picture_has_one_pixel_per_cell_with_low_bands_at_the_bottom():
    image = pytest.importorskip("PIL.Image")
    spec = np.random.default_rng(0).uniform(-9, 0, (5, 7))
    spec[0, 3] = 3.0  # beyond the loudest colour
    content = base64.b64decode(spectrogram_uri(spec, low=-9.0, high=0.0).split(",")[1])
    picture = image.open(io.BytesIO(content)).convert("RGB")
    assert picture.size == (7, 5)
    assert picture.getpixel((3, 4)) == tuple(loudness_colours()[-1])


def test_the_file_is_a_png_whose_cells_come_back_without_any_library():
    import struct
    import zlib

    difference = np.random.default_rng(1).uniform(-1, 1, (3, 4))
    content = base64.b64decode(difference_uri(difference, most=1.0).split(",")[1])
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind, inside = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            kind + inside
        )
        chunks[kind], at = inside, at + 12 + length
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(3, 5)
    np.testing.assert_array_equal(rows[:, 0], 0)
    np.testing.assert_allclose(rows[::-1, 1:] / 127.5 - 1, difference, atol=0.005)
