"""How TorToiSe's stages learn where a recipe leaves it open: every choice follows a rule, and is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from retimbre.recipe.training import Lora, LossWeights, Optimiser, Training
from retimbre.training.tortoise_plan import (
    FEWEST_AT_ONCE,
    MOST_PASSES,
    PATIENCE,
    RULES,
    Facts,
    Needs,
    Speech,
    plan_tortoise,
)

GB = 10**9
FULL = Needs(fixed_bytes=7 * GB, per_utterance_bytes=GB // 2)
SMALL = Needs(fixed_bytes=2 * GB, per_utterance_bytes=GB // 4)


def facts(n=850, stage="text-to-codes", **more):
    speech = {key: more.pop(key) for key in list(more) if key in Speech.__dataclass_fields__}
    return Facts(stage=stage, speech=Speech(n_utterances=n, **speech), **more)


def plan(given=None, /, *args, **more):
    return plan_tortoise(given or Training(), facts(*args, **more))


def reason(made, choice):
    return next(each.reason for each in made.choices if each.choice == choice)


def test_what_dl_art_school_reports_is_what_the_rules_give_for_its_data():
    made = plan(None, 4500).training

    assert made.batch_size == 128
    assert made.optimiser.learning_rate == 1e-5
    assert made.steps * 128 / 4500 == pytest.approx(14, abs=0.1)  # passes
    assert made.optimiser.betas == (0.9, 0.96)
    assert made.optimiser.clip_norm == 4.0
    assert made.optimiser.decays == "matrices"
    assert made.optimiser.warmup_steps == 49  # a tenth of the run; 2 / (1 - 0.96) are 50


def test_sixty_utterances_are_passed_as_often_as_its_successors_report():
    made = plan(None, 60).training

    assert made.steps * made.batch_size / 60 == pytest.approx(500, rel=0.02)


@given(n=some.integers(1, 10**6), stage=some.sampled_from(sorted(RULES)))
def test_for_any_amount_of_speech_the_plan_is_one_that_can_run(n, stage):
    made = plan(None, n, stage=stage).training

    assert 1 <= made.batch_size <= max(RULES[stage].most, 1)
    assert made.batch_size <= n
    assert 1 <= made.steps <= MOST_PASSES * n
    assert 1 <= made.validate_every_steps <= max(made.steps, -(-n // made.batch_size))
    assert 0 < made.optimiser.learning_rate <= RULES[stage].rate
    assert made.optimiser.warmup_steps <= max(1, made.steps // 10)
    assert Training.model_validate(made.model_dump()) == made


def test_few_utterances_are_learnt_in_small_batches_at_a_lower_rate():
    few, many = plan(None, 100).training, plan(None, 4500).training

    assert few.batch_size == FEWEST_AT_ONCE
    assert few.optimiser.learning_rate == pytest.approx(1e-5 / 4)  # the root of 8 / 128
    assert few.steps * few.batch_size / 100 > many.steps * many.batch_size / 4500


def test_what_the_recipe_says_is_kept_and_told_so():
    own = Training(
        steps=7,
        batch_size=3,
        patience=1,
        optimiser=Optimiser(learning_rate=0.5, betas=(0.1, 0.2), schedule="constant"),
        loss=LossWeights(text=0.3),
    )
    made = plan(own, has_own_symbols=True)

    assert made.training.steps == own.steps
    assert (made.training.batch_size, made.training.patience) == (3, 1)
    assert made.training.optimiser.learning_rate == 0.5
    assert made.training.optimiser.betas == (0.1, 0.2)
    assert made.training.optimiser.schedule == "constant"
    assert made.training.loss.text == 0.3
    told = ("batch", "learning rate", "steps", "patience", "weight of the text")
    assert {reason(made, each) for each in told} == {"as the recipe says"}


def test_everything_that_is_decided_has_a_reason():
    made = plan(None, full=FULL, small=SMALL, free_bytes=20 * GB)

    assert all(each.reason and each.value for each in made.choices)
    assert {"method", "batch", "parts of a batch", "learning rate", "steps", "warm-up", "validation"} <= {
        each.choice for each in made.choices
    }
    assert made.training.patience == PATIENCE


@pytest.mark.parametrize(("free", "parts"), [(20 * GB, 2), (12 * GB, 6), (40 * GB, 1)])
def test_a_batch_is_parted_so_that_it_fits_the_memory(free, parts):
    made = plan(None, full=FULL, small=SMALL, free_bytes=free).training

    assert made.lora is None
    assert made.batch_size == 32
    assert made.batch_parts == parts


def test_where_all_weights_do_not_fit_low_rank_matrices_learn_at_a_higher_rate():
    tight = plan(None, full=FULL, small=SMALL, free_bytes=5 * GB)
    roomy = plan(None, full=FULL, small=SMALL, free_bytes=20 * GB)

    assert tight.training.lora == Lora()
    assert tight.training.optimiser.learning_rate == pytest.approx(
        10 * roomy.training.optimiser.learning_rate
    )
    assert "all weights need 7.5 GB, 5.0 GB are free" in reason(tight, "method")


def test_who_asks_for_all_weights_gets_them_however_little_memory_there_is():
    made = plan(Training(lora=None), full=FULL, small=SMALL, free_bytes=5 * GB).training

    assert made.lora is None
    assert made.batch_parts == made.batch_size


def test_one_speaker_who_has_most_of_the_speech_halves_the_rate():
    even = plan(None, n_speakers=10, largest_share=0.2)
    uneven = plan(None, n_speakers=10, largest_share=0.5)

    ratio = uneven.training.optimiser.learning_rate / even.training.optimiser.learning_rate
    assert ratio == pytest.approx(0.5, rel=0.03)
    assert "50% of the utterances" in reason(uneven, "learning rate")


def test_what_waits_at_the_beginning_of_a_run_waits_for_a_share_of_it():
    def first(n, stage, **more):
        made = plan(None, n, stage=stage, **more).training
        return made, made.loss.noise_from_step, made.discriminators_first_steps

    made, noise, _ = first(100, "codes-to-spec")
    assert noise == 200 < 0.1 * made.steps
    assert plan(Training(steps=300), 100, stage="codes-to-spec").training.loss.noise_from_step == 30
    made, _, judges = first(100, "spec-to-wav")
    assert judges == round(0.1 * made.steps)
    assert first(100, "spec-to-wav", has_discriminators=True)[2] == 0


@pytest.mark.parametrize(("stage", "frames"), [("wav-to-codes", 220), ("spec-to-wav", 64)])
def test_segments_are_as_long_as_the_network_needs(stage, frames):
    assert plan(None, stage=stage).training.segment_frames == frames
    assert plan(Training(segment_frames=9), stage=stage).training.segment_frames == 9


def test_the_decoder_of_a_known_dvae_learns_at_a_tenth_of_what_a_new_one_does():
    new, known = (plan(None, 2000, "wav-to-codes", is_new=is_new) for is_new in (True, False))

    assert new.training.batch_size == 32
    assert new.training.optimiser.learning_rate == 5e-4
    assert known.training.optimiser.learning_rate == 5e-5
    assert "trained already" in reason(known, "learning rate")
    assert "trained already" not in reason(new, "learning rate")


def test_symbols_of_a_new_language_count_fully():
    assert plan(None, has_own_symbols=True).training.loss.text == 1.0
    assert plan(None).training.loss.text == 0.01
    assert plan(None, stage="codes-to-spec", has_own_symbols=True).training.loss.text == 0.01
