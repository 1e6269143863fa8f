"""What fine-tuning a text-to-spec model minimises."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor, nn
from torch.utils.data import Dataset

from retimbre.models.description import Description
from retimbre.models.fastspeech2.batch import Batch, Item, collate
from retimbre.models.fastspeech2.loss import Distance, LossWeights, text_to_spec_losses
from retimbre.models.fastspeech2.model import FastSpeech2
from retimbre.models.load import save_model
from retimbre.recipe.training import Training
from retimbre.training.batching import Key
from retimbre.training.job import Job
from retimbre.training.objective import Progress, Turn, Verdict


def loss_weights(settings: Training) -> LossWeights:
    """What each loss counts, as a recipe says it."""
    weights = settings.loss
    return LossWeights(
        spec=weights.spec,
        postnet=weights.postnet,
        pitch=weights.pitch,
        energy=weights.energy,
        duration=weights.duration,
        attn_ctc=weights.attn_ctc,
        attn_bin=weights.attn_bin,
        spec_distance=Distance(weights.spec_distance),
        pitch_distance=Distance(weights.pitch_distance),
        energy_distance=Distance(weights.energy_distance),
        duration_distance=Distance(weights.duration_distance),
    )


class UtteranceDataset(Dataset[Item]):
    """Whole utterances, held in memory."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> Item:
        return self.items[key.item]


class TextToSpecObjective:
    """Spec, prosody and alignment losses of fastspeech2, in one turn."""

    def __init__(
        self, model: FastSpeech2, silence: float, settings: Training, validation: Mapping[str, Item]
    ) -> None:
        self.model = model
        self.silence, self.settings, self.validation = silence, settings, validation
        self.weights = loss_weights(settings)

    def parts(self) -> dict[str, nn.Module]:
        """The one model."""
        return {"model": self.model}

    def turns(self) -> tuple[Turn, ...]:
        """One optimiser over the trainable parameters."""
        return (Turn("model", self.model, self._losses),)

    def begin(self, batch: Batch, progress: Progress) -> None:
        """Nothing to share: there is one turn."""

    def _losses(self, batch: Batch, shared: None, progress: Progress) -> dict[str, Tensor]:
        return text_to_spec_losses(self.model(batch), batch, self.weights, self._binarisation(progress))

    def _binarisation(self, progress: Progress) -> float:
        """How much the alignment must be a hard one by now: from 0 to 1 between two steps."""
        first, full = self.settings.loss.attn_bin_from_step, self.settings.loss.attn_bin_full_step
        return min(max((progress.step - first) / max(full - first, 1), 0.0), 1.0)

    def validate(self, progress: Progress) -> Verdict:
        """Teacher-forced specs, as matching will make them, against the real ones."""
        self.model.eval()
        device = self.model.text_input_layer.weight.device
        distances, pictures = [], dict[str, Tensor]()
        sums: dict[str, float] = {}
        for name, item in self.validation.items():
            batch = collate([item], pad_spec=self.silence).to(device)
            spec = self.model.teacher_force(batch).spec[0].T
            distances.append(float((spec - batch.spec[0].T).abs().mean()))
            for loss, value in text_to_spec_losses(self.model(batch), batch, self.weights, 1.0).items():
                sums[loss] = sums.get(loss, 0.0) + float(value) / len(self.validation)
            if len(pictures) < 4:
                pictures |= {f"validation/{name}/real": item.spec, f"validation/{name}/produced": spec.cpu()}
        self.model.train()
        distance = sum(distances) / len(distances)
        return Verdict({"spec_distance": distance, **sums}, distance, pictures=pictures)


def text_to_spec_job(
    model: FastSpeech2,
    description: Description,
    settings: Training,
    *,
    training: Sequence[Item],
    validation: Mapping[str, Item],
) -> Job:
    """A text-to-spec model with its training items and validation utterances, ready for the loop."""
    silence = description.mel.silence

    def keep(path: Path, step: int) -> None:
        save_model(path, model, replace(description, step=description.step + step))

    return Job(
        objective=TextToSpecObjective(model, silence, settings, validation),
        dataset=UtteranceDataset(training),
        lengths=[item.spec.shape[1] for item in training],
        collate=partial(collate, pad_spec=silence),
        description=description,
        keep=keep,
        shown=("model/spec", "model/duration"),
    )
