"""URLs that an answer's text names, compared with those that the tool found. Pure."""

import html
import re
from collections.abc import Iterable
from urllib.parse import unquote

from app.results import Match

URL = re.compile(
    r"https?://[^\s<>\"'`\[\]{}|\\^\u2018-\u201f\u2026\u3000-\u303f\uff00-\uffef]+", re.IGNORECASE
)
"""Up to white space, markup, quotes, or Chinese punctuation (CJK and full-width forms)."""
CLOSING_MARKS = "/.,;:!?*_~)"
"""What may follow a URL in a sentence; cut from both sides of the comparison."""


def unlisted_links(text: str, results: Iterable[Match]) -> list[str]:
    """The http(s) URLs in the text that no search returned."""
    listed = {_normal(match.url) for match in results}
    return [url for url in URL.findall(text) if not _is_listed(_normal(url), listed)]


def _is_listed(url: str, listed: set[str]) -> bool:
    """Text may follow a URL directly: Chinese has no spaces."""
    follows = (url[len(one) : len(one) + 1] for one in listed if url.startswith(one))
    return url in listed or any(not mark.isascii() for mark in follows)


def _normal(url: str) -> str:
    """One spelling of a URL, since models escape and unescape them."""
    return unquote(html.unescape(url)).rstrip(CLOSING_MARKS)
