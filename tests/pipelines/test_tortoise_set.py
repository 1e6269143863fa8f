"""A set of TorToiSe's files: which part each plays, and why a wrong one is refused."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

from building.adapters import save_adapter
from building.tortoise_set import AR, DIM, PARTS, save_part
from retimbre.errors import CheckpointError, StagesDoNotFit, TextError
from retimbre.models.adapter import read_adapter
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_cvvp import TORTOISE_CVVP
from retimbre.models.tortoise_cvvp.config import CvvpConfig
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_hifigan.config import LatentDecoderConfig
from retimbre.models.univnet.config import UnivNetConfig
from retimbre.pipelines.tortoise_roles import PARTS as ROLES
from retimbre.pipelines.tortoise_set import tortoise_set as find_set
from retimbre.text.bpe import SPECIAL, Vocabulary

CVVP = CvvpConfig(
    dim=32, n_heads=1, attention_dim=32, n_conditioning_layers=1, n_speech_layers=1, n_codes=AR.n_codes - 2
)


@pytest.fixture
def folder(tortoise_set, tmp_path):
    """The tiny set, where files may be changed."""
    return shutil.copytree(tortoise_set, tmp_path / "models")


@pytest.fixture
def opened(folder):
    """The set in the folder and in further files."""
    return lambda *more, **options: find_set([folder, *more] if more else folder, **options)


def put(folder, name, config):
    part = PARTS[name]
    return save_part(folder / f"{name}.pth", part.family, config, below=part.below)


def test_each_file_plays_its_part(opened, folder):
    found = opened()

    assert found.paths == {role: folder / f"{part.name}.pth" for role, part in ROLES.items()}
    assert found.decoders == ("diffusion", "hifigan")
    assert found.vocabulary == Vocabulary.tortoise()
    found.require_ranking(16)
    found.require_random_voice("diffusion")


@pytest.mark.parametrize("role", ROLES)
def test_each_part_is_loaded_as_its_file_has_it(opened, role):
    loaded = opened().load(role)

    part = PARTS[ROLES[role].name]
    content = torch.load(loaded.path, weights_only=True)
    tensors = part.family.theirs(loaded.model.state_dict())
    expected = content[part.below] if part.below else content
    assert tensors.keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in tensors.items())
    assert not loaded.model.training


def test_names_do_not_matter_where_they_claim_nothing(opened, folder):
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"{number}.pth")

    assert opened().paths.keys() == ROLES.keys()


def test_the_models_of_the_reference_are_a_set(parity):
    at = parity("containers") / "tortoise_models"
    names = [part.name for part in ROLES.values()]

    found = find_set([at / f"{name}.pth" for name in names])

    assert [path.stem for path in found.paths.values()] == names


def test_files_that_play_no_part_are_beside(opened, folder, parity):
    for name in ("voice", "mel_norms", "cvvp"):
        shutil.copy(parity("containers") / "tortoise_models" / f"{name}.pth", folder / f"{name}.pth")
    (folder / "fetched.json").write_text("{}")

    assert [path.name for path in opened().beside] == ["cvvp.pth", "mel_norms.pth", "voice.pth"]


def test_the_decoder_of_latents_alone_speaks_too(opened, folder):
    for name in ("diffusion_decoder", "vocoder", "clvp2", "dvae", "rlg_auto", "rlg_diffuser"):
        (folder / f"{name}.pth").unlink()

    found = opened()

    assert found.decoders == ("hifigan",)
    found.require_ranking(1)
    with pytest.raises(CheckpointError, match="^decoder diffusion needs codes-to-spec and spec-to-wav"):
        found.require_decoder("diffusion")


def test_a_missing_file_is_named_with_how_to_get_it(opened, folder):
    (folder / "vocoder.pth").unlink()
    assert opened().decoders == ("hifigan",)
    (folder / "hifidecoder.pth").unlink()

    fetch = rf"retimbre fetch tortoise vocoder -o {re.escape(str(folder))}$"
    with pytest.raises(
        CheckpointError, match=rf"^there is no spec-to-wav in .* expected vocoder.pth.*{fetch}"
    ):
        opened()
    (folder / "autoregressive.pth").unlink()
    with pytest.raises(CheckpointError, match="^there is no text-to-codes and spec-to-wav in "):
        opened()


def test_a_folder_without_models_is_said_to_be_empty(tmp_path):
    with pytest.raises(CheckpointError, match="found no model at all"):
        find_set(tmp_path)
    with pytest.raises(CheckpointError, match="^there is no .*nowhere"):
        find_set(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "ask", "message"),
    [
        ("clvp2", lambda found: found.require_ranking(2), "^choosing among 2 candidates needs ranking"),
        ("rlg_auto", lambda found: found.require_random_voice("hifigan"), "needs random-voice-ar:"),
        ("rlg_diffuser", lambda found: found.require_random_voice("diffusion"), "random-voice-diffusion:"),
        ("dvae", lambda found: found.load("wav-to-codes"), "expected dvae.pth"),
    ],
)
def test_what_a_wish_needs_is_missed_only_then(opened, folder, name, ask, message):
    ask(opened())
    (folder / f"{name}.pth").unlink()

    found = opened()

    with pytest.raises(CheckpointError, match=message) as caught:
        ask(found)
    assert f"retimbre fetch tortoise {name} -o {folder}" in str(caught.value)


def test_a_codebook_of_another_size_is_named(opened, folder):
    put(folder, "dvae", DvaeConfig(n_codes=64, codebook_dim=8, dim=8, n_resblocks=1))

    with pytest.raises(StagesDoNotFit, match=r"codes: 256 in autoregressive.pth .* 64 in dvae.pth"):
        opened()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_mels": 80}, r"n_mels 100 against 80"),
        ({"strides": (8, 8, 2)}, r"hop_samples 256 against 128"),
    ],
)
def test_a_vocoder_for_another_spectrogram_is_named_by_the_field(opened, folder, change, message):
    put(folder, "vocoder", UnivNetConfig(noise_dim=4, dim=4, **change))

    with pytest.raises(StagesDoNotFit, match=rf"diffusion_decoder.pth and vocoder.pth .*{message}"):
        opened()


def test_a_network_of_another_width_is_named_wherever_it_does_not_fit(opened, folder):
    put(folder, "autoregressive", replace(AR, dim=64, n_heads=1))

    with pytest.raises(StagesDoNotFit) as caught:
        opened()

    for sentence in (
        "width of a latent: 64 in autoregressive.pth (final_norm.weight), 128 in diffusion_decoder.pth",
        "width of a voice: 128 in rlg_auto.pth, 64 in the model",
    ):
        assert sentence in str(caught.value)


def test_a_decoder_of_latents_for_another_voice_is_named(opened, folder):
    put(folder, "hifidecoder", LatentDecoderConfig(latent_dim=DIM, conditioning_dim=64, initial_channels=16))

    with pytest.raises(
        StagesDoNotFit, match=r"128 in autoregressive.pth .* 64 in hifidecoder.pth \(cond_lay"
    ):
        opened()


def swap_random_voices(folder, _parity):
    (folder / "rlg_auto.pth").rename(folder / "third")
    (folder / "rlg_diffuser.pth").rename(folder / "rlg_auto.pth")
    (folder / "third").rename(folder / "rlg_diffuser.pth")


def put_cvvp(folder, _parity):
    save_part(folder / "clvp2.pth", TORTOISE_CVVP, CVVP)


def put_dvae(folder, _parity):
    shutil.copy(folder / "dvae.pth", folder / "vocoder.pth")


def put_xtts(folder, parity):
    shutil.copy(parity("containers") / "xtts_v2_model" / "model.pth", folder / "autoregressive.pth")


def put_voice(folder, parity):
    shutil.copy(parity("containers") / "tortoise_models" / "voice.pth", folder / "rlg_auto.pth")


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        (put_cvvp, r"clvp2.pth is not what its name says: .* \(tortoise_clvp\), found tortoise_cvvp"),
        (put_dvae, r"vocoder.pth is not .* expected spec-to-wav \(univnet\), found tortoise_dvae"),
        (put_xtts, r"autoregressive.pth is not .* found XTTS v2"),
        (put_voice, r"rlg_auto.pth is not .* found a voice that TorToiSe saved"),
        (swap_random_voices, r"voice: 96 in rlg_auto.pth, 128 in the model; .* 128 in rlg_diffuser.pth, 96"),
    ],
)
def test_a_swapped_file_is_refused_by_what_it_is(opened, folder, parity, swap, message):
    swap(folder, parity)

    with pytest.raises((CheckpointError, StagesDoNotFit), match=message):
        opened()


def test_a_file_that_is_cut_short_is_named(opened, folder):
    clvp = folder / "clvp2.pth"
    clvp.write_bytes(clvp.read_bytes()[:5000])

    with pytest.raises(CheckpointError, match="clvp2.pth: the file is damaged or cut short"):
        opened()


def test_two_files_for_one_part_are_a_question_which_a_name_answers(opened, folder, tmp_path):
    tuned = save_part(folder / "tuned.pth", TORTOISE_AR, AR, seed=5)

    with pytest.raises(StagesDoNotFit, match="^2 files for text-to-codes: .* autoregressive.pth, tuned.pth"):
        opened()

    assert opened(tuned).paths["text-to-codes"] == tuned
    elsewhere = tuned.rename(tmp_path / "tuned.pth")
    found = opened(elsewhere)
    assert found.paths["text-to-codes"] == elsewhere
    assert found.paths["spec-to-wav"] == folder / "vocoder.pth"
    expected = load_model(elsewhere).model.mel_head.weight
    assert found.load("text-to-codes").model.mel_head.weight.equal(expected)


def test_a_named_file_that_plays_no_part_is_refused(opened, parity):
    voice = parity("containers") / "tortoise_models" / "voice.pth"

    with pytest.raises(CheckpointError, match="voice.pth plays no part in speaking: .* found a voice that"):
        opened(voice)


def save_vocabulary(path, n_pieces):
    """A tokenizer.json without merges."""
    pieces = [*SPECIAL, *(chr(0x4E00 + n) for n in range(n_pieces - len(SPECIAL)))]
    added = [{"id": row, "content": piece} for row, piece in enumerate(SPECIAL)]
    model = {"type": "BPE", "unk_token": SPECIAL[1], "merges": []}
    model["vocab"] = {piece: row for row, piece in enumerate(pieces)}
    path.write_text(
        json.dumps({"pre_tokenizer": {"type": "Whitespace"}, "added_tokens": added, "model": model})
    )
    return path


def test_a_vocabulary_beside_the_models_is_read(opened, folder, tmp_path):
    save_vocabulary(folder / "tokenizer.json", 30)
    assert len(opened().vocabulary) == 30

    named = save_vocabulary(tmp_path / "mine.json", 40)
    assert len(opened(named).vocabulary) == 40


def test_a_vocabulary_larger_than_the_table_is_refused(opened, folder):
    save_vocabulary(folder / "tokenizer.json", 256)

    with pytest.raises(StagesDoNotFit, match="at most 255 pieces.*found 256 in .*tokenizer.json"):
        opened()


def test_a_vocabulary_that_is_none_is_named(opened, folder):
    (folder / "tokenizer.json").write_text("{}")

    with pytest.raises(TextError, match="tokenizer.json is no byte-pair vocabulary"):
        opened()


def test_a_network_with_fewer_symbols_asks_for_its_vocabulary(opened, folder):
    put(folder, "autoregressive", replace(AR, n_symbols=200, start_symbol=199))
    (folder / "clvp2.pth").unlink()  # whose table would disagree, too

    with pytest.raises(StagesDoNotFit, match="at most 199 pieces.*found 255 in the released vocabulary"):
        opened()


def test_what_is_stated_holds_for_the_network_that_reads_text(opened):
    found = opened(assume={"residual": "norm(x) + h"})

    assert found.reports["text-to-codes"].config.residual == "norm(x) + h"
    assert found.load("text-to-codes").model.config.residual == "norm(x) + h"
    assert found.load("ranking")
    with pytest.raises(CheckpointError, match="nothing is assumed about 'headz'"):
        opened(assume={"headz": 2})


def test_the_hash_of_a_part_is_that_of_its_file(opened, folder):
    expected = hashlib.sha256((folder / "clvp2.pth").read_bytes()).hexdigest()
    assert opened().sha256("ranking") == expected


def test_adapters_are_folded_into_the_network_that_they_are_of_and_no_other(opened, folder, tmp_path):
    over = folder / "autoregressive.pth"
    adapter = read_adapter(save_adapter(tmp_path / "mine.safetensors", over), strength=0.5)

    found = opened(adapters=[adapter])

    plain = opened()
    adapted = found.load("text-to-codes").model.state_dict()
    expected = load_model(over, adapters=[adapter]).model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in adapted.items())
    assert not torch.equal(
        adapted["gpt.h.0.attn.c_attn.weight"],
        torch.load(over, weights_only=True)["gpt.h.0.attn.c_attn.weight"],
    )
    assert found.sha256("codes-to-spec") == plain.sha256("codes-to-spec")
    digest = hashlib.sha256(adapter.path.read_bytes()).hexdigest()
    assert found.sha256("text-to-codes") == f"{plain.sha256('text-to-codes')} + {digest} x 0.5"


def test_several_adapters_may_be_of_several_networks(opened, folder, tmp_path):
    adapters = [
        read_adapter(save_adapter(tmp_path / f"{name}.safetensors", folder / f"{name}.pth"))
        for name in ("autoregressive", "diffusion_decoder")
    ]

    found = opened(adapters=adapters)

    assert found.adapters_of("text-to-codes") == (adapters[0],)
    assert found.adapters_of("codes-to-spec") == (adapters[1],)
    assert found.adapters_of("spec-to-wav") == ()


def test_adapters_of_another_base_are_refused_before_a_network_is_read(opened, folder, tmp_path, monkeypatch):
    adapter = read_adapter(save_adapter(tmp_path / "mine.safetensors", folder / "autoregressive.pth"))
    save_part(folder / "autoregressive.pth", TORTOISE_AR, AR, seed=5)
    monkeypatch.setattr("retimbre.models.load.load_weights", lambda *given: pytest.fail("a network was read"))

    with pytest.raises(
        CheckpointError, match=r"mine.safetensors was trained over another base than autoregr"
    ):
        opened(adapters=[adapter])


def test_adapters_of_a_network_that_is_not_in_the_set_are_refused(opened, folder, tmp_path):
    adapter = read_adapter(save_adapter(tmp_path / "mine.safetensors", folder / "diffusion_decoder.pth"))
    (folder / "diffusion_decoder.pth").unlink()
    (folder / "vocoder.pth").unlink()

    with pytest.raises(
        CheckpointError, match=r"mine.safetensors is for none of these files.*diffusion_decoder"
    ):
        opened(adapters=[adapter])
