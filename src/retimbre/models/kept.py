"""What another tool wrote about a model, kept word for word in our own file, so that it can be given back."""

import json
from collections.abc import Mapping
from typing import Any

from retimbre.checkpoint.read import Contents

KEPT_KEY = "everyvoice"  # beside our own description, in the head of the file
KEPT = ("epoch", "pytorch-lightning_version", "hparams_name", "hyper_parameters", "model_info")


def kept_of(contents: Contents) -> dict[str, Any]:
    """What EveryVoice wrote, from its own file or from one of ours that came from it; {} where nothing is."""
    hyper_parameters = contents.values.get("hyper_parameters")
    if isinstance(hyper_parameters, Mapping) and "config" in hyper_parameters:
        return {name: contents.values[name] for name in KEPT if name in contents.values}
    if KEPT_KEY not in contents.metadata:
        return {}
    kept = json.loads(contents.metadata[KEPT_KEY])
    return kept if isinstance(kept, dict) else {}


def kept_text(contents: Contents) -> dict[str, str]:
    """The same as metadata for a file of ours."""
    kept = kept_of(contents)
    return {KEPT_KEY: json.dumps(kept)} if kept else {}
