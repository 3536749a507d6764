"""What DashScope says of a caller's picture, address or words is the caller's error, never ours."""

import json

import pytest

from tests.e2e.asking import ASKED
from tests.peer import Handler, answer, says, serving
from tests.service import running_against

WRONG, PARAMETER = "InvalidParameter", "invalid_parameter_error"
PREFIX = "<400> InternalError.Algo.InvalidParameter: "

WORDS: dict[tuple[str, bool], list[tuple[str, str]]] = {
    # our code, and whether it is retryable: the upstream's codes and messages
    ("image_unfetchable", False): [
        (PARAMETER, "The image format is illegal and cannot be opened"),
        (PARAMETER, "The file format is illegal and cannot be opened."),
        (WRONG, "Invalid image format or corrupted file"),
        (WRONG, "read image error."),
        (WRONG, "image format error"),
        (WRONG, "download image failed"),
        (WRONG, "oss download error."),
        (WRONG, "Failed to download input files."),
        (WRONG, "Input files format not supported."),
        ("InvalidURL", "The request URL is invalid, please check it."),
        ("InvalidURL.ConnectionRefused", "Connection to a.example refused, please check it."),
        ("InvalidImageFormat", "The input image is in invalid format."),
        ("InvalidImage.FileFormat", "Not supported."),
        ("InvalidFile.Openerror", "It cannot be opened."),
        (PARAMETER, "Missing Content-Length of multimodal url"),
        (PARAMETER, "Wrong Content-Type of multimodal url"),
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
    ("image_too_large", False): [
        ("InvalidFile.Size", "Invalid file size, at most 10 MB."),
        (PARAMETER, "Multimodal file size is too large"),
    ],
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
    """In one envelope: that all are read alike is in `test_refusals`."""
    body = json.dumps({"code": code, "message": message, "request_id": "req-1"})
    return says(answer("400 Bad Request", body.encode(), "content-type: application/json"))


@pytest.mark.parametrize("meaning", WORDS, ids=str)
async def test_each_message_means_the_same_with_and_without_its_prefix(
    meaning: tuple[str, bool],
) -> None:
    rows = [
        ((code, message), refusal(code, prefix + message))
        for code, message in WORDS[meaning]
        for prefix in ("", PREFIX)
    ]
    async with (
        serving(*(part for _, part in rows)) as peer,
        running_against(peer.url, upstream_retries=0) as service,
    ):
        for number, (words, _) in enumerate(rows):
            asked = ASKED | {"prompt": f"Question {number}"}
            problem = (await service.http.post("/search", json=asked)).json()
            assert (problem["code"], problem["retryable"]) == meaning, words
            assert problem["billed"] == "no"
