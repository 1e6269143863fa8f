"""Every model family we know. To add one: add its folder, then one line here."""

from retimbre.errors import UnknownFamily
from retimbre.models.family import Family, Shapes
from retimbre.models.fastspeech2 import FASTSPEECH2
from retimbre.models.hifigan import HIFIGAN

FAMILIES: tuple[Family, ...] = (FASTSPEECH2, HIFIGAN)


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
