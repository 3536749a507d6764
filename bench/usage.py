"""What a process and its children take: seconds of CPU, bytes of memory. Linux only."""

import time
from pathlib import Path

CPUCLOCK_SCHED = 2
"""With a process id it makes the clock of that process's CPU time (clock_getcpuclockid(3)).

It counts nanoseconds of user and system time together, over all threads, also those that ended.
/proc/PID/stat shows the same in ticks of 10 ms, too coarse for a stream.
"""

KIB = 1024


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds used so far by the process and its children."""
    return sum(time.clock_gettime(~one << 3 | CPUCLOCK_SCHED) for one in family(pid))


def memory_bytes(pid: int) -> int:
    """Resident memory of the process and its children, shared pages counted in each."""
    return sum(_resident_bytes(one) for one in family(pid))


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    raise RuntimeError(f"no resident memory of process {pid}")
