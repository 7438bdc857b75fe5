"""Just enough of H.264's byte stream (Annex B) to cut it into groups that decode alone."""

import re

_START = re.compile(rb"\x00\x00\x01")
_PREFIX = b"\x00\x00\x00\x01"

IDR, SPS, PPS = 5, 7, 8
_PICTURE = (1, 2, 5)


def units(data: bytes) -> list[tuple[int, int, int]]:
    """(type, first byte, end) of each NAL unit of `data`; start codes are not part of a unit."""
    starts = [match.end() for match in _START.finditer(data)]
    found = []
    for index, start in enumerate(starts):
        if start >= len(data):
            break
        end = starts[index + 1] - 3 if index + 1 < len(starts) else len(data)
        while end > start and data[end - 1] == 0:
            end -= 1
        if end > start:
            found.append((data[start] & 0x1F, start, end))
    return found


def has_picture(data: bytes) -> bool:
    """True when a slice is in `data`: parameter sets and messages alone are no picture."""
    return any(kind in _PICTURE for kind, _, _ in units(data))


class ParameterSets:
    """Remembers a stream's newest SPS and PPS, and puts them before pictures that came without."""

    def __init__(self, extradata: bytes | None = None) -> None:
        self._sets: dict[tuple[int, bytes], bytes] = {}
        if extradata and extradata.startswith((b"\0\0\1", b"\0\0\0\1")):
            self.complete(extradata)

    def complete(self, access_unit: bytes) -> tuple[bytes, bool]:
        """A key picture with its parameter sets, and whether it is an IDR picture: nothing behind it looks
        over it, so a group may begin here."""
        kinds = set()
        for kind, start, end in units(access_unit):
            kinds.add(kind)
            if kind in (SPS, PPS):
                unit = access_unit[start:end]
                # The id of a set lies within its first bytes; two sets that differ there live side by side.
                self._sets[kind, unit[: 4 if kind == SPS else 2]] = unit
        if SPS not in kinds or PPS not in kinds:
            missing = [unit for (kind, _), unit in sorted(self._sets.items()) if kind not in kinds]
            access_unit = b"".join(_PREFIX + unit for unit in missing) + access_unit
        return access_unit, IDR in kinds
