"""Misfit, delay and scores of a vocoder that speaks at twice the rate that it hears."""

from dataclasses import replace

import pytest
import soundfile
import torch

from retimbre.audio.mel import mel_librosa
from retimbre.audio.waveform import Audio
from retimbre.data.prepare import prepare
from retimbre.data.store import Store
from retimbre.evaluate.free_running import FreeRunningJudge
from retimbre.jobs.listener import Silent
from retimbre.matching import judge, misfit
from retimbre.matching.judge import Contestant, compare, delay_of
from retimbre.matching.misfit import measure_misfit
from retimbre.models.hifigan.model import Generator
from retimbre.pipelines.delay import advanced
from retimbre.pipelines.everyvoice import vocode
from retimbre.report.contents import System

MEL = mel_librosa(n_mels=20)
LATE = 600  # samples of the output


@pytest.fixture
def wide(material, tmp_path):
    """The same material with recordings at 44,100 Hz."""
    recordings = tmp_path / "wide"
    recordings.mkdir()
    for utterance in material.utterances:
        audio = material.store.load_audio(utterance, MEL)
        noise = 0.003 * torch.randn(2 * audio.n_samples, generator=torch.Generator().manual_seed(1))
        samples = audio.samples.repeat_interleave(2) * 0.5 + noise
        soundfile.write(recordings / f"{utterance.basename}.wav", samples.numpy(), 44100)
    store = Store(tmp_path / "both")
    prepare(material.utterances, recordings, store, mel=MEL, output_mel=MEL.at_rate(44100), n_workers=1)
    for utterance in material.utterances:
        store.write_produced_spec(utterance, store.load_spec(utterance, MEL) + 0.3, MEL)
    return replace(material, store=store, output_sample_rate_hz=44100)


@pytest.fixture
def speaker(vocoder):
    """A vocoder that answers a frame with 512 samples."""
    torch.manual_seed(3)
    config = replace(vocoder.model.config, upsample_rates=(8, 8, 2), upsample_kernels=(16, 16, 4))
    described = replace(vocoder.description, output_sample_rate_hz=44100)
    return replace(vocoder, model=Generator(config).eval(), description=described)


@pytest.fixture
def late(wide, monkeypatch):
    """Every vocoder answers with the recording itself, 600 samples late."""
    by_frames = {wide.n_frames(u): u for u in wide.held_out}

    def answer(spec, loaded):
        recording = wide.store.load_audio(by_frames[spec.shape[1]], wide.output_mel)
        return advanced(recording, -LATE)

    monkeypatch.setattr(judge, "vocode", answer)


def test_a_delay_is_counted_in_samples_of_the_output(wide, speaker, late):
    delay = delay_of(speaker, wide)

    assert delay.n_samples == LATE
    assert delay.is_clear(wide.output_mel.hop_samples)


def test_systems_are_compared_and_heard_at_the_rate_of_the_output(wide, speaker, late, monkeypatch):
    def forced(utterances, store, loaded):
        return [(u, store.load_spec(u, MEL)) for u in utterances]

    monkeypatch.setattr(judge, "teacher_forced_specs", forced)
    monkeypatch.setattr(judge, "_spec_of", lambda u, loaded: wide.store.load_spec(u, MEL))
    monkeypatch.setattr(judge, "free_running_judge", lambda heard, held_out: FreeRunningJudge())
    system = System(name="late", description="late")
    real = System(name="real", description="real")
    found = compare(
        wide, real, [Contestant(system=system, text_to_spec=speaker, vocoder=speaker)], listener=Silent()
    )

    assert found.delays_samples == {"late": LATE}
    for measure in found.scores.measures:
        if measure.key in ("mcd", "mel_distance"):
            assert found.scores.mean(measure, "late") < 0.5
    heard = found.spoken[0].audio
    assert {audio.sample_rate_hz for audio in heard.values()} == {44100}
    assert isinstance(heard["real"], Audio)


def test_the_misfit_is_measured_at_the_rate_of_the_output(wide, speaker, monkeypatch):
    rates = []

    def counted(spec, loaded):
        audio = vocode(spec, loaded)
        rates.append(audio.sample_rate_hz)
        return audio

    monkeypatch.setattr(misfit, "vocode", counted)
    found = measure_misfit(wide, speaker, wide.held_out)

    assert found.spec_distance == pytest.approx(0.3, abs=1e-4)
    assert set(rates) == {44100}
