"""Train the English letter-to-sound model on the lexicon of the g2p library; score it on words it never saw.

    python benchmarks/make_letter_to_sound.py            # about ten minutes on one core; writes the weights
    python benchmarks/make_letter_to_sound.py --score    # only measure the weights that ship

The lexicon is the CMU Pronouncing Dictionary in IPA without stress, each letter aligned with its phones. One
word in twenty, chosen by a checksum of its spelling, is held out of the training and gives the score.
"""

import argparse
import json
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import g2p
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from retimbre.text.ipa import split_ipa
from retimbre.text.letter_to_sound import LETTERS, WEIGHTS, LetterToSound, letter_rows, sound_out

LEXICON = Path(g2p.__file__).parent / "mappings" / "langs" / "eng" / "cmudict.ipa.aligned.txt"
TARGET = Path(__file__).resolve().parents[1] / "src" / "retimbre" / "text" / WEIGHTS
BATCH_LETTERS = 2048
IGNORED = -100
Chunks = tuple[str, ...]  # one for each letter of a word


def chunks_of(line: str) -> tuple[str, Chunks]:
    """One line of the lexicon -> the word and what each of its letters stands for.

    Phones without a letter go to the letter before them, or to the first one.
    """
    word, chunks, waiting = "", [], ""
    for unit in line.split():
        letters, phones = (part.replace("_", "").replace("|", "") for part in unit.split("}"))
        if letters:
            chunks += [waiting + phones, *[""] * (len(letters) - 1)]
            waiting = ""
        elif chunks:
            chunks[-1] += phones
        else:
            waiting = phones
        word += letters
    return word, tuple(chunks)


def lexicon() -> dict[str, Chunks]:
    """Words of two or more plain letters with a vowel among them: the others are spelled, not read."""
    entries = map(chunks_of, LEXICON.read_text(encoding="utf-8").splitlines())
    return {
        word: chunks
        for word, chunks in entries
        if len(word) > 1 and set(word) <= set(LETTERS) and set(word) & set("aeiouy")
    }


def is_held_out(word: str) -> bool:
    """One word in twenty."""
    return zlib.crc32(word.encode()) % 20 == 0


def inventory(entries: dict[str, Chunks], least: int = 5) -> tuple[str, ...]:
    """All chunks that occur often enough to be learned."""
    counts = Counter(chunk for chunks in entries.values() for chunk in chunks)
    return tuple(sorted(chunk for chunk, n in counts.items() if n >= least))


def batches(
    entries: Sequence[tuple[str, Chunks]], row_of: dict[str, int], noise: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """(letters, chunks) in random order, words of one length together: no padding."""
    by_length: dict[int, list[tuple[str, Chunks]]] = {}
    for entry in entries:
        by_length.setdefault(len(entry[0]), []).append(entry)
    groups = []
    for length, same in by_length.items():
        order = torch.randperm(len(same), generator=noise).tolist()
        n_words = max(1, BATCH_LETTERS // length)
        groups += [
            [same[i] for i in order[first : first + n_words]] for first in range(0, len(same), n_words)
        ]
    for i in torch.randperm(len(groups), generator=noise).tolist():
        letters = torch.tensor([letter_rows(word) for word, _ in groups[i]])
        yield letters, torch.tensor([[row_of.get(c, IGNORED) for c in chunks] for _, chunks in groups[i]])


def train(entries: dict[str, Chunks], chunks: tuple[str, ...], *, n_epochs: int) -> LetterToSound:
    """The network after `n_epochs`; its learning rate rises and falls once."""
    model = LetterToSound(n_chunks=len(chunks)).train()
    row_of = {chunk: row for row, chunk in enumerate(chunks)}
    noise = torch.Generator().manual_seed(1)
    words = list(entries.items())
    n_steps = n_epochs * sum(1 for _ in batches(words, row_of, torch.Generator()))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=4e-3, total_steps=n_steps, pct_start=0.15
    )
    started = time.monotonic()
    for epoch in range(n_epochs):
        total, n_batches = 0.0, 0
        for letters, wanted in batches(words, row_of, noise):
            loss = nn.functional.cross_entropy(model(letters), wanted, ignore_index=IGNORED)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total, n_batches = total + loss.item(), n_batches + 1
        print(
            f"epoch {epoch + 1}: loss {total / n_batches:.4f}, {time.monotonic() - started:.0f} s", flush=True
        )
    return model.eval()


def errors_between(said: Sequence[str], right: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions."""
    row = list(range(len(right) + 1))
    for i, symbol in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (symbol != other))
    return row[-1]


def score(entries: dict[str, Chunks]) -> dict[str, float]:
    """How the weights that lie in the package do on the words that were held out."""
    n_right = n_errors = n_phones = 0
    for word, chunks in entries.items():
        said, right = split_ipa(sound_out(word)), split_ipa("".join(chunks))
        n_right += said == right
        n_errors += errors_between(said, right)
        n_phones += len(right)
    return {
        "held_out_words": len(entries),
        "words_right_percent": round(100 * n_right / len(entries), 1),
        "phone_error_rate_percent": round(100 * n_errors / n_phones, 1),
    }


def write(model: LetterToSound, chunks: tuple[str, ...], measured: dict[str, float]) -> None:
    """The weights in half precision, with their story."""
    story = {
        "what": "English letter-to-sound model of Retimbre, made by benchmarks/make_letter_to_sound.py",
        "trained_on": f"the English lexicon of g2p {version('g2p')}: the CMU Pronouncing Dictionary",
        "licence": "BSD-2-Clause, Copyright (C) 1993-2015 Carnegie Mellon University; see NOTICE",
        "chunks": json.dumps(chunks, ensure_ascii=False),
        "score": json.dumps(measured),
    }
    save_file(
        {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}, TARGET, story
    )
    TARGET.chmod(0o644)  # it was written for its owner alone


def main() -> None:
    """Train, write, measure, and write the score beside the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--score", action="store_true", help="measure the weights that ship; train nothing")
    parser.add_argument("--epochs", type=int, default=14, help="passes over the lexicon")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    entries = lexicon()
    held_out = {word: chunks for word, chunks in entries.items() if is_held_out(word)}
    if not options.score:
        rest = {word: chunks for word, chunks in entries.items() if word not in held_out}
        chunks = inventory(rest)
        print(f"{len(rest)} words to learn from, {len(held_out)} held out, {len(chunks)} chunks", flush=True)
        model = train(rest, chunks, n_epochs=options.epochs)
        write(model, chunks, {})
        write(model, chunks, score(held_out))
    print(score(held_out))


if __name__ == "__main__":
    main()
