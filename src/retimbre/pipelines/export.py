"""A vocoder without what only its training needs, in EveryVoice's format or in ours."""

from dataclasses import replace
from pathlib import Path

from retimbre.checkpoint.write import write_torch
from retimbre.errors import CheckpointError
from retimbre.models.explain import explain_file
from retimbre.models.kept import kept_text
from retimbre.models.load import ENDING, save_tensors
from retimbre.pipelines.everyvoice_files import everyvoice_checkpoint
from retimbre.pipelines.fit import other_stage


def export_spec_to_wav(checkpoint: Path, output: Path) -> Path:
    """Write the generator of a vocoder alone: to use, not to train on.

    Args:
        output: With the ending `.safetensors` in our format; else tensors and plain values, which EveryVoice
            reads as an exported checkpoint.

    Raises:
        CheckpointError: if the file would replace its own source, or EveryVoice knows no such vocoder.
    """
    _require_other_file(checkpoint, output)
    found = explain_file(checkpoint)
    if found.family.name != "hifigan":
        raise other_stage(checkpoint, found.family.name, found.family.stage, "spec-to-wav")
    if output.suffix == ENDING:
        described = replace(found.description, is_exported=True)
        return save_tensors(output, found.weights(), described, kept_text(found))
    content = everyvoice_checkpoint(found, generator_only=True)
    write_torch(output, content)
    return output


def _require_other_file(checkpoint: Path, output: Path) -> None:
    """Raise CheckpointError where writing `output` would destroy what is read."""
    if output.exists() and output.samefile(checkpoint):
        raise CheckpointError(f"{output} would be replaced by a part of itself", do="give another --output")
    if output.is_dir():
        raise CheckpointError(f"{output} is a folder", expected="the name of a file to write")
