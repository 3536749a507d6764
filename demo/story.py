"""The stream of one search, told for a reader at a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from demo.screen import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from demo.events import Event
    from demo.screen import Screen

# Longer lists are cut: the terminal is no place to look through a hundred links.
RESULTS_SHOWN: Final = 10
PHASE_OF_ITEM: Final = {
    "reasoning": "thinking",
    "image_search_call": "searching",
    "message": "answering",
}


class Story:
    """Writes events as they come. `ok` is None until the last one, then whether it went well."""

    def __init__(self, screen: Screen, *, clock: Callable[[], float]) -> None:
        self._screen = screen
        self._clock = clock
        self._began = clock()
        self._phase = ""
        self._stamp = ""
        self._answering = False
        self.ok: bool | None = None
        self._tellers: dict[str, Callable[[dict[str, Any]], None]] = {
            "search.progress": self._progress,
            "search.results": self._results,
            "search.completed": self._completed,
            "search.failed": self._failed,
            "search.cancelled": self._cancelled,
            "response.output_item.added": self._item,
            "response.output_text.delta": self._words,
        }

    def tell(self, events: Iterable[Event]) -> bool:
        """Write the whole stream; True when it ended as a search should."""
        self._enter("waiting")
        for event in events:
            if event.name in self._tellers:
                self._tellers[event.name](json.loads(event.data))
        if self.ok is None:
            self._bad("The stream ended without its last event.")
        return bool(self.ok)

    def problem(self, status: int, problem: dict[str, Any]) -> bool:
        """Write an answer that is no stream (RFC 9457); always False."""
        self._bad(f"{status} {one_line(str(problem.get('title', 'no problem document')))}")
        self._explain(problem)
        return False

    def _enter(self, phase: str) -> None:
        if phase == self._phase:
            return
        self._phase = phase
        self._answering = False
        self._stamp = f"{self._clock() - self._began:6.1f} s  "
        if self._screen.live:
            self._screen.finish()
            self._screen.tick(f"{self._stamp}{phase}")
        else:
            self._screen.line(f"{self._stamp}{phase}")

    def _progress(self, data: dict[str, Any]) -> None:
        self._enter(str(data["phase"]))
        if not self._answering:
            self._screen.tick(f"{self._stamp}{self._phase} … {data['elapsed_s']:.0f} s in all")

    def _item(self, data: dict[str, Any]) -> None:
        phase = PHASE_OF_ITEM.get(data["item"].get("type", ""))
        if phase:
            self._enter(phase)

    def _words(self, data: dict[str, Any]) -> None:
        self._enter("answering")
        if not self._answering:
            self._answering = True
            self._screen.line()
        self._screen.flow(data["delta"])

    def _results(self, data: dict[str, Any]) -> None:
        found = data["results"]
        self._phase = ""
        stamp = f"{self._clock() - self._began:6.1f} s  "
        heading = f"found {len(found)} like it" if found else "found nothing like it"
        self._screen.line(stamp + self._screen.style(heading, "bold"))
        for result in found[:RESULTS_SHOWN]:
            number = self._screen.style(f"{result['index']:>6}", "cyan")
            self._screen.line(f"{number}  {one_line(result['title'])}")
            self._screen.line(" " * 8 + self._screen.style(one_line(result["url"]), "dim"))
        if len(found) > RESULTS_SHOWN:
            self._screen.line(f"        and {len(found) - RESULTS_SHOWN} more")

    def _completed(self, result: dict[str, Any]) -> None:
        self.ok = True
        found = len(result["results"])
        said = [result["status"], result["outcome"], f"{found} result{'s' * (found != 1)}"]
        self._screen.line()
        self._screen.line("  " + self._screen.style(" · ".join(filter(None, said)), "green"))
        self._screen.line("  " + usage(result.get("usage")))
        self._screen.line("  " + cost(result.get("cost")))
        for warning in result.get("warnings", ()):
            self._screen.line(f"  warning: {one_line(warning)}")

    def _failed(self, data: dict[str, Any]) -> None:
        self._bad(one_line(str(data["error"].get("title", "The search failed."))))
        self._explain(data["error"])

    def _cancelled(self, _result: dict[str, Any]) -> None:
        self._bad("The search was cancelled.")

    def _bad(self, text: str) -> None:
        self.ok = False
        self._screen.line()
        self._screen.line("  " + self._screen.style(text, "red"))

    def _explain(self, problem: dict[str, Any]) -> None:
        for name in ("detail", "code", "retryable", "retry_after", "request_id"):
            if (value := problem.get(name)) is not None:
                self._screen.line(f"  {name}: {one_line(str(value))}")
        for refused in problem.get("errors") or ():
            self._screen.line(f"  {one_line(json.dumps(refused, ensure_ascii=False))}")


def usage(used: dict[str, Any] | None) -> str:
    """One line on tokens and searches."""
    if not used:
        return "usage: not reported"
    calls = used.get("image_search_calls", 0)
    searches = "1 search" if calls == 1 else f"{calls} searches"
    return f"{used['input_tokens']:,} tokens in, {used['output_tokens']:,} out, {searches}"


def cost(paid: dict[str, Any] | None) -> str:
    """One line on money."""
    if not paid:
        return "cost: unknown, no price is configured for this model"
    total, tokens, tools = (f"{paid[part]:f}" for part in ("total", "tokens", "tools"))
    return f"{total} {paid['currency']} ({tokens} for tokens, {tools} for searches)"
