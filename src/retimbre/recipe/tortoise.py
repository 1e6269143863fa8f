"""The section `tortoise` of a recipe: the other files of the set, and what a voice is heard from."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from retimbre.recipe.section import FilePath, Section

FILES = ("models", "dvae", "text_to_codes", "codes_to_spec", "tokenizer")


class NewDvae(Section):
    """Sizes of a dVAE that is trained from scratch. A base brings its own."""

    n_codes: int = Field(8192, gt=1, description="Entries of the code book.")
    codebook_dim: int = Field(512, gt=0, description="Channels of an entry.")
    dim: int = Field(512, gt=0, description="Channels after the first layer; the second doubles them.")
    n_resblocks: int = Field(3, gt=0, description="Residual blocks on each side of the code book.")


class Tortoise(Section):
    """What training a stage of TorToiSe needs beside its base."""

    models: FilePath | None = Field(
        None, description="Folder with the other files of the set; none: that of the base."
    )
    dvae: FilePath | None = Field(None, description="Makes the codes; none: the one in that folder.")
    text_to_codes: FilePath | None = Field(
        None, description="Whose latents codes-to-spec learns from: the tuned one; none: that in the folder."
    )
    codes_to_spec: FilePath | None = Field(
        None, description="Whose specs spec-to-wav is matched to: the tuned one; none: that in the folder."
    )
    tokenizer: FilePath | None = Field(None, description="Text -> symbols; none: that of the set.")
    language: str = Field(
        "en", description="Of texts whose list names none: English is cleaned, others only made small."
    )
    trains_as: Literal["inference", "dlas"] = Field(
        "inference", description="What is computed: what speaking computes, or what DL-Art-School does."
    )
    n_clips: int = Field(2, gt=0, description="Recordings from which a voice is heard, drawn at each step.")
    hears_itself: bool = Field(
        False, description="A voice may be heard from the recording that is to be spoken."
    )
    part: Literal["all", "decoder"] | None = Field(
        None, description="What of a dVAE learns; none: the decoder of a base, all of a new one."
    )
    new_dvae: NewDvae = Field(NewDvae(), description="Only for wav-to-codes without a base.")
    sampled_steps: int = Field(
        30, gt=0, description="Diffusion steps of the specs that spec-to-wav is matched to."
    )

    def resolved_against(self, folder: Path) -> "Tortoise":
        """The same with every path made absolute, seen from `folder`."""
        given = {name: getattr(self, name) for name in FILES}
        return self.model_copy(
            update={name: folder / path for name, path in given.items() if path is not None}
        )
