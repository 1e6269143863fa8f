"""What a DL-Art-School YAML trains on, from what and towards which name, in a recipe's words."""

import re
from pathlib import Path
from typing import Any

from retimbre.errors import RecipeError
from retimbre.recipe.dlas_file import DlasFile
from retimbre.recipe.dlas_keys import whole
from retimbre.recipe.dlas_training import converted
from retimbre.recipe.files import read_values

NAME = re.compile(r"[\w-][\w.-]*")
LEAST_S = 0.6  # it leaves out shorter recordings without a word
CLIP_SAMPLES = {"text-to-codes": 44000, "codes-to-spec": 102400}  # of its examples, at 22,050 Hz
AS_DLAS = "dlas"


def name_of(file: DlasFile) -> str:
    """What the run is called."""
    name = file.filled("name", "a name for the run")
    if not NAME.fullmatch(name):
        raise file.wrong("name", expected="letters, digits, '-', '_' and '.', as in my-voice")
    file.tell("honoured", "name", "name")
    return name


def data_values(file: DlasFile, runs: Path) -> dict[str, Any]:
    """Lists and recordings; what is learnt from and what is measured on are the two lists."""
    parts = [part for part in ("train", "val") if part == "train" or file.section("datasets.val")]
    lists = {part: _list_of(file, part) for part in parts}
    train = lists["train"]
    values: dict[str, Any] = {
        "recordings": str(train.parent),
        "filelist": str(train),
        "preprocessed": str(runs / "preprocessed"),
        "min_duration_s": LEAST_S,
        "trims_silence": False,
    }
    if "val" in lists:
        values |= {"training_filelist": str(train), "validation_filelist": str(lists["val"])}
    return values


def _list_of(file: DlasFile, part: str) -> Path:
    key = f"datasets.{part}.path"
    value = file.get(key)
    if isinstance(value, list) and len(value) == 1:
        file = _with(file, key, value[0])
    elif isinstance(value, list):
        raise file.wrong(key, expected="one list", do="write all lines into one, with paths seen from there")
    path = file.filled(key, "a list of lines 'path|text'")
    ours = "data.training_filelist" if part == "train" else "data.validation_filelist"
    file.tell("honoured", key, ours)
    return file.placed(path)


def _with(file: DlasFile, key: str, value: Any) -> DlasFile:  # noqa: ANN401 - a file may hold anything
    *parents, last = key.split(".")
    section: Any = file.values
    for name in parents:
        section = section[name]
    section[last] = value
    return file


def voice_values(file: DlasFile, stage: str, trains_as: str) -> dict[str, Any]:
    """How a voice is heard, and by which pieces texts are read."""
    values: dict[str, Any] = {"trains_as": trains_as}
    key = "datasets.train.num_conditioning_candidates"
    if file.get(key) is not None:
        values["n_clips"] = converted(file, key, whole, 1)
        beside = stage == "text-to-codes" and values["n_clips"] > 1 and trains_as != AS_DLAS
        text = "; averaged into one vector, as in speaking: there they stand one beside the other"
        file.tell("changed" if beside else "honoured", key, f"tortoise.n_clips{text if beside else ''}")
    _tell_length(file, stage, trains_as)
    key = "datasets.train.tokenizer_vocab"
    if file.get(key) is not None:
        values["tokenizer"] = str(file.placed(file.filled(key, "a tokenizer.json")))
        file.tell("honoured", key, "tortoise.tokenizer")
    return values


def _tell_length(file: DlasFile, stage: str, trains_as: str) -> None:
    key = "datasets.train.conditioning_length"
    if file.get(key) is None:
        return
    converted(file, key, whole, 0)
    if trains_as == AS_DLAS and file.get(key) == CLIP_SAMPLES[stage]:
        file.tell("the same here", key)
    elif trains_as == AS_DLAS:
        file.tell("changed", key, f"{CLIP_SAMPLES[stage]:,} samples, as in its example")
    elif stage == "text-to-codes":
        file.tell("changed", key, "132,300 samples, six seconds, as in speaking")
    else:
        file.tell("changed", key, "102,400 samples at 24,000 Hz, as in speaking: there at 22,050 Hz")


def base_values(file: DlasFile, stage: str, step: str, network: str) -> dict[str, Any]:
    """The checkpoint that training begins from, and those of the other stages."""
    values: dict[str, Any] = {"base": _base(file, network), "tortoise": {}}
    for name in file.section(f"{step}.injectors"):
        key = f"{step}.injectors.{name}"
        if stage == "codes-to-spec" and f"{key}.gpt_path" in file.leaves():
            path = file.filled(f"{key}.gpt_path", "the tuned autoregressive checkpoint")
            values["tortoise"]["text_to_codes"] = str(file.placed(path))
            file.tell("honoured", f"{key}.gpt_path", "tortoise.text_to_codes")
        if file.get(f"{key}.dvae_config") is not None:
            values["tortoise"] |= _dvae(file, f"{key}.dvae_config")
    return values


def _base(file: DlasFile, network: str) -> str | None:
    """Of the network, or under the name that the examples have for it; or what was saved with a state."""
    state_key = "path.resume_state"
    resumed = file.get(state_key)
    if resumed:
        state = file.placed(str(resumed))
        saved = state.parent.parent / "models" / f"{state.stem}_{network}.pth"
        file.tell(
            "changed",
            state_key,
            "optimiser and place in the data of another program cannot be gone on with: a new run begins"
            f"{'' if _names(file, network) else f' from {saved.name}, which was saved with it'}; "
            "a run of Retimbre goes on by --resume",
        )
    for key in _names(file, network):
        path = file.placed(file.filled(key, "the checkpoint to begin from"))
        if key != f"path.pretrain_model_{network}":
            file.tell(
                "changed",
                key,
                f"base. There it is not read: DL-Art-School looks for pretrain_model_{network}, finds none "
                "and begins with random weights",
            )
        else:
            file.tell("honoured", key, "base")
        return str(path)
    return str(saved) if resumed else None


def _names(file: DlasFile, network: str) -> list[str]:
    names = dict.fromkeys((f"path.pretrain_model_{network}", "path.pretrain_model_gpt"))
    return [name for name in names if file.get(name)]


def _dvae(file: DlasFile, key: str) -> dict[str, str]:
    """The dVAE that another YAML names; where that is not at hand, the one beside the base."""
    config = file.placed(str(file.get(key)))
    try:
        named = read_values(config)[0]["path"]["pretrain_model_dvae"]
        dvae = DlasFile(path=config, values={}, text="").placed(str(named))
    except (OSError, RecipeError, KeyError, TypeError):
        dvae = None
    if dvae is None or not dvae.is_file():
        file.tell("changed", key, "the dVAE beside the base (-c tortoise.dvae=FILE for another)")
        return {}
    file.tell("honoured", key, f"tortoise.dvae {dvae.name}, which it names")
    return {"dvae": str(dvae)}
