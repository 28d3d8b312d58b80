"""ccxt's own client, told where the exchange is, and strict about answers that it would hide."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from market_data.sources.backoff import SourceUnavailableError, refused, retry_after_s

Answer = TypeVar("Answer")


def connect(
    exchange_id: str, at: str, timeout_s: float, limited: bool, options: Mapping[str, object]
) -> Any:
    """Return a client of ccxt; where `at` is given, every host of the exchange is replaced by it.

    `limited` keeps ccxt's rate limiter on, which spaces requests by the exchange's weights.
    """
    import ccxt

    client = _strict(getattr(ccxt, exchange_id))(
        {
            "enableRateLimit": limited,
            "enableLastJsonResponse": True,
            "timeout": int(timeout_s * 1000),
        }
    )
    client.has["fetchCurrencies"] = False  # needs an account, or asks for much that is not used
    client.options.update(options)
    if at:
        for name, address in client.urls["api"].items():
            client.urls["api"][name] = at.rstrip("/") + urlsplit(address).path
    return client


def ask(client: Any, question: Callable[[Any], Answer], what: str) -> Answer:
    """Return ccxt's answer; tell a source that cannot answer now from one that never will.

    Raises SourceUnavailableError for the first, QuestionRefusedError for the second.
    """
    import ccxt
    from requests import HTTPError, RequestException

    client.last_response_headers = client.last_json_response = None
    try:
        return question(client)
    except ccxt.OperationFailed as error:
        raise SourceUnavailableError(_reason(error), _pause_s(client)) from error
    except ccxt.ExchangeError as error:
        broken = isinstance(error.__cause__, RequestException)
        if broken and not isinstance(error.__cause__, HTTPError):
            raise SourceUnavailableError(_reason(error)) from error
        raise refused(what, _reason(error), "an answer") from error
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise SourceUnavailableError(
            f"an answer that cannot be read ({_reason(error)}): {client.last_json_response!s:.200}"
        ) from error


def raw_rows(client: Any, key: str) -> list[Any]:
    """Return the rows of the latest answer as they came, for ccxt takes anything else for no rows.

    Raises SourceUnavailableError where there is no list.
    """
    answer = client.last_json_response
    rows = answer.get(key) if key and isinstance(answer, dict) else answer
    if not isinstance(rows, list):
        raise SourceUnavailableError(f"{answer!s:.200} in place of rows")
    return rows


def _strict(plain: type) -> type:
    """Return the class of ccxt with two differences: nothing is lost on the way.

    Half a JSON body is an error: ccxt would go on with None, which becomes an empty page, or an
    exchange without markets. And a row that is not of the time asked for comes back as well: ccxt
    would leave it out, and one with an impossible stamp would never be counted.
    """
    import ccxt

    def handle_errors(self: Any, code: int, *arguments: Any) -> Any:
        body = arguments[4]
        decoded = arguments[5]
        if code == 200 and decoded is None:
            raise ccxt.BadResponse(f"{len(body or '')} characters that are no whole JSON")
        return plain.handle_errors(self, code, *arguments)  # pyright: ignore[reportAttributeAccessIssue]

    def filter_by_since_limit(self: Any, array: list[Any] | None, *_: Any, **__: Any) -> list[Any]:
        return self.to_array(array) if array else []

    def filter_by_value_since_limit(
        self: Any, array: list[Any], field: Any, value: Any = None, *_: Any, **__: Any
    ) -> list[Any]:
        return plain.filter_by_value_since_limit(self, array, field, value)  # pyright: ignore[reportAttributeAccessIssue]

    return type(
        plain.__name__,
        (plain,),
        {
            "handle_errors": handle_errors,
            "filter_by_since_limit": filter_by_since_limit,
            "filter_by_value_since_limit": filter_by_value_since_limit,
        },
    )


def _reason(error: Exception) -> str:
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    return f"{type(error).__name__}: {error}{cause}"[:500]


def _pause_s(client: Any) -> float:
    headers = client.last_response_headers or {}
    return retry_after_s(str(headers.get("Retry-After", "")))
