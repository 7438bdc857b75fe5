"""The arrows between rooms, read from the source: who may import whom, and who alone may import what."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "schemas": set(),
    "plumbing": set(),
    "vision": {"schemas"},
    "cameras": {"vision", "schemas", "plumbing"},
    "workers": {"vision", "schemas", "plumbing"},
    "store": {"schemas", "plumbing"},
    "streams": {"store", "schemas", "plumbing"},
    "console": {"store", "schemas", "plumbing"},
    "delivery": {"schemas", "plumbing"},
    "fleet": {"schemas", "plumbing", "vision", "cameras", "workers", "store", "streams", "console", "delivery"},
}
ONLY_HERE = {
    "ray": {"workers/actors.py"},
    "faust": {"streams/app.py", "streams/agents.py", "streams/consuming.py"},
    "chdb": {"store/embedded.py"},
    "clickhouse_driver": {"store/server.py", "store/native.py"},
    "apprise": {"delivery/senders.py"},
    "paho": {"delivery/mqtt_loop.py", "delivery/senders.py"},
    "kafka": {
        "plumbing/kafka_bus.py",
        "plumbing/kafka_admin.py",
        "plumbing/kafka_rebalance.py",
        "plumbing/memory_bus.py",
        "streams/progress.py",
        "fleet/drain.py",
    },
}
ENVIRONMENT = {"fleet/settings.py"}


def _files(room: str) -> Iterator[Path]:
    return (path for path in sorted((ROOT / room).rglob("*.py")) if "__pycache__" not in path.parts)


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _imports(path: Path, *, at_import_time: bool = False) -> Iterator[str]:
    """Dotted names that a file imports; those inside functions and under TYPE_CHECKING too, unless only import time."""
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its room"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            # `from package import module` needs the modules, not what the package's own file holds
            if not all(_is_module(name) for name in names):
                yield node.module
            yield from names
        skipped = at_import_time and (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        )
        if not skipped:
            todo += ast.iter_child_nodes(node)


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in _files(room)
        for name in _imports(path)
        if (other := name.partition(".")[0]) in ALLOWED and other != room and other not in ALLOWED[room]
    ]
    assert wrong == []


@pytest.mark.parametrize("library", ONLY_HERE)
def test_a_library_is_imported_only_in_its_place(library: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for room in ALLOWED
        for path in _files(room)
        if any(name.partition(".")[0] == library for name in _imports(path))
    }
    assert users <= ONLY_HERE[library]


def test_every_room_is_in_the_table() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "bench"} == set(ALLOWED)


def test_no_module_imports_itself_round_a_circle() -> None:
    modules = {
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__"): path
        for room in ALLOWED
        for path in _files(room)
    }
    graph = {
        name: {one for one in _imports(path, at_import_time=True) if one in modules and one != name}
        for name, path in modules.items()
    }
    # raises CycleError, which names the circle
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules)


def test_the_environment_is_read_in_one_place() -> None:
    readers = set()
    for room in ALLOWED:
        for path in _files(room):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            # a default that a library wants to find in the environment is written, not read
            written = {
                id(node.value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and node.attr == "setdefault"
            }
            for node in ast.walk(tree):
                reads = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
                if reads and id(node) not in written:
                    readers.add(str(path.relative_to(ROOT)))
    assert readers <= ENVIRONMENT
