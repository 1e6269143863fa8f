"""What training an autoencoder of specs minimises: all of a new one, or the decoder of a known one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.data import Dataset

from retimbre.models.description import Description
from retimbre.models.load import save_model
from retimbre.models.tortoise_dvae.batch import (
    DvaeBatch,
    DvaeItem,
    collate,
    compared_frames,
    cut,
    frames_per_code,
    n_starts,
)
from retimbre.models.tortoise_dvae.codebook import perplexity
from retimbre.models.tortoise_dvae.config import DvaeConfig
from retimbre.models.tortoise_dvae.loss import Learnt, decoder_loss, there_and_back
from retimbre.models.tortoise_dvae.model import DiscreteVAE
from retimbre.recipe.training import Training
from retimbre.training.batching import Key, item_random
from retimbre.training.freezing import freeze
from retimbre.training.job import Job
from retimbre.training.objective import Parts, Progress, Turn, Verdict

Part = Literal["all", "decoder"]


class SpecDataset(Dataset[DvaeItem]):
    """Random segments of recordings, the place drawn anew in every pass; shorter ones come whole."""

    def __init__(
        self, items: Sequence[DvaeItem], config: DvaeConfig, *, segment_frames: int, seed: int
    ) -> None:
        self.items, self.config = items, config
        self.segment_frames, self.seed = segment_frames, seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> DvaeItem:
        item = self.items[key.item]
        place = int(item_random(self.seed, key).integers(n_starts(item, self.segment_frames, self.config)))
        step = 1 if item.codes is None else frames_per_code(self.config)
        return cut(item, place * step, self.segment_frames, self.config)


class WavToCodesObjective:
    """The spec through the code book, in one turn; the book moves when it has seen the whole batch."""

    def __init__(
        self,
        model: DiscreteVAE,
        band_divisors: Sequence[float],
        settings: Training,
        validation: Mapping[str, DvaeItem],
        *,
        part: Part,
        revives: bool = True,
    ) -> None:
        self.model, self.settings, self.validation = model, settings, validation
        self.part, self.revives = part, revives
        self.band_divisors = torch.tensor(band_divisors or [1.0]).unsqueeze(1)  # -> log-mels
        self._seen: list[Learnt] = []

    def parts(self) -> dict[str, nn.Module]:
        """The one model; its code book is saved with it."""
        return {"model": self.model}

    def turns(self) -> tuple[Turn, ...]:
        """One optimiser over the trainable parameters."""
        return (Turn("model", self.model, self._losses),)

    def begin(self, batch: DvaeBatch, progress: Progress) -> None:
        """Nothing to share: there is one turn."""
        self._seen.clear()

    def _losses(self, batch: DvaeBatch, shared: None, progress: Progress) -> dict[str, Tensor]:
        weights = self.settings.loss
        if self.part == "decoder":
            return {"reconstruction": weights.reconstruction * decoder_loss(self.model, batch)}
        learnt = there_and_back(self.model, batch)
        self._move_entries(learnt, batch.n_codes_in_all)
        return {
            "reconstruction": weights.reconstruction * learnt.reconstruction,
            "commitment": weights.commitment * learnt.commitment,
        }

    def _move_entries(self, learnt: Learnt, n_codes_in_all: int) -> None:
        """Once for all parts of a batch, so that all of them read the same code book."""
        self._seen.append(learnt)
        codes = torch.cat([one.codes for one in self._seen])
        if len(codes) < n_codes_in_all:
            return
        vectors = torch.cat([one.vectors for one in self._seen])
        self._seen.clear()
        self.model.codebook.learn(vectors, codes, revives=self.revives)

    def validate(self, progress: Progress) -> Verdict:
        """Whole recordings through codes, as they will be used; the mean difference of log-mels decides."""
        codebook, n_mels = self.model.codebook, self.model.config.n_mels
        picks = torch.zeros(len(codebook.cluster_size))
        total, n_frames = 0.0, 0
        pictures: dict[str, Tensor] = {}
        for name, item in self.validation.items():
            codes, decoded = self._through_codes(item)
            spec = item.spec[:, : decoded.shape[1]] * self.band_divisors
            total += float((decoded - spec).abs().sum())
            n_frames += spec.shape[1]
            picks += torch.bincount(codes, minlength=len(picks))
            if len(pictures) < 4:
                pictures |= {f"validation/{name}/real": spec, f"validation/{name}/produced": decoded}
        distance = total / (n_frames * n_mels)
        measures = {
            "mel_distance": distance,
            "used_share": float((picks > 0).float().mean()),
            "perplexity": perplexity(picks),
            "training_perplexity": perplexity(codebook.cluster_size.cpu()),
        }
        return Verdict(measures, distance, pictures=pictures)

    @torch.no_grad()
    def _through_codes(self, item: DvaeItem) -> tuple[Int[Tensor, "codes"], Float[Tensor, "mels frames"]]:
        """The codes of a recording, and the log-mels that they become where there is something to compare."""
        self.model.eval()
        spec = item.spec.unsqueeze(0).to(self.model.codebook.embed.device)
        codes = self.model.encode(spec)
        decoded = self.model.decode(codes)[0].float().cpu()
        self.model.train()
        return codes[0].cpu(), decoded[:, : compared_frames(self.model.config, item.n_frames)] * (
            self.band_divisors
        )


def wav_to_codes_job(
    model: DiscreteVAE,
    description: Description,
    settings: Training,
    *,
    training: Sequence[DvaeItem],
    validation: Mapping[str, DvaeItem],
    part: Part,
) -> Job:
    """An autoencoder with its specs, ready for the loop.

    Args:
        training: Whole recordings; segments of `settings.segment_frames` are cut from them. Where the decoder
            learns alone, codes that they lack are made once, here.
        part: `decoder`: encoder and code book stay as they are, bit for bit.
    """
    if part == "decoder":
        freeze(model, ("encoder",), key="tortoise.part")
        training = [_with_codes(model, item) for item in training]
    else:
        training = [replace(item, codes=None) for item in training]
    config = model.config

    def keep(path: Path, step: int) -> None:
        save_model(path, model, replace(description, step=description.step + step))

    return Job(
        objective=WavToCodesObjective(model, description.mel.band_divisors, settings, validation, part=part),
        dataset=SpecDataset(training, config, segment_frames=settings.segment_frames, seed=settings.seed),
        lengths=[min(item.n_frames, settings.segment_frames) for item in training],
        collate=partial(_collate, config=config, n_parts=settings.batch_parts),
        description=description,
        keep=keep,
        shown=("model/reconstruction",),
    )


def _collate(items: Sequence[DvaeItem], *, config: DvaeConfig, n_parts: int) -> Parts:
    return Parts(collate(items, config, n_parts=n_parts))


@torch.no_grad()
def _with_codes(model: DiscreteVAE, item: DvaeItem) -> DvaeItem:
    if item.codes is not None:
        return item
    spec = item.spec.unsqueeze(0).to(model.codebook.embed.device)
    return replace(item, codes=model.encode(spec)[0].cpu())
