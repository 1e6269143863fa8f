"""The door to Lightning Fabric: devices, precision, several processes."""

import logging
from typing import TYPE_CHECKING

from retimbre.errors import MissingExtra

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(*, precision: str, accelerator: str = "auto") -> "Fabric":
    """A launched Fabric, or an error that says what to install."""
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise MissingExtra("Training", extra="train") from error
    # Fabric tells which precision it uses at every start; the recipe says it already.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(accelerator=accelerator, devices=1, precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric
