"""The OpenAPI document, held against every response that a test gets."""

from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator
from starlette.routing import compile_path

from app.main import create_app
from app.settings import load

Json = dict[str, Any]


class Contract:
    """An OpenAPI document, looked up by request and response."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self._templates = {path: compile_path(path)[0] for path in document["paths"]}
        self._validators: dict[tuple[str, str, int], Draft202012Validator] = {}

    async def hold(self, response: httpx.Response) -> None:
        """Fail for a status, a media type, a body or a missing header that is not documented."""
        method, path = response.request.method.lower(), self._template(response.url.path)
        if (operation := self.document["paths"].get(path, {}).get(method)) is None:
            return
        status = response.status_code
        what = f"{method} {path} answered {status}"
        assert str(status) in operation["responses"], f"{what}, which is not documented"
        documented = self.resolved(operation["responses"][str(status)])
        for name, header in documented.get("headers", {}).items():
            missing = self.resolved(header).get("required", False) and name not in response.headers
            assert not missing, f"{what} without {name}"
        media_type = response.headers.get("content-type", "").partition(";")[0]
        content = documented.get("content", {})
        assert media_type in content or (not media_type and not content), f"{what}: {media_type}"
        if media_type.endswith("json"):
            await response.aread()
            validator = self._validator((method, path, status), content[media_type]["schema"])
            errors = [error.message for error in validator.iter_errors(response.json())]
            assert not errors, f"{what}: {errors}"

    def resolved(self, value: Json) -> Json:
        """The object itself, where a reference to it may stand."""
        for step in value.get("$ref", "").split("/")[1:]:
            value = (self.document if step == "components" else value)[step]
        return value

    def _template(self, path: str) -> str:
        """The path as it is documented: itself, before a template that it happens to fit."""
        fitting = (one for one, regex in self._templates.items() if regex.fullmatch(path))
        return path if path in self._templates else next(fitting, path)

    def _validator(self, key: tuple[str, str, int], schema: Json) -> Draft202012Validator:
        if key not in self._validators:
            root = {"components": self.document["components"]} | schema
            self._validators[key] = Draft202012Validator(root)
        return self._validators[key]


@cache
def contract_of(models: tuple[str, ...]) -> Contract:
    """The contract of a service that offers these models; no other setting changes it."""
    settings = load(
        _env_file=None, dashscope_api_key="sk-any", allow_anonymous=True, allowed_models=models
    )
    return Contract(create_app(settings).openapi())
