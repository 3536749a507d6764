"""What an operator reads: the lines that `python -m app` writes."""

import json

from tests.e2e.callers import ASKED, BLOG, GUARDED_PROCESS, SHOP, bearer, token
from tests.e2e.shipped import shipped

NAME = "X-Request-ID"


async def test_each_request_and_each_search_has_a_line_with_its_client_and_its_end() -> None:
    failing = ASKED | {"prompt": "[sim http_401]"}
    async with shipped(**GUARDED_PROCESS) as (process, http):
        await http.post("/search?secret=1", json=ASKED, headers={NAME: "one"} | SHOP)
        await http.get("/search/srch_x", headers={NAME: "two"} | BLOG)
        await http.get("/v1/models", headers={NAME: "three"} | bearer(token()))
        await http.post("/search", json=ASKED, headers={NAME: "four"} | bearer("sk-wrong"))
        await http.post("/search", json=failing, headers={NAME: "five"} | SHOP)
        silent = ASKED | {"prompt": "[sim silence s=0.2]"}
        stream = await http.post("/search/stream", json=silent, headers={NAME: "six"} | SHOP)
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
    timed = {line["request_id"]: line["server_timing"] for line in lines if "server_timing" in line}
    assert timed.keys() == {"one", "five", "six"}
    assert timed["six"] == stream.headers["server-timing"]  # Not of what came after the head.
    assert "secret=1" not in process.said
    well, failed, _ = (line for line in lines if line["event"] == "search ended")
    assert (well["client"], well["status"], well["outcome"]) == ("shop", "completed", "matched")
    assert float(well["cost_cny"]) > 0.048
    assert (failed["status"], failed["code"]) == ("failed", "upstream_auth_failed")
    assert float(failed["cost_cny"]) == 0
