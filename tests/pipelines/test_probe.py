"""A probe finds the form in which a network was trained, and says so where it cannot."""

import json
import shlex
from dataclasses import replace
from functools import partial

import pytest
import torch

from building.sounds import record, vowel
from building.tortoise import (
    AR,
    DVAE,
    N_CODES,
    TEXT,
    as_read,
    random_network,
    saved,
    spoken,
    trained_network,
)
from retimbre.cli.arguments import assumed_values
from retimbre.errors import AudioError, CheckpointError, TextError
from retimbre.models.load import load_model, save_model
from retimbre.models.tortoise_ar.decoding import decode
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_dvae.model import DiscreteVAE
from retimbre.pipelines.probe import probe
from retimbre.text.bpe import SPECIAL

PLAIN, NORMED = "x + h", "norm(x) + h"
CLEAR = 5  # margins between the truth and every other form


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return spoken(tmp_path_factory.mktemp("spoken"))


@pytest.fixture(scope="module")
def network(material):
    """Four heads; the rule, width / 64, says one."""
    return saved(trained_network(material, n_heads=4, residual=PLAIN), material.dvae.with_name("ar.pth"))


@pytest.fixture
def probed(material, network):
    """The first voice's recording: probed(), probed(text=…), probed([…])."""

    def run(files=None, recording=None, text=TEXT, **assume):
        return probe(
            files or [network, material.dvae], recording or material.recordings[0], text, assume=assume
        )

    return run


@pytest.fixture
def tokenizer(tmp_path):
    """The letters of the text, as a tokenizer.json of so many pieces."""

    def write(n_pieces):
        pieces = [*SPECIAL, *"abcd."]
        pieces += [chr(0x4E00 + number) for number in range(n_pieces - len(pieces))]
        rows = {piece: row for row, piece in enumerate(pieces)}
        added = [{"id": rows[piece], "content": piece} for piece in SPECIAL]
        model = {"type": "BPE", "unk_token": "[UNK]", "vocab": rows, "merges": []}
        written = {"pre_tokenizer": {"type": "Whitespace"}, "added_tokens": added, "model": model}
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(written), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("heads", [4, 8])
@pytest.mark.parametrize("residual", [PLAIN, NORMED])
def test_the_form_in_which_a_network_was_trained_is_found(material, probed, tmp_path, heads, residual):
    file = saved(trained_network(material, n_heads=heads, residual=residual), tmp_path / "ar.pth")

    found = probed([file, material.dvae])

    best, *others = found.trials
    assert (best.heads, best.residual) == (heads, residual)
    assert found.decided == {"heads": heads, "residual": residual}
    assert min(one.code_loss for one in others) > best.code_loss + CLEAR * found.margin
    assert found.verdict.startswith(f"heads {heads}, residual {residual}: {best.code_loss:.3f}, next best")
    pasted = [word for word in shlex.split(found.to_text().splitlines()[-1]) if word != "--assume"]
    assert assumed_values(pasted) == found.decided


def test_every_divisor_that_leaves_eight_channels_is_tried_in_both_residuals(probed):
    tried = [(trial.heads, trial.residual) for trial in probed().trials]

    assert sorted(tried) == sorted(
        (heads, residual) for heads in (1, 2, 4, 8) for residual in (PLAIN, NORMED)
    )


def test_the_loss_is_that_of_the_network_as_it_speaks(material, network, probed):
    """Code by code, as `decode` chooses them, told what was said."""
    model = load_model(network, assume={"heads": 4}).model
    said = [*material.codes[0].tolist(), AR.stop_code]
    losses = []

    def choose(scores, _seen, _rows):
        code = said[len(losses)]
        losses.append(-scores.log_softmax(dim=-1)[0, code].item())
        return torch.tensor([code])

    with torch.no_grad():
        voice = model.conditioning_latent(material.voices[:1])
    decode(model, voice, as_read(TEXT), max_codes=len(said), choose=choose)

    best = probed(heads=4, residual=PLAIN).trials[0]
    torch.testing.assert_close(torch.tensor(best.code_losses), torch.tensor(losses), atol=1e-4, rtol=1e-4)
    assert best.code_loss == pytest.approx(sum(losses) / len(losses), abs=1e-4)


def test_random_weights_decide_nothing(material, probed, tmp_path):
    found = probed([saved(random_network(), tmp_path / "ar.pth"), material.dvae])

    assert not found.knows
    assert found.decided == {}
    assert "does not know this speech at all" in found.verdict
    assert "random weights, the dVAE of another network, or another text?" in found.to_text()
    assert "--assume" not in found.to_text()


def test_a_network_that_knows_codes_but_not_this_speech_is_undecided(material, probed, tmp_path):
    """It knows how frequent each code is, and nothing that depends on heads or residual."""
    model = UnifiedVoice(AR)
    with torch.no_grad():
        counts = torch.bincount(material.codes[0], minlength=AR.n_codes) + 0.1
        model.mel_head.bias.copy_(counts.log())

    found = probed([saved(model, tmp_path / "ar.pth"), material.dvae])

    assert found.knows
    assert found.decided == {}
    assert found.verdict.startswith("heads undecided (")
    assert "the recording or the text may not be what this network knows" in found.verdict
    assert found.to_dict()["undecided"] == ["heads", "residual"]
    assert "--assume" not in found.to_text()


def test_heads_are_decided_although_the_residual_makes_no_difference(material, probed, tmp_path):
    """The blocks that read the voice give the same vector whatever they read."""
    model = trained_network(material, n_heads=8, residual=PLAIN)
    with torch.no_grad():
        voice = model.conditioning_latent(material.voices[:1])
        for tensor in model.conditioning_encoder.parameters():
            tensor.zero_()
        model.conditioning_encoder.attn[-1].proj_out.bias.copy_(voice[0])

    found = probed([saved(model, tmp_path / "ar.pth"), material.dvae])

    assert found.decided == {"heads": 8}
    assert found.verdict.startswith("heads 8, residual undecided (")
    assert found.options == "--assume heads=8"


def test_what_is_stated_is_not_tried_out(probed):
    heads, both = probed(heads=4), probed(heads=8, residual=NORMED)

    assert {trial.heads for trial in heads.trials} == {4}
    assert heads.decided == {"residual": PLAIN}
    assert heads.options == "--assume heads=4 --assume 'residual=\"x + h\"'"
    assert [(trial.heads, trial.residual) for trial in both.trials] == [(8, NORMED)]
    assert both.options == ""


def test_what_is_stated_goes_to_the_file_that_it_is_about(probed):
    assert probed(heads=4, activation="relu", types=1).decided == {"residual": PLAIN}
    with pytest.raises(
        CheckpointError, match="nothing is assumed about layers: expected some of activation, heads"
    ):
        probed(layers=2)


def test_a_file_of_ours_is_probed_where_its_values_were_assumed(material, network, probed, tmp_path):
    loaded = load_model(network)
    file = save_model(tmp_path / "ar.safetensors", loaded.model, loaded.description)

    assert probed([file, material.dvae]).decided == {"heads": 4, "residual": PLAIN}


def test_what_a_file_of_ours_tells_is_not_tried_out(material, network, probed, tmp_path):
    loaded = load_model(network, assume={"heads": 4})
    file = save_model(tmp_path / "ar.safetensors", loaded.model, loaded.description)

    found = probed([file, material.dvae])

    assert {trial.heads for trial in found.trials} == {4}
    assert found.decided == {"residual": PLAIN}


def test_half_precision_is_probed_in_single_precision(material, network, probed, tmp_path):
    half = {name: tensor.half() for name, tensor in load_model(network).model.state_dict().items()}
    torch.save(half, tmp_path / "half.pth")

    assert probed([tmp_path / "half.pth", material.dvae]).decided == {"heads": 4, "residual": PLAIN}


@pytest.mark.parametrize("left", ["ar", "dvae"])
def test_a_missing_file_is_one_line_that_names_what_was_given(material, network, probed, left):
    given = network if left == "ar" else material.dvae
    missing = "tortoise_dvae" if left == "ar" else "tortoise_ar"

    with pytest.raises(CheckpointError, match=f"--probe needs a {missing}") as caught:
        probed([given])

    assert str(given) in str(caught.value)
    assert "Give both: retimbre inspect" in str(caught.value)


def test_two_networks_are_one_too_many(material, network, probed):
    with pytest.raises(CheckpointError, match="--probe takes one tortoise_ar"):
        probed([network, network, material.dvae])


@pytest.mark.parametrize(
    ("changes", "expected", "found"),
    [
        ({"n_codes": N_CODES + 1}, "expected 8 codes", "found 9 codes in other.pth"),
        ({"n_mels": 40}, "expected a dVAE of 80 bands", "found 40 bands"),
    ],
)
def test_a_dvae_that_does_not_fit_is_one_line_that_names_both(
    network, probed, tmp_path, changes, expected, found
):
    other = saved(DiscreteVAE(replace(DVAE, **changes)), tmp_path / "other.pth")

    with pytest.raises(CheckpointError) as caught:
        probed([network, other])

    for words in (str(network), str(other), expected, found):
        assert words in str(caught.value)


def test_a_vocabulary_among_the_files_replaces_the_bundled_one(material, network, probed, tokenizer):
    usual, own = probed(), probed([network, material.dvae, tokenizer(9)])

    assert own.n_symbols == len(TEXT)  # each letter is a piece
    assert usual.n_symbols < own.n_symbols
    assert any("leaves 246 rows of the network unused" in note for note in own.notes)
    assert any(
        "no piece stands for 'q'" in note
        for note in probed([network, material.dvae, tokenizer(9)], text="a q").notes
    )


@pytest.mark.parametrize("is_own", [True, False])
def test_a_vocabulary_that_does_not_fit_the_rows_is_told(material, probed, tokenizer, tmp_path, is_own):
    small = replace(AR, n_symbols=100, start_symbol=99)
    file = saved(random_network(small), tmp_path / "small.pth")
    own = [tokenizer(120)] if is_own else []

    with pytest.raises(CheckpointError) as caught:
        probed([file, material.dvae, *own])

    rows = 121 if is_own else 256
    assert f"expected {rows} rows of text symbols" in str(caught.value)
    assert "found 100 in the network" in str(caught.value)
    assert "tokenizer.json" in str(caught.value)


def test_what_no_piece_stands_for_is_named(probed):
    notes = "\n".join(probed(text="a bad % cab 7.").notes)

    assert "no piece stands for '%', '7'" in notes


@pytest.mark.parametrize(("text", "what"), [(" \n", "there is no text"), ("a " * 40, "the text is too long")])
def test_a_text_that_cannot_be_read_is_refused(probed, text, what):
    with pytest.raises(TextError, match=what):
        probed(text=text)


def test_a_recording_that_is_longer_than_the_network_can_speak_is_refused(probed, tmp_path):
    recording = record(tmp_path, {"long": vowel(4.0, f0_hz=120, seed=1)}) / "long.wav"

    with pytest.raises(AudioError, match=r"long.wav is too long for this network: expected at most 2\.\d s"):
        probed(recording=recording)


def test_the_voice_of_a_long_recording_is_that_of_its_first_six_seconds(material, tmp_path):
    long = replace(AR, n_code_positions=200)
    file = saved(random_network(long), tmp_path / "ar.pth")
    wave = vowel(7.0, f0_hz=120, seed=1)
    louder = wave.copy()
    louder[150_000:] *= 0.3  # no longer heard as the voice, and so the first codes stay
    folder = record(tmp_path, {"a": wave, "b": louder})
    run = partial(probe, [file, material.dvae], text=TEXT, assume={"heads": 4, "residual": PLAIN})

    one, other = (run(folder / f"{name}.wav").trials[0].code_losses for name in "ab")

    assert one[:140] == pytest.approx(other[:140], abs=1e-5)
    assert one[145:] != pytest.approx(other[145:], abs=1e-5)
