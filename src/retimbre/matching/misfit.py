"""How far what the text-to-spec model produces lies from real specs, and what that costs the vocoder."""

from collections.abc import Sequence
from dataclasses import dataclass

from retimbre.data.utterance import Utterance
from retimbre.evaluate.spectral import mel_cepstral_distortion
from retimbre.models.load import Loaded
from retimbre.pipelines.everyvoice import vocode
from retimbre.training.material import Material

SMALL_SPEC_DISTANCE = 0.05  # log-mel; about what 16-bit rounding and a resampling change
SMALL_LOSS_DB = 0.1  # MCD; below what paired intervals on a dozen utterances resolve


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Means over the held-out utterances.

    Args:
        spec_distance: Mean absolute difference of produced and real log-mels.
        mcd_on_real_db: Mel-cepstral distortion of the vocoder on real specs.
        mcd_on_produced_db: The same on produced ones.
    """

    spec_distance: float
    mcd_on_real_db: float
    mcd_on_produced_db: float

    @property
    def loss_db(self) -> float:
        """What the vocoder loses on produced specs."""
        return self.mcd_on_produced_db - self.mcd_on_real_db

    @property
    def can_help(self) -> bool:
        """Is there anything that matching could win back?"""
        return self.spec_distance > SMALL_SPEC_DISTANCE and self.loss_db > SMALL_LOSS_DB

    @property
    def sentence(self) -> str:
        """What was found, for a person."""
        facts = (
            f"produced specs lie {self.spec_distance:.2f} from real ones (mean log-mel difference); "
            f"on them the vocoder loses {self.loss_db:.1f} dB MCD "
            f"({self.mcd_on_real_db:.1f} → {self.mcd_on_produced_db:.1f})"
        )
        verdict = "matching can help" if self.can_help else "matching has little to win back"
        return f"{facts}: {verdict}"


def measure_misfit(material: Material, vocoder: Loaded, utterances: Sequence[Utterance]) -> Misfit:
    """Compare produced with real specs of `utterances`, and the vocoder on both."""
    distances, on_real, on_produced = [], [], []
    for utterance in utterances:
        real = material.store.load_spec(utterance, material.mel)
        produced = material.store.load_produced_spec(utterance, material.mel)
        recording = material.store.load_audio(utterance, material.output_mel)
        distances.append(float((produced - real).abs().mean()))
        on_real.append(mel_cepstral_distortion(recording, vocode(real, vocoder)))
        on_produced.append(mel_cepstral_distortion(recording, vocode(produced, vocoder)))
    n = len(utterances)
    return Misfit(
        spec_distance=sum(distances) / n,
        mcd_on_real_db=sum(on_real) / n,
        mcd_on_produced_db=sum(on_produced) / n,
    )
