"""What the upstream takes. Imports nothing, because the worker processes read it too."""

MIN_SIDE = 11
"""Pixels. Both sides must be longer than 10 (Model Studio, vision input)."""

MAX_RATIO = 200
"""The longer side may be at most 200 times the shorter one (same page)."""

MAX_URL_CHARS = 10_485_760
"""Longest `data:` URL that is sent."""

MAX_FILE_BYTES = (MAX_URL_CHARS - len("data:image/jpeg;base64,")) // 4 * 3
"""The largest file that fits into such a URL."""


def size_problem(width: int, height: int, *, max_pixels: int) -> str | None:
    """Why a picture of this size is refused, or `None`. `max_pixels=0` allows any number."""
    short, long = sorted((width, height))
    size = f"The picture is {width} x {height} pixels"
    if short < MIN_SIDE:
        return f"{size}; both sides must be longer than {MIN_SIDE - 1} pixels."
    if long > short * MAX_RATIO:
        return f"{size}; the longer side may be at most {MAX_RATIO} times the shorter one."
    if 0 < max_pixels < short * long:
        return f"{size}; at most {max_pixels} pixels are accepted."
    return None
