"""Messages of fleet.reads without what no row of `reads_raw` keeps: the pictures and the characters' probabilities,
which are most of a message. Half the time of decoding it whole (measured: 3.5 against 8 us)."""

from typing import Any, cast

import msgspec

from schemas.codec import SchemaError
from schemas.read import CloseTracks, FrameReads, PlateRead

_NOT_KEPT = ("char_probs", "crop_jpeg")


def _like(kind: type[msgspec.Struct], changed: dict[str, Any], **options: Any) -> type[msgspec.Struct]:
    """A struct with the fields of `kind`, some of another type, some (None) left out."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        type_ = changed.get(field.name, field.type)
        if type_ is not None:
            default = () if field.default is msgspec.NODEFAULT else (field.default,)
            fields.append((field.name, type_, *default))
    return msgspec.defstruct(f"Kept{kind.__name__}", fields, frozen=True, kw_only=True, **options)


_KeptRead: Any = _like(PlateRead, dict.fromkeys(_NOT_KEPT))
_KeptFrame: Any = _like(FrameReads, {"reads": tuple[_KeptRead, ...]}, tag_field="kind", tag="reads")
_decoder = msgspec.msgpack.Decoder(_KeptFrame | CloseTracks)


def decode_kept(data: bytes) -> FrameReads | None:
    """The message in `data` without the fields that no row keeps; None for a command to close tracks.

    Raises:
        SchemaError: not a message of fleet.reads, in what a row keeps.
    """
    try:
        message = _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise SchemaError("bad_value", f"not a message of fleet.reads: {error}") from error
    return None if isinstance(message, CloseTracks) else cast(FrameReads, message)
