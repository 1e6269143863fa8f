"""A voice comes back from its file as it was, or not at all; tortoise-tts's pairs are read and written."""

import hashlib
import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from building.conversion import save
from building.tortoise_voices import voice
from retimbre.errors import CheckpointError, UnsafeCheckpoint
from retimbre.models.identify import identify
from retimbre.pipelines.tortoise_voice_files import save_voice, voice_from_file


def require_same(ours, theirs):
    torch.testing.assert_close(ours.auto, theirs.auto, atol=0, rtol=0)
    assert (ours.diffusion is None) == (theirs.diffusion is None)
    if ours.diffusion is not None:
        torch.testing.assert_close(ours.diffusion, theirs.diffusion, atol=0, rtol=0)


@pytest.mark.parametrize("two_dim", [16, None])
def test_a_voice_comes_back_as_it_was(tmp_path, two_dim):
    saved = replace(voice(two_dim=two_dim), source={"seed": 3, "recordings": [{"sha256": "ab"}]})

    path = save_voice(saved, tmp_path / "deep" / "emma.v2")

    assert path == tmp_path / "deep" / "emma.v2.safetensors"
    found = voice_from_file(path)
    require_same(found, saved)
    assert found.name == "emma.v2"
    assert found.source == saved.source


def test_what_is_written_for_tortoise_is_its_pair_and_comes_back(tmp_path):
    path = save_voice(voice(), tmp_path / "emma.pth")

    pair = torch.load(path, weights_only=True)
    assert isinstance(pair, tuple)
    assert [tuple(latent.shape) for latent in pair] == [(1, 64), (1, 16)]
    found = voice_from_file(path)
    require_same(found, voice())
    assert found.source == {"file": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}


@pytest.mark.parametrize("more", [(), (torch.randn(1, 2, 80, 9), torch.randn(1, 2, 100, 7)), (None, None)])
def test_four_values_and_half_precision_are_read_too(tmp_path, more):
    pair = torch.randn(1, 12).half(), torch.randn(1, 20)
    torch.save((*pair, *more), tmp_path / "cond.pth")

    found = voice_from_file(tmp_path / "cond.pth")

    torch.testing.assert_close(found.auto, pair[0][0].float(), atol=0, rtol=0)
    torch.testing.assert_close(found.diffusion, pair[1][0], atol=0, rtol=0)


def test_a_voice_of_one_latent_is_not_written_for_tortoise(tmp_path):
    with pytest.raises(CheckpointError, match=r"'emma' cannot be written.*latent for diffusion"):
        save_voice(voice(two_dim=None), tmp_path / "emma.pth")

    assert not list(tmp_path.iterdir())


def test_inspect_knows_a_voice_of_ours(tmp_path):
    report = identify(save_voice(voice(), tmp_path / "emma"))

    assert "a voice for TorToiSe that Retimbre saved" in report.recognised
    assert report.sizes == {"autoregressive_latent": 64, "diffusion_latent": 16}


def test_one_changed_bit_is_found(tmp_path):
    path = save_voice(voice(), tmp_path / "emma")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"emma\.safetensors: the numbers of this voice have changed"):
        voice_from_file(path)


def head_of(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


@pytest.mark.parametrize("head", ["{", "[1]", "{}", '{"source": 3}', "[" * 100_000])
def test_a_damaged_head_is_one_line(tmp_path, head):
    path = save_voice(voice(), tmp_path / "emma")
    metadata = {**head_of(path), "retimbre_voice": head}
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, metadata)

    with pytest.raises(CheckpointError, match="what the file says of the voice is damaged"):
        voice_from_file(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value):
    broken = voice()
    broken.diffusion[3] = value

    for name in ("emma.pth", "emma.safetensors"):
        with pytest.raises(CheckpointError, match=rf"{name}.*expected finite numbers, found 1 that"):
            voice_from_file(save_voice(broken, tmp_path / name))


def test_other_files_are_called_by_what_they_are(tmp_path):
    torch.save(torch.randn(3, 4), tmp_path / "spec.pth")
    model = save(tmp_path, "tortoise_ar")

    with pytest.raises(CheckpointError, match=r"spec\.pth is no voice: expected two latents"):
        voice_from_file(tmp_path / "spec.pth")
    with pytest.raises(CheckpointError, match="is no voice.*found tortoise_ar"):
        voice_from_file(model)


def test_a_file_that_wants_to_run_code_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (eval, ("1",))

    torch.save((torch.randn(1, 4), Hostile()), tmp_path / "voice.pth")

    with pytest.raises(UnsafeCheckpoint):
        voice_from_file(tmp_path / "voice.pth")


def test_the_head_tells_the_source_as_json(tmp_path):
    head = json.loads(head_of(save_voice(voice(), tmp_path / "emma"))["retimbre_voice"])

    assert head["source"] == {"random": {"seed": 1}}
