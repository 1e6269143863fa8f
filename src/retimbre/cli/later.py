"""Commands of EveryVoice that come later or not at all: each says so in one line."""

from typing import Annotated

import typer

from retimbre.errors import RetimbreError

# Whatever follows such a command, the answer is the same.
ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}
Rest = Annotated[list[str] | None, typer.Argument(hidden=True)]
NOT_TRAINED = "use text-to-spec and spec-to-wav; StyleTTS2 stays with EveryVoice"


def not_covered(what: str, do: str) -> RetimbreError:
    """What EveryVoice has and Retimbre does not."""
    return RetimbreError(f"'{what}' is not covered by Retimbre", do=do)


def comes_later(what: str, do: str) -> RetimbreError:
    """What Retimbre does not have yet."""
    return RetimbreError(f"'{what}' comes in a later version of Retimbre", do=do)


def new_project(rest: Rest = None) -> None:
    """Comes later."""
    raise comes_later(
        "new-project", "copy a recipe from recipes/ (docs/fine-tuning.md); projects of EveryVoice are read"
    )


def segment(rest: Rest = None) -> None:
    """Comes later."""
    raise comes_later("segment", "cut long recordings with 'everyvoice segment', then preprocess them here")


def evaluate(rest: Rest = None) -> None:
    """Comes later."""
    raise comes_later("evaluate", "the report of 'retimbre match' has the measures of both models")


def demo(rest: Rest = None) -> None:
    """Comes later."""
    raise comes_later("demo", "speak with 'retimbre synthesize from-text'")


def text_to_wav(rest: Rest = None) -> None:
    """Not covered."""
    raise not_covered("synthesize text-to-wav", "speak FastSpeech2 with 'retimbre synthesize from-text'")


def fetch_pretrained(rest: Rest = None) -> None:
    """Not covered."""
    raise not_covered("fetch-pretrained", NOT_TRAINED)


def update_schemas(rest: Rest = None) -> None:
    """Not covered."""
    raise not_covered("update-schemas", "EveryVoice's own schemas stay as they are")


def pretrained_symbols(rest: Rest = None) -> None:
    """Not covered."""
    raise not_covered(
        "check pretrained-symbols", "compare a text with a model by 'retimbre check text-config --model'"
    )


def register(app: typer.Typer, *, synthesize: typer.Typer, check: typer.Typer) -> None:
    """Add all of them, hidden."""
    for name, command in (
        ("new-project", new_project),
        ("segment", segment),
        ("evaluate", evaluate),
        ("demo", demo),
        ("fetch-pretrained", fetch_pretrained),
        ("update-schemas", update_schemas),
    ):
        app.command(name, hidden=True, context_settings=ANYTHING)(command)
    synthesize.command("text-to-wav", hidden=True, context_settings=ANYTHING)(text_to_wav)
    check.command("pretrained-symbols", hidden=True, context_settings=ANYTHING)(pretrained_symbols)
