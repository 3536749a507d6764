"""The OpenAPI document against a few of the requests that schemathesis makes up from it."""

from pathlib import Path

import pytest

from tests.e2e.schemathesis_run import GUARD_S, hold_every_answer

pytestmark = pytest.mark.timeout(GUARD_S + 10)


async def test_no_answer_is_a_server_error_or_undocumented(tmp_path: Path) -> None:
    phases = ("--phases", "examples,fuzzing", "--max-examples", "6")
    await hold_every_answer(tmp_path, *phases, keys=True)
