"""A random set of TorToiSe's files is complete, of the released sizes, and speaks sentences that end."""

import subprocess
import sys
from math import prod
from pathlib import Path

import pytest
import torch

from retimbre.models.complete import network_outline
from retimbre.models.explain import explain_file
from retimbre.models.identify import identify
from retimbre.models.load import load_model
from retimbre.models.tortoise_ar.decoding import decode, most_likely, without_repeats
from retimbre.pipelines.chain import chain_of

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FAMILIES = {
    "autoregressive": "tortoise_ar",
    "diffusion_decoder": "tortoise_diffusion",
    "clvp2": "tortoise_clvp",
    "vocoder": "univnet",
    "rlg_auto": "tortoise_random_latent",
    "rlg_diffuser": "tortoise_random_latent",
    "dvae": "tortoise_dvae",
    "hifidecoder": "tortoise_hifigan",
}
# Counted in the networks that tortoise-tts 3.0.0 and, for the dVAE with its buffers, DL-Art-School build.
N_NUMBERS = {
    "autoregressive": 421_526_786,
    "diffusion_decoder": 292_334_380,
    "clvp2": 243_846_145 + 2 * 16,  # and the speeds of the rotation, which are buffers
    "vocoder": 14_865_506,
    "rlg_auto": 6_297_600,
    "rlg_diffuser": 25_178_112,
    "dvae": 51_567_184 + 8_396_800,
    "hifidecoder": 17_844_226,
}
FEWEST_CODES, MOST_CODES = 8, 20  # where the stop is meant to come after twelve


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tortoise") / "set"
    words = [sys.executable, BENCHMARKS / "make_tortoise_set.py", folder, "--tiny", "--seed", "3"]
    subprocess.run(words, check=True, capture_output=True)
    return folder


def test_a_set_has_the_released_names_and_each_file_is_recognised(folder):
    found = {path.stem: explain_file(path).family.name for path in folder.iterdir()}
    assert found == FAMILIES
    assert {path.suffix for path in folder.iterdir()} == {".pth"}


def test_its_files_are_laid_out_as_the_released_ones(folder):
    autoregressive, vocoder = (
        torch.load(folder / f"{name}.pth", weights_only=True) for name in ("autoregressive", "vocoder")
    )
    assert autoregressive["gpt.h.1.attn.bias"].dtype == torch.uint8
    assert list(vocoder) == ["model_g"]


def test_its_stages_fit_one_another(folder):
    chain = chain_of([identify(path) for path in folder.iterdir()])
    assert chain.works
    assert len(chain.stages) + len(chain.beside) == len(FAMILIES)


@pytest.mark.parametrize("seed", [0, 1])
def test_sentences_end_neither_at_once_nor_never(folder, seed):
    model = load_model(folder / "autoregressive.pth").model
    torch.manual_seed(seed)
    voice, symbols = torch.randn(3, model.config.dim) / 2, torch.randint(3, 255, (3, 7))

    codes = decode(
        model,
        voice,
        symbols,
        max_codes=50,
        choose=lambda scores, seen, _: most_likely(without_repeats(scores, seen, 2.0)),
    )

    n_spoken = (codes != model.config.stop_code).sum(1)
    assert int(n_spoken.min()) >= FEWEST_CODES
    assert int(n_spoken.max()) <= MOST_CODES
    assert codes[0].unique().numel() > FEWEST_CODES  # and not one code again and again


def test_another_seed_gives_other_weights(folder, tmp_path):
    words = [sys.executable, BENCHMARKS / "make_tortoise_set.py", tmp_path, "--tiny", "--seed", "4"]
    subprocess.run(words, check=True, capture_output=True)
    one, other = (torch.load(place / "rlg_auto.pth", weights_only=True) for place in (folder, tmp_path))
    assert not one["layers.0.weight"].equal(other["layers.0.weight"])


@pytest.mark.parametrize("name", N_NUMBERS)
def test_the_large_set_has_the_released_sizes(monkeypatch, name):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from make_tortoise_set import RELEASED

    family, config = RELEASED[name]
    outline = family.theirs(network_outline(family.build, config))
    assert sum(prod(tensor.shape) for tensor in outline.values()) == N_NUMBERS[name]
