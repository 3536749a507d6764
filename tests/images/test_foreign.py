"""Libraries called directly, and bytes that lie still meanwhile."""

import ctypes
import mmap
from types import ModuleType, SimpleNamespace

import pytest
from PIL import _webp

from app.images.foreign import address_of, forget, give_back, load, map_large_blocks


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_the_address_is_that_of_the_bytes(kind: type[bytes | bytearray]) -> None:
    with address_of(memoryview(kind(b"one two three"))[4:7]) as at:
        assert ctypes.string_at(at, 3) == b"two"


def test_bytes_cannot_move_while_their_address_is_used() -> None:
    body = bytearray(b"body")
    with address_of(memoryview(body)), pytest.raises(BufferError):
        body.extend(bytes(1000))
    body.extend(bytes(1000))


def test_what_is_not_in_one_piece_has_no_address() -> None:
    with pytest.raises(BufferError), address_of(memoryview(b"scattered")[::2]):
        pass


def test_memory_is_given_back_where_that_is_known() -> None:
    asked: list[int] = []
    give_back()
    give_back(SimpleNamespace(malloc_trim=lambda size: asked.append(size.value)))
    give_back(SimpleNamespace())
    assert asked == [0]


def test_large_blocks_are_the_systems_where_that_is_known() -> None:
    asked: list[tuple[int, int]] = []
    libc = SimpleNamespace(mallopt=lambda name, value: asked.append((name.value, value.value)))
    map_large_blocks(libc)
    map_large_blocks(SimpleNamespace())
    assert asked == [(-3, 1 << 20)]


def test_only_whole_pages_are_forgotten() -> None:
    page = mmap.PAGESIZE
    asked: list[tuple[int, int]] = []
    libc = SimpleNamespace(madvise=lambda at, size, _: asked.append((at.value, size.value)))
    forget(3 * page, 2 * page, libc)
    forget(3 * page + 1, 2 * page, libc)
    forget(3 * page, 2 * page - 1, libc)
    forget(3 * page + 1, page, libc)
    forget(3 * page, 2 * page, SimpleNamespace())
    assert asked == [(3 * page, 2 * page), (4 * page, page), (3 * page, page)]


def test_a_library_is_taken_only_with_all_of_its_functions() -> None:
    known = {"WebPGetDecoderVersion": (ctypes.c_int, ())}
    library = load(_webp, known)
    assert library
    assert library.WebPGetDecoderVersion() >= 0x010000
    assert load(_webp, known | {"WebPNever": (ctypes.c_int, ())}) is None


def test_a_module_without_a_file_has_no_library() -> None:
    assert load(ModuleType("built_in"), {}) is None
