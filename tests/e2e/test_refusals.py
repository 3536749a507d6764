"""Every refusal that the upstream has words for, in each of its envelopes, to each caller."""

import json

import pytest

from simulator.refusals import REFUSALS
from tests.e2e.asking import ASKED, WAYS, Answer, ask
from tests.e2e.refusal_table import MEANINGS
from tests.peer import JSON, Handler, answer, says
from tests.service import KEY, Running, fronting, running, shared

FORMS = ("http", "nested", "sse", "failed", "frame after=3")
"""Three bodies, a lone `response.failed` in HTTP 200, and a frame in the middle of a stream."""
BODIES = FORMS[1:3]
BURST = {"burst_rate", "burst_rate_compat"}
COMMIT_S = 30
"""Longer than all pauses between tries, which the signs of life would only clutter."""
service = shared(running, cache_ttl_s=0, stream_commit_s=COMMIT_S, stream_progress_s=0)


def test_every_refusal_has_one_row() -> None:
    assert sorted(MEANINGS) == sorted(REFUSALS)


@pytest.mark.parametrize("row", MEANINGS)
async def test_a_refusal_means_the_same_in_every_envelope(row: str, service: Running) -> None:
    for form in FORMS:
        # A body is read in one place, whoever asked.
        for way in WAYS[:1] if form in BODIES else WAYS:
            answer = await ask(service, way, f"[sim error row={row} as={form}]")
            where = f"{row} as {form} to {way}"
            assert_meaning(answer, row, where)
            late = form == FORMS[-1]
            assert answer.calls == (1 if late else MEANINGS[row].tries), where
            if way == "GET /search/stream" or (late and way != "POST /search"):
                names = [name for name, _ in answer.relayed]
                if late:
                    assert names[:2] == ["response.created", "response.in_progress"], where
                    assert len(names) == 3, where
                else:
                    assert names == ["response.failed"] * (form == "failed"), where
                assert answer.names[-1] == "search.failed", where
            else:
                assert answer.status == MEANINGS[row].status, where


def assert_meaning(answer: Answer, row: str, where: str) -> None:
    means, refusal, problem = MEANINGS[row], REFUSALS[row], answer.problem
    assert answer.outcome == (means.code, means.retryable), (where, problem)
    assert problem["status"] == means.status, where
    assert problem["type"] == f"urn:imagesearch:{means.code}"
    assert [one["field"] for one in problem.get("errors", [])] == [means.field][: bool(means.field)]
    said = problem["upstream"]
    assert (said["code"], said["message"]) == (refusal.code, refusal.message), where
    assert refusal.message not in problem["detail"], where
    if answer.calls > 1:
        # Two pauses, the second twice the first, each shortened by up to half at random.
        most_s = 6 if row in BURST else 1.5
        assert most_s / 2 - 0.2 < answer.waited_s < most_s + 0.2
    else:
        assert answer.waited_s == 0


async def test_the_key_is_blanked_in_the_ids_of_the_upstream_too() -> None:
    refused = answer("400 Bad Request", b"{}", f"x-request-id: id-of-{KEY}")
    async with fronting(says(refused)) as (service, _):
        problem = (await service.http.post("/search", json=ASKED)).json()
    assert problem["upstream"]["request_id"] == "id-of-***"


async def test_retries_end_with_their_number_or_the_time_for_them() -> None:
    async with running(upstream_retries=0) as service:
        answer = await ask(service, "POST /search", "[sim http_429]")
        assert (answer.outcome, answer.calls) == (("upstream_rate_limited", True), 1)
    async with running(upstream_retries=10, upstream_retry_total_s=20) as service:
        answer = await ask(service, "POST /search", "[sim http_429]")
    assert answer.outcome == ("upstream_rate_limited", True)
    assert answer.waited_s <= 20
    assert 6 <= answer.calls <= 9


WRONG, PARAMETER = "InvalidParameter", "invalid_parameter_error"
PREFIX = "<400> InternalError.Algo.InvalidParameter: "

WORDS: dict[tuple[str, bool], list[tuple[str, str]]] = {
    # our code, and whether it is retryable: the upstream's codes and messages
    ("image_unfetchable", False): [
        (PARAMETER, "The image format is illegal and cannot be opened"),
        (WRONG, "oss download error."),
        (WRONG, "Failed to download input files."),
        (WRONG, "Input files format not supported."),
        ("InvalidURL", "The request URL is invalid, please check it."),
        ("InvalidURL.ConnectionRefused", "Connection to a.example refused, please check it."),
        ("InvalidImageFormat", "The input image is in invalid format."),
        ("InvalidImage.FileFormat", "Not supported."),
        ("InvalidFile.Openerror", "It cannot be opened."),
        ("BadRequest.InputDownloadFailed", "Failed to download the input file: 404."),
        (WRONG, "Something new about a picture"),
        (PARAMETER, "Something new about a url"),
        (PARAMETER, "Something new, multimodal"),
    ],
    ("image_unfetchable", True): [
        ("InvalidURL.Timeout", "Download https://a.example/x timeout, please check it."),
        (PARAMETER, "Download multimodal file timed out"),
        (WRONG, "Something new about an image: timeout"),
    ],
    ("image_dimensions", False): [
        (PARAMETER, "Input image is too small after resizing based on max_pixels."),
        (PARAMETER, "the size of input image is too small or too large."),
        ("InvalidImageResolution", "The input image resolution is too large or small."),
    ],
    ("image_too_large", False): [("InvalidFile.Size", "Invalid file size, at most 10 MB.")],
    ("invalid_request", False): [
        (PARAMETER, "Total message token length exceed model limit (131072 tokens)."),
        (PARAMETER, "Invalid text: <|image_pad|>"),
    ],
    ("content_blocked", False): [
        ("IPInfringementSuspect", "No."),
        ("FaqRuleBlocked", "No."),
        ("CustomRoleBlocked", "No."),
        (WRONG, "The text does not comply with green network verification."),
    ],
    ("upstream_rejected", False): [(WRONG, "Something new")],
}


def refusal(code: str, message: str) -> Handler:
    body = json.dumps({"code": code, "message": message, "request_id": "req-1"})
    return says(answer("400 Bad Request", body.encode(), JSON))


@pytest.mark.parametrize("meaning", WORDS, ids=str)
async def test_each_message_means_the_same_with_and_without_its_prefix(
    meaning: tuple[str, bool],
) -> None:
    rows = [
        ((code, message), refusal(code, prefix + message))
        for code, message in WORDS[meaning]
        for prefix in ("", PREFIX)
    ]
    async with fronting(*(part for _, part in rows), upstream_retries=0) as (service, _):
        for number, (words, _) in enumerate(rows):
            asked = ASKED | {"prompt": f"Question {number}"}
            problem = (await service.http.post("/search", json=asked)).json()
            assert (problem["code"], problem["retryable"]) == meaning, words
            assert problem["billed"] == "no"
