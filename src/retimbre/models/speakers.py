"""Another name for a speaker of a checkpoint: the weights stay, only the list of names changes."""

import json
from dataclasses import replace
from pathlib import Path

from retimbre.checkpoint.read import Contents, read
from retimbre.checkpoint.rename import rename_key
from retimbre.checkpoint.write import write_json, write_safetensors
from retimbre.data.utterance import Utterance
from retimbre.errors import CheckpointError
from retimbre.models.description import Description
from retimbre.models.explain import explain
from retimbre.models.load import ENDING, load_model, save_model
from retimbre.models.origin import METADATA_KEY

EVERYVOICE = ("hyper_parameters", "speaker2id")


def rename(path: Path, old: str, new: str, *, output: Path) -> Path:
    """Write the checkpoint at `path` to `output`, which may be the same, with another name for a speaker.

    A file of EveryVoice stays one, byte for byte but for this name; ours stays ours. With the ending
    `.safetensors` any of them becomes ours. Nobody ever sees half a file.

    Raises:
        CheckpointError: if there is no such speaker, the new name is taken, or the file has no names.
        DataError: if the new name cannot be in file names.
    """
    contents = read(path)
    described = explain(contents).description
    _require_possible(path, described, old, new)
    speakers = tuple(new if name == old else name for name in described.speakers)
    if METADATA_KEY in contents.metadata:
        return _rename_ours(contents, replace(described, speakers=speakers), output)
    if output.suffix == ENDING:
        loaded = load_model(path)
        return save_model(output, loaded.model, replace(described, speakers=speakers), loaded.discriminators)
    if contents.container != "torch-zip":
        raise CheckpointError(
            f"{path} is of a form that cannot be changed in place",
            expected="a file of torch 1.6 or newer",
            found=contents.container,
            do="write a file of ours instead: --output NAME.safetensors",
        )
    rename_key(path, output, at=EVERYVOICE, old=old, new=new)
    return output


def _require_possible(path: Path, described: Description, old: str, new: str) -> None:
    if not described.symbols:
        raise CheckpointError(f"{path} has no speakers", expected="text-to-spec", found=described.family)
    if old not in described.speakers:
        raise CheckpointError(
            f"{path} has no speaker '{old}'", expected=f"one of {', '.join(described.speakers)}"
        )
    if new in described.speakers:
        raise CheckpointError(f"{path} has a speaker '{new}' already", do="give another name")
    Utterance(basename="any", text="any", speaker=new)


def _rename_ours(contents: Contents, described: Description, output: Path) -> Path:
    if output.suffix != ENDING:
        raise CheckpointError(
            f"{output} would not be what its name says", expected=f"a name that ends in {ENDING}"
        )
    values = described.to_dict()
    metadata = {**contents.metadata, METADATA_KEY: json.dumps(values)}
    write_safetensors(output, contents.tensors, metadata)
    write_json(output.with_suffix(".json"), values)
    return output
