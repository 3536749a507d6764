"""What an operator reads: the lines that `python -m app` writes."""

import json

from tests.e2e.callers import ASKED, BLOG, GUARDED_PROCESS, SHOP, bearer, token
from tests.e2e.shipped import shipped


async def test_each_request_and_each_search_has_a_line_with_its_client_and_its_end() -> None:
    def named(name: str, client: dict[str, str]) -> dict[str, str]:
        return {"X-Request-ID": name, **client}

    failing = ASKED | {"prompt": "[sim http_401]"}
    async with shipped(**GUARDED_PROCESS) as (process, http):
        await http.post("/search?secret=1", json=ASKED, headers=named("one", SHOP))
        await http.get("/search/srch_x", headers=named("two", BLOG))
        await http.get("/v1/models", headers=named("three", bearer(token())))
        await http.post("/search", json=ASKED, headers=named("four", bearer("sk-wrong")))
        await http.post("/search", json=failing, headers=named("five", SHOP))
    lines = [json.loads(line) for line in process.lines]
    for line in lines:
        assert line["level"] in {"debug", "info", "warning", "error"}
        assert line["time"]
        assert line["event"]
    answered = {
        line["request_id"]: (line["path"], line["status"], line.get("client"))
        for line in lines
        if line["logger"] == "app.access" and "request_id" in line
    }
    assert answered["one"] == ("/search", 200, "shop")
    assert answered["two"] == ("/search/srch_x", 404, "blog")
    assert answered["three"] == ("/v1/models", 200, "shop")
    assert answered["four"] == ("/search", 401, None)
    assert answered["five"] == ("/search", 502, "shop")
    assert "secret=1" not in process.said
    well, failed = (line for line in lines if line["event"] == "search ended")
    assert (well["client"], well["status"], well["outcome"]) == ("shop", "completed", "matched")
    assert float(well["cost_cny"]) > 0.048
    assert (failed["status"], failed["code"]) == ("failed", "upstream_auth_failed")
    assert float(failed["cost_cny"]) == 0
