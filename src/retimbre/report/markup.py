"""HTML that cannot be broken by what it quotes: every text is escaped unless it already is markup."""

from html import escape
from typing import TypeAlias


class Html(str):
    """Markup, to be written as it is; a plain str is text and gets escaped."""

    __slots__ = ()


Content: TypeAlias = "Html | str | None"
VOID_TAGS = frozenset({"img", "input", "meta", "br", "link"})


def escaped(content: Content) -> Html:
    """Markup as it is, text escaped, None as nothing."""
    if content is None:
        return Html("")
    return content if isinstance(content, Html) else Html(escape(content, quote=True))


def joined(*contents: Content) -> Html:
    """One after the other."""
    return Html("".join(escaped(content) for content in contents))


def tag(name: str, /, *contents: Content, **attributes: str | bool | None) -> Html:
    """An element. `class_` is written class, `data_x` data-x; True stands alone, None is left out."""
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    given = "".join(
        f" {key}" if value is True else f' {key}="{escape(value, quote=True)}"'
        for key, value in named
        if value is not None and value is not False
    )
    if name in VOID_TAGS:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(*contents)}</{name}>")
