"""Which files a stage of TorToiSe is trained with, and why wrong ones are refused."""

import shutil

import pytest

from building.tortoise_corpus import Corpus
from building.tortoise_set import AR, N_CODES, PARTS, save_part
from retimbre.checkpoint.digest import sha256_of
from retimbre.errors import CheckpointError, RecipeError, StagesDoNotFit
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.text.bpe import SPECIAL, Vocabulary
from retimbre.training.tortoise_training_files import files_of

TOKENIZER = """{"pre_tokenizer": {"type": "Whitespace"}, "added_tokens": [%s], "model": {"type": "BPE",
"unk_token": "[UNK]", "vocab": {%s}, "merges": []}}"""


@pytest.fixture
def corpus(tortoise_set, tmp_path):
    """The tiny set, where files may be changed; nothing of recordings is needed."""
    return Corpus(tmp_path, shutil.copytree(tortoise_set, tmp_path / "models"))


def put(folder, name, config, file=None):
    part = PARTS[name]
    folder.mkdir(exist_ok=True)
    return save_part(folder / (file or f"{name}.pth"), part.family, config, seed=5, below=part.below)


def tokenizer(path, letters="abc"):
    pieces = (*SPECIAL, *letters)
    added = ", ".join(f'{{"id": {row}, "content": "{piece}"}}' for row, piece in enumerate(SPECIAL))
    rows = ", ".join(f'"{piece}": {row}' for row, piece in enumerate(pieces))
    path.write_text(TOKENIZER % (added, rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("stage", "roles"),
    [
        ("text-to-codes", {"wav-to-codes": "dvae", "text-to-codes": "autoregressive"}),
        (
            "codes-to-spec",
            {
                "wav-to-codes": "dvae",
                "text-to-codes": "autoregressive",
                "codes-to-spec": "diffusion_decoder",
            },
        ),
        ("wav-to-codes", {"wav-to-codes": "dvae"}),
    ],
)
def test_the_others_are_found_beside_the_base(corpus, stage, roles):
    files = files_of(corpus.recipe(stage))

    assert files.paths == {role: corpus.models / f"{name}.pth" for role, name in roles.items()}
    assert files.dvae == corpus.models / "dvae.pth"
    assert files.vocabulary == Vocabulary.tortoise()
    assert files.tokenizer is None
    assert files.sha256("wav-to-codes") == sha256_of(corpus.models / "dvae.pth")
    assert files.ar_config == (None if stage == "wav-to-codes" else AR)


def test_a_base_elsewhere_finds_them_in_the_folder_of_models(corpus, tmp_path):
    tuned = put(tmp_path / "runs", "autoregressive", AR, "model.pth")
    recipe = corpus.recipe(models=corpus.models).model_copy(update={"base": tuned})

    files = files_of(recipe)
    assert files.text_to_codes == tuned
    assert files.dvae == corpus.models / "dvae.pth"


def test_what_is_named_comes_before_what_lies_in_the_folder(corpus, tmp_path):
    tuned = put(tmp_path / "runs", "autoregressive", AR, "model.pth")
    dvae = put(tmp_path / "runs", "dvae", PARTS["dvae"].config, "own.pth")
    files = files_of(corpus.recipe("codes-to-spec", text_to_codes=tuned, dvae=dvae))

    assert files.paths == {
        "wav-to-codes": dvae,
        "text-to-codes": tuned,
        "codes-to-spec": corpus.models / "diffusion_decoder.pth",
    }


def test_what_no_stage_needs_may_be_double_or_wrong_in_the_folder(corpus):
    put(corpus.models, "diffusion_decoder", PARTS["diffusion_decoder"].config, "second.pth")
    put(corpus.models, "autoregressive", AR, "other.pth")
    assert files_of(corpus.recipe()).text_to_codes == corpus.models / "autoregressive.pth"


def test_two_files_for_what_is_needed_are_refused(corpus):
    put(corpus.models, "dvae", PARTS["dvae"].config, "second.pth")
    with pytest.raises(StagesDoNotFit, match=r"2 files for wav-to-codes.*dvae.pth, second.pth"):
        files_of(corpus.recipe())


def test_a_new_network_needs_no_base_but_a_dvae(corpus):
    recipe = corpus.recipe(models=corpus.models).model_copy(update={"base": None})
    files = files_of(recipe)

    assert files.paths == {"wav-to-codes": corpus.models / "dvae.pth"}
    assert files.ar_config is None
    nothing = files_of(corpus.recipe("wav-to-codes").model_copy(update={"base": None}))
    assert nothing.dvae is None


def test_a_missing_file_is_said_with_the_command_that_fetches_it(corpus):
    (corpus.models / "dvae.pth").unlink()
    with pytest.raises(RecipeError) as caught:
        files_of(corpus.recipe())
    assert caught.value.what == "text-to-codes needs wav-to-codes, and nothing plays it"
    assert caught.value.do == f"fetch it: retimbre fetch tortoise dvae -o {corpus.models}"
    with pytest.raises(RecipeError, match="neither a base nor a folder"):
        files_of(corpus.recipe("codes-to-spec").model_copy(update={"base": None}))


def test_a_file_that_is_something_else_than_it_is_named_as_is_refused(corpus):
    with pytest.raises(CheckpointError, match=r"vocoder.pth cannot be 'tortoise.dvae' of text-to-codes"):
        files_of(corpus.recipe(dvae=corpus.models / "vocoder.pth"))
    wrong = corpus.recipe().model_copy(update={"base": corpus.models / "clvp2.pth"})
    with pytest.raises(CheckpointError, match=r"clvp2.pth cannot be 'base'.*found tortoise_clvp"):
        files_of(wrong)


def test_a_dvae_with_another_codebook_is_refused_by_the_rows_of_both(corpus, tmp_path):
    other = DvaeConfig(n_codes=100, codebook_dim=8, dim=8, n_resblocks=1)
    with pytest.raises(StagesDoNotFit) as caught:
        files_of(corpus.recipe(dvae=put(tmp_path / "own", "dvae", other)))
    error = caught.value
    assert error.what == "dvae.pth and autoregressive.pth do not belong together"
    assert error.expected == (
        f"a codebook of {N_CODES} codes (mel_embedding.weight has {N_CODES + 2} rows: codes, start, stop)"
    )
    assert error.found == "codebook.embed with 100 codes (8 × 100)"


def test_the_dvae_of_xtts_is_called_by_its_name_beside_the_released_network(corpus, tmp_path):
    xtts = DvaeConfig(n_codes=1024, codebook_dim=512, dim=8, n_resblocks=1)
    full = UnifiedVoiceConfig(n_layers=1, dim=64, n_heads=1, n_conditioning_layers=1)
    own = tmp_path / "own"
    recipe = corpus.recipe(dvae=put(own, "dvae", xtts)).model_copy(
        update={"base": put(own, "autoregressive", full)}
    )
    with pytest.raises(StagesDoNotFit) as caught:
        files_of(recipe)
    error = caught.value
    assert error.expected.startswith("a codebook of 8,192 codes (mel_embedding.weight has 8,194 rows")
    assert error.found == "codebook.embed with 1,024 codes (512 × 1,024): this is an XTTS v2 dVAE"
    assert error.do == "retimbre fetch tortoise dvae   (sha256 a9908253…97e35)"


def test_a_decoder_of_other_latents_is_refused(corpus, tmp_path):
    narrow = UnifiedVoiceConfig(
        n_layers=1,
        dim=64,
        n_heads=1,
        n_conditioning_layers=1,
        n_codes=N_CODES + 2,
        start_code=N_CODES,
        stop_code=N_CODES + 1,
    )
    tuned = put(tmp_path / "own", "autoregressive", narrow)
    with pytest.raises(StagesDoNotFit, match="width of a latent"):
        files_of(corpus.recipe("codes-to-spec", text_to_codes=tuned))


def test_the_tokenizer_is_the_named_one_or_lies_beside_the_network(corpus, tmp_path):
    beside = tokenizer(corpus.models / "tokenizer.json")
    named = tokenizer(tmp_path / "mine.json", "abcd")

    assert files_of(corpus.recipe()).tokenizer == beside
    assert files_of(corpus.recipe()).vocabulary.pieces == (*SPECIAL, "a", "b", "c")
    assert files_of(corpus.recipe(tokenizer=named)).vocabulary.pieces[-1] == "d"


def test_a_tokenizer_beside_the_tuned_network_comes_before_the_one_in_the_folder(corpus, tmp_path):
    tokenizer(corpus.models / "tokenizer.json")
    tuned = put(tmp_path / "runs", "autoregressive", AR, "model.pth")
    own = tokenizer(tmp_path / "runs" / "tokenizer.json", "xyz")

    assert files_of(corpus.recipe("codes-to-spec", text_to_codes=tuned)).tokenizer == own


def test_a_vocabulary_with_more_pieces_than_the_network_has_rows_is_refused(corpus, tmp_path):
    many = tokenizer(tmp_path / "many.json", [chr(0x4E00 + n) for n in range(300)])
    with pytest.raises(StagesDoNotFit, match="the vocabulary does not fit autoregressive.pth"):
        files_of(corpus.recipe(tokenizer=many))


def test_the_hash_of_a_vocabulary_is_of_its_content(tmp_path):
    one, same = tokenizer(tmp_path / "a.json"), tokenizer(tmp_path / "b.json")
    other = tokenizer(tmp_path / "c.json", "acb")
    found = [Vocabulary.from_file(path).sha256 for path in (one, same, other)]
    assert found[0] == found[1] != found[2]
    assert len(found[0]) == 64
