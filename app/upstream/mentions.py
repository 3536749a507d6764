"""Addresses that an answer's text names, held against those that were found. Pure."""

import html
import re
from collections.abc import Collection, Iterable
from urllib.parse import unquote

from app.models import Match

URL = re.compile(
    r"https?://[^\s<>\"'`\[\]{}|\\^\u2018-\u201f\u2026\u3000-\u303f\uff00-\uffef]+", re.IGNORECASE
)
"""Up to white space, markup, quotes, or Chinese punctuation (CJK and full-width forms)."""
CLOSING_MARKS = ".,;:!?*_~)"


def mentions_unlisted_url(text: str, results: Iterable[Match]) -> bool:
    """Whether the text names an http(s) URL that no search returned."""
    listed = {_plain(match.url) for match in results}
    return any(not _is_listed(found, listed) for found in URL.findall(text))


def _is_listed(found: str, listed: Collection[str]) -> bool:
    """Text may go on right behind an address: punctuation, markup, or Chinese without a space."""
    url = _plain(_trimmed(found))
    if url in listed:
        return True
    return any(url.startswith(one) and not url[len(one)].isascii() for one in listed)


def _trimmed(url: str) -> str:
    """Without closing marks which belong to the sentence; a bracket pair may be the URL's own."""
    unpaired = url.count(")") - url.count("(")
    end = len(url)
    while url[end - 1] in CLOSING_MARKS:
        if url[end - 1] == ")":
            if unpaired <= 0:
                break
            unpaired -= 1
        end -= 1
    return url[:end]


def _plain(url: str) -> str:
    """One spelling of an address, as models escape and unescape them."""
    return unquote(html.unescape(url)).rstrip("/")
