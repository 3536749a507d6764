"""`python -m bench`: measure all subjects, print a table, and keep it as JSON."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version

import uvloop

from bench.client import WrongAnswer
from bench.measures import MEASURES, OF_THE_SERVICE, QUICK, Figures, Plan
from bench.processes import ROOT, ServerFailed
from bench.results import Table, spread, table_text, targets, targets_text
from bench.running import running
from bench.subjects import Subject, subjects

BROKEN = (WrongAnswer, ServerFailed, TimeoutError, OSError, ExceptionGroup)
LIBRARIES = ("fastapi", "httptools", "httpx", "sse-starlette", "starlette", "uvicorn", "uvloop")
PARTIAL = ("QUICK", "SUBJECTS", "MEASURES", "PREVIOUS", "WITH", "SPREAD")
HELP = f"""\
Measure this service beside nginx, a plain relay and others, as the environment chooses:

  BENCH_REPEATS=5           repeats of everything (3); a figure is the median, with least and most
  BENCH_QUICK=1             small loads, about a minute; proves nothing
  BENCH_SUBJECTS=a,b        some of: nginx, service, with, previous, relay, litellm
  BENCH_MEASURES=a,b        some of: {", ".join(MEASURES)}
  BENCH_SPREAD=1            subjects on all cores, upstream and load on the last: for WORKERS
  BENCH_LITELLM=1           LiteLLM's proxy too; `pip install litellm[proxy]` in .venv-litellm
  BENCH_PREVIOUS=/path      `python -m app` of another checkout too, in the same run
  BENCH_WITH="NAME=value …"  this service with more settings; UPSTREAM stands for its URL

It needs Linux, two cores, nginx (apt-get install nginx-light) and an idle machine. A whole run
is kept in bench/results.json. docs/performance.md says what the figures mean."""


def main() -> int:
    """Run what the environment asks for; 1 when an answer was wrong or a subject failed."""
    raw = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser("python -m bench", description=HELP, formatter_class=raw).parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    plan, known = Plan(**QUICK if os.environ.get("BENCH_QUICK") else {}), subjects(os.environ)
    plan = replace(plan, repeats=int(os.environ.get("BENCH_REPEATS", plan.repeats)))
    names = _chosen("BENCH_SUBJECTS", [subject.name for subject in known])
    chosen = [subject for subject in known if subject.name in names]
    failures: list[str] = []
    repeats = _measure(plan, chosen, _chosen("BENCH_MEASURES", list(MEASURES)), failures)
    table = spread(repeats)
    sys.stdout.write(f"{table_text(table)}\n\n{targets_text(targets(table))}\n")
    sys.stdout.writelines(f"FAILED {failure}\n" for failure in failures)
    if not failures and not any(os.environ.get(f"BENCH_{name}") for name in PARTIAL):
        _keep(table, plan)
    return 1 if failures else 0


def _chosen(variable: str, known: list[str]) -> list[str]:
    """The names in an environment variable, or all."""
    asked = [name for name in os.environ.get(variable, "").split(",") if name] or known
    if unknown := set(asked) - set(known):
        sys.exit(f"{variable}: no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [name for name in known if name in asked]


def _measure(
    plan: Plan, chosen: Sequence[Subject], measures: Sequence[str], failures: list[str]
) -> dict[str, list[Figures]]:
    """All figures: subjects run on the first core, in turns; upstream and load on the last."""
    cores = sorted(os.sched_getaffinity(0))
    own_cores = set(cores if os.environ.get("BENCH_SPREAD") else cores[:1])
    os.sched_setaffinity(0, {cores[-1]})
    repeats: dict[str, list[Figures]] = {subject.name: [] for subject in chosen}
    for number in range(plan.repeats):
        turn = number % len(chosen)
        for subject in [*chosen[turn:], *chosen[:turn]]:
            sys.stderr.write(f"repeat {number + 1} of {plan.repeats}: {subject.name}\n")
            repeats[subject.name].append(figures := Figures())
            try:
                with running(subject, cores=own_cores, load_core=cores[-1]) as target:
                    own = () if subject.is_service else OF_THE_SERVICE
                    for name in (one for one in measures if one not in own):
                        sys.stderr.write(f"    {name}\n")
                        figures |= uvloop.run(MEASURES[name](target, plan))
            except BROKEN as exc:
                failures.append(f"{subject.name}: {exc!r}")
    return repeats


def _keep(table: Table, plan: Plan) -> None:
    """Write the result over the one before."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    revision = subprocess.run(git, capture_output=True, text=True, check=False).stdout  # noqa: S603
    versions = {"service": revision.strip(), "python": platform.python_version()}
    kept = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "kernel": platform.platform()},
        "versions": {name: version(name) for name in LIBRARIES} | versions,
        "plan": asdict(plan),
        "targets": targets(table),
        "subjects": table,
    }
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    (ROOT / "bench" / "results.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
