"""`python -m bench.plain`: read bytes from a socket, base64, write them to it. And no more.

What an upload costs at the least in Python. Ahead of the bytes stands their number, in eight
bytes. One connection after the other; ends when standard input does.
"""

import base64
import os
import socket
import sys
import threading

LENGTH_BYTES = 8


def main() -> None:
    """Serve on a free port of loopback, and tell it."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            with connection:
                while size := _read(connection, LENGTH_BYTES):
                    picture = _read(connection, int.from_bytes(size))
                    connection.sendall(base64.b64encode(picture))


def _read(connection: socket.socket, n_bytes: int) -> bytearray:
    """Read so many bytes; fewer where they end."""
    body = bytearray(n_bytes)
    view, at = memoryview(body), 0
    while at < n_bytes and (got := connection.recv_into(view[at:])):
        at += got
    return body if at == n_bytes else bytearray()


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
