"""Great Expectations' data docs as files that open without a network."""

import fcntl
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from market_data.quality.data_docs_style import STYLE
from market_data.quality.expectations import Validation
from market_data.window import Window

_FROM_THE_NETWORK = re.compile(
    r"<script.*?</script>|<link[^>]*>|<img[^>]*>|<footer.*?</footer>|<nav class=\"navbar.*?</nav>"
    r"\s*</div>\s*</nav>",
    re.DOTALL,
)
_LOCAL_STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
_LINK_ELSEWHERE = re.compile(r"<a href=\"(?!#)[^\"]*\"[^>]*>(.*?)</a>", re.DOTALL)


@dataclass(frozen=True)
class DataDocs:
    """Keep `<table>/<symbols and months>.html` and an `index.html` of all pages in `folder`.

    A page is Great Expectations' own, rendered from the latest validation of those windows, with a
    style of ours in place of what it would load from elsewhere.
    """

    folder: str

    def index(self) -> Path:
        """Return where the index lies, made or not."""
        return Path(self.folder) / "index.html"

    def page(self, table: str, windows: Sequence[Window]) -> Path:
        """Return where the page of a validation lies, made or not."""
        return Path(self.folder) / table / f"{_title(windows).replace(' ', '_')}.html"

    def write(self, table: str, windows: Sequence[Window], validation: Validation) -> Path:
        """Write the page of a validation, put it into the index and return its path."""
        path = self.page(table, windows)
        path.parent.mkdir(parents=True, exist_ok=True)
        title = f"{table} · {_title(windows)}"
        entry = {
            "table": table,
            "windows": _title(windows),
            "rows": validation.rows,
            "expectations": len(validation.records),
            "broken": len(validation.broken),
            "validated": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}",
        }
        with self._only_writer():
            _replace(path, _offline(_rendered(validation), title))
            pages = self._pages() | {str(path.relative_to(self.folder)): entry}
            _replace(self._ledger(), json.dumps(pages, indent=1, sort_keys=True))
            _replace(self.index(), _index(pages))
        return path

    def _pages(self) -> dict[str, dict[str, Any]]:
        ledger = self._ledger()
        return json.loads(ledger.read_text()) if ledger.exists() else {}

    def _ledger(self) -> Path:
        return Path(self.folder) / "pages.json"

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        """Let one run at a time change the index; a crash releases it."""
        with (Path(self.folder) / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _title(windows: Sequence[Window]) -> str:
    """Return symbols and months as a page is named: `BTCUSDT 2025-11`, `2 symbols 2025-01 to …`."""
    symbols = sorted({window.symbol for window in windows})
    ends = (min(one.start_ms for one in windows), max(one.end_ms for one in windows) - 1)
    months = [f"{datetime.fromtimestamp(end / 1000, UTC):%Y-%m}" for end in ends]
    who = symbols[0] if len(symbols) == 1 else f"{len(symbols)} symbols"
    return f"{who} {' to '.join(dict.fromkeys(months))}"


def _rendered(validation: Validation) -> str:
    """Return Great Expectations' page of a validation; of no rows there is nothing to say."""
    if validation.result is None:
        return "<html><head></head><body><p>No rows: every expectation holds.</p></body></html>"
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    content = ValidationResultsPageRenderer().render(validation.result)
    return str(DefaultJinjaPageView().render(content))


def _offline(page: str, title: str) -> str:
    """Return the page without scripts, links and pictures from elsewhere, in our style."""
    local = _LOCAL_STYLE.sub("", _FROM_THE_NETWORK.sub("", page))
    local = _LINK_ELSEWHERE.sub(r"\1", local)
    head = f"<style>{STYLE}</style></head>"
    top = f'<header><a href="../index.html">Data docs</a> · {html.escape(title)}</header>'
    return local.replace("</head>", head, 1).replace("<body>", f"<body>{top}", 1)


def _index(pages: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of all pages, what is broken first."""
    ordered = sorted(pages.items(), key=lambda page: (page[1]["broken"] == 0, page[0]))
    lines = [_index_row(path, entry) for path, entry in ordered]
    names = ("", "table", "windows", "rows", "expectations", "broken", "validated (UTC)")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f"<!DOCTYPE html><html><head><meta charset='UTF-8'><title>Data docs</title>"
        f"<style>{STYLE}</style></head><body><header>Data docs</header>"
        f"<table class='table'><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
        "</table></body></html>"
    )


def _index_row(path: str, entry: Mapping[str, Any]) -> str:
    mark = "fa-check-circle text-success" if not entry["broken"] else "fa-times text-danger"
    link = f"<a href='{html.escape(path)}'>{html.escape(str(entry['windows']))}</a>"
    cells = [entry["table"], link, f"{entry['rows']:,}", entry["expectations"], entry["broken"]]
    cells.append(entry["validated"])
    return f"<tr><td><i class='{mark}'></i></td>{''.join(f'<td>{c}</td>' for c in cells)}</tr>"


def _replace(path: Path, text: str) -> None:
    """Put a file in place at once, so that nobody sees half of it."""
    new = path.with_suffix(path.suffix + ".new")
    new.write_text(text)
    new.replace(path)
