"""The OpenAPI document against all that schemathesis makes up from it."""

from pathlib import Path

import pytest

from tests.e2e.callers import EVIL, GUARDED, PAGE, SHOP, bearer, token
from tests.e2e.schemathesis_run import COUNTED, FEW, GUARD_S, OPEN, attack, hold_every_answer
from tests.service import running

pytestmark = pytest.mark.timeout(GUARD_S + 10)


@pytest.mark.parametrize("keys", [False, True], ids=["anonymous", "with keys"])
async def test_no_answer_is_a_server_error_or_undocumented(tmp_path: Path, *, keys: bool) -> None:
    await hold_every_answer(tmp_path, keys=keys)


async def test_a_foreign_page_with_anothers_token_learns_nothing_undocumented(
    tmp_path: Path,
) -> None:
    headers = bearer(token(origin=PAGE)) | {"Origin": EVIL}
    async with running(**GUARDED) as service:
        report = await attack(service, tmp_path, *FEW, headers=headers)
    assert report.ended == 0, report.said
    for operation, statuses in report.seen.items():
        assert set(statuses) == ({200} if operation in OPEN else {403}), operation


async def test_a_rate_that_is_used_up_is_answered_as_documented(tmp_path: Path) -> None:
    async with running(**GUARDED, rate_limit="1/day") as service:
        await service.http.post("/tokens", headers=SHOP)
        report = await attack(service, tmp_path, *FEW, headers=SHOP)
    assert report.ended == 0, report.said
    for operation, statuses in report.seen.items():
        assert (429 in statuses) is (operation in COUNTED), operation
    assert not report.seen["POST /search"].keys() - {429}
