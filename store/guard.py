"""What a caller over the network may not ask of the embedded engine.

A server keeps files, processes and other machines from its users by grants. The embedded engine has no users:
it would read any file and run any script that the owning process may. So these are refused by name.
"""

from itertools import pairwise

from store.sqltext import first_word, tokens, words

_SOURCES = words(
    """
    FILE FILECLUSTER FILESYSTEM URL URLCLUSTER HTTP EXECUTABLE EXECUTABLEPOOL EXECUTABLE_POOL PYTHON S3
    S3CLUSTER S3QUEUE GCS OSS COSN HDFS HDFSCLUSTER AZUREBLOBSTORAGE AZUREBLOBSTORAGECLUSTER AZUREQUEUE REMOTE
    REMOTESECURE CLUSTER CLUSTERALLREPLICAS DISTRIBUTED MYSQL POSTGRESQL MATERIALIZEDPOSTGRESQL
    MATERIALIZEDMYSQL MONGODB REDIS SQLITE ODBC JDBC HIVE KAFKA NATS RABBITMQ FILELOG ICEBERG ICEBERGS3
    ICEBERGLOCAL ICEBERGAZURE ICEBERGHDFS DELTALAKE DELTALAKELOCAL DELTALAKES3 DELTALAKEAZURE HUDI PAIMON
    ARROWFLIGHT YTSAURUS BIGQUERY DATALAKECATALOG LIBRARY CLICKHOUSE CASSANDRA BACKUP DISK
    """
)
_SYSTEM_ALLOWED = words("FLUSH START STOP SYNC RELOAD WAIT")
_CONTROL_ALLOWED = frozenset(
    {"SET", "USE", "KILL", "CREATE", "DROP", "EXISTS", "SHOW", "ALTER", "OPTIMIZE", "TRUNCATE"}
)


def refusal(sql: str, query_class: str, *, read_only: bool) -> tuple[int, str] | None:
    """ClickHouse's error code and words when the statement is not allowed, None when it is.

    `query_class` is the engine's own: READ_ONLY, MUTATING, MUTATING_GLOBAL, CONTROL or UNKNOWN.
    """
    found = [token for token in tokens(sql) if token.kind != "space"]
    for token, after in pairwise(found):
        name = token.text if token.kind == "word" else token.text[1:-1].upper()
        if after.text == "(" and token.kind in ("word", "quoted") and name in _SOURCES:
            return 497, f"Not enough privileges. `{name.lower()}` reaches outside the store. (ACCESS_DENIED)"
        if token.text == "OUTFILE":
            return 358, "INTO OUTFILE is not allowed. (INTO_OUTFILE_NOT_ALLOWED)"
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


def _is_lambda(sql: str) -> bool:
    """CREATE [OR REPLACE] FUNCTION ... AS ..., or DROP FUNCTION: pure SQL that can reach nothing."""
    found = [token.text for token in tokens(sql) if token.kind == "word"]
    if found[:2] == ["DROP", "FUNCTION"]:
        return True
    is_create = found[:2] == ["CREATE", "FUNCTION"] or found[:4] == ["CREATE", "OR", "REPLACE", "FUNCTION"]
    return is_create and "AS" in found and not {"ENGINE", "LANGUAGE", "HANDLER"} & set(found[: found.index("AS")])
