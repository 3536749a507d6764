"""Which members of a Responses API request are passed on, compared with an SDK's parameters."""

import inspect

from openai.resources.responses import Responses

from app.api.responses_body import MEMBERS

OPTIONS_OF_THE_SDK = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
VENDORS_OWN = {"enable_thinking"}


def test_the_members_are_the_sdks_parameters_and_the_vendors_own() -> None:
    parameters = set(inspect.signature(Responses.create).parameters) - OPTIONS_OF_THE_SDK
    assert parameters | VENDORS_OWN == set(MEMBERS)
