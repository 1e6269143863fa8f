"""Dotted names in EveryVoice's files, and what each stands for here. None of them is ever imported."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from retimbre.errors import RecipeError

Found = TypeVar("Found")
UTILS = "everyvoice.utils."
CLEANERS: Mapping[str, str] = {
    UTILS + "collapse_whitespace": "collapse_whitespace",
    UTILS + "strip_text": "strip_text",
    UTILS + "lower": "lower",
    UTILS + "nfc_normalize": "nfc_normalize",
}
FILELIST_LOADERS: Mapping[str, str | None] = {  # to the form of the list; None: it is found out
    UTILS + "generic_psv_filelist_reader": "psv",
    UTILS + "generic_xsv_filelist_reader": "psv",
    UTILS + "generic_dict_loader": "psv",
    UTILS + "generic_csv_filelist_reader": "csv",
    UTILS + "read_festival": "festival",
    UTILS + "sniff_and_return_filelist_data": None,
}
ACTIVATIONS: Mapping[str, str] = {UTILS + "original_hifigan_leaky_relu": "leaky ReLU of slope 0.1"}
NEVER_RUN = "code that a file names is never run"
SUB_FOLDERS: Mapping[str, str] = {UTILS + "get_current_time": "no folder of its own"}


def cleaner(name: str, where: str) -> str:
    """Our name of a cleaner."""
    return _looked_up(
        name,
        CLEANERS,
        where=where,
        what="cleaner",
        do="a recipe of your own says it as 'text.to_replace' (regular expression: replacement)",
    )


def filelist_format(name: str, where: str) -> str | None:
    """The form of a list that a loader reads; None where it finds that out."""
    return _looked_up(
        name,
        FILELIST_LOADERS,
        where=where,
        what="filelist_loader",
        do="a recipe of your own says the form of a list as 'data.filelist_format: psv', 'csv', …",
    )


def activation(name: str, where: str) -> str:
    """What a vocoder's activation function is."""
    return _looked_up(
        name,
        ACTIVATIONS,
        where=where,
        what="activation_function",
        do="there is no option for another one, in a recipe of your own neither: its weights would not fit",
    )


def sub_folder(name: str, where: str) -> str:
    """What names a run's folder."""
    return _looked_up(
        name,
        SUB_FOLDERS,
        where=where,
        what="sub_dir_callable",
        do="a recipe of your own names its folder with 'name'; here 'logger.version' does",
    )


def refuse_engine(name: str, language: str, where: str) -> RecipeError:
    """Whatever finds phones for a language and is the user's own code."""
    return RecipeError(
        f"{where}: '{name}', which is to find the phones of '{language}', is code, and {NEVER_RUN}",
        do="give the lists a column 'phones' and take the engine out; a recipe of your own names the rules "
        "of a language as 'text.g2p'",
    )


def _looked_up(name: str, table: Mapping[str, Found], *, where: str, what: str, do: str) -> Found:
    if name in table:
        return table[name]
    near = get_close_matches(name, table, n=1, cutoff=0.8)
    raise RecipeError(
        f"{where}: the {what} '{name}' is not EveryVoice's, and {NEVER_RUN}",
        expected=f"one of {', '.join(table)}",
        do=f"write {near[0]}" if near else do,
    )
