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
CLOSING_MARKS = ".,;:!?*_~)"


def unlisted_links(text: str, results: Iterable[Match]) -> list[str]:
    """The http(s) URLs in the text that no search returned."""
    listed = {_normal(match.url) for match in results}
    return [url for url in URL.findall(text) if not _is_listed(url, listed)]


def _is_listed(found: str, listed: set[str]) -> bool:
    """Text may follow a URL directly: punctuation, markup, or Chinese without a space."""
    url = _normal(_trimmed(found))
    if url in listed:
        return True
    return any(url.startswith(one) and not url[len(one)].isascii() for one in listed)


def _trimmed(url: str) -> str:
    """Without closing marks that belong to the sentence; a pair of brackets may be the URL's."""
    unpaired = url.count(")") - url.count("(")
    end = len(url)
    while url[end - 1] in CLOSING_MARKS:
        if url[end - 1] == ")":
            if unpaired <= 0:
                break
            unpaired -= 1
        end -= 1
    return url[:end]


def _normal(url: str) -> str:
    """One spelling of a URL, since models escape and unescape them."""
    return unquote(html.unescape(url)).rstrip("/")
