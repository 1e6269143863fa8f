"""`retimbre preprocess` of TorToiSe's stages: recordings as codes, only what changed, the rest told."""

import pytest
import yaml

from building.tortoise_corpus import HELD_OUT, LINES, sound, tortoise_corpus
from building.tortoise_set import PARTS, save_part
from retimbre.models.tortoise_dvae.config import DvaeConfig

KEPT = sorted(LINES.keys() - {"c0"})  # of its speaker there is nothing else


@pytest.fixture
def corpus(tortoise_set, tmp_path):
    return tortoise_corpus(tmp_path / "corpus", tortoise_set)


@pytest.fixture
def recipe(corpus):
    """Write a recipe: recipe("text-to-codes", tortoise={"n_clips": 1})."""

    def write(stage, **sections):
        base = {"text-to-codes": "autoregressive", "codes-to-spec": "diffusion_decoder"}.get(stage, "dvae")
        content = {
            "stage": stage,
            "base": str(corpus.models / f"{base}.pth"),
            "data": {
                "recordings": "recordings",
                "filelist": "list.psv",
                "preprocessed": "preprocessed",
                "held_out": list(HELD_OUT),
            },
        }
        path = corpus.root / f"{stage}.yaml"
        path.write_text(yaml.safe_dump(content | sections), encoding="utf-8")
        return path

    return write


def kept(corpus, folder):
    place = corpus.root / "preprocessed" / folder
    return sorted(path.name.split("--")[0] for path in place.glob("*.safetensors"))


@pytest.mark.parametrize("words", [("text-to-codes",), ()], ids=["named", "from the recipe"])
def test_codes_and_symbols_are_made_and_the_folder_is_told(corpus, recipe, retimbre, words):
    ended = retimbre("preprocess", *words, recipe("text-to-codes"))

    assert ended.code == 0, ended.err
    assert ended.out == f"{corpus.root / 'preprocessed'}\n"
    assert kept(corpus, "codes") == sorted(LINES)
    assert not (corpus.root / "preprocessed" / "spec").exists()
    assert "10 encoded now, 0 there already" in ended.err
    assert "1: 1 no other recording of the speaker; see" in " ".join(ended.err.split())
    lists = [
        (corpus.root / "preprocessed" / f"{part}_filelist.psv").read_text(encoding="utf-8").splitlines()
        for part in ("training", "validation")
    ]
    assert len(lists[0]) - 1 + len(lists[1]) - 1 == len(KEPT) - len(HELD_OUT)


def test_only_a_changed_recording_is_encoded_again(corpus, recipe, retimbre):
    path = recipe("text-to-codes")
    assert retimbre("preprocess", "text-to-codes", path).code == 0
    assert "0 encoded now, 10 there already" in retimbre("preprocess", path).err
    corpus.record("b2", sound(1.2, seed=4))
    assert "1 encoded now, 9 there already" in retimbre("preprocess", path).err
    assert "10 encoded now" in retimbre("preprocess", path, "--overwrite").err


def test_another_dvae_makes_all_codes_again(corpus, recipe, retimbre, tmp_path):
    assert retimbre("preprocess", recipe("text-to-codes")).code == 0
    own = save_part(tmp_path / "own.pth", PARTS["dvae"].family, PARTS["dvae"].config, seed=77)
    ended = retimbre("preprocess", recipe("text-to-codes"), "-c", f"tortoise.dvae={own}")
    assert "10 encoded now" in ended.err


def test_codes_to_spec_keeps_what_diffusion_hears_too(corpus, recipe, retimbre):
    ended = retimbre("preprocess", "codes-to-spec", recipe("codes-to-spec"))
    assert ended.code == 0, ended.err
    assert kept(corpus, "codes") == sorted(LINES)
    assert set(kept(corpus, "voice")) < set(KEPT)


def test_wav_to_codes_needs_neither_texts_nor_codes(corpus, recipe, retimbre):
    corpus.say({name: (speaker, "?!") for name, (speaker, _) in LINES.items()})
    ended = retimbre("preprocess", "wav-to-codes", recipe("wav-to-codes"))
    assert ended.code == 0, ended.err
    assert kept(corpus, "codes") == []
    assert len(list((corpus.root / "preprocessed" / "audio").glob("*.wav"))) == len(LINES)


def test_a_dvae_of_another_set_is_refused_before_anything_is_prepared(corpus, recipe, retimbre, tmp_path):
    config = DvaeConfig(n_codes=64, codebook_dim=8, dim=8, n_resblocks=1)
    other = save_part(tmp_path / "dvae.pth", PARTS["dvae"].family, config)
    ended = retimbre("preprocess", recipe("text-to-codes"), "-c", f"tortoise.dvae={other}")
    assert "dvae.pth and autoregressive.pth do not belong together" in ended.error
    assert not (corpus.root / "preprocessed").exists()


def test_steps_are_refused_and_the_stage_must_be_the_recipes(recipe, retimbre):
    path = recipe("text-to-codes")
    assert "text-to-codes is prepared as a whole" in retimbre("preprocess", path, "-s", "audio").error
    assert "another stage" in retimbre("preprocess", "codes-to-spec", path).error
    expected = "text-to-spec or spec-to-wav or text-to-codes or codes-to-spec or wav-to-codes"
    assert expected in retimbre("preprocess", "mel-to-code", path).error


def test_debugging_takes_the_first_ten_of_a_list_of_paths(corpus, recipe, retimbre):
    rows = []
    for number in range(13):
        corpus.record(f"p{number}", sound(0.8, seed=number % 9))
        rows.append(f"recordings/p{number}.wav|{LINES['a0'][1]}\n")
    (corpus.root / "train.txt").write_text("".join(rows), encoding="utf-8")
    data = {
        "recordings": "recordings",
        "filelist": "train.txt",
        "preprocessed": "preprocessed",
        "held_out_fraction": 0.2,
    }
    path = recipe("text-to-codes", data=data)
    ended = retimbre("preprocess", "text-to-codes", path, "-D")

    assert ended.code == 0, ended.err
    place = corpus.root / "preprocessed" / "codes" / "recordings"
    assert sorted(file.name.split("--")[0] for file in place.iterdir()) == [f"p{n}" for n in range(10)]
    assert "10 encoded now" in ended.err
