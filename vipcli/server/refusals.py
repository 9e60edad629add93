"""A request that isn't answered as it was meant: `Refusal`, with its status, in the shape of OpenAI's API."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from vipcli.errors import ModelError, VipError, plain

__all__ = ["Refusal", "as_refusal", "refused"]

_HTTP = {404: "there is nothing here", 405: "not by this method"}
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class Refusal(VipError):
    """What a client did wrong, or what it must wait for.

    status: of HTTP. param: the field that it is about. code: for programs. after: seconds until it may ask again.
    """

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.after = status, param, code, after

    def __reduce__(self) -> tuple[Any, ...]:  # as exceptions with more than a message need it to be pickled
        return _restored, (self.status, str(self), self.param, self.code, self.after)

    @property
    def body(self) -> dict[str, Any]:
        """As OpenAI's API says it."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": plain(str(self)), "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """What else it says."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {} if self.after is None else {"Retry-After": str(self.after)}


def as_refusal(error: VipError, param: str | None = None) -> Refusal:
    """`error` as a refusal: what the client can mend is its own (400), the rest is ours (500)."""
    if isinstance(error, Refusal):
        return error
    return Refusal(500 if isinstance(error, ModelError) else 400, str(error), param=param)


async def refused(_: Request, error: Exception) -> Response:
    """What an application answers where its endpoint raised a `VipError` or an `HTTPException`."""
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        error = Refusal(error.status_code, _HTTP.get(error.status_code, str(error.detail)))
    assert isinstance(error, VipError)
    refusal = as_refusal(error)
    return Response(orjson.dumps(refusal.body), refusal.status, {**headers, **refusal.headers}, "application/json")


def _restored(status: int, message: str, param: str | None, code: str | None, after: int | None) -> Refusal:
    return Refusal(status, message, param=param, code=code, after=after)
