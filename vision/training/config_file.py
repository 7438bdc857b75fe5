"""A training's settings from a TOML file, and back. In: the file and a config of defaults. Out: the whole config."""

import json
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

Config = TypeVar("Config")


def read_settings(
    path: Path,
    base: Config,
    places: Collection[str],
    error: type[ValueError],
    special: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Config:
    """The settings of a file on top of `base`, a frozen dataclass.

    Args:
        path: the TOML file.
        base: the defaults; a setting's type is its default's, where that is not None.
        places: fields that are the machine's and not the run's: no file may hold them.
        error: raised for a file that is missing, is not TOML, or holds a key or a type unknown here.
        special: key -> what makes the value of what TOML gives; it raises ValueError that ends "KEY is ...".
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise error(f"cannot read {path}: {reason.strerror}") from reason
    except tomllib.TOMLDecodeError as reason:
        raise error(f"{path} is not TOML: {reason}") from reason
    known = {f.name for f in fields(base)} - set(places)  # type: ignore[arg-type]
    settings: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in known:
            raise error(f"{path}: unknown setting {key!r}; known: {', '.join(sorted(known))}")
        if special and key in special:
            try:
                settings[key] = special[key](value)
            except ValueError as reason:
                raise error(f"{path}: {key} is {reason}") from reason
        else:
            settings[key] = _typed(path, key, value, getattr(base, key), error)
    return replace(base, **settings)  # type: ignore[type-var]


def as_toml(config: Any, base: Any, places: Collection[str]) -> str:
    """What `read_settings` makes `config` of, on top of `base`: only what differs from it, tables last."""
    plain, tables = [], []
    for name in (f.name for f in fields(config)):
        value, default = getattr(config, name), getattr(base, name)
        if name in places or value is None or value == default:
            continue
        if is_dataclass(value):
            tables += [f"\n[{name}]", as_toml(value, default, ()).rstrip()]
        else:
            # a string, number, truth value or list is written in TOML as in JSON
            plain.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join([*plain, *tables]) + "\n"


def frozen(value: Any) -> Any:
    """Lists as tuples, inner ones too."""
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value


def _typed(path: Path, key: str, value: Any, default: Any, error: type[ValueError]) -> Any:
    value = frozen(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if default is not None and type(value) is not type(default):
        raise error(f"{path}: {key} is {value!r}, it must be a {type(default).__name__}")
    return value
