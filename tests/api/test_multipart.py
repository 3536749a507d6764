"""A form taken apart, and what is left of it in memory."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from app.api.multipart import Form
from app.errors import ImageTooLarge, MalformedBody

TYPE = "multipart/form-data; boundary=x"
FILE = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
END = b"\r\n--x--\r\n"


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def form(content_type: str = TYPE) -> Form:
    return Form(content_type, max_file_bytes=1_000, max_parts=3)


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_form_may_be_cut_anywhere(size: int) -> None:
    body = FILE + b"\r\n--\r\n--x-" + bytes(range(256)) + END
    taken = form()
    for at in range(0, len(body), size):
        taken.feed(body[at : at + size])
    [part] = taken.close()
    assert (part.name, part.filename) == ("image", "a.jpg")
    assert part.data == b"\r\n--\r\n--x-" + bytes(range(256))


@pytest.mark.usefixtures("no_collector")
def test_a_form_leaves_nothing_for_the_garbage_collector() -> None:
    taken = form()
    taken.feed(FILE + b"picture" + END)
    [part] = taken.close()
    gone = weakref.ref(taken)
    del taken
    assert gone() is None
    assert part.data == b"picture"


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    ("body", "why"),
    [(FILE + bytes(1_001), ImageTooLarge), (b"no form at all", MalformedBody)],
)
def test_nor_does_one_that_is_refused(body: bytes, why: type[Exception]) -> None:
    taken = form()
    with pytest.raises(why) as refusal:
        taken.feed(body)
    gone = weakref.ref(taken)
    del taken, refusal
    assert gone() is None
