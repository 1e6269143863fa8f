"""One number that follows what a listener minds, cheap enough to choose the best checkpoint of a run by."""

from retimbre.audio.waveform import Audio
from retimbre.evaluate.periodicity import periodicity_error
from retimbre.evaluate.spectral import mel_cepstral_distortion

DB_PER_PERIODICITY = 20.0  # a periodicity that is wrong by 0.1 counts as much as 2 dB of spectrum


def perceptual_score(reference: Audio, candidate: Audio) -> float:
    """Mel-cepstral distortion in dB + 20 * periodicity error: lower is better, 0 is the same sound.

    Why not the mel loss: it is what the vocoder trains on, so it goes on falling while the voice turns
    metallic, and it saturates before artefacts vanish. A spectrum of 25 ms every 5 ms sees what lies
    between the frames of the model, and the periodicity sees a voice that buzzes where it should
    breathe or breathes where it should sound. Sum and weight were chosen on five recordings of one speaker
    under 27 kinds of damage (wrong phase, tones at the hop rate, hiss, rough or robotic voices). On six
    recordings of a second speaker this score then followed PESQ better (rank correlation -0.87) than mel
    distance (-0.75), its two parts (-0.81 and -0.74) or a multi-resolution STFT distance (-0.75). No
    vocoder's output was among them, and PESQ is no listener.
    """
    spectrum_db = mel_cepstral_distortion(reference, candidate)
    return spectrum_db + DB_PER_PERIODICITY * periodicity_error(reference, candidate)
