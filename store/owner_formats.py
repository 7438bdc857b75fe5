"""What the owner's answers say of themselves: content types per format, HTTP status per error code."""

from store.sqltext import words

STREAMABLE = words(
    """
    native rowbinary tabseparated tsv tabseparatedraw tsvraw csv jsoneachrow jsonlines ndjson jsoncompacteachrow
    jsonstringseachrow jsoncompactstringseachrow tskv msgpack linesasstring rawblob
    """
)
"""Formats without header and footer: chDB writes those of the others anew with each chunk (measured), so the
others are sent when they are complete."""


def content_type(name: str) -> str:
    """The Content-Type that ClickHouse gives the format `name`."""
    low = name.lower()
    if low.startswith(("tabseparated", "tsv", "linesasstring")):
        return "text/tab-separated-values; charset=UTF-8"
    if low.startswith("csv"):
        return "text/csv; charset=UTF-8; header=" + ("present" if "withnames" in low else "absent")
    if low in ("jsoneachrow", "jsonlines", "ndjson") or low.endswith("eachrow"):
        return "application/x-ndjson; charset=UTF-8"
    if low.startswith("json"):
        return "application/json; charset=UTF-8"
    if low == "xml":
        return "application/xml; charset=UTF-8"
    if low in ("native", "arrow", "arrowstream", "parquet", "orc", "avro", "msgpack") or low.startswith("rowbinary"):
        return "application/octet-stream"
    return "text/plain; charset=UTF-8"


_STATUS: dict[int, int] = {
    194: 401,
    **dict.fromkeys((192, 193, 516, 512, 497), 403),
    **dict.fromkeys(
        (36, 427, 6, 25, 26, 38, 41, 72, 441, 675, 676, 27, 376, 15, 44, 37, 123, 8, 167, 168, 223, 62, 117, 53, 321),
        400,
    ),
    **dict.fromkeys((60, 46, 47, 50, 56, 81, 115, 152, 63, 73, 336, 78, 511), 404),
    229: 413,
    48: 501,
    209: 503,
    76: 503,
    381: 411,
    159: 408,
    439: 503,
}


def http_status(code: int) -> int:
    """The HTTP status that ClickHouse gives the error `code`."""
    return _STATUS.get(code, 500)
