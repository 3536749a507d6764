"""C libraries called directly: those that Pillow brings along, where its own way in takes too much.

A call holds no lock of the interpreter's. Where a function is missing, because Pillow was built
otherwise, there is no library, and the caller does without.
"""

import ctypes
import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

Prototypes = Mapping[str, tuple[Any, Sequence[Any]]]
"""By the function's name, the type of its result and those of its arguments."""

DONTNEED = 4
"""MADV_DONTNEED, on Linux and elsewhere."""

MMAP_THRESHOLD = -3
"""M_MMAP_THRESHOLD, of the GNU C library."""

LARGE_BYTES = 1 << 20

SIMPLE = 0
"""PyBUF_SIMPLE: a buffer of plain bytes, which may be read-only."""


class _Buffer(ctypes.Structure):
    """Python's `Py_buffer`, part of the stable ABI since 3.11."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi)
)
_release = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("PyBuffer_Release", ctypes.pythonapi))
_libc = ctypes.CDLL(None)


@contextmanager
def address_of(data: memoryview) -> Iterator[int]:
    """Where bytes lie in memory; they stay there, and as long, until the end of the block."""
    buffer = _Buffer()
    _get(data, ctypes.addressof(buffer), SIMPLE)
    try:
        yield buffer.buf or 0
    finally:
        _release(ctypes.addressof(buffer))


def give_back(libc: Any = _libc) -> None:
    """Give the system what was freed but kept for later, where the C library can (malloc_trim(3)).

    That takes a millisecond or two.
    """
    trim = getattr(libc, "malloc_trim", None)
    if trim:
        trim(ctypes.c_size_t(0))


def forget(address: int, n_bytes: int, libc: Any = _libc) -> None:
    """Give the system what lies there, which nobody reads again but may yet free (madvise(2)).

    Whole pages only. They stay allocated, and on Linux would be read as zeros.
    """
    advise = getattr(libc, "madvise", None)
    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    whole = (address + n_bytes - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if advise and whole > 0:
        advise(ctypes.c_void_p(first), ctypes.c_size_t(whole), DONTNEED)


def map_large_blocks(libc: Any = _libc) -> None:
    """Have large blocks of memory from the system, which gets each back at once (mallopt(3)).

    Else the C library takes those as large as any that was freed before from its heap, and keeps
    what is freed there: of fifty uploads at once, as much again as they may take.
    """
    set_option = getattr(libc, "mallopt", None)
    if set_option:
        set_option(ctypes.c_int(MMAP_THRESHOLD), ctypes.c_int(LARGE_BYTES))


def load(module: ModuleType, prototypes: Prototypes) -> ctypes.CDLL | None:
    """The library behind one of Pillow's C modules, or `None` where a function is not found."""
    path = getattr(module, "__file__", None)
    if not path:
        return None
    library = ctypes.CDLL(path)
    for name, (result, arguments) in prototypes.items():
        function = getattr(library, name, None)
        if function is None:
            return None
        function.restype, function.argtypes = result, arguments
    return library
