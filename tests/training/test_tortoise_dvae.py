"""A dVAE learns as a whole, or its decoder alone; and what would make other stages useless is refused."""

import json
import signal
from dataclasses import replace

import pytest
import torch
import yaml
from safetensors.torch import load_file

from building.listeners import Heard
from building.sounds import record
from retimbre.audio.mel import log_mel
from retimbre.errors import RecipeError
from retimbre.models.load import load_model, save_model
from retimbre.models.tortoise_dvae.batch import DvaeItem
from retimbre.models.tortoise_dvae.config import PRESETS, DvaeConfig
from retimbre.models.tortoise_dvae.from_shapes import mel
from retimbre.models.tortoise_dvae.model import DiscreteVAE
from retimbre.recipe.read import read_recipe
from retimbre.recipe.tortoise import NewDvae
from retimbre.training.batching import Key
from retimbre.training.build_dvae import described_dvae, frames_seen, wav_to_codes_from
from retimbre.training.journal import read_journal
from retimbre.training.objective import Progress
from retimbre.training.run import resume, start
from retimbre.training.tortoise_dvae import wav_to_codes_job
from retimbre.training.tortoise_material import prepare_tortoise
from retimbre.training.tortoise_training_files import files_of
from training.conftest import voice

TINY = DvaeConfig(n_codes=32, codebook_dim=8, dim=16, n_resblocks=1)
SIZES = [f"tortoise.new_dvae.{name}={getattr(TINY, name)}" for name in NewDvae.model_fields]


@pytest.fixture(scope="module")
def specs():
    """Generated voices of different pitch, as TorToiSe's networks see them."""
    waves = [voice(0.62 + 0.11 * n, 100 + 25 * n, seed=n) for n in range(6)]
    return [log_mel(torch.tensor(wave, dtype=torch.float32), mel(TINY)) for wave in waves]


@pytest.fixture
def job(specs):
    """A tiny network with the voices: job(settings, "all")."""

    def build(settings, part, *, network=None):
        torch.manual_seed(settings.seed)
        model = network or DiscreteVAE(TINY)
        *training, held = (DvaeItem(spec=spec) for spec in specs)
        return wav_to_codes_job(
            model,
            described_dvae(model.config),
            settings,
            training=training,
            validation={"held": held},
            part=part,
        )

    return build


@pytest.fixture
def begin(job, tiny_recipe):
    """Start or go on with a run: begin(settings, "all")."""

    def run(settings, part="all", *, name="run", listener=None, is_resumed=False, network=None):
        how = resume if is_resumed else start
        recipe = tiny_recipe("wav-to-codes", settings, name=name)
        return how(recipe, job(settings, part, network=network), listener=listener, device="cpu")

    return run


class StopsAt:
    """Raises a signal at one step."""

    def __init__(self, step):
        self.step = step

    def say(self, label, text):
        pass

    def progress(self, task, done, total, note=""):
        if done == self.step:
            signal.raise_signal(signal.SIGINT)


def trained(network, run, step):
    weights = load_file(run / "checkpoints" / f"step-{step:06d}" / "model.safetensors")
    network.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items()})
    return network.eval()


def test_a_new_network_learns_to_come_back_from_more_than_a_few_codes(begin, settings, specs):
    finished = begin(
        settings(steps=200, batch_size=3, segment_frames=48, validate_every_steps=50, learning_rate=0.003)
    )
    lines = read_journal(finished.run, kind="validation")

    assert lines[-1]["mel_distance"] < 0.5 * lines[0]["mel_distance"]
    assert lines[-1]["used_share"] > 0.15
    assert lines[-1]["perplexity"] > 4
    assert lines[-1]["training_perplexity"] > 16
    kept = load_model(finished.model)
    assert kept.stage == "wav-to-codes"
    assert kept.description.mel == mel(TINY)
    assert kept.description.step == min(lines, key=lambda line: line["score"])["step"]


def test_the_decoder_learns_alone_and_nothing_else_moves(begin, settings):
    first = begin(settings(steps=40, learning_rate=0.003), name="first")
    base = trained(DiscreteVAE(TINY), first.run, 40)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    finished = begin(
        settings(steps=40, validate_every_steps=20, learning_rate=0.003),
        "decoder",
        network=base.train(),
    )
    after = load_file(finished.run / "checkpoints" / "step-000040" / "model.safetensors")
    lines = read_journal(finished.run, kind="validation")

    assert lines[-1]["mel_distance"] < lines[0]["mel_distance"]
    for name, tensor in before.items():
        assert after[f"model.{name}"].equal(tensor) != name.startswith("decoder"), name
    assert {line.get("model/commitment") for line in read_journal(finished.run, kind="training")} == {None}


@pytest.mark.parametrize("part", ["all", "decoder"])
@pytest.mark.parametrize("n_parts", [1, 2])
def test_a_run_that_was_stopped_ends_like_the_one_that_was_not(begin, settings, compare, part, n_parts):
    chosen = settings(
        steps=8, batch_size=3, batch_parts=n_parts, validate_every_steps=2, checkpoint_every_steps=4
    )
    chosen = chosen.model_copy(update={"keep_checkpoints": 1})
    whole = begin(chosen, part, name="whole")
    stopped = begin(chosen, part, listener=StopsAt(3))
    assert stopped.was_interrupted
    finished = begin(chosen, part, is_resumed=True)

    assert compare(whole.run, finished.run) == []


def test_a_batch_in_parts_moves_the_code_book_as_the_whole_does(begin, settings):
    one, other = (begin(settings(steps=3, batch_size=3, batch_parts=n), name=f"in-{n}").run for n in (1, 3))
    ours, theirs = (
        load_file(run / "checkpoints" / "step-000003" / "model.safetensors") for run in (one, other)
    )

    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


def test_what_decides_is_the_difference_of_log_mels_through_codes(job, settings, specs):
    built = job(settings(), "all")
    verdict = built.objective.validate(Progress())
    network = built.objective.model.eval()
    divisors = torch.tensor(mel(TINY).band_divisors).unsqueeze(1)
    with torch.no_grad():
        decoded = network.decode(network.encode(specs[-1].unsqueeze(0)))[0, :, : specs[-1].shape[1]]
    expected = (decoded * divisors - specs[-1] * divisors).abs().mean()

    assert specs[-1].shape[1] % 4
    assert verdict.score == verdict.measures["mel_distance"] == pytest.approx(float(expected), rel=1e-5)
    assert verdict.pictures["validation/held/real"].shape == specs[-1].shape
    real = verdict.pictures["validation/held/real"]
    assert real[:, real.shape[1] // 2].mean() > real[:, 0].mean()  # the voice is lighter than its silence


def test_measuring_moves_nothing(job, settings):
    built = job(settings(), "all")
    before = {name: t.clone() for name, t in built.objective.model.state_dict().items()}
    state = torch.get_rng_state()
    built.objective.validate(Progress())

    assert all(t.equal(before[name]) for name, t in built.objective.model.state_dict().items())
    assert torch.get_rng_state().equal(state)
    assert built.objective.model.training


def test_segments_for_the_decoder_have_the_codes_of_the_whole_recording(job, settings, specs):
    built = job(settings(segment_frames=20), "decoder")
    network = built.objective.model.eval()
    whole = network.encode(specs[2].unsqueeze(0))[0]
    for draw in range(10):
        segment = built.dataset[Key(2, draw)]
        places = [n for n in range(0, specs[2].shape[1], 4) if segment.spec.equal(specs[2][:, n : n + 20])]
        assert len(places) == 1
        assert segment.codes.equal(whole[places[0] // 4 : places[0] // 4 + 5])


def test_a_code_depends_on_as_many_frames_as_are_said():
    network = DiscreteVAE(replace(TINY, activation="silu"))
    spec = torch.randn(1, 80, 400, requires_grad=True)
    network.vectors(spec)[0, :, 50].sum().backward()

    assert int(spec.grad[0].abs().sum(0).count_nonzero()) == frames_seen(TINY)


def test_presets_grow_from_tiny_to_released():
    sizes = [sum(p.numel() for p in on_meta(config).parameters()) for config in PRESETS.values()]

    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 51_567_184


def on_meta(config):
    with torch.device("meta"):
        return DiscreteVAE(config)


# ---- from a recipe -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    waves = {f"u{n}": voice(0.6 + 0.07 * n, 110 + 12 * n, seed=n) for n in range(6)}
    folder = record(tmp_path_factory.mktemp("clips"), waves)
    (folder / "metadata.csv").write_text("".join(f"u{n}|abc.\n" for n in range(6)), encoding="utf-8")
    return folder


@pytest.fixture
def recipe_of(clips, tmp_path):
    """A recipe of this stage: recipe_of("tortoise.part=all")."""

    def build(*overrides):
        content = {
            "stage": "wav-to-codes",
            "runs": str(tmp_path / "runs"),
            "data": {
                "recordings": str(clips),
                "filelist": str(clips / "metadata.csv"),
                "preprocessed": str(clips / "preprocessed"),
                "held_out": ["u3"],
            },
            "training": {"steps": 2, "batch_size": 2, "segment_frames": 40},
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return read_recipe(path, overrides)

    return build


def known(path, config=TINY):
    save_model(path, DiscreteVAE(config), described_dvae(config))
    return load_model(path)


def test_a_recipe_without_a_base_makes_a_new_dvae_and_says_what_it_does_not_fit(recipe_of):
    recipe, listener = recipe_of(*SIZES), Heard()
    material = prepare_tortoise(recipe, files=files_of(recipe))
    job = wav_to_codes_from(recipe, material, None, listener)
    finished = start(recipe, job, device="cpu")

    assert load_model(finished.model).model.config == TINY
    assert json.loads((finished.run / "lineage.json").read_text())["base"] is None
    said = " ".join(listener.said)
    assert "autoregressive.pth and clvp2.pth do not fit" in said
    assert "of 40 frames, but a code depends on 23" in said


def test_a_recipe_with_a_base_trains_its_decoder(recipe_of, tmp_path):
    base = known(tmp_path / "dvae.safetensors")
    recipe = recipe_of(f"base={tmp_path / 'dvae.safetensors'}", "training.segment_frames=90")
    material, listener = prepare_tortoise(recipe, files=files_of(recipe)), Heard()
    job = wav_to_codes_from(recipe, material, base, listener)
    finished = start(recipe, job, device="cpu")
    after = load_model(finished.model)

    assert after.description.lineage["base"]["file"] == "dvae.safetensors"
    assert after.model.codebook.embed.equal(base.model.codebook.embed)
    assert listener.said == []


def test_another_encoder_under_trained_stages_is_refused_with_the_reason(recipe_of, tmp_path):
    base = known(tmp_path / "dvae.safetensors")
    recipe = recipe_of(f"base={tmp_path / 'dvae.safetensors'}", "tortoise.part=all")
    material = prepare_tortoise(recipe, files=files_of(recipe))

    with pytest.raises(RecipeError) as told:
        wav_to_codes_from(recipe, material, base, Heard())

    assert str(told.value).startswith(
        "dvae.safetensors cannot be trained further as a whole: with another encoder or code book, its codes "
        "would mean something else to every stage that was trained on them"
    )
    assert "-c tortoise.part=decoder" in str(told.value)


def test_the_decoder_of_nothing_is_refused(recipe_of):
    recipe = recipe_of("tortoise.part=decoder")
    material = prepare_tortoise(recipe, files=files_of(recipe))

    with pytest.raises(RecipeError, match=r"no dVAE whose decoder could learn.*--base dvae\.pth.*part=all"):
        wav_to_codes_from(recipe, material, None, Heard())
