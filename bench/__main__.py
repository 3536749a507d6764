"""`python -m bench`: measure, then tell it as a table, keep it as JSON, and draw it.

The environment chooses: BENCH_REPEATS (3), BENCH_LITELLM=1, BENCH_QUICK=1 for a look at all of it
in small, BENCH_SUBJECTS and BENCH_MEASURES for some of it. Only a whole run that lost nothing is
kept.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import machine, plot, report
from bench.children import ROOT
from bench.figures import Table, Target, spread, targets
from bench.measures import MEASURES
from bench.plan import Plan
from bench.run import Bench, Cores
from bench.subjects import Direct, LiteLLM, Nginx, Relay, Service, Subject

RESULTS = ROOT / "bench" / "results"
SUBJECTS: tuple[Subject, ...] = (Direct(), Nginx(), Service(), Relay())
PARTIAL = ("BENCH_QUICK", "BENCH_SUBJECTS", "BENCH_MEASURES")


def main() -> int:
    """Run what the environment asks for; 1 when anything broke or was lost."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    known = (*SUBJECTS, LiteLLM()) if os.environ.get("BENCH_LITELLM") else SUBJECTS
    names = _chosen("BENCH_SUBJECTS", [subject.name for subject in known])
    bench = Bench(
        Plan.read(os.environ),
        [subject for subject in known if subject.name in names],
        _chosen("BENCH_MEASURES", list(MEASURES)),
    )
    facts = _facts(bench)
    _measure(bench)
    table = spread(bench.repeats)
    wanted = targets(table, bench.plan.ladder[-1])
    _tell(table, wanted, bench.failures)
    if not any(os.environ.get(name) for name in PARTIAL) and not bench.failures:
        _keep(table, wanted, facts, bench.plan)
    return 1 if bench.failures else 0


def _measure(bench: Bench) -> None:
    """The first core is for subjects; upstream and load share the last."""
    available = sorted(os.sched_getaffinity(0))
    cores = Cores(available[0], available[-1])
    os.sched_setaffinity(0, {cores.load})
    with tempfile.TemporaryDirectory(prefix="imagesearch-bench-") as folder:
        bench.run(Path(folder), cores)


def _chosen(variable: str, known: list[str]) -> list[str]:
    """The names in an environment variable, or all."""
    asked = [name for name in os.environ.get(variable, "").split(",") if name] or known
    if unknown := set(asked) - set(known):
        sys.exit(f"{variable}: no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [name for name in known if name in asked]


def _facts(bench: Bench) -> dict[str, Any]:
    litellm = any(subject.name == LiteLLM.name for subject in bench.subjects)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.machine(),
        "versions": machine.versions(litellm=litellm),
        "plan": bench.plan.as_json(),
    }


def _tell(table: Table, wanted: Sequence[Target], failures: Sequence[str]) -> None:
    lines = [report.table_text(table), "", report.targets_text(wanted)]
    lines += [f"FAILED {failure}" for failure in failures]
    sys.stdout.write("\n".join(lines) + "\n")


def _keep(table: Table, wanted: Sequence[Target], facts: dict[str, Any], plan: Plan) -> None:
    """Write the results and the plot over those that are committed."""
    subjects = {
        subject: {name: asdict(found) for name, found in figures.items()}
        for subject, figures in table.items()
    }
    kept = facts | {"targets": [one.as_json() for one in wanted], "subjects": subjects}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / "bench.json").write_text(text, encoding="utf-8")
    plot.draw(table, RESULTS / "bench.png", ladder_top=plan.ladder[-1])


if __name__ == "__main__":
    sys.exit(main())
