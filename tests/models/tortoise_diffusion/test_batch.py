"""Utterances are together only where they are equally long, and nothing depends on who is with whom."""

import pytest
import torch

from retimbre.errors import DataError
from retimbre.models.tortoise_diffusion.batch import DiffusionItem, collate
from retimbre.models.tortoise_diffusion.loss import batch_losses, diffusion_losses, drawn_for
from retimbre.models.tortoise_diffusion.schedule import trained_schedule

LENGTHS = (4, 7, 4, 5, 4)  # codes


def items(lengths=LENGTHS, n_clips=2):
    draw = torch.Generator().manual_seed(8)
    return [
        DiffusionItem(
            latents=torch.randn(n, 6, generator=draw),
            spec=torch.rand(5, n * 96000 // 22050, generator=draw) * 2 - 1,
            clips=torch.randn(n_clips, 5, 9, generator=draw),
        )
        for n in lengths
    ]


def found(model, parts, *, has_noise=True):
    """Losses of all parts together, and the gradients."""
    torch.manual_seed(2)
    model.zero_grad()
    sums = {}
    for part in parts:
        losses = batch_losses(model, part, drawn_for(part.spec), trained_schedule(), has_noise=has_noise)
        torch.stack(list(losses.values())).sum().backward()
        sums = {name: sums.get(name, 0.0) + loss.detach() for name, loss in losses.items()}
    return sums, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_a_part_holds_utterances_of_one_length_and_all_are_there():
    parts = collate(items(), most_together=2)

    assert [tuple(part.latents.shape) for part in parts] == [(2, 4, 6), (1, 4, 6), (1, 7, 6), (1, 5, 6)]
    assert [tuple(part.spec.shape) for part in parts] == [(2, 5, 17), (1, 5, 17), (1, 5, 30), (1, 5, 21)]
    assert sum(part.share for part in parts) == pytest.approx(1)
    assert all(part.to("cpu").n_frames_in_all == 3 * 17 + 30 + 21 for part in parts)


def test_voices_of_another_number_of_clips_do_not_go_together():
    parts = collate([*items((4,)), *items((4,), n_clips=1)], most_together=8)

    assert [part.clips.shape[1] for part in parts] == [2, 1]


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(DataError, match="at least one utterance"):
        collate([], most_together=8)


def test_how_a_batch_is_divided_changes_neither_losses_nor_gradients(tiny):
    together, gradients = found(tiny, collate(items(), most_together=8))
    alone, of_alone = found(tiny, collate(items(), most_together=1))

    assert len(collate(items(), most_together=8)) == 3
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradients, of_alone, atol=1e-5, rtol=1e-3)


def test_losses_are_means_over_all_frames_of_what_inference_computes_of_each_utterance_alone(tiny):
    ordered, schedule = sorted(items(), key=lambda item: item.n_frames), trained_schedule()
    losses, _ = found(tiny, collate(ordered, most_together=8))
    torch.manual_seed(2)
    sums, n_frames = {"first_guess": 0.0, "noise": 0.0, "variance": 0.0}, 0
    with torch.no_grad():
        for item in ordered:
            spec, draws = item.spec.unsqueeze(0), drawn_for(item.spec.unsqueeze(0))
            aligned = tiny.align(
                item.latents.unsqueeze(0), tiny.voice(item.clips.unsqueeze(0)), item.n_frames
            )
            told = tiny.unconditioned(1, item.n_frames) if draws.is_untold else aligned
            outputs = tiny(schedule.noised(spec, draws.noise, draws.steps), draws.steps, told)
            of_noise = diffusion_losses(outputs, spec, draws.noise, draws.steps, schedule)
            guess = (tiny.first_guess(aligned) - spec).square().mean() * (not draws.is_untold)
            for name, loss in {**of_noise, "first_guess": guess}.items():
                sums[name] += loss.mean() * item.n_frames
            n_frames += item.n_frames

    for name, total in sums.items():
        torch.testing.assert_close(losses[name], total / n_frames, atol=1e-6, rtol=1e-5)


def test_padding_would_change_what_the_network_finds(tiny):
    """Why there is none: what stands behind an utterance is seen by all of its frames."""
    (item,) = items((7,))
    voice = tiny.voice(item.clips.unsqueeze(0))
    padded = torch.nn.functional.pad(item.latents, (0, 0, 0, 5)).unsqueeze(0)
    with torch.no_grad():
        alone = tiny.align(item.latents.unsqueeze(0), voice, 28)
        beside = tiny.align(padded, voice, 48)[..., :28]

    assert (alone - beside).abs().mean() > 0.01 * alone.abs().mean()


def test_before_noise_counts_most_of_the_network_is_not_asked(tiny):
    losses, gradients = found(tiny, collate(items(), most_together=8), has_noise=False)

    assert list(losses) == ["first_guess"]
    learning = {name.split(".")[0] for name in gradients}
    assert learning == {"latent_conditioner", "contextual_embedder", "code_norm", "mel_head"}


def test_activations_computed_again_give_the_same_gradients(tiny):
    parts = collate(items(), most_together=8)
    losses, gradients = found(tiny, parts)
    tiny.recomputes = True
    again, of_again = found(tiny, parts)

    torch.testing.assert_close(again, losses, atol=0, rtol=0)
    torch.testing.assert_close(of_again, gradients, atol=0, rtol=0)
