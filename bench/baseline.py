"""Uploads to the plain program (`plain`): the least that they cost in Python."""

import socket
import time
from pathlib import Path

from bench.children import announced
from bench.exchange import Broken
from bench.measures import MB, MILLI, Figures
from bench.pictures import jpeg
from bench.plain import LENGTH_BYTES
from bench.plan import Plan
from bench.usage import cpu_s


def plain_uploads(plan: Plan, *, core: int, folder: Path) -> Figures:
    """CPU milliseconds of the plain program for each upload, one after the other."""
    figures = {}
    with announced("bench.plain", core=core, log=folder / "log") as (pid, port):
        for n_bytes in plan.uploads_bytes:
            picture = jpeg(n_bytes)
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                before_s = cpu_s(pid)
                count = _send(connection, picture, plan.upload_s)
                spent_s = cpu_s(pid) - before_s
            figures[f"upload_{n_bytes / MB:g}mb_1_cpu_ms"] = spent_s * MILLI / count
    return figures


def _send(connection: socket.socket, picture: bytes, seconds: float) -> int:
    """Send a picture again and again; how often."""
    size = len(picture).to_bytes(LENGTH_BYTES)
    answer = memoryview(bytearray(-(-len(picture) // 3) * 4))
    count, until_s = 0, time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        connection.sendall(size)
        connection.sendall(picture)
        _fill(connection, answer)
        count += 1
    return count


def _fill(connection: socket.socket, answer: memoryview) -> None:
    at = 0
    while at < len(answer):
        got = connection.recv_into(answer[at:])
        if not got:
            raise Broken("the plain program answered less than it was sent")
        at += got
