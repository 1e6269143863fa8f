"""The networks of a TorToiSe set, each read when it is first needed and laid out for speaking."""

from typing import TypeVar

from torch import nn

from retimbre.errors import StagesDoNotFit
from retimbre.jobs.listener import Listener, Silent
from retimbre.models.tortoise_ar.model import UnifiedVoice
from retimbre.models.tortoise_clvp.model import CLVP
from retimbre.models.tortoise_diffusion.model import DiffusionDecoder
from retimbre.models.tortoise_hifigan.model import LatentDecoder
from retimbre.models.univnet.model import UnivNet
from retimbre.nn.packed import Precision
from retimbre.nn.packing import packed
from retimbre.pipelines.tortoise_roles import Role
from retimbre.pipelines.tortoise_set import TortoiseSet
from retimbre.pipelines.tortoise_voice_making import VoiceNetworks

LIKELY_ROWS = 512  # frames, or codes of several candidates, that are read at a time
Kind = TypeVar("Kind", bound=nn.Module)


def others_precision(precision: Precision) -> Precision:
    """Of the networks besides the autoregressive one: int8 weights gain nothing where many rows are read."""
    return "float32" if precision == "float32" else "bfloat16"


class Networks:
    """What a set speaks with.

    Args:
        files: Of the set.
        precision: Of the weights; the vocoder's are always of float32.
        rows: How many candidates are drawn at a time.
    """

    def __init__(
        self,
        files: TortoiseSet,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
        rows: int = 1,
        listener: Listener | None = None,
    ) -> None:
        self.files, self.device, self.precision, self.rows = files, device, precision, rows
        self._listener = listener or Silent()
        self._read: dict[Role, nn.Module] = {}
        self._ready: dict[Role, nn.Module] = {}

    @property
    def ar(self) -> UnifiedVoice:
        """Text and a voice -> codes and latents."""
        return self._of("text-to-codes", UnifiedVoice)

    @property
    def diffusion(self) -> DiffusionDecoder:
        """Latents -> spec."""
        return self._of("codes-to-spec", DiffusionDecoder)

    @property
    def vocoder(self) -> UnivNet:
        """Spec -> waveform."""
        return self._of("spec-to-wav", UnivNet)

    @property
    def latent_decoder(self) -> LatentDecoder:
        """Latents -> waveform, without a spec."""
        return self._of("codes-to-wav", LatentDecoder)

    @property
    def ranker(self) -> CLVP:
        """How well codes fit a text."""
        return self._of("ranking", CLVP)

    def for_voices(self, *, has_diffusion: bool) -> VoiceNetworks:
        """Those that voices are made with, in float32: a voice is the same whatever precision speaks."""
        return VoiceNetworks(load=self._plain, hash_of=self._identity, has_diffusion=has_diffusion)

    def _identity(self, role: Role) -> str:
        """What decides what a network hears: its weights, and what was stated of the autoregressive one."""
        stated = self.files.assume if role == "text-to-codes" else {}
        said = [f"{name}={value}" for name, value in sorted(stated.items())]
        return " ".join([self.files.sha256(role), *said])

    def _of(self, role: Role, kind: type[Kind]) -> Kind:
        if role not in self._ready:
            network = self._plain(role)
            del self._read[role]  # it is packed into other memory
            self._ready[role] = self._packed(network)
        network = self._ready[role]
        if not isinstance(network, kind):
            raise StagesDoNotFit(
                f"{self.files.paths[role].name} cannot play {role}",
                expected=kind.__name__,
                found=type(network).__name__,
            )
        return network

    def _plain(self, role: Role) -> nn.Module:
        """As it is in its file."""
        if role not in self._read:
            self._read[role] = self.files.load(role, device=self.device).model.requires_grad_(False)
            report = self.files.reports[role]
            size = _count(report.parameters)
            self._listener.say("Loaded", f"{report.path.name}: {role}, {size} parameters")
        return self._read[role]

    def _packed(self, network: nn.Module) -> nn.Module:
        """Laid out for speaking; from here on it can neither be trained nor saved."""
        precision = others_precision(self.precision)
        if isinstance(network, UnifiedVoice):
            network.pack(self.precision, rows=self.rows)
        elif isinstance(network, DiffusionDecoder | CLVP):
            return packed(network, precision, rows=LIKELY_ROWS)
        elif isinstance(network, UnivNet | LatentDecoder):
            network.remove_weight_norm()
        return network


def _count(n: int) -> str:
    return f"{n / 1e6:,.1f} M" if n >= 1e6 else f"{n / 1e3:,.1f} k"
