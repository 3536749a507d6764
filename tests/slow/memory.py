"""The memory of a process, as the system reports it (proc(5))."""

from pathlib import Path

from tests.processes import Process

MIB = 1 << 20


class Memory:
    """Of one process, above what it takes now."""

    def __init__(self, process: Process) -> None:
        self._folder = Path(f"/proc/{process.pid}")
        (self._folder / "clear_refs").write_text("5")
        self.before_bytes = self._bytes_of("VmRSS:")

    @property
    def peak_bytes(self) -> int:
        """At its highest since."""
        return self._bytes_of("VmHWM:") - self.before_bytes

    def _bytes_of(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024
