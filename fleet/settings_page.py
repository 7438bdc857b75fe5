"""The settings as a page. In: `fleet.settings.Settings`. Out: docs/settings.md, which a test holds to the model."""

import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic_core import PydanticUndefined

from fleet.settings import CONFIG_NAME, CONFIG_VARIABLE, PREFIX, Settings

_HEAD = f"""# Settings

Written by `make docs` from `fleet/settings.py`; a test holds the two together.

The first of these that sets a value wins: a variable `{PREFIX}*`, the same variable in a file `.env` in the working
folder, a key in a TOML file (`{CONFIG_NAME}` in the working folder, or the file that `{CONFIG_VARIABLE}` names;
keys are the names below without `{PREFIX}`, in small letters), the default. A name that is no setting, and two
settings that contradict each other, are errors that name the setting.

```toml
# {CONFIG_NAME}
brokers = "kafka-1:9092,kafka-2:9092"
num_gpus = 0.5
```

| variable | kind | default | meaning |
|---|---|---|---|
"""


def _kind(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return _kind(next(one for one in get_args(annotation) if one is not type(None)))
    if origin is tuple:
        return "names, comma between"
    if origin is dict:
        return "tables, or JSON"
    if hasattr(annotation, "__metadata__"):
        return _kind(get_args(annotation)[0])
    return {"SecretStr": "secret", "bool": "true, false", "int": "whole number", "float": "number", "Path": "path"}.get(
        annotation.__name__, "text"
    )


def _default(value: Any) -> str:
    if value is None or value in ("", PydanticUndefined):
        return "not set"
    if isinstance(value, tuple):
        value = ",".join(value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def settings_page() -> str:
    """The page as Markdown."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_kind(field.annotation)} | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(settings_page(), encoding="utf-8")
