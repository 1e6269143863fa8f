"""TortoiseMatch: what the steps of one match of TorToiSe's stages have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from retimbre.jobs.listener import Listener
from retimbre.matching.match import MatchRequest
from retimbre.matching.tortoise_files import MatchFiles
from retimbre.matching.tortoise_sound import specs_of
from retimbre.models.load import Loaded, load_model
from retimbre.pipelines.teacher_forced_latents import StoredLatents
from retimbre.pipelines.tortoise_roles import Role
from retimbre.pipelines.tortoise_target import Spec
from retimbre.recipe.recipe import Recipe
from retimbre.training.choice import Choice
from retimbre.training.tortoise_build import Ground, latents_for, sampling_of, voices_of
from retimbre.training.tortoise_material import Encoded, TortoiseMaterial


@dataclass(frozen=True, kw_only=True)
class TortoiseMatch:
    """What the steps of one match have in common.

    Args:
        judged: The held-out utterances that are measured on.
        how_many: Why so many.
    """

    request: MatchRequest
    files: MatchFiles
    material: TortoiseMaterial
    judged: tuple[Encoded, ...]
    how_many: Choice
    listener: Listener

    @property
    def recipe(self) -> Recipe:
        """As it was given, with the tuned file in its section."""
        return self.files.recipe

    @property
    def is_decoder(self) -> bool:
        """Is codes-to-spec matched? Else it is spec-to-wav."""
        return self.recipe.stage == "codes-to-spec"

    @property
    def seed(self) -> int:
        """Of whatever is drawn to measure."""
        return self.recipe.data.seed

    def base(self) -> Loaded:
        """What is matched, read anew."""
        return load_model(self.files.base)

    def on_device(self, path: Path) -> Loaded:
        """A network that only speaks."""
        return load_model(path, device=self.request.device)

    def ground(self, recipe: Recipe | None = None, *, beside: Mapping[Role, Path] | None = None) -> Ground:
        """What a job is built on, without its base.

        Args:
            beside: Other files than the tuned ones.
        """
        training = self.files.training
        files = replace(training, paths={**training.paths, **(beside or {})})
        return Ground(
            recipe=recipe or self.recipe,
            material=replace(self.material, files=files),
            base=None,
            listener=self.listener,
            device=str(self.request.device),
        )

    def latents(self, *, beside: Mapping[Role, Path] | None = None) -> StoredLatents:
        """Those of the judged utterances, by the tuned text-to-codes or by another one."""
        ground = self.ground(beside=beside)
        return latents_for(ground, self.on_device(ground.material.files.paths["text-to-codes"]), self.judged)

    def made_latents(self, *, beside: Mapping[Role, Path] | None = None) -> StoredLatents:
        """The same, where they have been made before."""
        sha256 = self.ground(beside=beside).material.files.sha256("text-to-codes")
        return StoredLatents(store=self.material.store, text_to_codes=sha256, seed=self.seed)

    def specs(self, decoder: Loaded, latents: StoredLatents) -> dict[str, Spec]:
        """What a decoder makes of the judged utterances."""
        return specs_of(
            self.judged,
            decoder,
            latents=latents,
            voices=voices_of(self.ground(), as_speaking=True),
            settings=sampling_of(self.recipe),
            seed=self.seed,
            listener=self.listener,
        )
