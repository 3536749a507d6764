"""The configuration of nginx, read by nginx itself and run in front of a small upstream."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
POLL_S = 0.05
HEAD_MAX_BYTES = 65_536
"""What the service takes of address and headers."""
KEEP_ALIVE_S = 75
"""How long the service keeps an idle connection; nginx has to close its own sooner."""
FIRST = b"id: a:1\nevent: search.created\ndata: {}\n\n"
SECOND = b"id: a:2\nevent: search.completed\ndata: {}\n\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n"
    b"X-Request-ID: req-1\r\nConnection: close\r\n\r\n"
)

if NGINX is None and os.environ.get("CI") != "true":
    reason = "nginx is not installed (Debian: apt-get install nginx-light)"
    pytest.skip(reason, allow_module_level=True)


@dataclass
class Upstream:
    """Sends one event, and the second only when the test has seen the first."""

    listener: socket.socket
    seen: threading.Event = field(default_factory=threading.Event)
    request: bytes = b""

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            while b"\r\n\r\n" not in self.request:
                self.request += connection.recv(65_536)
            connection.sendall(HEAD + FIRST)
            if self.seen.wait(30):
                connection.sendall(SECOND)


@dataclass(frozen=True)
class Proxy:
    port: int
    logs: Path
    upstream: Upstream


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        upstream = Upstream(listener)
        port = _free_port()
        main = _configured(tmp_path, port=port, upstream_port=listener.getsockname()[1])
        thread = threading.Thread(target=upstream.serve)
        thread.start()
        with _running(main):
            yield Proxy(port, tmp_path, upstream)
            upstream.seen.set()
            thread.join()


def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    main = _configured(tmp_path, port=_free_port(), upstream_port=9)
    checked = subprocess.run(_nginx(main, "-t"), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    # Of a request that was sent once, a second server would bill the tokens again.
    assert " proxy_next_upstream off;\n" in CONFIGURATION.read_text(encoding="utf-8")


def test_an_event_passes_before_the_next_one_is_made(proxy: Proxy) -> None:
    connection = _ask(proxy, "/search/stream?access_token=not-for-logs")
    response = connection.getresponse()
    assert response.read(len(FIRST)) == FIRST
    proxy.upstream.seen.set()
    assert response.read() == SECOND
    assert response.headers["X-Accel-Buffering"] == "no"
    connection.close()


def test_the_upstream_is_asked_in_http_1_1_with_the_caller_s_host_and_address(
    proxy: Proxy,
) -> None:
    connection = _ask(proxy, "/search/stream")
    connection.getresponse()
    request = proxy.upstream.request
    assert request.startswith(b"GET /search/stream HTTP/1.1\r\n")
    assert f"\r\nHost: 127.0.0.1:{proxy.port}\r\n".encode() in request
    assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in request
    proxy.upstream.seen.set()
    connection.close()


def test_the_log_has_paths_and_no_query(proxy: Proxy) -> None:
    connection = _ask(proxy, "/search/stream?access_token=not-for-logs")
    proxy.upstream.seen.set()
    connection.getresponse().read()
    connection.close()
    _answer(proxy, "/metrics?access_token=not-for-logs")
    written = "".join(log.read_text() for log in proxy.logs.glob("*.log"))
    assert '"GET /search/stream" 200' in written
    assert "not-for-logs" not in written


def test_metrics_are_not_for_the_world(proxy: Proxy) -> None:
    assert _answer(proxy, "/metrics") == 404
    # Let the upstream's thread end: it waits for one request.
    connection = _ask(proxy, "/healthz")
    proxy.upstream.seen.set()
    connection.getresponse().read()
    connection.close()


def test_an_upload_that_the_service_refuses_gets_as_far_as_the_service(proxy: Proxy) -> None:
    too_large = _defaults()["body_max_bytes"] + 1
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as client:
        client.sendall(
            b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n{" % too_large
        )
        assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
    assert b"\r\nContent-Length: %d\r\n" % too_large in proxy.upstream.request
    proxy.upstream.seen.set()


@pytest.mark.parametrize("where", ["address", "header"])
def test_a_long_head_gets_as_far_as_the_service(proxy: Proxy, where: str) -> None:
    long = "x" * (HEAD_MAX_BYTES - 1_000)
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    if where == "address":
        connection.request("GET", f"/search/stream?prompt={long}")
    else:
        connection.request("GET", "/search/stream", headers={"X": long})
    assert connection.getresponse().status == 200
    assert long.encode() in proxy.upstream.request
    proxy.upstream.seen.set()
    connection.close()


def test_the_service_is_the_first_to_say_that_something_took_too_long() -> None:
    defaults = _defaults()
    longest_s = defaults["upstream_total_timeout_s"] + defaults["upstream_retry_total_s"]
    assert _seconds("proxy_read_timeout") > longest_s


def test_a_connection_to_the_service_is_not_let_go_of_by_the_service_first() -> None:
    assert _seconds("keepalive_timeout") < KEEP_ALIVE_S


def _defaults() -> dict[str, Any]:
    return {name: field.default for name, field in Settings.model_fields.items()}


def _seconds(directive: str) -> int:
    found = re.search(rf"^ +{directive} (\d+)s;$", CONFIGURATION.read_text("utf-8"), re.MULTILINE)
    assert found
    return int(found[1])


def _configured(folder: Path, *, port: int, upstream_port: int) -> Path:
    """Our file on free ports and with its logs in a folder, inside the least main file."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{upstream_port};"),
        ("/var/log/nginx/", f"{folder}/"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "imagesearch.conf").write_text(text, encoding="utf-8")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    aside = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/start.log;\nevents {{}}\n"
        f"http {{\n{aside}include {folder}/imagesearch.conf;\n}}\n",
        encoding="utf-8",
    )
    return main


def _nginx(main: Path, *more: str) -> list[str]:
    assert NGINX, "nginx is needed here"
    return [NGINX, "-e", str(main.with_name("start.log")), "-c", str(main), *more]


@contextmanager
def _running(main: Path) -> Iterator[None]:
    with subprocess.Popen(_nginx(main)) as process:
        try:
            _until_it_listens(process, main)
            yield
        finally:
            process.terminate()
            process.wait(30)


def _until_it_listens(process: subprocess.Popen[bytes], main: Path) -> None:
    text = main.with_name("imagesearch.conf").read_text(encoding="utf-8")
    match = re.search(r"listen 127\.0\.0\.1:(\d+);", text)
    assert match
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", int(match[1])), timeout=5).close()
        except ConnectionRefusedError:
            with suppress(subprocess.TimeoutExpired):
                process.wait(POLL_S)
        else:
            return
    pytest.fail(main.with_name("start.log").read_text(encoding="utf-8"))


def _ask(proxy: Proxy, path: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=30)
    connection.request("GET", path)
    return connection


def _answer(proxy: Proxy, path: str) -> int:
    connection = _ask(proxy, path)
    status = connection.getresponse().status
    connection.close()
    return status


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
