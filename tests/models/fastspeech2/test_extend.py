from dataclasses import replace
from pathlib import Path

import pytest
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.errors import CheckpointError, TextError
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.batch import text_batch
from retimbre.models.fastspeech2.extend import extended, nearest_symbol
from retimbre.models.load import Loaded, load_model, save_model
from retimbre.text.features import symbol_features
from retimbre.text.symbols import PAD

SYMBOLS = (PAD, " ", "<EXCL>", "t͡ʃ", "!", "a", "e", "o", "t", "ɡ", "<SIL>", "ˈ")
TEXT = text_batch([[5, 6, 1, 7, 8, 4]])


@pytest.fixture
def loaded(tiny_network):
    def build(speakers=("default",), languages=("default",), **changes):
        model = tiny_network(**changes)
        description = Description(
            family="fastspeech2",
            sizes=sizes_of(model.config),
            spectrogram=mel_librosa(n_mels=5),
            symbols=SYMBOLS,
            text_level="phones",
            speakers=speakers,
            languages=languages,
        )
        return Loaded(model=model, description=description, path=Path("a.ckpt"), stage="text-to-spec")

    return build


def test_new_symbols_begin_as_their_nearest_and_old_ids_stay(loaded):
    old = loaded()

    new, sentences = extended(old, symbols=["ɛ", "a", "ʧ", "ɛ"])

    assert new.description.symbols == (*SYMBOLS, "ɛ", "ʧ")
    before, after = (one.model.text_input_layer.weight for one in (old, new))
    assert after[: len(SYMBOLS)].equal(before)
    assert after[12].equal(before[SYMBOLS.index("e")])
    assert after[13].equal(before[SYMBOLS.index("t͡ʃ")])
    assert sentences == (
        "'ɛ' (new) begins as 'e' (nearest, distance 0.2)",
        "'ʧ' (new) begins as 't͡ʃ' (nearest, distance 0.0)",
    )


@torch.no_grad()
def test_what_the_model_knew_it_says_as_before_to_the_last_bit(loaded):
    old = loaded(speakers=("ann", "bob"), n_speakers=2)

    new, _ = extended(old, symbols=["ɛ", "û"], speakers=["eve"], languages=["fra"])

    assert new.description.languages == ("default", "fra")
    assert new.model.speak(TEXT).spec.equal(old.model.speak(TEXT).spec)
    for name, tensor in old.model.state_dict().items():
        grown = new.model.state_dict()[name]
        assert (grown[: len(tensor)] if tensor.ndim else grown).equal(tensor), name
    assert not new.model.training


def test_the_old_model_is_not_touched(loaded):
    old = loaded()
    before = {name: tensor.clone() for name, tensor in old.model.state_dict().items()}

    new, _ = extended(old, symbols=["ɛ"], speakers=["eve"])
    with torch.no_grad():
        for tensor in new.model.parameters():
            tensor.fill_(7.0)

    assert all(tensor.equal(before[name]) for name, tensor in old.model.state_dict().items())
    assert old.description.symbols == SYMBOLS


@pytest.mark.parametrize(
    ("symbol", "known", "nearest"),
    [
        ("É", ("a", "e", "é"), "é"),
        ("Ñ", ("a", "n", "o"), "n"),
        ("A", ("!", "a", "e"), "a"),
        ("1", ("!", "²", "1."), None),
        ("字", ("a", "e"), None),
        ("¡", ("a", "!", "?"), "!"),
        ("ˌ", ("a", "ˈ"), "ˈ"),
        ("g", ("a", "k", "ɡ"), "ɡ"),
        ("iː", ("a", "i", "u"), "i"),
        ("a", ("<SIL>", " ", PAD, "<QUOTE>"), None),
    ],
)
def test_the_nearest_symbol_is_found_by_sound_then_by_letter_then_by_kind(symbol, known, nearest):
    assert nearest_symbol(symbol, known).known == nearest


def test_what_resembles_nothing_begins_as_the_mean_of_what_is_heard(loaded):
    old = loaded()

    new, (sentence,) = extended(old, symbols=["字"])

    heard = [row for row, symbol in enumerate(SYMBOLS) if symbol not in (PAD, " ", "<EXCL>", "<SIL>")]
    mean = old.model.text_input_layer.weight[heard].mean(0)
    torch.testing.assert_close(new.model.text_input_layer.weight[-1], mean)
    assert sentence == "'字' (new) begins as the mean of all symbols (it resembles none of them)"


def test_new_speakers_begin_as_the_mean_of_those_there_are_or_as_a_named_one(loaded):
    old = loaded(speakers=("ann", "bob", "eve"), n_speakers=3)

    new, sentences = extended(old, speakers=["max", "zoë"], begin_as={"zoë": "bob"})

    table, grown = old.model.speaker_embedding.weight, new.model.speaker_embedding.weight
    assert new.description.speakers == ("ann", "bob", "eve", "max", "zoë")
    torch.testing.assert_close(grown[3], table.mean(0))
    assert grown[4].equal(table[1])
    assert sentences == (
        "speaker 'max' (new) begins as the mean of 3 speakers",
        "speaker 'zoë' (new) begins as 'bob'",
    )


@torch.no_grad()
def test_a_model_without_a_table_gains_one_only_if_asked_and_its_voice_stays(loaded):
    old = loaded(speakers=("ann",))

    same, sentences = extended(old)
    new, said = extended(old, speakers=["bob"])

    assert sentences == ()
    assert same.model.speaker_embedding is None
    assert new.model.config.n_speakers == 2
    assert new.model.speaker_embedding.weight[0].eq(0).all()
    assert new.model.speak(TEXT).spec.equal(old.model.speak(TEXT).spec)
    bob = text_batch([TEXT.symbols[0].tolist()], speaker=[1])
    assert new.model.speak(bob).spec.equal(old.model.speak(TEXT).spec)
    assert said == ("speaker 'bob' (new) begins as 'ann'",)


def test_a_network_of_features_reads_a_new_symbol_at_once(loaded):
    old = loaded(n_features=43)

    new, (sentence,) = extended(old, symbols=["ɛ"])

    assert new.model.text_input_layer.weight.equal(old.model.text_input_layer.weight)
    assert new.model.text_input_layer.features[:-1].equal(old.model.text_input_layer.features)
    assert new.model.text_input_layer.features[-1].equal(symbol_features(["ɛ"])[0])
    assert sentence == "'ɛ' (new) is read by its phonological features"


def test_an_extended_model_survives_its_file(loaded, tmp_path):
    old = loaded()
    description = replace(old.description, spectrogram=mel_librosa(n_mels=5))
    new, _ = extended(replace(old, description=description), symbols=["ɛ"], speakers=["b"], languages=["fra"])

    again = load_model(save_model(tmp_path / "a", new.model, new.description))

    assert again.description == new.description
    assert again.model.config == new.model.config
    text = text_batch([[12, 5, 12]], speaker=[1], language=[1])
    assert again.model.speak(text).spec.equal(new.model.speak(text).spec)


def test_a_model_to_begin_as_must_be_there(loaded):
    with pytest.raises(TextError, match=r"'bob' cannot begin as 'max'.*'default'"):
        extended(loaded(), speakers=["bob"], begin_as={"bob": "max"})


def test_a_vocoder_has_nothing_to_extend(loaded):
    with pytest.raises(CheckpointError, match="expected a fastspeech2"):
        extended(replace(loaded(), model=torch.nn.Linear(2, 3)), symbols=["a"])


@pytest.mark.parametrize(
    ("languages", "g2p", "expected"),
    [
        (("eng",), {"eng": "eng"}, {"eng": "eng", "fra": "fra"}),
        (("default",), {"default": "eng"}, {"default": "eng", "fra": "fra"}),
        (("default",), {"eng": "eng"}, {"eng": "eng", "default": "eng", "fra": "fra"}),
        (("default",), {}, {"fra": "fra"}),
    ],
)
def test_a_new_language_is_said_by_its_own_rules_and_the_old_one_as_before(loaded, languages, g2p, expected):
    old = loaded(languages=languages)
    old = replace(old, description=replace(old.description, g2p=g2p))

    new, _ = extended(old, languages=["fra", "tlh"])

    before, after = old.description.reading, new.description.reading
    assert new.description.g2p == expected
    assert after.engine(languages[0]) == before.engine(languages[0])
    assert after.engine("fra") == "fra"
    assert after.engine("tlh") is None
    same, _ = extended(old, symbols=["ɛ"])
    assert same.description.g2p == g2p


def test_letters_need_no_rules_for_a_new_language(loaded):
    old = loaded()
    letters = replace(old, description=replace(old.description, text_level="characters"))

    assert extended(letters, languages=["fra"])[0].description.g2p == {}
