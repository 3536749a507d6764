"""The contract for machines: how each operation may answer, and where an answer leads on to.

That real answers are as documented is seen by every test: see `tests/contract.py`.
"""

from typing import Any

from app.errors import leaves
from app.settings import IMAGE_SEARCH_MODELS
from tests.contract import contract_of
from tests.e2e.v1 import create
from tests.service import running

CONTRACT = contract_of(IMAGE_SEARCH_MODELS)


def test_every_status_is_documented_by_itself_and_every_code_where_it_comes() -> None:
    told = set()
    for path, method, operation in CONTRACT.operations():
        assert list(operation["responses"]) == sorted(operation["responses"]), (path, method)
        for status, reference in operation["responses"].items():
            answer = CONTRACT.resolved(reference)
            assert "X-Request-ID" in answer["headers"]
            assert ("Retry-After" in answer["headers"]) is (status in {"429", "503"})
            if "$ref" in reference:
                told |= {(int(status), code) for code in codes_of(answer, path=path)}
    tree = {(kind.status, kind.code) for kind in leaves()}
    assert tree - told == {(405, "method_not_allowed")}
    assert told <= tree


def codes_of(answer: dict[str, Any], *, path: str) -> list[str]:
    """The codes of a refusal: OpenAI's under `/v1`, but for a head whose path nobody has read."""
    [(media_type, content)] = answer["content"].items()
    shape, narrowed = content["schema"]["allOf"]
    known = narrowed["properties"]
    name = shape["$ref"].rpartition("/")[2]
    assert (
        media_type
        == {"Problem": "application/problem+json", "OpenAIError": "application/json"}[name]
    )
    if name == "OpenAIError":
        assert path.startswith("/v1/")
        known = known["error"]["properties"]
    codes: list[str] = known["code"]["enum"]
    assert name == "OpenAIError" or not path.startswith("/v1/") or codes == ["head_too_large"]
    return codes


def test_an_answers_id_leads_to_what_can_be_asked_with_it() -> None:
    named = {one["operationId"]: (path, method) for path, method, one in CONTRACT.operations()}
    leads = {}
    for path, method, operation in CONTRACT.operations():
        links = operation["responses"]["200"].get("links", {}).values()
        found = [CONTRACT.resolved(link) for link in links]
        leads[path, method] = {named[link["operationId"]] for link in found}
        for link in found:
            assert all(
                f"{{{name}}}" in named[link["operationId"]][0] for name in link["parameters"]
            )
    by_search = {one for one in named.values() if "{search_id}" in one[0]}
    by_response = {one for one in named.values() if "{response_id}" in one[0]}
    for start in (("/search", "post"), ("/search/stream", "post"), ("/search/stream", "get")):
        assert leads[start] == by_search
    assert leads["/v1/responses", "post"] == by_response


async def test_errors_are_as_described() -> None:
    async with running() as service:
        assert (await service.http.post("/search", json={})).status_code == 422
        assert (await create(service, {"model": "x"})).status_code == 422
        assert (await service.http.get("/healthz", headers={"X": "x" * 70_000})).status_code == 431
