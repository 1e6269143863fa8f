"""Candidates on disk: what is drawn is kept until all is spoken, so that a job which is stopped goes on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from retimbre.checkpoint.read import Contents, read
from retimbre.checkpoint.write import write_safetensors
from retimbre.errors import CheckpointError
from retimbre.pipelines.tortoise import Choice, Codes, Drawn

ENDING = ".candidates.safetensors"
KEY, BEST = "drawn_for", "best"


@dataclass(kw_only=True)
class KeptDrawn(Drawn):
    """Candidates of one sentence; each batch is written as soon as it is drawn."""

    store: "KeptCandidates"

    def add(self, numbers: Sequence[int], codes: Codes, stopped: Sequence[bool]) -> None:
        """Some more of them."""
        super().add(numbers, codes, stopped)
        self.store.write()

    def choose(self, best: Sequence[Choice]) -> None:
        """All are ranked."""
        super().choose(best)
        self.store.write()


@dataclass(kw_only=True)
class KeptCandidates:
    """Those of all sentences of a text.

    Args:
        path: Of the file; it is there only while a job is under way, or was stopped.
        facts: Whatever decides the candidates, as plain values: those that were drawn for other facts are not
            taken.
    """

    path: Path
    facts: Mapping[str, Any]
    sentences: dict[int, KeptDrawn] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A digest of the facts."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def read(self) -> str | None:
        """Take what is there from before; what to say if it is of no use, else None."""
        if not self.path.is_file():
            return None
        try:
            contents = read(self.path)
            if contents.metadata.get(KEY) != self.key:
                return f"{self.path.name} is of another text, voice, seed or setting: drawn anew"
            found = self._found(contents)
        except (CheckpointError, ValueError, KeyError) as error:
            return f"{self.path.name} cannot be used ({error}): drawn anew"
        self.sentences.update(found)
        return None

    def _found(self, contents: Contents) -> dict[int, KeptDrawn]:
        found: dict[int, KeptDrawn] = {}
        for name, row in contents.tensors.items():
            _, sentence, number = name.split(".")
            if row.ndim != 1 or len(row) < 2 or row.dtype != torch.int64:
                raise ValueError(f"{name} is no row of codes")
            drawn = found.setdefault(int(sentence), KeptDrawn(store=self))
            drawn.codes[int(number)], drawn.stopped[int(number)] = row[:-1].clone(), bool(row[-1])
        for each, best in json.loads(contents.metadata[BEST]).items():
            drawn = found[int(each)]
            drawn.best = tuple(Choice(int(number), score) for number, score in best)
            if any(choice.number not in drawn.codes for choice in drawn.best):
                raise ValueError(f"a candidate that was chosen for sentence {each} is not in it")
        return found

    def of(self, sentence: int) -> KeptDrawn:
        """The candidates of one sentence."""
        return self.sentences.setdefault(sentence, KeptDrawn(store=self))

    def write(self) -> None:
        """All of them."""
        tensors = {
            f"sentence.{sentence}.{number}": torch.cat(
                [codes, codes.new_tensor([int(drawn.stopped[number])])]
            )
            for sentence, drawn in self.sentences.items()
            for number, codes in drawn.codes.items()
        }
        best = {
            str(sentence): [[choice.number, choice.score] for choice in drawn.best]
            for sentence, drawn in self.sentences.items()
            if drawn.best
        }
        if tensors:
            write_safetensors(self.path, tensors, {KEY: self.key, BEST: json.dumps(best)})

    def remove(self) -> None:
        """Everything is spoken."""
        self.path.unlink(missing_ok=True)
