"""The network equals tortoise-tts, alone and in a batch, with and without its memory."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from retimbre.errors import DataError
from retimbre.models.tortoise_ar.config import UnifiedVoiceConfig
from retimbre.models.tortoise_ar.decoding import decode, most_likely, without_repeats
from retimbre.models.tortoise_ar.from_shapes import config_from
from retimbre.models.tortoise_ar.model import UnifiedVoice

LOGITS, LOSSES = {"atol": 2e-4, "rtol": 0}, {"atol": 1e-5, "rtol": 0}


def reference(folder, **known):
    """The reference's network, its inputs and outputs."""
    meta = json.loads((folder / "meta.json").read_text())
    weights = load_file(folder / "weights.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    model = UnifiedVoice(config_from(shapes, {"heads": meta["kwargs"]["heads"], **known}).config)
    model.load_state_dict(weights)
    return model.eval(), load_file(folder / "io.safetensors")


@pytest.fixture(scope="module")
def tortoise(parity):
    return reference(parity("tortoise_ar"))


def targets_of(framed, stop):
    """What follows each place: the next one, and after the stop another stop."""
    return functional.pad(framed[:, 1:], (0, 1), value=stop)


def trained_on(model, io, n_codes):
    """Text and codes as both trainers make them of a padded batch: shortened, with stops as padding."""
    symbols = io["text"][:, : io["text_lengths"].max()]
    codes = with_stops(model, io["mel_codes"][:, : n_codes.max()], n_codes)
    return model.framed_symbols(symbols), model.framed_codes(codes)


def with_stops(model, codes, n_codes):
    """Both trainers keep one code more than there are."""
    return codes.masked_fill(torch.arange(codes.shape[1]) > n_codes.unsqueeze(1), model.config.stop_code)


@torch.no_grad()
def test_a_voice_equals_the_frozen_reference(tortoise):
    model, io = tortoise

    both = model.conditioning_latent(io["cond_mel"])
    one = model.conditioning_latent(io["cond_mel"][:, :1])

    torch.testing.assert_close(both, io["conditioning_latent"], **LOGITS)
    torch.testing.assert_close(one, io["conditioning_latent_single"], **LOGITS)


@torch.no_grad()
@pytest.mark.parametrize(("codes_first", "prefix"), [(False, ""), (True, "mel_first_")])
def test_logits_and_losses_equal_the_frozen_reference_in_both_orders(tortoise, codes_first, prefix):
    model, io = tortoise
    symbols, codes = trained_on(model, io, io["wav_lengths"] // model.config.samples_per_code)

    logits = model(io["conditioning_latent"], symbols, codes, codes_first=codes_first)

    of_text = functional.cross_entropy(logits.symbols.mT, targets_of(symbols, model.config.stop_symbol))
    of_codes = functional.cross_entropy(logits.codes.mT, targets_of(codes, model.config.stop_code))
    torch.testing.assert_close(logits.codes.mT, io[f"{prefix}mel_logits"], **LOGITS)
    torch.testing.assert_close(of_text, io[f"{prefix}loss_text"], **LOSSES)
    torch.testing.assert_close(of_codes, io[f"{prefix}loss_mel"], **LOSSES)


@torch.no_grad()
def test_logits_of_whole_texts_and_codes_equal_the_frozen_reference(tortoise):
    model, io = tortoise
    symbols, codes = model.framed_symbols(io["text"]), model.framed_codes(io["mel_codes"])

    logits = model(io["conditioning_latent"], symbols, codes)

    torch.testing.assert_close(logits.symbols.mT, io["full_text_logits"], **LOGITS)
    torch.testing.assert_close(logits.codes.mT, io["full_mel_logits"], **LOGITS)


@torch.no_grad()
def test_latents_equal_the_frozen_reference(tortoise):
    model, io = tortoise
    latent, n_codes = io["conditioning_latent"], io["wav_lengths"] // model.config.samples_per_code
    symbols, codes = trained_on(model, io, n_codes)
    stopped = with_stops(model, io["mel_codes"], n_codes)

    clipped = model.latents(latent, symbols[:, 1:-1], codes[:, 1:-1])
    whole = model.latents(latent, io["text"], stopped)

    torch.testing.assert_close(clipped, io["latents_clipped"], **LOGITS)
    torch.testing.assert_close(whole, io["latents"], **LOGITS)


@pytest.mark.parametrize("remember", [True, False])
def test_greedy_codes_equal_the_frozen_reference(tortoise, remember):
    model, io = tortoise

    codes = decode(model, io["conditioning_latent"][:1], io["gen_text"], max_codes=30, remember=remember)

    assert codes.equal(io["greedy_codes"])


@pytest.mark.parametrize("remember", [True, False])
def test_a_penalty_on_repeats_equals_the_frozen_reference(tortoise, remember):
    model, io = tortoise

    codes = decode(
        model,
        io["conditioning_latent"][:1],
        io["gen_text"],
        max_codes=30,
        choose=lambda scores, seen, _: most_likely(without_repeats(scores, seen, 2.0)),
        remember=remember,
    )

    assert codes.equal(io["greedy_codes_reppen2"])


def test_a_penalty_on_repeats_alone_equals_the_frozen_reference(parity):
    io = load_file(parity("sampling_warpers") / "io.safetensors")

    torch.testing.assert_close(
        without_repeats(io["logits"], io["ids"], 2.0), io["after_repetition_penalty_2"], atol=1e-5, rtol=0
    )


def inputs(n, *, n_symbols=7, n_codes=9, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, 16), torch.randint(1, 11, (n, n_symbols)), torch.randint(0, 18, (n, n_codes))


@torch.no_grad()
def test_each_utterance_of_a_batch_gives_what_it_gives_alone(tiny):
    latent, symbols, codes = inputs(3)
    together = tiny(latent, symbols, codes)

    for row in range(3):
        alone = tiny(latent[row : row + 1], symbols[row : row + 1], codes[row : row + 1])
        torch.testing.assert_close(alone.codes[0], together.codes[row], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.symbols[0], together.symbols[row], atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("n_codes", [1, 2, 9])
def test_codes_never_see_those_after_them_so_padding_changes_nothing(tiny, n_codes):
    latent, symbols, codes = inputs(2)
    padded = codes.clone()
    padded[:, n_codes:] = tiny.config.stop_code

    alone, in_a_batch = tiny(latent, symbols, codes[:, :n_codes]), tiny(latent, symbols, padded)

    torch.testing.assert_close(in_a_batch.codes[:, :n_codes], alone.codes, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_voice_is_the_mean_of_its_recordings_in_any_order(tiny):
    mels = torch.randn(2, 3, 80, 11)

    voice = tiny.conditioning_latent(mels)

    torch.testing.assert_close(tiny.conditioning_latent(mels.flip(1)), voice, atol=1e-5, rtol=1e-5)
    alone = torch.stack([tiny.conditioning_latent(mels[:, clip : clip + 1]) for clip in range(3)])
    torch.testing.assert_close(alone.mean(0), voice, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("n", "n_symbols"), [(1, 1), (1, 7), (3, 12)])
def test_memory_changes_no_code(tiny, n, n_symbols):
    latent, symbols, _ = inputs(n, n_symbols=n_symbols, seed=n_symbols)

    def varied(scores, seen, _):
        return most_likely(without_repeats(scores - scores.amax() - 1.0, seen, 9.0))

    codes = decode(tiny, latent, symbols, max_codes=13, choose=varied)

    assert codes.equal(decode(tiny, latent, symbols, max_codes=13, choose=varied, remember=False))
    assert len(codes.unique()) > 2  # no network that always says the same


def test_memory_changes_no_score(tiny):
    latent, symbols, _ = inputs(2)
    scores = {True: [], False: []}

    for remember, kept in scores.items():

        def keep(now, seen, _, kept=kept):
            kept.append(now)
            return (seen.sum(-1) * 7) % 18  # the same codes for both

        decode(tiny, latent, symbols, max_codes=11, choose=keep, remember=remember)

    torch.testing.assert_close(torch.stack(scores[True]), torch.stack(scores[False]), atol=1e-5, rtol=1e-5)


def test_a_sequence_of_codes_ends_where_all_have_stopped(tiny):
    latent, symbols, _ = inputs(2)
    stop = tiny.config.stop_code
    plan = torch.tensor([[3, 4, stop, 5, 6], [7, stop, 8, 9, 1]])

    codes = decode(
        tiny, latent, symbols, max_codes=5, choose=lambda _, seen, rows: plan[rows, seen.shape[1] - 2]
    )

    assert codes.tolist() == [[3, 4, stop], [7, stop, stop]]


@pytest.mark.parametrize("remember", [True, False])
def test_sequences_of_one_text_share_its_prompt_and_go_their_own_ways(tiny, remember):
    latent, symbols, _ = inputs(2)
    firsts = torch.tensor([3, 4, 5, 6, 7, 8])

    def varied(scores, seen, rows):
        return firsts[rows] if seen.shape[1] == 2 else most_likely(without_repeats(scores, seen, 9.0))

    codes = decode(tiny, latent, symbols, max_codes=12, choose=varied, n_each=3, remember=remember)

    for row in range(6):
        here = slice(row // 3, row // 3 + 1)

        def alone(scores, seen, _, row=row):
            return varied(scores, seen, torch.tensor([row]))

        said = decode(tiny, latent[here], symbols[here], max_codes=12, choose=alone, remember=False)
        assert codes[row, : said.shape[1]].tolist() == said[0].tolist()
    assert len({tuple(row) for row in codes.tolist()}) > 4


@pytest.mark.parametrize("remember", [True, False])
@pytest.mark.parametrize("n_prompts", [1, 2])
def test_sequences_that_have_stopped_leave_the_others_as_they_are(tiny, n_prompts, remember):
    """They are no longer asked for as soon as that saves time, if the text is one."""
    latent, symbols, _ = inputs(n_prompts)
    stop, asked = tiny.config.stop_code, []

    def ending(scores, seen, rows):
        asked.append(rows.tolist())
        ends = rows % 8 < seen.shape[1] - 2
        return torch.where(ends, stop, without_repeats(scores, seen, 9.0)[:, :stop].argmax(-1))

    codes = decode(tiny, latent, symbols, max_codes=12, choose=ending, n_each=8, remember=remember)

    lengths = (codes != stop).sum(-1)
    assert lengths.tolist() == [row % 8 + 1 for row in range(8 * n_prompts)]
    for row in range(8 * n_prompts):
        here = slice(row // 8, row // 8 + 1)
        said = decode(
            tiny,
            latent[here],
            symbols[here],
            max_codes=8,
            choose=lambda scores, seen, _: without_repeats(scores, seen, 9.0)[:, :stop].argmax(-1),
            remember=False,
        )
        assert codes[row, : lengths[row]].equal(said[0, : lengths[row]])
    assert (len(asked[-1]) < 8 * n_prompts) == (n_prompts == 1 or not remember)


def test_places_beyond_the_first_room_of_a_memory_are_kept(tiny):
    sizes = {**vars(tiny.config), "n_code_positions": 200}
    model = UnifiedVoice(UnifiedVoiceConfig(**sizes)).eval()
    latent, symbols, _ = inputs(1)

    def varied(scores, seen, _):
        return without_repeats(scores, seen, 9.0)[:, :18].argmax(-1)

    codes = [decode(model, latent, symbols, max_codes=150, choose=varied, remember=r) for r in (True, False)]

    assert codes[0].shape == (1, 150)
    assert codes[0].equal(codes[1])


def test_a_choice_sees_what_the_released_penalty_saw(tiny):
    """Code 1 in place of the prompt, the start, and every code so far."""
    latent, symbols, _ = inputs(2)
    kept = []

    def choose(_, seen, _rows):
        kept.append(seen)
        return seen.new_tensor([4, 5])

    decode(tiny, latent, symbols, max_codes=3, choose=choose)

    assert [seen.tolist() for seen in kept[:2]] == [[[1, 18], [1, 18]], [[1, 18, 4], [1, 18, 5]]]
    assert kept[2].tolist() == [[1, 18, 4, 4], [1, 18, 5, 5]]


@torch.no_grad()
def test_latents_belong_to_the_codes_and_depend_on_those_before_alone(tiny):
    latent, symbols, codes = inputs(2)
    other = codes.clone()
    other[:, 5] = (other[:, 5] + 1) % 18

    before, after = tiny.latents(latent, symbols, codes), tiny.latents(latent, symbols, other)

    assert before.shape == (2, 9, 16)
    torch.testing.assert_close(before[:, :6], after[:, :6], atol=1e-5, rtol=1e-5)
    assert (before[:, 6:] - after[:, 6:]).abs().amax(-1).min() > 1e-3


def test_too_many_codes_or_symbols_are_refused(tiny):
    latent, symbols, codes = inputs(1, n_symbols=13, n_codes=16)

    with pytest.raises(DataError, match="at most 14, start and stop included, found 15"):
        tiny.latents(latent, symbols, codes[:, :3])
    with pytest.raises(DataError, match="at most 17, start and stop included, found 18"):
        tiny.latents(latent, symbols[:, :3], codes)


def test_saved_and_loaded_it_says_the_same(tiny, tmp_path):
    save_file(tiny.state_dict(), tmp_path / "model.safetensors")
    again = UnifiedVoice(tiny.config).eval()
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    latent, symbols, codes = inputs(2)

    assert again(latent, symbols, codes).codes.equal(tiny(latent, symbols, codes).codes)


def test_dropout_is_active_in_training_alone(tiny):
    model = UnifiedVoice(tiny.config)
    model.load_state_dict(tiny.state_dict())
    latent, symbols, codes = inputs(2)

    with torch.no_grad():
        trained = [model.train()(latent, symbols, codes).codes for _ in range(2)]
        spoken = [model.eval()(latent, symbols, codes).codes for _ in range(2)]

    assert not trained[0].equal(trained[1])
    assert spoken[0].equal(spoken[1])


def test_solo_embeddings_are_carried_along_and_change_nothing(tiny):
    sizes = {**vars(tiny.config), "has_solo_embeddings": True}
    model = UnifiedVoice(UnifiedVoiceConfig(**sizes)).eval()
    solo = {name: torch.randn(1, 1, 16) for name in ("mel_solo_embedding", "text_solo_embedding")}
    model.load_state_dict({**tiny.state_dict(), **solo})
    latent, symbols, codes = inputs(2)

    assert model(latent, symbols, codes).codes.equal(tiny(latent, symbols, codes).codes)
    assert model.state_dict()["mel_solo_embedding"].equal(solo["mel_solo_embedding"])


def test_a_network_without_numbers_draws_none_since_that_would_load_a_compiler(monkeypatch):
    def refuse(*_):
        raise AssertionError("numbers are drawn")

    monkeypatch.setattr(torch.nn.init, "normal_", refuse)
    monkeypatch.setattr(torch, "randn", refuse)

    with torch.device("meta"):
        assert len(UnifiedVoice(UnifiedVoiceConfig(has_solo_embeddings=True)).state_dict()) == 412


def test_a_new_network_has_small_weights_and_a_finite_answer():
    torch.manual_seed(3)
    model = UnifiedVoice(
        UnifiedVoiceConfig(n_layers=2, dim=32, n_heads=2, n_codes=20, start_code=18, stop_code=19)
    )

    latent = model.conditioning_latent(torch.randn(1, 1, 80, 5))
    logits = model(latent, torch.tensor([[255, 3, 0]]), torch.tensor([[18, 1, 19]]))

    assert logits.codes.isfinite().all()
    assert 0.015 < model.gpt.h[0].attn.c_attn.weight.std() < 0.025
    assert 0.005 < model.gpt.h[0].attn.c_proj.weight.std() < 0.015
