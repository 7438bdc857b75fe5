"""One HTTP request to the owner -> what is to be run: pure, knows neither sockets nor the engine."""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from store.sqltext import words

MAX_QUERY_BYTES = 16 << 20
HEAD_BYTES = 1 << 18
"""How much of a request is looked at for an INSERT's head: ClickHouse's own max_query_size."""

# Parameters of the interface itself; every other one is a setting of the query.
_RESERVED = words(
    """
    query database user password default_format session_id session_timeout session_check query_id compress
    decompress wait_end_of_query buffer_size client_protocol_version stacktrace quota_key role
    """
)


class RequestError(Exception):
    """ClickHouse's error code and words for a request that cannot be run."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


@dataclass(frozen=True)
class Access:
    """Who may ask."""

    user: str = "default"
    password: str = ""


@dataclass(frozen=True)
class HttpQuery:
    """What a request asks for, its body apart."""

    query: str
    """The `query` parameter; the body continues it."""
    database: str = ""
    default_format: str = "TabSeparated"
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    query_id: str = ""
    user: str = ""
    """Who asks, for the audit: the quota key, which programs give for the person behind them, or the login."""
    reason: str = ""
    """Why, for the audit: the setting log_comment."""
    session_id: str = ""
    session_timeout: float = 60.0
    session_check: bool = False
    read_only: bool = False
    """GET: nothing may be changed."""
    wait_end: bool = False
    encoding: str = ""
    """How the body is compressed."""
    accept: str = ""
    """Encodings for the answer; empty: plain."""


def is_true(text: str) -> bool:
    """A flag in a URL."""
    return text.lower() in ("1", "true", "yes", "on")


def parse(method: str, pairs: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> HttpQuery:
    """The request's parameters and headers.

    Raises:
        RequestError: something is asked that this interface does not have.
    """
    params: dict[str, str] = {}
    queries: list[str] = []
    for name, value in pairs:
        if name == "query":
            queries.append(value)
        else:
            params[name] = value
    if is_true(params.get("compress", "")) or is_true(params.get("decompress", "")):
        raise RequestError(
            48,
            "compress=1 and decompress=1 are not supported: use HTTP content encodings. (NOT_IMPLEMENTED)",
        )
    if params.get("role"):
        raise RequestError(511, f"There is no role `{params['role']}` in `user directories`. (UNKNOWN_ROLE)")
    settings = {k: v for k, v in params.items() if k not in _RESERVED and not k.startswith("param_")}
    accept = headers.get("Accept-Encoding", "") if is_true(settings.get("enable_http_compression", "")) else ""
    return HttpQuery(
        query="".join(queries),
        database=params.get("database") or headers.get("X-ClickHouse-Database", ""),
        default_format=params.get("default_format") or headers.get("X-ClickHouse-Format", "") or "TabSeparated",
        parameters={k.removeprefix("param_"): v for k, v in params.items() if k.startswith("param_")},
        settings=settings,
        query_id=params.get("query_id", ""),
        user=params.get("quota_key") or headers.get("X-ClickHouse-Quota", "") or credentials(params, headers)[0],
        reason=settings.get("log_comment", ""),
        session_id=params.get("session_id", ""),
        session_timeout=_timeout(params.get("session_timeout", "")),
        session_check=is_true(params.get("session_check", "")),
        read_only=method in ("GET", "HEAD"),
        wait_end=is_true(params.get("wait_end_of_query", "")),
        encoding=headers.get("Content-Encoding", ""),
        accept=accept,
    )


def _timeout(text: str) -> float:
    if not text:
        return 60.0
    if not text.isdecimal():
        raise RequestError(374, f"Invalid session timeout: '{text}'. (INVALID_SESSION_TIMEOUT)")
    if int(text) > 3600:
        raise RequestError(
            374, f"Session timeout '{text}' is larger than max_session_timeout: 3600. (INVALID_SESSION_TIMEOUT)"
        )
    return float(text)


def check_access(access: Access, params: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Compare user and password, given by X-ClickHouse-User/Key, by Basic auth, or in the URL.

    Raises:
        RequestError: they are wrong, or a page of another site sent the request.
    """
    _check_origin(access, headers)
    user, password = credentials(params, headers)
    same = hmac.compare_digest(_raw(user), _raw(access.user))
    if not (hmac.compare_digest(_raw(password), _raw(access.password)) and same):
        name = _raw(user).decode(errors="replace")
        reason = "Authentication failed: password is incorrect, or there is no user with such name"
        raise RequestError(516, f"{name}: {reason}. (AUTHENTICATION_FAILED)")


def credentials(params: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """User and password, however they were given.

    Raises:
        RequestError: a Basic header that is not base64.
    """
    user, password = "default", ""
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        user, password = headers.get("X-ClickHouse-User", user), headers.get("X-ClickHouse-Key", "")
    elif headers.get("Authorization", "").lower().startswith("basic "):
        try:
            pair = base64.b64decode(headers["Authorization"][6:], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise RequestError(516, "Invalid authentication: not base64. (AUTHENTICATION_FAILED)") from None
        user, _, password = pair.partition(":")
    elif "user" in params or "password" in params:
        user, password = params.get("user", user), params.get("password", "")
    return user, password


def _raw(text: str) -> bytes:
    """The bytes that came: a header is UTF-8 to some clients and Latin-1 to others."""
    return text.encode("utf-8", "surrogateescape")


def _check_origin(access: Access, headers: Mapping[str, str]) -> None:
    """A browser sends Origin along: a page of another site must not ask the store in its user's name, nor,
    where there is no password, a page whose name was made to point at this machine."""
    host = headers.get("Host", "")
    origin = headers.get("Origin", "")
    if origin and urlsplit(origin).netloc != host:
        raise RequestError(497, f"Requests from pages of {origin[:80]} are not allowed. (ACCESS_DENIED)")
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    if not access.password and name and not (name == "localhost" or name.replace(".", "").isdigit() or ":" in name):
        raise RequestError(
            497, f"Host {name[:80]} is not this machine; without a password ask 127.0.0.1. (ACCESS_DENIED)"
        )
