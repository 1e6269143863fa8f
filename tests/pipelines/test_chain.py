"""Several checkpoints form a chain that works, or the sizes that disagree are named with their files."""

import pytest

from building.models import generator_config, save_text_to_spec, save_vocoder, text_to_spec_config
from retimbre.audio.mel import mel_librosa
from retimbre.models.identify import identify
from retimbre.pipelines.chain import chain_of

SPEAKS = ("autoregressive", "diffusion_decoder", "vocoder")
BESIDE = ("clvp2", "cvvp", "dvae", "rlg_auto", "rlg_diffuser", "voice", "cond_latents_0123abcd", "mel_norms")


@pytest.fixture
def tortoise(parity):
    folder = parity("containers") / "tortoise_models"
    return lambda *names: [identify(folder / f"{name}.pth") for name in names]


def spec(**more):
    hop = generator_config().hop_samples
    return mel_librosa(n_mels=9, hop_samples=hop, n_fft_samples=4 * hop, window_samples=4 * hop, **more)


def everyvoice(tmp_path, heard):
    vocoder = save_vocoder(tmp_path / "voc.safetensors", generator_config(n_mels=9), mel=heard)
    symbols = ("\x80", " ", "a", "b", "c")
    config = text_to_spec_config(n_symbols=len(symbols), n_mels=9)
    tuned = save_text_to_spec(tmp_path / "t2s.safetensors", config, mel=spec(), symbols=symbols)
    return [identify(tuned), identify(vocoder)]


def test_the_released_set_of_tortoise_is_a_chain_that_works(tortoise):
    chain = chain_of(tortoise(*SPEAKS, *BESIDE))
    assert chain.works
    assert list(chain.stages) == ["text-to-codes", "codes-to-spec", "spec-to-wav"]
    assert {*chain.beside} == {f"{name}.pth" for name in BESIDE}
    assert chain.to_text().startswith("Chain          a chain that works: text-to-codes (autoregressive.pth)")


def test_the_decoder_of_latents_takes_the_place_of_diffusion_and_vocoder(tortoise):
    chain = chain_of(tortoise("autoregressive", "hifidecoder"))
    assert chain.works
    assert list(chain.stages) == ["text-to-codes", "codes-to-wav"]


def test_beside_diffusion_and_vocoder_the_short_cut_is_not_needed(tortoise):
    chain = chain_of(tortoise("vocoder", "hifidecoder", "diffusion_decoder", "autoregressive"))
    assert chain.works
    assert list(chain.stages) == ["text-to-codes", "codes-to-spec", "spec-to-wav"]
    assert chain.beside == ("hifidecoder.pth",)


def test_what_is_missing_is_named(tortoise):
    chain = chain_of(tortoise("autoregressive", "vocoder"))
    assert not chain.works
    assert chain.missing == ("codes-to-spec",)
    assert "no codes-to-spec: give its file, too" in chain.to_text()


def test_without_a_stage_that_reads_text_it_is_a_part_of_a_chain(tortoise):
    chain = chain_of(tortoise("diffusion_decoder", "vocoder"))
    assert not chain.works
    assert chain.missing == ("text-to-spec or text-to-codes",)
    assert "a part of a chain that fits: codes-to-spec" in chain.to_text()


def test_another_number_of_codes_is_named_with_its_tensors(tortoise, parity):
    other = identify(parity("dvae") / "weights.safetensors")
    (sentence,) = chain_of([*tortoise(*SPEAKS), other]).disagreements
    assert sentence.startswith("codes: 128 in autoregressive.pth (mel_embedding.weight), ")
    assert sentence.endswith("96 in weights.safetensors (codebook.embed)")


def test_latents_of_another_width_are_named(tortoise, parity):
    narrow = identify(parity("containers") / "ar_variants" / "gpt_parameters.pth")
    found = chain_of([narrow, *tortoise(*SPEAKS[1:], "voice")]).disagreements
    assert any(
        text.startswith("width of a latent: 32 in gpt_parameters.pth (final_norm.weight)") for text in found
    )
    assert "width of the autoregressive latent: 64 in voice.pth, 32 in gpt_parameters.pth" in found


def test_random_latents_must_be_as_wide_as_one_of_the_networks(tortoise, parity):
    other = identify(parity("random_latent") / "weights.safetensors")  # 64, as the autoregressive one here
    assert chain_of([*tortoise(*SPEAKS), other]).works
    narrow = identify(parity("containers") / "ar_variants" / "gpt_parameters.pth")
    found = chain_of([narrow, *tortoise(*SPEAKS[1:], "rlg_auto")]).disagreements
    assert "width of a voice: 64 in rlg_auto.pth, 32 or 80 in the models" in found


def test_two_files_for_one_stage_are_a_question(tortoise):
    (sentence,) = chain_of(tortoise(*SPEAKS, "autoregressive_half")).disagreements
    assert (
        sentence == "2 files for text-to-codes: autoregressive.pth, autoregressive_half.pth; give one of them"
    )


def test_both_models_of_everyvoice_are_a_chain(tmp_path):
    chain = chain_of(everyvoice(tmp_path, spec()))
    assert chain.works
    assert list(chain.stages) == ["text-to-spec", "spec-to-wav"]


def test_another_spectrogram_is_named_by_its_field(tmp_path):
    (sentence,) = chain_of(everyvoice(tmp_path, spec(high_hz=7000.0))).disagreements
    assert "high_hz" in sentence
    assert "voc.safetensors" in sentence


def test_files_of_no_stage_are_no_chain(tortoise):
    chain = chain_of(tortoise("mel_norms", "voice"))
    assert not chain.stages
    assert chain.to_text().startswith("Chain          no chain")
