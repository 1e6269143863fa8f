"""`retimbre convert`: one clear line for what cannot be done, and what was there before stays whole."""

import errno
import hashlib
import json
import os
import shutil

import pytest
import torch

from building.adapters import save_adapter
from building.conversion import bits, differing, save, tensors_of
from retimbre.models.adapter import read_adapter
from retimbre.models.load import load_model
from retimbre.pipelines import convert as pipeline

FORMATS = {"everyvoice": "new.ckpt", "tortoise": "new.pth", "retimbre": "new.safetensors", "hifigan": "new"}
NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, and in it we are."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def files(folder):
    """Path in the folder -> SHA-256 of every file, hidden ones too; of a folder, nothing."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def source_for(name, folder):
    return save(folder, "tortoise_random_latent" if name == "tortoise" else "hifigan")


def test_files_are_named_on_one_stream_and_what_there_is_to_know_on_the_other(here, retimbre):
    source = save(here, "letters", step=9)

    there = retimbre("convert", source, "-o", "theirs.ckpt")
    back = retimbre("convert", "theirs.ckpt", "--output", "back.safetensors")

    assert (there.code, back.code) == (0, 0), there.err + back.err
    assert there.out == "theirs.ckpt\n"
    assert back.out == "back.safetensors\nback.json\n"
    assert "left out the states of optimisers" in there.err
    assert "read again: fastspeech2" in back.err
    assert differing(tensors_of(here / "back.safetensors"), tensors_of(source)) == []
    assert json.loads((here / "back.json").read_text())["step"] == 9
    assert (here / "back.safetensors").stat().st_mode == source.stat().st_mode


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_known_by_its_ending_or_by_its_name(here, retimbre, name):
    source = source_for(name, here)
    words = ["--part", "generator"] if name in ("everyvoice", "hifigan") else []

    by_ending = retimbre("convert", source, "-o", FORMATS[name], *words)
    by_name = retimbre("convert", source, "-o", "other.thing", "--to", name, *words)

    assert (by_ending.code, by_name.code) == (0, 0), by_ending.err + by_name.err
    one, other = (ended.out.splitlines()[0] for ended in (by_ending, by_name))
    assert differing(tensors_of(here / one), tensors_of(here / other)) == []
    assert load_model(here / other).description.family in ("hifigan", "tortoise_random_latent")


def test_a_folder_that_is_there_is_taken_for_the_original_hifi_gan(here, retimbre):
    (here / "v1.0").mkdir()

    ended = retimbre("convert", save(here, "hifigan"), "-o", "v1.0")

    assert ended.out == "v1.0/g_00000000\nv1.0/config.json\n"


def test_what_is_stated_is_kept(here, retimbre, parity):
    source = parity("containers/ar_variants/heads_not_by_rule.pth")

    ended = retimbre("convert", source, "-o", "ours.safetensors", "--assume", "heads=2")

    assert ended.code == 0, ended.err
    assert "assumed: heads" not in ended.err
    assert "assumed: start_text_token" in ended.err
    assert load_model(here / "ours.safetensors").description.sizes["n_heads"] == 2
    error = retimbre("convert", source, "-o", "ours.pth", "--assume", "head=2").error
    assert "nothing is assumed about 'head'" in error
    assert "Write heads" in error


@pytest.mark.parametrize("link", ["symlink", "hard link", "other way", "same ending left out"])
def test_a_file_never_replaces_what_it_is_made_of(here, retimbre, link):
    source = save(here, "univnet")
    output = here / "link.safetensors"
    if link == "symlink":
        output.symlink_to(source)
    elif link == "hard link":
        output.hardlink_to(source)
    else:
        output = here / ".." / "here" / ("univnet" if "left out" in link else source.name)
    before = files(here)

    error = retimbre("convert", source, "-o", output, "--to", "retimbre").error

    assert "would replace what it is made of" in error
    assert files(here) == before


def test_the_parts_and_companions_of_a_model_are_not_replaced_either(here, retimbre, parity):
    shutil.copytree(parity("containers/hifigan_v1_zip"), here / "hifigan")
    shutil.copytree(parity("containers/safetensors_sharded"), here / "parts")
    generator = here / "hifigan" / "g_00000100"
    before = files(here)

    for words in (
        ("hifigan",),
        ("hifigan/do_00000100", "--to", "retimbre", "--part", "generator"),
        ("hifigan/config.safetensors",),
    ):
        ended = retimbre("convert", generator, "-o", *words)
        if words[0] == "hifigan/do_00000100":  # ours has an ending of its own
            assert ended.code == 0
            for path in ("do_00000100.safetensors", "do_00000100.json"):
                (here / "hifigan" / path).unlink()
        else:
            assert "would replace what it is made of" in ended.error
    assert files(here) == before


@pytest.mark.parametrize("name", ["everyvoice", "tortoise", "retimbre"])
def test_a_folder_where_a_file_belongs_is_named(here, retimbre, name):
    source = source_for(name, here)
    (here / FORMATS[name]).mkdir()
    before = files(here)

    error = retimbre("convert", source, "-o", FORMATS[name], "--to", name).error

    assert f"{FORMATS[name]} is a folder" in error
    assert files(here) == before


def test_a_file_where_a_folder_belongs_is_named(here, retimbre):
    source = save(here, "hifigan")
    (here / "occupied").write_text("mine")
    before = files(here)

    assert "occupied is a file" in retimbre("convert", source, "-o", "occupied").error
    assert "cannot be written" in retimbre("convert", source, "-o", "occupied/new.safetensors").error
    assert files(here) == before


def test_an_ending_that_says_no_format_is_named_with_those_that_do(here, retimbre):
    error = retimbre("convert", save(here, "univnet"), "-o", "new.bin").error

    assert "the ending of new.bin says no format: expected .safetensors, .ckpt, .pth, .pt, .onnx" in error
    assert "--to retimbre | everyvoice | hifigan | tortoise | onnx" in error


@pytest.mark.parametrize(
    ("name", "output", "expected"),
    [
        ("univnet", "new.ckpt", "fastspeech2 or hifigan, found univnet (spec-to-wav)"),
        ("univnet", "new.onnx", "fastspeech2 or hifigan, found univnet (spec-to-wav)"),
        ("letters", "new", "expected hifigan, found fastspeech2 (text-to-spec)"),
        ("letters", "new.pth", "found fastspeech2 (text-to-spec)"),
        ("hifigan-istft", "new", "found an inverse STFT"),
    ],
)
def test_a_format_that_cannot_hold_a_family_is_refused(here, retimbre, name, output, expected):
    source = save(here, name)
    before = files(here)

    assert expected in retimbre("convert", source, "-o", output).error
    assert files(here) == before


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("letters", "new.ckpt --weight-norm older", "letters.safetensors has no weight norm"),
        ("tortoise_ar", "new.pth --weight-norm folded", "tortoise_ar.safetensors has no weight norm"),
        ("hifigan", "new --weight-norm parametrized", "expected older or folded"),
        ("univnet", "new.pth --weight-norm parametrized", "expected older or folded"),
        ("hifigan", "new.ckpt --weight-norm folded --part generator", "expected parametrized or older"),
        ("hifigan", "new.onnx --weight-norm folded", "expected none: it has no weight norm"),
        ("letters", "new.ckpt --part generator", "has no generator"),
        ("univnet", "new.pth --masks", "has neither variants nor masks"),
        ("hifigan", "new.ckpt --variant unified_voice3", "has neither variants nor masks"),
        ("tortoise_ar", "new.safetensors --masks", "has neither variants nor masks"),
        ("tortoise_ar", "new.safetensors --variant unified_voice2", "has neither variants nor masks"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(here, retimbre, name, words, expected):
    source = save(here, name)
    before = files(here)

    error = retimbre("convert", source, "-o", *words.split()).error

    assert expected in error
    assert "leave" in error.lower()
    assert files(here) == before


def test_what_is_no_model_of_a_known_family_is_refused_by_its_name(here, retimbre, parity, tmp_path):
    parts = ("bert", "decoder", "predictor", "text_encoder", "style_encoder", "text_aligner")
    net = {part: {"unshared.weight": torch.randn(3, 2)} for part in parts}
    torch.save({"net": net, "epoch": 4}, tmp_path / "styletts.pth")
    torch.save({"nothing": 1}, tmp_path / "nothing.pth")
    (tmp_path / "notes.txt").write_text("weights")
    known = {
        parity("containers/xtts_v2_model/model.pth"): "XTTS",
        parity("containers/xtts_trainer/best_model_900.pth"): "XTTS",
        parity("containers/hifigan_v1_zip/do_00000100"): "",
        tmp_path / "styletts.pth": "StyleTTS 2: recognised, not yet trainable",
        tmp_path / "nothing.pth": "",
        tmp_path / "notes.txt": "",
    }

    for source, name in known.items():
        error = retimbre("convert", source, "-o", "new.safetensors").error

        assert name in error
        assert str(source) in error
    assert files(here) == {}


def test_what_is_not_there_or_a_folder_is_refused(here, retimbre):
    for source in ("nowhere.ckpt", here):
        ended = retimbre("convert", source, "-o", "new.safetensors")

        assert ended.code == 2
        assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", FORMATS)
def test_a_place_that_may_only_be_read_is_named(here, retimbre, small_disk, name):
    source = source_for(name, here)
    disk = small_disk(100, is_read_only=True)
    words = ["--part", "generator"] if name == "everyvoice" else []

    error = retimbre("convert", source, "-o", disk / FORMATS[name], *words).error

    assert str(disk) in error
    assert "cannot be written" in error
    assert "/." not in error


@pytest.mark.parametrize("name", FORMATS)
def test_a_really_full_disk_keeps_what_was_there(here, retimbre, small_disk, name):
    source = source_for(name, here)
    disk = small_disk(2000)
    words = ["--part", "generator"] if name == "everyvoice" else []
    assert retimbre("convert", source, "-o", disk / FORMATS[name], *words).code == 0
    (disk / "filler").write_bytes(b"x" * (shutil.disk_usage(disk).free - 4096))
    before = files(disk)

    error = retimbre("convert", source, "-o", disk / FORMATS[name], *words).error

    assert str(disk) in error
    assert "cannot be written" in error
    assert files(disk) == before


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("trouble", [NO_SPACE, KeyboardInterrupt()], ids=["full", "interrupted"])
def test_a_conversion_that_ends_in_the_middle_leaves_the_old_file_and_nothing_else(
    here, retimbre, monkeypatch, name, trouble
):
    source = source_for(name, here)
    words = ["--part", "generator"] if name == "everyvoice" else []
    assert retimbre("convert", source, "-o", FORMATS[name], *words).code == 0
    before = files(here)

    def half(content, path, **more):
        path.write_bytes(b"half a fi")
        raise trouble

    monkeypatch.setattr("retimbre.checkpoint.write.save_file", half)
    monkeypatch.setattr("retimbre.checkpoint.write.torch.save", half)
    ended = retimbre("convert", source, "-o", FORMATS[name], *words)

    assert ended.code == (130 if isinstance(trouble, KeyboardInterrupt) else 1)
    assert "Traceback" not in ended.err
    assert files(here) == before
    new = retimbre("convert", source, "-o", here / "new folder" / FORMATS[name], *words)
    assert new.code == ended.code
    assert files(here) == before


@pytest.mark.parametrize("name", FORMATS)
def test_what_cannot_be_read_again_replaces_nothing(here, retimbre, monkeypatch, name):
    source = source_for(name, here)
    words = ["--part", "generator"] if name == "everyvoice" else []
    assert retimbre("convert", source, "-o", FORMATS[name], *words).code == 0
    before = files(here)

    def write(found, output, wish):
        written = right(found, output, wish)
        written[0][0].write_bytes(b"something else entirely")
        return written

    right = pipeline.WRITERS[name]
    monkeypatch.setitem(pipeline.WRITERS, name, write)
    error = retimbre("convert", source, "-o", FORMATS[name], *words).error

    assert "this file holds no weights" in error
    assert ".part" not in error
    assert files(here) == before


def test_a_good_file_is_replaced_whole_and_other_files_stay(here, retimbre):
    first, second = save(here, "univnet"), save(here, "tortoise_clvp")
    (here / "out").mkdir()
    (here / "out" / "mine.txt").write_text("mine")
    (here / "out" / "new.safetensors").symlink_to(first)

    ended = retimbre("convert", second, "-o", "out/new.safetensors")

    assert ended.code == 0, ended.err
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "mine.txt",
        "new.json",
        "new.safetensors",
    ]
    assert load_model(here / "out" / "new.safetensors").description.family == "tortoise_clvp"
    assert load_model(first).description.family == "univnet"  # the link was replaced, not what it led to


@pytest.mark.parametrize("name", ["letters", "hifigan-istft"])
def test_an_onnx_file_is_written_with_its_difference(here, retimbre, name):
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'retimbre[onnx]'")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'retimbre[onnx]'")

    ended = retimbre("convert", save(here, name), "-o", "new.onnx")

    assert ended.code == 0, ended.err
    assert ended.out == "new.onnx\n"
    assert "difference" in ended.err
    assert sorted(files(here)) == sorted([f"{name}.json", f"{name}.safetensors", "new.onnx"])


def test_what_is_stated_reaches_the_onnx_file(here, monkeypatch, retimbre):
    """The file is written of the network with the stated value, not of the usual one."""
    source = save(here, "hifigan-plain-blocks")
    torch.save({"generator": tensors_of(source)}, here / "bare.pth")
    seen = []

    class Difference:
        def to_text(self):
            return "no difference"

    def write(loaded, path):
        seen.append(loaded)
        path.write_bytes(b"onnx")
        return Difference()

    monkeypatch.setattr("retimbre.pipelines.onnx_files.write_onnx", write)
    stated = "resblock_dilation_sizes=[[1, 5]]"

    ended = retimbre("convert", "bare.pth", "-o", "new.onnx", "--assume", stated)

    assert ended.code == 0, ended.err
    (loaded,) = seen
    assert loaded.model.config.resblock_dilations == ((1, 5),)
    assert "no difference" in ended.err
    state = loaded.model.state_dict()
    assert bits(state["conv_pre.bias"]) == bits(tensors_of(source)["conv_pre.bias"])


def test_adapters_are_folded_one_after_another_with_their_strengths(here, retimbre):
    base = save(here, "tortoise_ar", step=7)
    one = save_adapter(here / "one.safetensors", base)
    two = save_adapter(here / "two.safetensors", base, seed=2)

    ended = retimbre("convert", base, "--adapter", one, "--adapter", f"{two}=0.5", "-o", "both.pth")

    assert ended.code == 0, ended.err
    assert ended.out == "both.pth\nboth.pth.json\n"
    assert "folded in: one.safetensors × 1\nfolded in: two.safetensors × 0.5\n" in ended.err
    over = load_model(base, adapters=[read_adapter(one), read_adapter(two, strength=0.5)])
    assert differing(tensors_of(here / "both.pth"), over.model.state_dict()) == []


def test_an_adapter_alone_is_no_model_to_convert_and_a_wrong_base_is_named(here, retimbre):
    base, other = save(here, "tortoise_ar"), save(here, "univnet")
    adapter = save_adapter(here / "mine.safetensors", base)
    before = files(here)

    alone = retimbre("convert", adapter, "-o", "new.pth").error
    wrong = retimbre("convert", other, "--adapter", adapter, "-o", "new.pth").error
    none = retimbre("convert", base, "--adapter", other, "-o", "new.pth").error

    assert "(--adapter FILE): no model by itself" in alone
    assert "mine.safetensors is for another kind of network than univnet.safetensors" in wrong
    assert "univnet.safetensors holds no adapters" in none
    assert files(here) == before
