"""Dotted names in EveryVoice's files, and what each stands for here. None of them is ever imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Generic, TypeVar

from retimbre.errors import RecipeError

Found = TypeVar("Found")
UTILS = "everyvoice.utils."
NEVER_RUN = "code that a file names is never run"


@dataclass(frozen=True, kw_only=True)
class Names(Generic[Found]):
    """What may stand in one place.

    Args:
        what: EveryVoice's word for it.
        known: Each name, and what it stands for here.
        do: What whoever has another one can do.
    """

    what: str
    known: Mapping[str, Found]
    do: str

    def meaning(self, name: str, where: str) -> Found:
        """What `name` stands for; RecipeError names the place `where` another one stands."""
        if name in self.known:
            return self.known[name]
        near = get_close_matches(name, self.known, n=1, cutoff=0.8)
        raise RecipeError(
            f"{where}: the {self.what} '{name}' is not EveryVoice's, and {NEVER_RUN}",
            expected=f"one of {', '.join(self.known)}",
            do=f"write {near[0]}" if near else self.do,
        )


CLEANERS = Names(
    what="cleaner",
    known={
        UTILS + "collapse_whitespace": "collapse_whitespace",
        UTILS + "strip_text": "strip_text",
        UTILS + "lower": "lower",
        UTILS + "nfc_normalize": "nfc_normalize",
    },
    do="a recipe of your own says it as 'text.to_replace' (regular expression: replacement)",
)
FILELIST_LOADERS = Names[str | None](  # to the form of the list; None: it is found out
    what="filelist_loader",
    known={
        UTILS + "generic_psv_filelist_reader": "psv",
        UTILS + "generic_xsv_filelist_reader": "psv",
        UTILS + "generic_dict_loader": "psv",
        UTILS + "generic_csv_filelist_reader": "csv",
        UTILS + "read_festival": "festival",
        UTILS + "sniff_and_return_filelist_data": None,
    },
    do="a recipe of your own says the form of a list as 'data.filelist_format: psv', 'csv', …",
)
ACTIVATIONS = Names(
    what="activation_function",
    known={UTILS + "original_hifigan_leaky_relu": "leaky ReLU of slope 0.1"},
    do="there is no option for another one, in a recipe of your own neither: its weights would not fit",
)
SUB_FOLDERS = Names(
    what="sub_dir_callable",
    known={UTILS + "get_current_time": "no folder of its own"},
    do="a recipe of your own names its folder with 'name'; here 'logger.version' does",
)


def refuse_engine(name: str, language: str, where: str) -> RecipeError:
    """Whatever finds phones for a language and is the user's own code."""
    return RecipeError(
        f"{where}: '{name}', which is to find the phones of '{language}', is code, and {NEVER_RUN}",
        do="give the lists a column 'phones' and take the engine out; a recipe of your own names the rules "
        "of a language as 'text.g2p'",
    )
