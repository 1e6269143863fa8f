"""The door to Lightning Fabric: devices, precision, several processes."""

from typing import TYPE_CHECKING

from retimbre.errors import MissingExtra

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(*, precision: str, accelerator: str = "auto", devices: str = "1") -> "Fabric":
    """A launched Fabric, or an error that says what to install."""
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingExtra("Training", extra="train") from error
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric
