"""Every model family we know. To add one: add its folder, then one line here."""

from retimbre.errors import UnknownFamily
from retimbre.models.family import Family, Shapes
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.hifigan import HIFIGAN
from retimbre.models.tortoise_ar import TORTOISE_AR
from retimbre.models.tortoise_clvp import TORTOISE_CLVP
from retimbre.models.tortoise_cvvp import TORTOISE_CVVP
from retimbre.models.tortoise_diffusion import TORTOISE_DIFFUSION
from retimbre.models.tortoise_dvae import TORTOISE_DVAE
from retimbre.models.tortoise_hifigan import TORTOISE_HIFIGAN
from retimbre.models.tortoise_random_latent import TORTOISE_RANDOM_LATENT
from retimbre.models.univnet import UNIVNET

FAMILIES: tuple[Family, ...] = (
    FASTSPEECH2,
    HIFIGAN,
    TORTOISE_AR,
    TORTOISE_CLVP,
    TORTOISE_CVVP,
    TORTOISE_DIFFUSION,
    TORTOISE_DVAE,
    TORTOISE_HIFIGAN,
    TORTOISE_RANDOM_LATENT,
    UNIVNET,
)


def family_of(shapes: Shapes) -> Family:
    """The one family whose tensors these are."""
    matches = [family for family in FAMILIES if family.fits(shapes)]
    if len(matches) == 1:
        return matches[0]
    if not shapes:
        raise UnknownFamily("there are no weights in it")
    names = ", ".join(family.name for family in matches or FAMILIES)
    first = ", ".join(ascii(name)[1:-1][:60] for name in sorted(shapes)[:3])
    raise UnknownFamily(
        f"{'several families fit' if matches else 'no family fits'} these {len(shapes)} tensors",
        expected=f"one of {names}",
        found=f"tensors named {first}, …",
        do="see what 'retimbre inspect FILE' says about it",
    )
