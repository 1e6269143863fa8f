"""What a match of TorToiSe's stages could win back, measured before anything is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retimbre.evaluate.spectral import mel_cepstral_distortion
from retimbre.matching.misfit import Misfit
from retimbre.matching.tortoise_sound import recorded, sound
from retimbre.models.load import Loaded
from retimbre.models.tortoise_diffusion.config import spec_of
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.pipelines.teacher_forced_latents import Latents
from retimbre.pipelines.tortoise_target import Spec
from retimbre.recipe.training import Training
from retimbre.training.objective import Progress
from retimbre.training.tortoise_diffusion import CodesToSpecObjective, LatentDataset, Measured
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial
from retimbre.training.tortoise_voices import TrainingVoices

SMALL_NOISE_PERCENT = 1.0  # of the noise's error; equal draws on both sides resolve less
SMALL_MEL_COST = 0.02  # nepers: a sixth of a decibel in each band


@dataclass(frozen=True, kw_only=True)
class DecoderError:
    """How wrong a decoder is on some latents: means over the utterances.

    Args:
        noise: Mean square error of the noise that it finds, at eight depths.
        mel: Mean absolute difference of a quick spec from the recording's, in nepers.
    """

    noise: float
    mel: float


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What it costs a decoder that the stage before it was tuned.

    Args:
        on_base: Its error on the latents that it was trained on.
        on_tuned: On those that it is given now.
    """

    on_base: DecoderError
    on_tuned: DecoderError

    @property
    def noise_cost_percent(self) -> float:
        """By how much the error of the noise has grown."""
        return 100 * (self.on_tuned.noise / self.on_base.noise - 1)

    @property
    def mel_cost(self) -> float:
        """By how much further quick specs lie from the recordings, in nepers."""
        return self.on_tuned.mel - self.on_base.mel

    @property
    def can_help(self) -> bool:
        """Is there anything that matching could win back?"""
        return self.noise_cost_percent > SMALL_NOISE_PERCENT or self.mel_cost > SMALL_MEL_COST

    @property
    def sentence(self) -> str:
        """What was found, for a person."""
        verdict = "matching can help" if self.can_help else "matching has little to win back"
        return (
            f"on latents of the tuned text-to-codes the decoder's error is {self.on_tuned.noise:.4f} instead "
            f"of {self.on_base.noise:.4f} on those of its base ({self.noise_cost_percent:+.1f} %), and "
            f"quick specs lie {self.on_tuned.mel:.3f} instead of {self.on_base.mel:.3f} nepers from the "
            f"recordings: {verdict}"
        )


@dataclass(frozen=True, kw_only=True)
class UnknownDrift:
    """Nobody knows what the tuned stage came from."""

    can_help: bool = True
    sentence: str = (
        "what text-to-codes was tuned from is not known, so what its drift costs the decoder cannot be "
        "measured (--base-spec-model FILE names it): matching may help"
    )


def decoder_error(
    decoder: DiffusionDecoder,
    utterances: Sequence[Encoded],
    material: TortoiseMaterial,
    settings: Training,
    *,
    latents: Latents[Encoded],
    voices: TrainingVoices,
) -> DecoderError:
    """Measured as validation measures: the same noise at the same depths, and a quick spec of each.

    Args:
        decoder: Is left in evaluation mode.
        settings: Of which the seed counts.
    """
    dataset = LatentDataset(
        utterances,
        material.store,
        spec_of(decoder.config),
        latents=latents,
        voices=voices,
        seed=settings.seed,
    )
    noises, mels = [], []
    for one in utterances:
        measured = Measured(item=dataset.validation_item(one), n_samples=one.n_samples)
        objective = CodesToSpecObjective(decoder, settings, {one.utterance.stem: measured}, learning=decoder)
        found = objective.validate(Progress()).measures
        noises.append(found["noise"])
        mels.append(found["mel_error"])
    decoder.eval()
    return DecoderError(noise=sum(noises) / len(noises), mel=sum(mels) / len(mels))


def vocoder_misfit(
    utterances: Sequence[Encoded],
    material: TortoiseMaterial,
    vocoder: Loaded,
    produced: Mapping[str, Spec],
    *,
    seed: int,
) -> Misfit:
    """How far produced specs lie from real ones, and what a vocoder loses on them.

    Args:
        produced: Stem of an utterance -> its spec.
        seed: Of the vocoder's noise.
    """
    distances: list[float] = []
    on_real: list[float] = []
    on_produced: list[float] = []
    for one in utterances:
        recording, real = recorded(one, material, vocoder)
        spec = produced[one.utterance.stem][:, : real.shape[1]]
        distances.append(float((spec - real[:, : spec.shape[1]]).abs().mean()))
        for each, found in ((real, on_real), (spec, on_produced)):
            generated = sound(each, vocoder, seed=seed, name=one.utterance.stem)
            found.append(mel_cepstral_distortion(recording, generated))
    n = len(utterances)
    return Misfit(
        spec_distance=sum(distances) / n,
        mcd_on_real_db=sum(on_real) / n,
        mcd_on_produced_db=sum(on_produced) / n,
    )
