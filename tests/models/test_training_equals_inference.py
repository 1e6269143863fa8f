"""Training and inference compute the same numbers for the same utterance, in both families.

Recordings go through the real preparation to disk, and models through a file, as they do between a run of
training and the first synthesis.
"""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from retimbre.audio.mel import log_mel, mel_librosa
from retimbre.data.prepare import prepare
from retimbre.data.store import Store
from retimbre.data.utterance import Utterance
from retimbre.models.description import Description, sizes_of
from retimbre.models.fastspeech2.batch import Batch, collate, text_batch
from retimbre.models.fastspeech2.config import ConformerSizes, FastSpeech2Config, Level, PredictorSizes
from retimbre.models.fastspeech2.loss import LossWeights, text_to_spec_losses
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.hifigan.batch import VocoderItem
from retimbre.models.hifigan.batch import collate as vocoder_batch
from retimbre.models.hifigan.config import DiscriminatorConfig, GeneratorConfig
from retimbre.models.hifigan.discriminators import Discriminators
from retimbre.models.hifigan.loss import interior_frames
from retimbre.models.hifigan.model import Generator
from retimbre.models.load import load_model, save_model
from retimbre.pipelines.everyvoice import encode, speak_spec, vocode
from retimbre.pipelines.synthesis import Request, synthesize_texts
from retimbre.pipelines.teacher_forcing import teacher_forced_specs, training_item, write_produced_specs
from retimbre.recipe.training import Training
from retimbre.text.normalise import TextRules
from retimbre.text.symbols import everyvoice_symbols
from retimbre.training.batching import Key
from retimbre.training.hifigan import SpecToWavObjective
from retimbre.training.objective import Progress
from retimbre.training.segments import SegmentDataset

MEL = mel_librosa(n_mels=20)
HOP = MEL.hop_samples
RULES = TextRules(
    cleaners=("lower", "nfc_normalize", "collapse_whitespace", "strip_text"), to_replace={"&": " and "}
)
SYMBOLS = everyvoice_symbols(characters=tuple("abcdefghijklmnopqrstuvwxyz"), rules=RULES).symbols
TEXTS = {"one": "Salt  & Pepper, please!", "two": "  Oh no.", "three": "Is that “his”?"}


def voiced(duration_s, seed):
    """A voice that changes its pitch and loudness, with breath."""
    draw, time = np.random.default_rng(seed), np.arange(int(duration_s * MEL.sample_rate_hz))
    time = time / MEL.sample_rate_hz
    phase = 2 * math.pi * (110 + 20 * seed) * (time + 0.004 * np.sin(9 * time))
    wave = sum(np.sin(n * phase + draw.uniform(0, 6)) / n for n in range(1, 25))
    return 0.3 * wave * (1.1 + np.sin(11 * time)) / 8 + 0.003 * draw.standard_normal(len(time))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Three utterances in a store, and their statistics."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "recordings").mkdir()
    utterances = []
    for seed, (name, text) in enumerate(TEXTS.items()):
        soundfile.write(
            folder / "recordings" / f"{name}.wav", voiced(0.75 + 0.17 * seed, seed), MEL.sample_rate_hz
        )
        phones = text.lower()[::-1].replace("&", "n")
        utterances.append(Utterance(basename=name, text=text, phones=phones, speaker="eve", language="eng"))
    store = Store(folder / "preprocessed")
    assert prepare(utterances, folder / "recordings", store, mel=MEL, n_workers=1).kept == utterances
    return SimpleNamespace(
        utterances=utterances, store=store, stats=store.measure_stats(utterances), folder=folder
    )


def text_to_spec(level, *, has_postnet=True):
    """A network none of whose tensors is zero; its predictors give a few frames per symbol."""
    conformer = ConformerSizes(n_layers=1, dim=16, feedforward_dim=24, kernel=5)
    predictor = PredictorSizes(n_layers=2, dim=16)
    torch.manual_seed(5)
    network = FastSpeech2(
        FastSpeech2Config(
            n_symbols=len(SYMBOLS),
            n_mels=MEL.n_mels,
            encoder=conformer,
            decoder=conformer,
            duration=predictor,
            pitch=predictor,
            energy=predictor,
            pitch_level=level,
            energy_level=level,
            n_pitch_bins=11,
            n_energy_bins=9,
            postnet_dim=12 if has_postnet else None,
            n_speakers=2,
            n_languages=2,
            silence=MEL.silence,
        )
    )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
            if name == "variance_adaptor.duration_predictor.linear.bias":
                parameter.fill_(1.3)
    return network.eval()


@pytest.fixture(scope="module", params=list(Level))
def level(request):
    return request.param


@pytest.fixture(scope="module")
def speaking(prepared, level):
    """A text-to-spec model as synthesis loads it from the file that training has written."""
    network = text_to_spec(level)
    description = Description(
        family="fastspeech2",
        sizes=sizes_of(network.config),
        spectrogram=MEL,
        symbols=SYMBOLS,
        text_rules=RULES,
        speakers=("adam", "eve"),
        languages=("fra", "eng"),
        stats=prepared.stats,
    )
    return load_model(save_model(prepared.folder / f"{level}.safetensors", network, description))


TABLES = ("text_input_layer", "speaker_embedding", "language_embedding")


def heard(model, run):
    """What `run` gives the tables of symbols, speakers and languages to look up."""
    tables = {name: getattr(model, name) for name in TABLES}
    found = {}
    hooks = [
        table.register_forward_pre_hook(lambda _, inputs, name=name: found.update({name: inputs[0].clone()}))
        for name, table in tables.items()
    ]
    run()
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("number", range(3))
def test_a_text_reaches_the_network_as_the_same_rows_in_training_and_in_synthesis(prepared, speaking, number):
    utterance = prepared.utterances[number]
    item = training_item(utterance, prepared.store, speaking)

    of_training = heard(speaking.model, lambda: speaking.model(collate([item], MEL.silence)))
    of_synthesis = heard(
        speaking.model, lambda: speak_spec(utterance.text, speaking, speaker="eve", language="eng")
    )

    assert item.symbols.tolist() == list(encode(utterance.text, speaking))
    assert [SYMBOLS[row] for row in item.symbols[:6]] == list(
        {"one": "salt a", "two": "oh no.", "three": "is tha"}[utterance.basename]
    )
    for name in TABLES:
        assert of_training[name].equal(of_synthesis[name]), name
    assert of_training["speaker_embedding"].tolist() == [1]


@pytest.mark.parametrize("number", range(3))
def test_what_training_reads_is_what_the_front_end_gives_for_the_stored_recording(prepared, speaking, number):
    utterance, store = prepared.utterances[number], prepared.store
    audio = store.load_audio(utterance, MEL)

    item = training_item(utterance, store, speaking)

    assert item.spec.equal(log_mel(audio.samples, MEL))
    assert item.spec.shape[1] * HOP == audio.n_samples
    energy = prepared.stats.energy.denormalise(item.energy)
    torch.testing.assert_close(energy, item.spec.norm(dim=0), atol=1e-3, rtol=0)
    pitch = prepared.stats.pitch.denormalise(item.pitch)
    torch.testing.assert_close(pitch, store.load_pitch(utterance).f0_hz.float(), atol=1e-3, rtol=0)


def as_predicted(item, spoken):
    """The same utterance as if its recording had been what the network says."""
    return replace(
        item,
        spec=spoken.spec[0].T,
        durations=spoken.durations[0],
        pitch=spoken.pitch[0],
        energy=spoken.energy[0],
    )


@torch.no_grad()
def test_synthesis_equals_the_training_path_with_the_predictions_in_place_of_the_truth(prepared, speaking):
    utterance, model = prepared.utterances[0], speaking.model
    item = training_item(utterance, prepared.store, speaking)
    spoken = model.speak(collate([item], MEL.silence).text)

    batch = collate([as_predicted(item, spoken)], MEL.silence)
    output = model(batch)

    synthesised = speak_spec(utterance.text, speaking, speaker="eve", language="eng")
    assert synthesised.durations.equal(spoken.durations[0])
    torch.testing.assert_close(output.refined[0].T, synthesised.spec, atol=1e-6, rtol=0)
    for name in ("pitch", "energy"):
        torch.testing.assert_close(getattr(output.prosody, name), getattr(spoken, name), atol=1e-6, rtol=0)
    losses = text_to_spec_losses(output, batch, LossWeights(), 1.0)
    assert max(losses[name].item() for name in ("postnet", "pitch", "energy")) < 1e-10
    n_frames = output.prosody.log_durations.exp() - 1
    assert (n_frames - spoken.durations).abs().max() <= 0.5 + 1e-4  # they are rounded


@pytest.mark.parametrize("text_level", ["characters", "phones"])
def test_a_list_is_spoken_from_the_symbols_that_training_reads_of_it(
    prepared, speaking, text_level, tmp_path
):
    description = replace(speaking.description, text_level=text_level)
    path = save_model(tmp_path / "other.safetensors", speaking.model, description)
    request = Request(
        filelist=prepared.store.filelist_path(), output_types=("spec",), output_dir=tmp_path, device="cpu"
    )

    assert len(list(synthesize_texts(path, request))) == len(prepared.utterances)

    for utterance in prepared.utterances:
        item = training_item(utterance, prepared.store, load_model(path))
        expected = speaking.model.speak(collate([item], MEL.silence).text).spec[0].T
        stored = Store(tmp_path).load_produced_spec(utterance, MEL)
        torch.testing.assert_close(stored, expected, atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("has_postnet", [True, False])
def test_the_same_holds_for_a_padded_batch(level, has_postnet):
    model = text_to_spec(level, has_postnet=has_postnet)
    texts = [[5, 9, 2, 33, 7], [4], [11, 3, 17, 8, 2, 40, 6]]
    text = text_batch(texts, speaker=[1, 0, 1], language=[0, 1, 1])
    spoken = model.speak(text)
    batch = Batch(
        **vars(text),
        spec=spoken.spec,
        n_frames=spoken.n_frames,
        pitch=spoken.pitch,
        energy=spoken.energy,
        durations=spoken.durations,
        is_per_symbol=level is Level.PHONE,
    )

    output = model(batch)

    final = output.refined if has_postnet else output.spec
    torch.testing.assert_close(final, spoken.spec, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.prosody.pitch, spoken.pitch, atol=1e-6, rtol=0)
    losses = text_to_spec_losses(output, batch, LossWeights(), 1.0)
    assert losses["postnet" if has_postnet else "spec"].item() < 1e-10


def teacher_forced(model, batch):
    """The network's own pitch and energy on the true timing, as curves over the frames."""
    spoken, timing = model.teacher_force(batch), model.align(batch)
    curves = {}
    for name in ("pitch", "energy"):
        values = getattr(spoken, name)
        is_per_symbol = values.shape[1] == batch.symbols.shape[1]
        curves[name] = timing.stretch(values.unsqueeze(-1)).squeeze(-1) if is_per_symbol else values
    return spoken, curves


@torch.no_grad()
def test_teacher_forcing_equals_the_training_path_where_the_truth_is_what_is_predicted(prepared, speaking):
    model = speaking.model
    items = [training_item(utterance, prepared.store, speaking) for utterance in prepared.utterances]
    batch = collate(items, MEL.silence)
    spoken, curves = teacher_forced(model, batch)

    output = model(replace(batch, **curves))

    assert output.prosody.timing.durations.equal(spoken.durations)
    assert spoken.n_frames.tolist() == [item.spec.shape[1] for item in items]
    torch.testing.assert_close(output.refined, spoken.spec, atol=1e-6, rtol=0)
    with_truth = model(batch)
    assert (with_truth.refined - spoken.spec).abs().max() > 0.01  # the recordings' own prosody is another


def test_matching_trains_on_the_very_numbers_that_teacher_forcing_gives(prepared, speaking):
    produced = dict(teacher_forced_specs(prepared.utterances, prepared.store, speaking, batch_size=2))
    write_produced_specs(prepared.utterances, prepared.store, speaking)

    for utterance in prepared.utterances:
        item = training_item(utterance, prepared.store, speaking)
        alone = speaking.model.teacher_force(collate([item], MEL.silence)).spec[0].T
        stored = prepared.store.load_produced_spec(utterance, MEL)
        torch.testing.assert_close(stored, produced[utterance], atol=1e-6, rtol=0)
        torch.testing.assert_close(stored, alone, atol=2e-5, rtol=0)


VOCODERS = {
    "v1": GeneratorConfig(n_mels=20, initial_channels=16),
    "istft": GeneratorConfig(
        n_mels=20,
        upsample_rates=(8, 8),
        upsample_kernels=(16, 16),
        initial_channels=16,
        istft_n_fft_samples=16,
    ),
}
SEGMENT_FRAMES = 32
REACH_FRAMES = (
    14  # a sample depends on no frame further away (3 by the first layer, 1 + 7.5 by the first stage, …)
)


def loaded_vocoder(config, path):
    """In training, and as synthesis loads it from the file that training has written."""
    torch.manual_seed(6)
    generator = Generator(config).train()
    description = Description(family="hifigan", sizes=sizes_of(config), spectrogram=MEL)
    return generator, load_model(save_model(path, generator, description))


def vocoder_items(prepared):
    return [
        VocoderItem(
            spec=prepared.store.load_spec(utterance, MEL),
            samples=prepared.store.load_audio(utterance, MEL).samples,
        )
        for utterance in prepared.utterances
    ]


def segments(items, n_passes):
    """Segments as training draws them, each with its utterance and the frame that it starts at."""
    dataset = SegmentDataset(items, MEL, segment_frames=SEGMENT_FRAMES, seed=3)
    for epoch in range(n_passes):
        for number, item in enumerate(items):
            segment = dataset[Key(number, epoch)]
            windows = item.spec.unfold(1, SEGMENT_FRAMES, 1).transpose(0, 1)
            (start,) = (windows == segment.spec).all(2).all(1).nonzero().flatten().tolist()
            yield segment, number, start


@torch.no_grad()
@pytest.mark.parametrize("config", VOCODERS.values(), ids=VOCODERS)
def test_a_segment_in_training_sounds_as_the_same_place_of_the_whole_utterance(prepared, tmp_path, config):
    generator, loaded = loaded_vocoder(config, tmp_path / "vocoder.safetensors")
    items = vocoder_items(prepared)
    whole = [vocode(item.spec, loaded).samples for item in items]
    objective = SpecToWavObjective(generator, tiny_discriminators(), MEL, Training(), {})
    inside = slice(REACH_FRAMES * HOP, (SEGMENT_FRAMES - REACH_FRAMES) * HOP)

    for segment, number, start in segments(items, n_passes=2):
        batch = vocoder_batch([segment], hop_samples=HOP, silence=MEL.silence)
        wave = objective.begin(batch, Progress())[0, 0]

        expected = whole[number][start * HOP : (start + SEGMENT_FRAMES) * HOP]
        loudest = expected.abs().max().item()
        assert loudest > 1e-3
        torch.testing.assert_close(wave[inside], expected[inside], atol=1e-5 * loudest, rtol=0)
        assert (wave - expected).abs().max() > 1e-2 * loudest  # near a cut it hears nothing beyond


def tiny_discriminators():
    return Discriminators(DiscriminatorConfig(width=1 / 64, periods=(2,), n_scales=1))


def test_a_perfect_generator_agrees_with_the_stored_specs_inside_every_segment(prepared):
    items = vocoder_items(prepared)
    inside = interior_frames(SEGMENT_FRAMES * HOP, MEL)
    assert inside == slice(2, 31)

    for segment, number, start in segments(items, n_passes=5):
        expected = items[number].samples[start * HOP : (start + SEGMENT_FRAMES) * HOP]
        assert segment.samples.equal(expected)
        of_segment = log_mel(segment.samples, MEL)
        difference = (of_segment - segment.spec)[:, inside].abs()
        assert difference.mean() < 1e-4
        shifted = (of_segment[:, 1:] - segment.spec[:, :-1]).abs().mean()
        assert shifted > 0.03  # one frame out of step


def test_a_perfect_generator_has_no_mel_loss_in_training_and_none_on_whole_utterances(prepared):
    objective = SpecToWavObjective(
        Generator(VOCODERS["istft"]), tiny_discriminators(), MEL, Training(adversarial_from_step=9), {}
    )
    items = vocoder_items(prepared)
    drawn = [segment for segment, _, _ in segments(items, n_passes=1)]
    batch = vocoder_batch(drawn, hop_samples=HOP, silence=MEL.silence)

    assert objective._generate(batch, batch.wave, Progress())["mel"].item() == 0.0
    for item in items:
        assert log_mel(item.samples, MEL).equal(item.spec)
