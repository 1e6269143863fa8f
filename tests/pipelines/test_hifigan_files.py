"""A folder for the original HiFi-GAN holds what its own training writes, and what its own code can load."""

import json
import shutil

import pytest
import torch
from torch import nn

from building.conversion import CONVOLUTION, FULL_JUDGES, differing, save, tensors_of
from building.models import generator_config, save_vocoder
from retimbre.audio.mel import hifigan_original, mel_librosa
from retimbre.checkpoint.read import read
from retimbre.errors import CheckpointError
from retimbre.models.hifigan.config import DiscriminatorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.load import load_model
from retimbre.pipelines.convert import Wish, convert

KINDS = ("v1_legacy", "v1_zip", "v3_legacy", "v3_zip")
TUNED = {  # what somebody changed, and a word that the published files do not have
    "learning_rate": 5e-5, "adam_b1": 0.7, "segment_size": 4096, "fmax_for_loss": 11_000, "batch_size": 3,
    "note": "mine",
}  # fmt: skip


@pytest.fixture
def folder(parity, tmp_path):
    """A folder of the original, whose configuration somebody has changed: folder("v1_zip", fmax=None)."""

    def copy(kind, **changes):
        made = tmp_path / kind
        shutil.copytree(parity(f"containers/hifigan_{kind}"), made)
        config = json.loads((made / "config.json").read_text())
        (made / "config.json").write_text(json.dumps(config | changes))
        return made

    return copy


def through_ours(source, place):
    ours = convert(source, place / "ours.safetensors").files[0]
    return convert(ours, place / "back", Wish(to="hifigan"))


def state_of(path):
    return torch.load(path, weights_only=True, map_location="cpu")


def shapes(values):
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in values.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_the_original_comes_back_with_the_same_files_keys_and_shapes(folder, tmp_path, kind):
    made = folder(kind)

    done = through_ours(made / "g_00000100", tmp_path)

    assert [path.name for path in done.files] == ["g_00000100", "do_00000100", "config.json"]
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == sorted(p.name for p in done.files)
    generator, judges = (state_of(path) for path in done.files[:2])
    theirs, their_judges = (state_of(made / name) for name in ("g_00000100", "do_00000100"))
    assert list(generator) == ["generator"]
    assert differing(generator["generator"], theirs["generator"]) == []
    assert list(judges) == list(their_judges)
    for part in ("mpd", "msd"):
        assert shapes(judges[part]) == shapes(their_judges[part])
        assert differing(judges[part], their_judges[part]) == []
    assert judges["steps"] == their_judges["steps"] == 100
    for part in ("optim_g", "optim_d"):
        ours, known = judges[part], their_judges[part]
        assert ours.keys() == known.keys()
        (group,), (their_group,) = ours["param_groups"], known["param_groups"]
        assert group.keys() >= their_group.keys()
        assert len(group["params"]) == len(their_group["params"])
        assert {key: group[key] for key in their_group if key not in ("params", "betas")} == {
            key: value for key, value in their_group.items() if key not in ("params", "betas")
        }
        assert list(group["betas"]) == list(their_group["betas"])


@pytest.mark.parametrize("kind", ["v1_zip", "v3_zip"])
def test_what_its_own_configuration_says_comes_back_word_for_word(folder, tmp_path, kind):
    made = folder(kind, **TUNED)

    done = through_ours(made / "g_00000100", tmp_path)

    assert json.loads(done.files[-1].read_text()) == json.loads((made / "config.json").read_text())
    (group,) = state_of(done.files[1])["optim_d"]["param_groups"]
    assert (group["lr"], group["initial_lr"], list(group["betas"])) == (5e-5, 5e-5, [0.7, 0.99])


def test_a_spectrogram_of_all_frequencies_stays_one(folder, tmp_path):
    made = folder("v1_zip", fmax=None)

    done = through_ours(made / "g_00000100", tmp_path)

    assert load_model(tmp_path / "ours.safetensors").description.mel.high_hz == 11_025
    assert json.loads(done.files[-1].read_text())["fmax"] is None


def test_what_the_tensors_tell_wins_over_a_kept_configuration(folder, tmp_path):
    made = folder("v1_zip", upsample_initial_channel=512, resblock_kernel_sizes=[3, 7, 11])

    done = through_ours(made / "g_00000100", tmp_path)

    assert json.loads(done.files[-1].read_text())["upsample_initial_channel"] == 16


def test_a_vocoder_of_ours_has_every_word_of_the_published_configuration(parity, tmp_path):
    theirs = json.loads((parity("containers/hifigan_v1_zip") / "config.json").read_text())
    source = save(tmp_path, "hifigan", judges=FULL_JUDGES, step=12)

    done = convert(source, tmp_path / "original")

    ours = json.loads(done.files[-1].read_text())
    assert ours.keys() == theirs.keys()
    assert {key: type(value) for key, value in ours.items()} == {
        key: type(value) for key, value in theirs.items()
    }
    assert done.files[0].name == "g_00000012"
    assert ours["resblock_kernel_sizes"] == [3]


def test_torchs_own_optimiser_takes_both_states_and_steps(tmp_path):
    """As its training does: one AdamW for the generator, one for both kinds of discriminators."""
    narrow = DiscriminatorConfig(width=0.02, periods=(2, 3), n_scales=2)
    source = save(tmp_path, "hifigan", judges=narrow)

    done = convert(source, tmp_path / "original")

    state = state_of(done.files[1])
    networks = {"optim_g": load_model(source).model, "optim_d": Discriminators(narrow)}
    for name, network in networks.items():
        parameters = list(network.parameters())
        optimiser = torch.optim.AdamW(parameters, lr=1.0, betas=(0.1, 0.1))
        optimiser.load_state_dict(state[name])
        (group,) = optimiser.param_groups
        assert (group["lr"], list(group["betas"])) == (2e-4, [0.8, 0.99])
        torch.optim.lr_scheduler.ExponentialLR(optimiser, gamma=0.999, last_epoch=state["epoch"])
        before = parameters[0].detach().clone()
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimiser.step()
        torch.testing.assert_close(before - parameters[0], torch.full_like(before, 2e-4), rtol=0.05, atol=0)


@pytest.mark.parametrize("kind", ["v1_zip", "v3_zip"])
def test_folded_weights_come_back_bit_for_bit_and_without_discriminators(folder, tmp_path, kind):
    made = folder(kind)

    done = convert(
        convert(made / "g_folded", tmp_path / "ours.safetensors").files[0],
        tmp_path / "back",
        Wish(weight_norm="folded"),
    )

    assert [path.name for path in done.files] == ["g_00000000", "config.json"]
    assert differing(state_of(done.files[0])["generator"], state_of(made / "g_folded")["generator"]) == []
    assert not any("split into length" in line for line in done.remarks)


def test_a_folded_vocoder_plays_in_the_originals_plain_layers(folder, tmp_path):
    made = folder("v3_zip")
    spec = torch.randn(1, 80, 6)
    with torch.inference_mode():
        expected = load_model(made / "g_00000100").model(spec)

    done = convert(made / "g_00000100", tmp_path / "plain", Wish(weight_norm="folded"))

    tensors = tensors_of(done.files[0])
    assert not any(isinstance(part, nn.Parameter) or "weight_" in name for name, part in tensors.items())
    with torch.inference_mode():
        found = load_model(done.files[0]).model(spec)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 * expected.abs().max().item())


def test_another_spectrogram_than_the_originals_is_said(tmp_path):
    config = generator_config(**CONVOLUTION)
    ours = save_vocoder(tmp_path / "ours.safetensors", config, mel=mel_librosa())
    theirs = save_vocoder(tmp_path / "theirs.safetensors", config, mel=hifigan_original())

    assert any("another one" in line for line in convert(ours, tmp_path / "a").remarks)
    assert not any("another one" in line for line in convert(theirs, tmp_path / "b").remarks)


def test_an_inverse_stft_is_refused(tmp_path):
    source = save(tmp_path, "hifigan-istft")

    with pytest.raises(CheckpointError, match="by a convolution, found an inverse STFT of 16 samples"):
        convert(source, tmp_path / "original")
    assert not (tmp_path / "original").exists()


def test_discriminators_of_another_generator_do_not_stay_beside_a_new_one(tmp_path):
    with_judges, alone = save(tmp_path, "hifigan", judges=FULL_JUDGES), save(tmp_path, "hifigan-plain-blocks")
    first = convert(with_judges, tmp_path / "original")
    before = {path: path.read_bytes() for path in first.files}

    with pytest.raises(CheckpointError, match="do_00000000 would stay, and belongs to another generator"):
        convert(alone, tmp_path / "original")
    assert {path: path.read_bytes() for path in (tmp_path / "original").iterdir()} == before


def test_a_configuration_may_hold_what_is_no_json(folder, tmp_path):
    """Python writes NaN and reads it, and nothing else does."""
    made = folder("v3_zip", noise=float("nan"))

    done = through_ours(made / "g_00000100", tmp_path)

    assert json.loads(done.files[-1].read_text())["noise"] is None


@pytest.mark.parametrize("changes", [{"learning_rate": "fast"}, {"adam_b1": None}])
def test_a_configuration_that_makes_no_sense_is_named(folder, tmp_path, changes):
    made = folder("v1_zip", **changes)

    with pytest.raises(CheckpointError, match=r"the config\.json of the source makes no sense"):
        convert(made / "g_00000100", tmp_path / "back", Wish(to="hifigan"))
    assert not (tmp_path / "back").exists()


def test_the_files_refer_to_nothing_but_tensors(tmp_path):
    done = convert(save(tmp_path, "hifigan", judges=FULL_JUDGES), tmp_path / "original")

    assert all(not read(path).notes for path in done.files[:2])
