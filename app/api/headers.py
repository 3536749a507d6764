"""The headers that operations read and answer with, for the contract for machines."""

from typing import Any

Json = dict[str, Any]
Operation = tuple[str, str]
"""Method, in lower case, and path."""

SEARCH_ID = "srch_[0-9a-f]{32}"

READ_HEADERS: dict[str, Json] = {
    "X-Request-ID": {
        "description": "Kept as the request's id if it is 1 to 128 of A-Z a-z 0-9 . _ : -; "
        "else one is made.",
        "schema": {"type": "string"},
    },
    "Idempotency-Key": {
        "description": "The same key with the same request joins its search.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
    "Cache-Control": {
        "description": "`no-cache`: do not answer with a search that has finished.",
        "schema": {"type": "string"},
    },
    "Pragma": {
        "description": "`no-cache`: Cache-Control is the browser's own then, and not heeded.",
        "schema": {"type": "string"},
    },
    "Last-Event-ID": {
        "description": "Go on behind this event, whatever the query or body says.",
        "schema": {"type": "string", "pattern": f"^({SEARCH_ID}:[0-9]+)?$"},
    },
    "X-Stream-Repair": {
        "description": "Put right what a client's helper for streams cannot read.",
        "schema": {"type": "string", "enum": ["openai"]},
    },
}
READ: dict[Operation, tuple[str, ...]] = {
    ("post", "/search"): ("Idempotency-Key", "Cache-Control"),
    ("post", "/search/stream"): ("Idempotency-Key", "Cache-Control", "Last-Event-ID"),
    ("get", "/search/stream"): ("Idempotency-Key", "Cache-Control", "Pragma", "Last-Event-ID"),
    ("get", "/search/{search_id}/stream"): ("Last-Event-ID",),
    ("post", "/v1/responses"): ("Idempotency-Key", "X-Stream-Repair"),
}
"""Which of them an operation reads, beside X-Request-ID."""

IF_ANY = ".if-any"
ABOUT: Json = {
    "description": "The search that the request is about.",
    "schema": {"type": "string", "pattern": f"^{SEARCH_ID}$"},
}
CACHE: Json = {
    "description": "Whether the search was begun, joined while it ran, or found finished.",
    "schema": {"type": "string", "enum": ["miss", "coalesced", "hit"]},
}
REQUIRED = {"required": True}
SENT_HEADERS: dict[str, Json] = {
    "X-Request-ID": REQUIRED
    | {
        "description": "The request's id, as the logs have it.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    },
    "X-Search-ID": REQUIRED | ABOUT,
    "X-Search-ID" + IF_ANY: ABOUT,
    "X-Cache": REQUIRED | CACHE,
    "X-Cache" + IF_ANY: CACHE,
    "RateLimit" + IF_ANY: {
        "description": "What is left of the caller's rate, where there is a limit.",
        "schema": {"type": "string"},
    },
    "RateLimit-Policy" + IF_ANY: {
        "description": "The limit of the caller's rate, where there is one.",
        "schema": {"type": "string"},
    },
    "Retry-After": REQUIRED
    | {
        "description": "Seconds until the same request may succeed.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-Should-Retry": REQUIRED
    | {
        "description": "Whether an SDK may repeat the call by itself: not what may be billed.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "WWW-Authenticate": REQUIRED | {"schema": {"type": "string", "const": "Bearer"}},
    "Cache-Control": REQUIRED | {"schema": {"type": "string", "pattern": "^no-store\\b"}},
    "X-Accel-Buffering": REQUIRED
    | {
        "description": "Has nginx hand on each event as it comes.",
        "schema": {"type": "string", "const": "no"},
    },
    "Location": REQUIRED
    | {
        "description": "Where the stream can be followed again.",
        "schema": {"type": "string", "pattern": f"^/search/{SEARCH_ID}/stream$"},
    },
}
"""By name; with `IF_ANY`, one that may be missing."""

RATE = ("RateLimit" + IF_ANY, "RateLimit-Policy" + IF_ANY)
STREAM = ("X-Search-ID", "Cache-Control", "X-Accel-Buffering", "Location")
STARTED_STREAM = (*STREAM, "X-Cache" + IF_ANY, *RATE)
SENT: dict[Operation, tuple[str, ...]] = {
    ("post", "/search"): ("X-Search-ID", "Cache-Control", "X-Cache", *RATE),
    ("post", "/search/stream"): STARTED_STREAM,
    ("get", "/search/stream"): STARTED_STREAM,
    ("get", "/search/{search_id}"): ("X-Search-ID", "Cache-Control"),
    ("get", "/search/{search_id}/stream"): STREAM,
    ("delete", "/search/{search_id}"): ("X-Search-ID", "Cache-Control"),
    ("post", "/v1/responses"): ("Cache-Control", "X-Cache", *RATE),
    ("get", "/v1/responses/{response_id}"): ("Cache-Control",),
    ("delete", "/v1/responses/{response_id}"): ("Cache-Control",),
    ("get", "/v1/responses/{response_id}/input_items"): ("Cache-Control",),
    ("post", "/tokens"): ("Cache-Control", *RATE),
}
"""Which of them come with an operation's 200, beside X-Request-ID."""


def read_by(operation: Operation) -> list[Json]:
    """The header parameters of an operation."""
    names = ("X-Request-ID", *READ.get(operation, ()))
    return [
        {"name": name, "in": "header", "required": False} | READ_HEADERS[name] for name in names
    ]


def sent(*names: str) -> Json:
    """The headers of an answer, X-Request-ID among them, as references to `components`."""
    return {
        name.removesuffix(IF_ANY): {"$ref": f"#/components/headers/{name}"}
        for name in ("X-Request-ID", *names)
    }
