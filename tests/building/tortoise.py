"""A tiny pair of TorToiSe's networks: a dVAE, and a network that knows one text by a few voices."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from building.sounds import record, vowel
from retimbre.audio.files import load_audio
from retimbre.audio.mel import log_mel, tortoise_mel80
from retimbre.audio.tortoise_norms import tortoise_norms
from retimbre.models.tortoise_ar.config import Residual, UnifiedVoiceConfig
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_dvae.model import DiscreteVAE
from retimbre.text.bpe import Vocabulary

TEXT = "a bad cab."
N_VOICES = 6
N_CODES = 8
N_STEPS = 20
VOICE_SAMPLES = 132_300
MEL = tortoise_mel80(tortoise_norms())
DVAE = DvaeConfig(n_codes=N_CODES, codebook_dim=8, dim=8, n_resblocks=1)
AR = UnifiedVoiceConfig(
    n_layers=2,
    dim=64,
    n_conditioning_layers=2,
    n_codes=N_CODES + 2,
    n_symbol_positions=40,
    n_code_positions=60,
    start_code=N_CODES,
    stop_code=N_CODES + 1,
    dropout=0.0,
)


@dataclass(frozen=True, kw_only=True)
class Spoken:
    """The text by all voices: one recording each, and what the network reads of them."""

    recordings: tuple[Path, ...]
    dvae: Path
    voices: Tensor
    codes: Tensor


def spoken(folder: Path) -> Spoken:
    """Vowels of one second, and a dVAE whose entries are picked among their vectors, so that codes vary."""
    names = [f"voice{number}" for number in range(N_VOICES)]
    waves = {name: vowel(1.0, f0_hz=100 + 40 * n, seed=n) for n, name in enumerate(names)}
    record(folder, waves)
    recordings = tuple(folder / f"{name}.wav" for name in names)
    samples = torch.stack([load_audio(path).samples for path in recordings])
    torch.manual_seed(0)
    dvae, specs = DiscreteVAE(DVAE).eval(), log_mel(samples, MEL)
    with torch.no_grad():
        vectors = dvae.vectors(specs).transpose(1, 2).flatten(0, 1)
        dvae.codebook.embed.copy_(vectors[torch.randperm(len(vectors))[:N_CODES]].T)
        codes = dvae.encode(specs)
    torch.save(dvae.state_dict(), folder / "dvae.pth")
    voices = log_mel(functional.pad(samples, (0, VOICE_SAMPLES - samples.shape[1])), MEL)
    return Spoken(recordings=recordings, dvae=folder / "dvae.pth", voices=voices.unsqueeze(1), codes=codes)


def random_network(config: UnifiedVoiceConfig = AR, *, seed: int = 1) -> UnifiedVoice:
    """One whose attention is sharp, and whose vectors of the voices lie far apart, as after long training."""
    torch.manual_seed(seed)
    model = UnifiedVoice(config)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith(("qkv.weight", "c_attn.weight")):
                tensor.normal_(std=2 * config.dim**-0.5)
            elif name.endswith("proj_out.weight"):
                tensor.normal_(std=config.dim**-0.5)
            elif ".norm." in name:
                tensor.normal_()
            elif "embedding" in name:
                tensor.normal_(std=0.5)
    return model.eval()


def trained_network(material: Spoken, *, n_heads: int, residual: Residual, seed: int = 1) -> UnifiedVoice:
    """After some steps, it predicts the codes of each voice.

    Half of the codes that it sees are wrong, so that it must listen to the voice. The blocks that read the
    voice stay as they were drawn, but for what all voices have in common, which is taken away.
    """
    model = random_network(replace(AR, n_heads=n_heads, residual=residual), seed=seed)
    with torch.no_grad():
        shared = model.conditioning_latent(material.voices).mean(dim=0)
        model.conditioning_encoder.attn[-1].proj_out.bias.sub_(shared)
        voices = model.conditioning_latent(material.voices)
    symbols = model.framed_symbols(as_read(TEXT).expand(N_VOICES, -1))
    codes = model.framed_codes(material.codes)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(N_STEPS):
        is_wrong = torch.rand(codes.shape) < 0.5
        seen = torch.where(is_wrong, torch.randint(N_CODES, codes.shape), codes)
        loss = functional.cross_entropy(model(voices, symbols, seen).codes[:, :-1].mT, codes[:, 1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


def as_read(text: str) -> Tensor:
    """The symbols of a text, with the stop that TorToiSe adds itself."""
    return torch.tensor([[*Vocabulary.tortoise().encode(text), AR.stop_symbol]])


def saved(model: torch.nn.Module, path: Path) -> Path:
    """Its weights alone, as TorToiSe's files have them."""
    torch.save(model.state_dict(), path)
    return path
