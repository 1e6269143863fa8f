"""What another tool wrote about a model, kept word for word in our own file, so that it can be given back.

EveryVoice           what stands in its checkpoint beside the weights
original HiFi-GAN    the config.json beside its generator
"""

import json
from collections.abc import Mapping
from typing import Any

from retimbre.errors import CheckpointError
from retimbre.models.explain import Explained
from retimbre.models.origin import ORIGINAL_HIFIGAN, config_beside

EVERYVOICE_KEY, HIFIGAN_KEY = "everyvoice", "hifigan"  # beside our own description, in the head of the file
KEPT = ("epoch", "pytorch-lightning_version", "hparams_name", "hyper_parameters", "model_info")


def everyvoice_values(found: Explained) -> dict[str, Any]:
    """What EveryVoice wrote, in its own file or in one of ours that came from it; {} where nothing is."""
    values = found.contents.values
    hyper_parameters = values.get("hyper_parameters")
    if isinstance(hyper_parameters, Mapping) and "config" in hyper_parameters:
        return {name: values[name] for name in KEPT if name in values}
    return _kept(found, EVERYVOICE_KEY)


def hifigan_config(found: Explained) -> dict[str, Any]:
    """The original HiFi-GAN's config.json, beside its own file or from one of ours; {} without one."""
    is_original = found.written_by == ORIGINAL_HIFIGAN
    config = config_beside(found.contents.path) if is_original else _kept(found, HIFIGAN_KEY)
    known: dict[str, Any] = json.loads(json.dumps(config), parse_constant=lambda _: None)  # NaN is no JSON
    return known


def kept_text(found: Explained) -> dict[str, str]:
    """All of it as metadata for a file of ours."""
    kept = {EVERYVOICE_KEY: everyvoice_values(found), HIFIGAN_KEY: hifigan_config(found)}
    # A pickle may hold bytes among its values; then their text is kept.
    return {key: json.dumps(values, default=str) for key, values in kept.items() if values}


def _kept(found: Explained, key: str) -> dict[str, Any]:
    try:
        values = json.loads(found.contents.metadata.get(key, "{}"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"what {found.contents.path.name} keeps of another tool is damaged",
            found=f"'{key}' in its head: {str(error)[:120]}",
            do="copy or download it again",
        ) from error
    return values if isinstance(values, dict) else {}
