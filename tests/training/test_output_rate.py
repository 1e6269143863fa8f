"""Vocoders that speak at twice the rate that they hear: heard, trained, gone on with, matched and written."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file

from building.listeners import Heard
from retimbre.audio.files import save_audio
from retimbre.audio.mel import log_mel
from retimbre.checkpoint.read import read
from retimbre.errors import DataError, RecipeError
from retimbre.jobs.listener import Silent
from retimbre.models.load import load_model
from retimbre.pipelines.everyvoice import vocode
from retimbre.pipelines.export import export_spec_to_wav
from retimbre.recipe.read import read_recipe
from retimbre.training.batching import Key
from retimbre.training.material import prepare_material
from retimbre.training.train import continue_training, stage_job, train_stage

FOLDER = Path(__file__).parents[1] / "fixtures" / "everyvoice" / "output_rate"
SIZES = {
    "output_sample_rate_hz": 44100,
    "upsample_rates": [8, 8, 2],
    "upsample_kernels": [16, 16, 4],
    "initial_channels": 16,
    "resblock": "2",
    "resblock_kernels": [3],
    "resblock_dilations": [[1, 3]],
}


def word(number):
    """Something like a vowel with a hiss above what a vocoder hears."""
    draw = np.random.default_rng(number)
    time = np.arange(int((0.5 + 0.05 * number) * 44100)) / 44100
    phase = 2 * np.pi * (110 + 12 * number) * time
    tones = sum(np.sin(n * phase + draw.uniform(0, 6)) / n for n in range(1, 15))
    return 0.1 * tones + 0.01 * np.diff(draw.standard_normal(len(time) + 1))


@pytest.fixture(scope="session")
def wide_voices(tmp_path_factory):
    """Seven recordings at 44,100 Hz and their list."""
    folder = tmp_path_factory.mktemp("wide")
    for number in range(7):
        soundfile.write(folder / f"u{number}.wav", word(number), 44100)
    (folder / "metadata.csv").write_text("".join(f"u{n}|abc {n}.\n" for n in range(7)), encoding="utf-8")
    return folder


@pytest.fixture
def recipe(recipe_file, wide_voices):
    """A recipe of a vocoder that speaks at 44,100 Hz: recipe("name", "training.steps=3")."""

    def make(name, *overrides, **training):
        path = recipe_file("spec-to-wav", name=name, **training)
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        content["spec_to_wav"] = SIZES
        content["data"] |= {
            "recordings": str(wide_voices),
            "filelist": str(wide_voices / "metadata.csv"),
            "preprocessed": str(wide_voices / "preprocessed"),
        }
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return read_recipe(path, overrides)

    return make


def test_everyvoices_vocoder_of_another_rate_sounds_the_same():
    io, loaded = load_file(FOLDER / "io.safetensors"), load_model(FOLDER / "model.ckpt")
    audio = vocode(io["in_spec"], loaded)

    assert audio.sample_rate_hz == 44100
    torch.testing.assert_close(audio.samples, io["out_wave"], atol=1e-6, rtol=0)


def test_the_mel_loss_hears_what_everyvoices_hears():
    io, loaded = load_file(FOLDER / "io.safetensors"), load_model(FOLDER / "model.ckpt")
    found = log_mel(io["in_wave"], loaded.description.output_mel)

    torch.testing.assert_close(found, io["out_mel"][:, : found.shape[1]], atol=1e-4, rtol=0)


def test_segments_pair_each_frame_with_the_samples_that_answer_it(recipe):
    material = prepare_material(recipe("run"))
    job = stage_job(recipe("run"), listener=Silent(), material=material)
    item = job.dataset[Key(1, 4)]
    (turn, _) = job.objective.turns()

    assert item.spec.shape == (80, 8)
    assert item.samples.shape == (8 * 512,)
    assert turn.module is job.objective.discriminators
    assert job.objective.mel == material.output_mel == material.mel.at_rate(44100)
    whole, starts = job.dataset.items[1], range(job.dataset.items[1].n_frames - 7)
    (start,) = [s for s in starts if whole.spec[:, s : s + 8].equal(item.spec)]
    assert whole.samples[start * 512 : (start + 8) * 512].equal(item.samples)


def test_a_run_speaks_at_its_rate_and_goes_on_bit_for_bit(recipe, compare, tmp_path):
    whole = train_stage(recipe("whole"))
    train_stage(recipe("parts", steps=6))
    parted = continue_training(recipe("parts"))

    assert [d for d in compare(whole.run, parted.run) if "metrics" not in d] == []
    loaded = load_model(whole.model)
    assert loaded.description.output_sample_rate_hz == 44100
    assert loaded.model.config.hop_samples == 512
    save_audio(tmp_path / "a.wav", vocode(torch.randn(80, 9), loaded))
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.samplerate, info.frames) == (44100, 9 * 512)


def test_the_mel_loss_falls(recipe):
    finished = train_stage(recipe("falls", steps=60, adversarial_from_step=60, batch_size=4))
    lines = map(json.loads, (finished.run / "metrics.jsonl").read_text().splitlines())
    losses = [line["generator/mel"] for line in lines if line["kind"] == "training"]

    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])


def test_a_base_brings_its_rate_and_a_recipe_that_says_another_is_told(recipe, tmp_path):
    base = train_stage(recipe("base", steps=2)).model
    listener = Heard()
    other = recipe("tuned", f"base={base}", "spec_to_wav.output_sample_rate_hz=22050", steps=2)
    tuned = train_stage(other, listener=listener)

    assert load_model(tuned.model).description.output_sample_rate_hz == 44100
    assert "The base counts: spec_to_wav.output_sample_rate_hz 44100 (the recipe: 22050)" in listener.said
    assert "Rates: the vocoder hears 22,050 Hz and speaks 44,100 Hz" in listener.said


def test_everyvoice_can_be_given_the_result(recipe, tmp_path):
    made = load_model(train_stage(recipe("given", steps=1)).model)
    path = tmp_path / "a.ckpt"
    export_spec_to_wav(made.path, path)
    audio = read(path).values["hyper_parameters"]["config"]["preprocessing"]["audio"]

    assert (audio["input_sampling_rate"], audio["output_sampling_rate"]) == (22050, 44100)
    assert audio["vocoder_segment_size"] % 512 == 0
    spec = torch.randn(80, 7)
    assert vocode(spec, load_model(path)).samples.equal(vocode(spec, made).samples)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("spec_to_wav.output_sample_rate_hz=44000", "44000 Hz is no whole multiple of 22050 Hz"),
        ("spec_to_wav.is_istft=false", "make 128 samples of a frame that has 512"),
    ],
)
def test_a_rate_that_does_not_fit_is_refused(recipe, override, message):
    with pytest.raises(RecipeError, match=message):
        train_stage(recipe("wrong", override))


def test_recordings_of_a_lower_rate_are_refused(recipe, voices, tmp_path):
    places = (f"data.recordings={voices}", f"data.preprocessed={tmp_path / 'p'}")

    with pytest.raises(DataError, match=r"none of 7 utterances.*7 x recorded below 40,000 Hz"):
        train_stage(recipe("low", *places))
