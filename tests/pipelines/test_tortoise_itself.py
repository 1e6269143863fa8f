"""A sentence sounds as tortoise-tts itself makes it sound, from the same files, codes and noise."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from building.tortoise_itself import ask_tortoise, needs_tortoise
from building.tortoise_set import AR, tiny_tortoise_set
from retimbre.pipelines.tortoise import Drawn, pieces_of, sentences_of
from retimbre.pipelines.tortoise_set import tortoise_set as open_files
from retimbre.pipelines.tortoise_settings import settings_from
from retimbre.pipelines.tortoise_speaker import VoiceChoice, speaker_of
from retimbre.pipelines.tortoise_stages import Seeds

TEXT = "Hello there, Mr. Smith: you owe me $20.50 since 1999!"
TORTOISE = """
import importlib.util, json, sys, types, torch
if importlib.util.find_spec("progressbar") is None:
    sys.modules["progressbar"] = types.ModuleType("progressbar")
from safetensors.torch import load_file, save_file
from tortoise import api
from tortoise.models.autoregressive import UnifiedVoice
from tortoise.models.clvp import CLVP
from tortoise.models.diffusion_decoder import DiffusionTts
from tortoise.models.vocoder import UnivNetGenerator
from tortoise.utils.tokenizer import VoiceBpeTokenizer

case, given = json.load(open(sys.argv[1])), load_file(sys.argv[2])
def network(kind, name):
    kwargs, path, below = case["networks"][name]
    made, weights = kind(**kwargs), torch.load(path, weights_only=True)
    made.eval()
    made.load_state_dict(weights[below] if below else weights, strict=True)
    return made
ar, diffusion, clvp = network(UnifiedVoice, "ar"), network(DiffusionTts, "diffusion"), network(CLVP, "clvp")
vocoder = network(UnivNetGenerator, "vocoder")
vocoder.eval(inference=True)
text = torch.IntTensor(VoiceBpeTokenizer().encode(case["text"])).unsqueeze(0)
text = torch.nn.functional.pad(text, (0, 1))
codes = given["raw"]
codes = torch.nn.functional.pad(codes, (0, case["max_codes"] - codes.shape[1]), value=ar.stop_mel_token)
codes = torch.stack([api.fix_autoregressive_output(row, ar.stop_mel_token) for row in codes.clone()])
found = {"text": text.long(), "codes": codes}
generator = torch.Generator()
torch.randn = lambda *shape, real=torch.randn, device=None, dtype=None, **_: real(*shape, generator=generator)
torch.randn_like = lambda like: torch.randn(like.shape)
with torch.no_grad():
    found["scores"] = clvp(text.repeat(len(codes), 1), codes, return_loss=False)
    best = codes[found["scores"].argmax()].unsqueeze(0)
    latents = ar(
        given["auto"], text, torch.tensor([text.shape[-1]]), best,
        torch.tensor([best.shape[-1] * ar.mel_length_compression]), return_latent=True, clip_inputs=False,
    )
    n_silent = 0
    for place, code in enumerate(best[0].tolist()):
        n_silent = n_silent + 1 if code == 83 else 0
        if n_silent > 8:
            latents = latents[:, :place]
            break
    found["latents"] = latents.contiguous()
    diffuser = api.load_discrete_vocoder_diffuser(
        desired_diffusion_steps=case["n_steps"], cond_free=case["guidance"] > 0, cond_free_k=case["guidance"]
    )
    generator.manual_seed(case["spec_seed"])
    mel = api.do_spectrogram_diffusion(diffusion, diffuser, latents, given["diffusion"], verbose=False)
    found["spec"] = mel.contiguous()
    generator.manual_seed(case["sound_seed"])
    found["wave"] = vocoder.inference(mel).contiguous()
save_file(found, sys.argv[3])
"""


class All(Drawn):
    """Forgets none, so that they can be compared."""

    def choose(self, best):
        self.best = tuple(best)


@pytest.mark.slow
@needs_tortoise
@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_tortoise_itself_makes_the_same_sound(tmp_path, monkeypatch, guidance):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network = replace(AR, n_conditioning_layers=6)  # it knows no other number
    files = open_files(tiny_tortoise_set(tmp_path / "set", autoregressive=network))
    settings = settings_from("standard", n_drawn=6, n_steps=7, max_codes=90, guidance=guidance)
    speaker = speaker_of(files, VoiceChoice(), settings)
    (sentence,) = sentences_of(pieces_of(TEXT, files.vocabulary))
    drawn = All()
    (ours,) = speaker.spoken(sentence, settings, seed=3, drawn=drawn)

    theirs = by_tortoise(tmp_path, files, speaker.voice, drawn, settings, ours.number)

    assert theirs["text"][0, :-1].tolist() == list(sentence.readable.rows)
    assert theirs["codes"].equal(torch.stack([drawn.codes[number] for number in range(6)]))
    assert int(theirs["scores"].argmax()) == ours.number
    torch.testing.assert_close(theirs["scores"].max(), torch.tensor(ours.score), atol=1e-4, rtol=0)
    wave = theirs["wave"].flatten()
    assert len(ours.samples) == len(wave)
    torch.testing.assert_close(ours.samples, wave, atol=5e-4, rtol=0)
    assert wave.abs().max() > 0.01


def by_tortoise(folder, files, voice, drawn, settings, best):
    """What each stage of tortoise-tts makes of the same codes and noise."""
    raw = torch.stack([as_drawn(drawn, number) for number in range(settings.n_drawn)])
    save_file(
        {"raw": raw, "auto": voice.auto[None], "diffusion": voice.diffusion[None]},
        folder / "given.safetensors",
    )
    roles = {
        "ar": "text-to-codes",
        "diffusion": "codes-to-spec",
        "clvp": "ranking",
        "vocoder": "spec-to-wav",
    }
    networks = {
        name: [
            dict(files.reports[role].reference_kwargs),
            str(files.paths[role]),
            "model_g" if name == "vocoder" else None,
        ]
        for name, role in roles.items()
    }
    noise = {f"{each}_seed": Seeds(seed=3).noise(best, each).initial_seed() for each in ("spec", "sound")}
    case = {
        "networks": networks,
        "text": TEXT,
        "max_codes": settings.max_codes,
        "n_steps": settings.n_steps,
        "guidance": settings.guidance,
        **noise,
    }
    (folder / "case.json").write_text(json.dumps(case))
    ask_tortoise(
        TORTOISE, *(folder / name for name in ("case.json", "given.safetensors", "found.safetensors"))
    )
    return load_file(folder / "found.safetensors")


def as_drawn(drawn, number):
    """Before it got its end: whatever was silence behind the stop is stops again."""
    codes = drawn.codes[number].clone()
    if drawn.stopped[number]:
        tail = (codes.flip(0)[3:] != 83).int().argmax()
        codes[len(codes) - 3 - int(tail) :] = 257
    return codes
