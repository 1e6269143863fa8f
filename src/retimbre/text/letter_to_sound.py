"""English letter-to-sound: how a word that no lexicon has is most likely said.

Each letter, seen with its neighbours, gives one chunk: no phone, one, or several ("x" gives "ks"). A stack
of convolutions chooses the chunks of all letters at once. `benchmarks/make_letter_to_sound.py` trained it.

Axes used in this file:
    batch    words
    letters  letters of the longest word, padded
    dim      channels of the network
    chunks   what a letter can stand for, ordered as in the file with the weights
"""

import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import as_file, files

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor, nn

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WEIGHTS = "letter_to_sound_eng.safetensors"


class LetterToSound(nn.Module):
    """The letters of a word -> a score for each chunk at each letter."""

    def __init__(
        self, *, n_chunks: int, dim: int = 96, n_layers: int = 4, kernel: int = 5, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1 + len(LETTERS), dim, padding_idx=0)
        self.layers = nn.ModuleList(nn.Conv1d(dim, dim, kernel, padding="same") for _ in range(n_layers))
        self.dropout = nn.Dropout(dropout)
        self.to_chunk = nn.Conv1d(dim, n_chunks, 1)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "LetterToSound":
        """The trained network: its sizes are those of the tensors."""
        n_chunks, dim, _ = tensors["to_chunk.weight"].shape
        n_layers = sum(name.startswith("layers.") and name.endswith(".weight") for name in tensors)
        kernel = tensors["layers.0.weight"].shape[-1]
        model = cls(n_chunks=n_chunks, dim=dim, n_layers=n_layers, kernel=kernel)
        model.load_state_dict(dict(tensors))
        return model.eval()

    def forward(self, letters: Int[Tensor, "batch letters"]) -> Float[Tensor, "batch chunks letters"]:
        is_real = (letters > 0).unsqueeze(1)
        x = self.embedding(letters).transpose(1, 2)
        for layer in self.layers:
            # A bias makes padding non-zero, and the next kernel would read it: zeros mark the word's ends.
            x = x + layer(self.dropout(x.relu())) * is_real
        scores: Tensor = self.to_chunk(x.relu())
        return scores


def letter_rows(word: str) -> list[int]:
    """Embedding rows of a word of small letters a to z; row 0 is padding."""
    return [1 + LETTERS.index(letter) for letter in word]


@lru_cache(maxsize=10_000)
def sound_out(word: str) -> str:
    """What `word`, small letters a to z, is most likely said like, in the phones of the English lexicon."""
    if not word:
        return ""
    model, chunks = _trained()
    with torch.inference_mode():
        best = model(torch.tensor([letter_rows(word)]))[0].argmax(0)
    return "".join(chunks[row] for row in best.tolist())


@cache
def _trained() -> tuple[LetterToSound, tuple[str, ...]]:
    with as_file(files("retimbre.text") / WEIGHTS) as path, safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        chunks = tuple(json.loads(file.metadata()["chunks"]))
    return LetterToSound.from_tensors(tensors), chunks
