"""What we hear in recordings is what tortoise-tts hears in them, with the reference networks.

`fixtures/tortoise/voices.json` holds latents that tortoise-tts 3.0.0 made of the recordings below by the
program below, with the networks of the parity fixtures `tortoise_ar` and `diffusion`. To make it again, set
TORTOISE_PYTHON and write down what `by_tortoise` gives.
"""

import json
from pathlib import Path

import pytest
import soundfile
import torch
from safetensors.torch import load_file

from building.tortoise_itself import ask_tortoise, needs_tortoise
from retimbre.audio.tortoise_norms import tortoise_norms
from retimbre.models.registry import FAMILIES
from retimbre.models.tortoise_random_latent.config import RandomLatentConfig
from retimbre.models.tortoise_random_latent.model import RandomLatent
from retimbre.pipelines import tortoise_voice_clips
from retimbre.pipelines.tortoise_voice_clips import clips_of
from retimbre.pipelines.tortoise_voice_files import save_voice, voice_from_file
from retimbre.pipelines.tortoise_voices import random_voice, voice_from_clips

FIXTURE = Path(__file__).parents[1] / "fixtures" / "tortoise" / "voices.json"
START = 4321  # of the six seconds that are heard of the long recording
TOLERANCE = 3e-5  # of the largest number: the filters that resample differ by 2e-5
TORTOISE = """
import importlib.util, json, sys, types, torch
if importlib.util.find_spec("progressbar") is None:
    sys.modules["progressbar"] = types.ModuleType("progressbar")
texts = types.ModuleType("tortoise.utils.tokenizer")  # reads texts, and wants further packages for that
texts.VoiceBpeTokenizer = None
sys.modules[texts.__name__] = texts
from tortoise import api
from tortoise.models.autoregressive import UnifiedVoice
from tortoise.models.diffusion_decoder import DiffusionTts
from tortoise.models.random_latent_generator import RandomLatentConverter
from tortoise.utils.audio import load_audio, load_voices

case = json.load(open(sys.argv[1]))
def network(kind, kwargs, path):
    made = kind(**kwargs).eval()
    made.load_state_dict(torch.load(path, weights_only=True), strict=True)
    return made
tts = object.__new__(api.TextToSpeech)
tts.device = "cpu"
tts.autoregressive = network(UnifiedVoice, *case["ar"])
tts.diffusion = network(DiffusionTts, *case["diffusion"])
def start(low, high):
    assert low <= case["start"] <= high
    return case["start"]
api.random.randint = start
found = {}
for name, paths in case["voices"].items():
    pair = tts.get_conditioning_latents([load_audio(path, 22050) for path in paths])
    found[name] = [latent[0].tolist() for latent in pair]
torch.manual_seed(case["seed"])
tts.rlg_auto, tts.rlg_diffusion = (network(RandomLatentConverter, *each) for each in case["random"])
torch.manual_seed(case["seed"])
found["random"] = [latent[0].tolist() for latent in tts.get_random_conditioning_latents()]
if "saved" in case:
    _, pair = load_voices(["saved"], [case["saved"]])
    found["saved"] = [latent[0].tolist() for latent in pair]
json.dump(found, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def networks(parity):
    """The reference's two networks that hear, ours, each with its folder."""
    made = {}
    for name, family in (("tortoise_ar", "tortoise_ar"), ("diffusion", "tortoise_diffusion")):
        weights = load_file(parity(name) / "weights.safetensors")
        known = json.loads((parity(name) / "meta.json").read_text())["kwargs"]
        of = next(each for each in FAMILIES if each.name == family)
        shapes = {key: tuple(tensor.shape) for key, tensor in weights.items()}
        config = of.config_from(shapes, {"heads": known.get("heads", known.get("num_heads"))}).config
        made[name] = of.build(config).eval()
        made[name].load_state_dict(weights)
    return made


@pytest.fixture(scope="module")
def voices(parity, tmp_path_factory):
    """Recordings of each voice: shorter and longer than six seconds, at four rates, mono and in floats."""
    folder = tmp_path_factory.mktemp("voices")
    io = load_file(parity("mel_tortoise") / "io.safetensors")
    low, high = io["wav_22050"][0], io["wav_24000"][0]
    waves = {
        "short": (low, 22050),
        "long": (low.repeat(5), 22050),
        "higher": (high, 24000),
        "twice": (low, 44100),
        "lower": (high, 16000),
    }
    for name, (wave, rate_hz) in waves.items():
        soundfile.write(folder / f"{name}.wav", wave.numpy(), rate_hz, subtype="FLOAT")
    paths = {name: [str(folder / f"{name}.wav")] for name in waves}
    return {**paths, "all": [path for each in paths.values() for path in each]}


@pytest.fixture
def heard(networks, voices, monkeypatch):
    """What we hear: name of a voice -> latents."""
    monkeypatch.setattr(
        tortoise_voice_clips, "crop_start", lambda n_samples, **_: START if n_samples > 132_300 else 0
    )
    made = {
        name: voice_from_clips(paths, ar=networks["tortoise_ar"], diffusion=networks["diffusion"], seed=1)
        for name, paths in voices.items()
    }
    return {name: (voice.auto, voice.diffusion) for name, voice in made.items()}


def require_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, latents in ours.items():
        for our, their in zip(latents, theirs[name], strict=True):
            scale = max(map(abs, their))
            assert float((our - torch.tensor(their)).abs().max()) <= TOLERANCE * scale, name


def test_latents_equal_those_that_tortoise_made(heard):
    require_same(heard, json.loads(FIXTURE.read_text()))


def test_specs_equal_the_frozen_ones(parity, voices):
    """As far as the frozen recording goes: its end is followed by silence here and mirrored there."""
    io = load_file(parity("mel_tortoise") / "io.safetensors")
    (clip,) = clips_of([Path(voices["short"][0])], seed=1)
    n_frames = (io["wav_22050"].shape[1] - 512) // 256

    assert clip.auto_spec().shape == (80, 517)
    assert clip.diffusion_spec().shape == (100, 401)
    logs = clip.auto_spec()[:, :n_frames] * torch.tensor(tortoise_norms()).unsqueeze(1)
    torch.testing.assert_close(logs, io["mel80_log"][0, :, :n_frames], atol=1e-4, rtol=0)
    resampled = io["resampled_22k_to_24k"][0]
    torch.testing.assert_close(clip.for_diffusion[: len(resampled)], resampled, atol=2e-5, rtol=0)
    assert not clip.for_diffusion[len(resampled) :].any()


@pytest.mark.slow
@needs_tortoise
def test_tortoise_itself_hears_the_same_and_reads_our_files(tmp_path, parity, networks, voices, heard):
    """The voice that is saved for it is read by its own code, from a folder of that name."""
    generators = []
    for dim in (12, 20):
        torch.manual_seed(dim)
        generators.append(RandomLatent(RandomLatentConfig(dim=dim)).eval())
    short = voice_from_clips(
        voices["short"], ar=networks["tortoise_ar"], diffusion=networks["diffusion"], seed=1
    )
    save_voice(short, tmp_path / "voices" / "saved" / "latents.pth")

    theirs = by_tortoise(tmp_path, parity, networks, voices, generators)

    saved = voice_from_file(tmp_path / "voices" / "saved" / "latents.pth")
    random = random_voice(*generators, seed=5)
    for name, voice in (("saved", saved), ("random", random)):
        for our, their in zip((voice.auto, voice.diffusion), theirs.pop(name), strict=True):
            torch.testing.assert_close(our, torch.tensor(their), atol=1e-6, rtol=1e-5)
    require_same(heard, theirs)


def by_tortoise(folder, parity, networks, voices, generators):
    """Latents of each voice as tortoise-tts makes them."""
    case = {"voices": voices, "start": START, "seed": 5, "saved": str(folder / "voices"), "random": []}
    for key, name in (("ar", "tortoise_ar"), ("diffusion", "diffusion")):
        torch.save(networks[name].state_dict(), folder / f"{name}.pth")
        kwargs = json.loads((parity(name) / "meta.json").read_text())["kwargs"]
        case[key] = [kwargs, str(folder / f"{name}.pth")]
    for number, generator in enumerate(generators):
        torch.save(generator.state_dict(), folder / f"random{number}.pth")
        case["random"].append([{"channels": generator.config.dim}, str(folder / f"random{number}.pth")])
    (folder / "case.json").write_text(json.dumps(case))
    ask_tortoise(TORTOISE, folder / "case.json", folder / "found.json")
    return json.loads((folder / "found.json").read_text())
