"""What a caller over the network may not ask of the embedded engine.

A server keeps files, processes and other machines from its users by grants. The embedded engine has no users:
it would read any file and run any script that the owning process may. So these are refused by name. (Files as tables,
`FROM '/etc/passwd'`, are not: `store.embedded` takes the database that has them away.)
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from store.sqltext import Token, first_word, tokens, words

_HARMLESS = words(
    """
    SQLSTANDARDVALUES DICTIONARY FORMAT FUZZJSON FUZZQUERY GENERATERANDOM GENERATESERIES GENERATE_SERIES INPUT LOOP
    MERGE MERGETREEANALYZEINDEXES MERGETREEANALYZEINDEXESUUID MERGETREECODECBLOCKCOUNTS MERGETREEINDEX
    MERGETREEPROJECTION MERGETREETEXTINDEX NULL NUMBERS NUMBERS_MT PRIMES PROMETHEUSQUERY PROMETHEUSQUERYRANGE
    TIMESERIESDATA TIMESERIESMETRICFAMILIES TIMESERIESMETRICS TIMESERIESSAMPLES TIMESERIESSELECTOR TIMESERIESTAGS
    VALUES VIEW VIEWEXPLAIN VIEWIFPERMITTED ZEROS ZEROS_MT
    AGGREGATINGMERGETREE BUFFER COALESCINGMERGETREE COLLAPSINGMERGETREE GRAPHITEMERGETREE JOIN LOG
    MATERIALIZEDVIEW MEMORY MERGETREE REPLACINGMERGETREE SET STRIPELOG SUMMINGMERGETREE TIMESERIES TINYLOG
    VERSIONEDCOLLAPSINGMERGETREE ATOMIC ORDINARY
    """
)
"""Table functions and engines that reach nothing but the store's own tables. What the engine has beyond them is
refused, so that a newer engine brings no way out."""
_ELSEWHERE = words(
    """
    FILE HTTP EXECUTABLE EXECUTABLEPOOL EXECUTABLE_POOL LIBRARY CLICKHOUSE CASSANDRA MYSQL POSTGRESQL MONGODB REDIS
    ODBC JDBC YTSAURUS SSD_CACHE COMPLEX_KEY_SSD_CACHE BACKUP DISK OVERLAY LAZY CATBOOSTEVALUATE
    """
)
"""What reaches outside and is in none of the engine's own lists: sources and layouts of dictionaries, disks, models."""
_AUDIT = "AUDIT"
_LOOKS = words("SELECT WITH FROM EXPLAIN SHOW EXISTS DESCRIBE DESC CHECK")
_AUDIT_MIGRATIONS = (
    "INSERT INTO AUDIT",
    "INSERT INTO TABLE AUDIT",
    "CREATE TABLE IF NOT EXISTS AUDIT ( NUMBER",
    "ALTER TABLE AUDIT ADD COLUMN IF NOT EXISTS CHAIN LOWCARDINALITY ( STRING ) COMMENT 'Who keeps this chain' FIRST;",
    "ALTER TABLE AUDIT DROP COLUMN IF EXISTS RESULT_ROWS;",
)
"""What may be done to the audit: adding to it, and its own migrations. A semicolon: the statement ends there."""
_FILE_SETTINGS = words("FORMAT_SCHEMA FORMAT_TEMPLATE_ROW FORMAT_TEMPLATE_RESULTSET")
"""Settings whose value is a file that the engine reads."""
_SYSTEM_ALLOWED = words("FLUSH START STOP SYNC RELOAD WAIT")
_CONTROL_ALLOWED = frozenset(
    {"SET", "USE", "KILL", "CREATE", "DROP", "EXISTS", "SHOW", "ALTER", "OPTIMIZE", "TRUNCATE"}
)


def outward(names: Iterable[str]) -> frozenset[str]:
    """Of the engine's table functions and engines those that reach outside the store, upper case."""
    return frozenset(name.upper() for name in names) - _HARMLESS | _ELSEWHERE


def refusal(sql: str, query_class: str, *, read_only: bool, sources: frozenset[str]) -> tuple[int, str] | None:
    """ClickHouse's error code and words when the statement is not allowed, None when it is.

    `query_class` is the engine's own: READ_ONLY, MUTATING, MUTATING_GLOBAL, CONTROL or UNKNOWN; `sources`: as
    `outward` gives them.
    """
    found = [token for token in tokens(sql) if token.kind != "space"]
    reaching = _reaching(found, sources)
    if reaching:
        return 497, f"Not enough privileges. `{reaching}` reaches outside the store. (ACCESS_DENIED)"
    if any(token.text == "OUTFILE" for token in found):
        return 358, "INTO OUTFILE is not allowed. (INTO_OUTFILE_NOT_ALLOWED)"
    if query_class != "READ_ONLY" and _spoils_audit(found):
        return 497, "Not enough privileges. The audit can only be read and added to. (ACCESS_DENIED)"
    if read_only and query_class not in ("READ_ONLY", "UNKNOWN"):
        return 164, "Cannot execute query in readonly mode. (READONLY)"
    verb = first_word(sql)
    if query_class == "CONTROL" and verb == "SYSTEM":
        if len(found) < 2 or found[1].text not in _SYSTEM_ALLOWED:
            return 497, "Not enough privileges. This SYSTEM statement is not allowed here. (ACCESS_DENIED)"
    elif query_class == "CONTROL" and verb not in _CONTROL_ALLOWED:
        return 497, f"Not enough privileges. {verb} is not allowed here. (ACCESS_DENIED)"
    if query_class == "MUTATING_GLOBAL" and not _is_lambda(sql):
        return 497, "Not enough privileges. Users, roles and named collections need a server. (ACCESS_DENIED)"
    return None


def reads_file(setting: str) -> bool:
    """Whether a setting's value is a file that the engine reads."""
    return setting.upper() in _FILE_SETTINGS


def _reaching(found: Sequence[Token], sources: frozenset[str]) -> str:
    """What in a statement reaches outside the store; empty: nothing."""
    for token in found:
        # the engine takes these for quotes, `tokens` does not
        if token.kind == "other" and token.text in "\u2018\u2019\u201c\u201d":
            return token.text
        if token.text == "INFILE" or (token.text[0] != "'" and reads_file(_name(token))):
            return _name(token).lower()
    for token, after in pairwise(found):
        is_called = after.text == "(" and (token.kind in ("word", "quoted") or token.text == "}")
        if is_called and _is_outward(token, sources):
            return _name(token).lower()
    for at, token in enumerate(found):
        if token.text == "ENGINE":
            named = next((one for one in found[at + 1 : at + 3] if one.text != "="), token)
            if _is_outward(named, sources):
                return _name(named).lower()
    return ""


def _spoils_audit(found: Sequence[Token]) -> bool:
    """Whether a statement that changes something may change the audit, or the database that it lies in."""
    names = [_name(token).strip() for token in found]
    if not names or names[0] in _LOOKS:
        return False
    if names[:2] == ["CREATE", "VIEW"] or names[:4] == ["CREATE", "OR", "REPLACE", "VIEW"]:
        # a view only reads, whatever it is called upon; it must not take the audit's name
        found = found[: names.index("AS")] if "AS" in names else found
        names = names[: len(found)]
    if "IDENTIFIER" in names and names[names.index("IDENTIFIER") - 1] == ":":
        return True
    hidden = any(token.kind == "quoted" and token.text[0] != "'" and "\\" in token.text for token in found)
    if names[0] in ("DROP", "TRUNCATE", "RENAME", "ALTER") and {"DATABASE", "SCHEMA", "ALL", "TABLES"} & set(
        names[1:2]
    ):
        return "DEFAULT" in names or names[0] == "TRUNCATE" or hidden
    if _AUDIT not in names:
        return hidden
    said = " ".join(token.text if token.text[0] == "'" else name for token, name in zip(found, names, strict=True))
    said = said.replace("DEFAULT . ", "").removesuffix(" ;") + ";"
    return not any(said == one or (one[-1] != ";" and f"{said} ".startswith(f"{one} ")) for one in _AUDIT_MIGRATIONS)


def _is_outward(token: Token, sources: frozenset[str]) -> bool:
    """A name with an escape in it, or one that a parameter gives, may be any."""
    if token.kind == "quoted":
        return token.text[0] != "'" and (_name(token) in sources or "\\" in token.text)
    return token.text in sources or token.text in ("{", "}")


def _name(token: Token) -> str:
    return token.text[1:-1].upper() if token.kind == "quoted" else token.text


def _is_lambda(sql: str) -> bool:
    """CREATE [OR REPLACE] FUNCTION ... AS ..., or DROP FUNCTION: pure SQL that can reach nothing."""
    found = [token.text for token in tokens(sql) if token.kind == "word"]
    if found[:2] == ["DROP", "FUNCTION"]:
        return True
    is_create = found[:2] == ["CREATE", "FUNCTION"] or found[:4] == ["CREATE", "OR", "REPLACE", "FUNCTION"]
    return is_create and "AS" in found and not {"ENGINE", "LANGUAGE", "HANDLER"} & set(found[: found.index("AS")])
