"""What all parts of a recipe have in common."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer

FilePath = Annotated[Path, PlainSerializer(str)]


class Section(BaseModel):
    """A part of a recipe: frozen, and no unknown word passes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
