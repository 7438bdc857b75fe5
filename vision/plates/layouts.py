# ruff: noqa: E501
"""The plate layouts of each region, as data: sizes, colours, fonts, patterns of letters and digits.

Pattern language (one pattern = one plate; read by `vision.plates.spec`):
`A` a letter, `9` a digit, `*` either, `{X|YY}` one of the written choices, `~` a gap that holds an emblem or
seal, `/` starts the second row, and space, `-`, `.` are shown as they are. Only A-Z and 0-9 belong to the text.
"""

from dataclasses import dataclass, replace
from typing import Literal

from vision.plates.us_states import STATES

Kind = Literal["car", "motorcycle"]

ALL_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NO_IOQ = "ABCDEFGHJKLMNPRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Layout:
    """One look of one region's plates. Colours are RGB hex, sizes millimetres."""

    region: str
    patterns: tuple[str, ...]
    kind: Kind = "car"
    size: tuple[float, float] = (520.0, 112.0)
    """Width and height in millimetres."""
    letters: str = NO_IOQ
    fonts: tuple[str, ...] = ("barlow-condensed-500", "share-tech-400", "saira-condensed-500", "bebas-neue-bold")
    ink: tuple[str, ...] = ("101010",)
    """One of these colours the characters."""
    ground: tuple[tuple[str, ...], ...] = (("f2f2f0",),)
    """One of these colours the plate: one colour, or several from top to bottom as a gradient."""
    band: Literal["", "left", "both", "top"] = ""
    band_colour: str = "1b3f94"
    band_text: str = ""
    header: tuple[str, ...] = ()
    """Small words above the number that are not the number."""
    footer: tuple[str, ...] = ()
    char_height: float = 0.68
    """Of the plate's height, for a one-row plate."""
    emblem: Literal["", "dot", "seal", "picture"] = ""
    weight: float = 1.0
    """How often this look is drawn, relative to the region's others."""


_US_FONTS = ("saira-condensed-500", "overpass-500", "barlow-condensed-500", "share-tech-400", "saira-condensed-700")
_PLAIN = ("liberation-sans-bold", "overpass-700", "dejavu-sans-bold", "barlow-condensed-700", "liberation-mono-bold")
_YELLOW = ("f2c318",)
_WHITE = ("f2f2f0",)
_MOTO = (220.0, 170.0)


def _eu(
    region: str,
    patterns: tuple[str, ...],
    two_rows: tuple[str, ...] = (),
    *,
    band_text: str = "",
    fonts: tuple[str, ...] | None = None,
    **looks: object,
) -> tuple[Layout, ...]:
    """A European country: the long plate with its blue band, the square one, the motorcycle's."""
    base = Layout(region=region, patterns=patterns, band="left", band_text=band_text or region)
    base = replace(base, **looks)  # type: ignore[arg-type]
    if fonts:
        base = replace(base, fonts=fonts)
    out = [replace(base, weight=base.weight * 6)]
    if two_rows:
        out.append(replace(base, patterns=two_rows, size=(280.0, 200.0), weight=base.weight * 0.6))
        out.append(replace(base, patterns=two_rows, size=_MOTO, kind="motorcycle"))
    else:
        out.append(replace(base, size=(300.0, 80.0), kind="motorcycle"))
    return tuple(out)


_RO_COUNTY = (
    "{AB|AG|AR|BC|BH|BN|BR|BT|BV|BZ|CJ|CL|CS|CT|CV|DB|DJ|GJ|GL|GR|HD|HR|IF|IL|IS|MH|MM|MS|NT|OT|PH|SB|SJ|SM|SV|TL|"
    "TM|TR|VL|VN|VS}"
)
_DE_CITY = (
    "{B|M|K|F|S|D|H|HH|HB|KI|LG|DD|MA|KA|FR|N|R|A|AC|BN|DO|E|GT|HD|HSK|LB|MTK|OF|RT|SLS|STD|UL|WN|ZW|BAD|FFB|GAP|KLE}"
)
_IN_STATE = "{MH|DL|KA|TN|KL|UP|HR|GJ|RJ|MP|AP|TS|WB|PB|CH|OD|BR|JH|CG|UK|HP|GA|AS|JK|PY}"
_TR_CITY = "{34|06|35|16|01|07|41|42|27|55|33|10}"
_UA_CODE = "{AA|KA|BC|AX|BH|AE|AP|CA|BI|BX|BB|AI|AT|AC|BM|BO|BK|AO|AH|BT|CB|CE|AM|KI|HH|II}"
_BR_TOWN = (
    "SP SAO PAULO",
    "PR CURITIBA",
    "RS PORTO ALEGRE",
    "MG BELO HORIZONTE",
    "SC JOINVILLE",
    "SP CAMPINAS",
    "RJ RIO DE JANEIRO",
)

_EUROPE: tuple[Layout, ...] = (
    *_eu("DE", (f"{_DE_CITY}~AA 9999", f"{_DE_CITY}~A 999", f"{_DE_CITY}~AA 999", f"{_DE_CITY}~AA 99", f"{_DE_CITY}~A 9999"),
         (f"{_DE_CITY}~/AA 999", f"{_DE_CITY}~/A 9999"), letters=ALL_LETTERS, band_text="D", emblem="seal"),
    *_eu("FR", ("AA-999-AA",), ("AA-999/AA",), band="both", band_text="F"),
    *_eu("IT", ("AA 999AA",), ("AA 9/9999",), band="both", band_text="I"),
    *_eu("ES", ("9999 AAA", "9999 AAA", "AA-9999-AA", "A-9999-AA"), ("9999/AAA",), band_text="E", letters="BCDFGHJKLMNPRSTVWXYZ"),
    *_eu("NL", ("99-AA-AA", "99-AAA-9", "AA-999-A", "A-999-AA", "9-AAA-99", "AA-AA-99", "99-99-AA", "AA-99-99"),
         ("AA-99/AA", "AA-99/99"), ground=(_YELLOW,), letters="BDFGHJKLNPRSTVXZ"),
    *_eu("PT", ("AA-99-AA", "99-AA-99", "99-99-AA", "AA-99-99"), ("AA-99/AA",), band_text="P"),
    *_eu("PL", ("AA 99999", "AAA 99999", "AAA 9A99", "AA 9999A", "AAA A999"), ("AA/9999", "AAA/A99"), letters=ALL_LETTERS),
    *_eu("RO", (f"{_RO_COUNTY} 99 AAA", "B 999 AAA", "B 99 AAA"), (f"{_RO_COUNTY}/99 AAA",), letters=ALL_LETTERS, weight=2.0),
    *_eu("SK", ("AA~999AA", "AA~999AA", "AA-999AA"), ("AA/999AA",), letters=ALL_LETTERS, emblem="dot"),
    *_eu("CZ", ("9A9 9999", "9AA 9999", "AAA 99-99", "9A0 9999"), ("9A/9999",)),
    *_eu("HU", ("AAA-999", "AA AA-999"), ("AAA/999",), band_text="H", letters=ALL_LETTERS),
    *_eu("AT", ("{W|G|L|S|I|KB|LL|GU|MD|BN|KS}~999 AA", "{W|G|L|S|I|KB|LL}~99999A", "{W|G|L}~9999 A"), ("{W|G|L|S}~/99 AA",),
         band_text="A", emblem="seal", letters=ALL_LETTERS),
    *_eu("BE", ("9-AAA-999", "AAA-999", "999-AAA"), ("9-AAA/999",), band_text="B", ink=("9b1c24",), letters=ALL_LETTERS),
    *_eu("SE", ("AAA 999", "AAA 99A"), ("AAA/999",), band_text="S"),
    *_eu("NO", ("AA 99999",), ("AA/9999",), band_text="N"),
    *_eu("FI", ("AAA-999", "AA-99"), ("AA/999",), band_text="FIN"),
    *_eu("DK", ("AA 99 999",), ("AA/99 999",), ground=(_WHITE, _YELLOW)),
    *_eu("EE", ("999 AAA",), ("99/AAA",), band_text="EST"),
    *_eu("LV", ("AA-9999", "AA-999"), ("AA/999",)),
    *_eu("LT", ("AAA 999",), ("AAA/999",)),
    *_eu("BG", ("{CA|C|PB|B|A|TX|BT|EB|H|K|M|P|CB} 9999 AA",), ("{CA|C|PB|B}/9999 A",), letters="ABCEHKMOPTXY"),
    *_eu("HR", ("{ZG|ST|RI|OS|PU|ZD|KA|VZ}~999-AA", "{ZG|ST|RI|OS}~9999-AA"), ("{ZG|ST|RI}~/999-AA",), emblem="dot", band=""),
    *_eu("SI", ("{LJ|MB|CE|KR|KP|NM}~AA-999", "{LJ|MB|CE}~99-AAA"), ("{LJ|MB}~/AA-99",), band_text="SLO", emblem="dot"),
    *_eu("GR", ("AAA-9999",), ("AAA/999",), letters="ABEZHIKMNOPTYX"),
    *_eu("IE", ("{08|10|131|142|152|171|182|192}-{D|C|KE|LH|G|L|MO}-99999", "{05|06|07|99|132}-{D|C|G}-9999"), band_text="IRL"),
    *_eu("LU", ("AA 9999", "99999"), ("AA/9999",), band_text="L", ground=(("f0b41c",),)),
    *_eu("CH", ("{ZH|BE|GE|VD|AG|SG|LU|TI}~999999", "{ZH|BE|GE|VD}~99999"), ("{ZH|BE|GE}~/99999",), band="", emblem="dot"),
    *_eu("TR", (f"{_TR_CITY} AA 9999", f"{_TR_CITY} AAA 999", f"{_TR_CITY} AA 999"), (f"{_TR_CITY} AA/999",)),
    *_eu("UA", (f"{_UA_CODE} 9999 AA",), (f"{_UA_CODE}/9999 AA",), letters="ABCEHIKMOPTX", band_colour="2457a6"),
    *_eu("GB", ("AA99 AAA", "AA99 AAA", "A999 AAA", "AAA 999A"), ("AA99/AAA", "AA99/AAA"), ground=(_WHITE, _YELLOW),
         fonts=("barlow-condensed-700", "bebas-neue-bold", "liberation-sans-bold"), letters=ALL_LETTERS.replace("I", "").replace("Q", ""),
         weight=1.5),
)  # fmt: skip

_WORLD: tuple[Layout, ...] = (
    Layout("BR", ("AAA-9999",), size=(400, 130), letters=ALL_LETTERS, ground=(("b9bcbd",), ("a8adb0",), ("d8d8d6",)),
           header=_BR_TOWN, char_height=0.58, ink=("1b1b1d", "2a2c30"), weight=4,
           fonts=("overpass-500", "saira-condensed-700", "barlow-condensed-700", "liberation-sans-bold")),
    Layout("BR", ("AAA-9999",), size=(400, 130), letters=ALL_LETTERS, ground=(("a3171c",), ("8c1a20",)), ink=("f0ecec",),
           header=_BR_TOWN, char_height=0.58, fonts=("overpass-500", "saira-condensed-700", "barlow-condensed-700"), weight=1.2),
    Layout("BR", ("AAA9A99",), size=(400, 130), letters=ALL_LETTERS, band="top", band_text="BRASIL", char_height=0.6,
           ink=("101010", "101010", "8a1515"), weight=3, fonts=("barlow-condensed-500", "share-tech-400", "saira-condensed-500")),
    Layout("BR", ("AAA/9999",), "motorcycle", (200, 170), ALL_LETTERS, ground=(("b9bcbd",), ("a8adb0",), ("a3171c",)), header=_BR_TOWN,
           ink=("1b1b1d",), fonts=("overpass-500", "barlow-condensed-700")),
    Layout("BR", ("AAA/9A99",), "motorcycle", (200, 170), ALL_LETTERS, band="top", band_text="BRASIL"),
    Layout("AR", ("AAA 999",), size=(294, 129), letters=ALL_LETTERS, ground=(("151515",), ("202226",)), ink=("eeeeec",),
           header=("ARGENTINA", ""), char_height=0.55, fonts=("overpass-500", "overpass-700", "liberation-sans-bold")),
    Layout("AR", ("AA 999 AA",), size=(400, 130), letters=ALL_LETTERS, band="top", band_text="REPUBLICA ARGENTINA", char_height=0.6,
           fonts=("barlow-condensed-500", "share-tech-400")),
    Layout("AR", ("A999/AAA",), "motorcycle", (236, 160), ALL_LETTERS, band="top", band_text="REPUBLICA ARGENTINA"),
    Layout("AR", ("999/AAA",), "motorcycle", (140, 110), ALL_LETTERS, ground=(("151515",),), ink=("eeeeec",)),
    Layout("IN", (f"{_IN_STATE} 99 AA 9999", f"{_IN_STATE}99AA9999", f"{_IN_STATE} 99 A 9999", f"{_IN_STATE}-99-AA-9999", f"{_IN_STATE} 9 AA 9999",
           "DL 9CAA 9999", "DL9CA 9999"), size=(500, 110), letters=ALL_LETTERS, fonts=(*_PLAIN, "share-tech-400"),
           ground=(_WHITE, _WHITE, _WHITE, _YELLOW), weight=4, band_text="IND"),
    Layout("IN", (f"{_IN_STATE} 99 AA 9999", f"{_IN_STATE} 99 A 9999"), size=(500, 110), letters=ALL_LETTERS, fonts=_PLAIN, band="left", band_text="IND",
           ground=(_WHITE, _YELLOW), weight=1.5),
    Layout("IN", (f"{_IN_STATE} 99/AA 9999", f"{_IN_STATE} 99 AA/9999", f"{_IN_STATE} 99 A/9999", f"{_IN_STATE}-99/A 9999", "DL 9C AA/9999"), size=(340, 200),
           letters=ALL_LETTERS, fonts=_PLAIN, ground=(_WHITE, _WHITE, _YELLOW), weight=2),
    Layout("IN", (f"{_IN_STATE} 99 AA 9999",), size=(500, 110), letters=ALL_LETTERS, fonts=_PLAIN, ground=(("141414",), ("2f6b3a",)), ink=("f0d020", "f4f4f4"), weight=0.5),
    Layout("IN", (f"{_IN_STATE} 99 TC 9999", f"{_IN_STATE} 99 TC 999", f"{_IN_STATE}-99-TC-999", f"{_IN_STATE} 99 TC/9999"), size=(500, 110),
           letters=ALL_LETTERS, fonts=_PLAIN, ground=(("b01818",), ("d8261c",), ("8f1c22",)), ink=("f4f4f4",), weight=0.8),
    # what owners have painted
    Layout("IN", (f"{_IN_STATE} 99 AA/9999", f"{_IN_STATE}99/AA 9999", f"{_IN_STATE} 99/A 9999"), size=(300, 170), letters=ALL_LETTERS,
           fonts=("comic-neue-700", "liberation-serif-bold", "oxanium-600"), ground=(_WHITE, _WHITE, _YELLOW), ink=("141414", "14143c", "901818"), weight=0.8),
    Layout("IN", (f"{_IN_STATE} 99 AA/9999", f"{_IN_STATE} 99/AA 9999", f"{_IN_STATE} 99 AA 9999"), size=(400, 150), letters=ALL_LETTERS,
           fonts=(*_PLAIN, "oxanium-600"), ground=(("101010",), ("1d2f7a",)), ink=("f0f0f0", "f0c030"), weight=0.6),
    Layout("IN", (f"{_IN_STATE} 99/AA 9999", f"{_IN_STATE} 99 AA/9999"), "motorcycle", (200, 100), ALL_LETTERS, fonts=_PLAIN),
    Layout("PK", ("AAA-999", "AA-999", "AAA-9999", "AAA-99-999"), size=(400, 130), letters=ALL_LETTERS, header=("PUNJAB", "SINDH", "ISLAMABAD", ""), char_height=0.56,
           ground=(_WHITE, _YELLOW, ("1a1a1a",)), ink=("151515",), fonts=_PLAIN),
    Layout("PK", ("AAA/9999", "AA/999"), "motorcycle", (200, 130), ALL_LETTERS, fonts=_PLAIN),
    Layout("AE", ("{A|B|C|D|E|F|G|H|K|O} 99999", "{11|12|50|5|6} 99999"), size=(520, 110), header=("DUBAI", "U.A.E", "ABU DHABI", ""), letters=ALL_LETTERS, char_height=0.6),
    Layout("AE", ("{1|2|5|A|B}/9999",), "motorcycle", (200, 160)),
)  # fmt: skip


def _us_state(code: str) -> tuple[Layout, ...]:
    name, slogans, ink, grounds, patterns = STATES[code]
    base = Layout(
        f"US-{code}",
        patterns,
        size=(304.8, 152.4),
        letters=ALL_LETTERS if code in {"NY", "CA", "TX"} else ALL_LETTERS.replace("O", "").replace("I", ""),
        fonts=_US_FONTS,
        ink=ink,
        ground=grounds,
        header=(name,),
        footer=slogans,
        char_height=0.5,
        emblem="picture",
        weight=3.0,
    )
    vanity = replace(base, patterns=("VANITY",), letters=ALL_LETTERS, weight=0.4)
    cycle_patterns = ("99A99", "A9999", "99999A", "AA999", "A99/999")
    cycle = replace(base, patterns=cycle_patterns, kind="motorcycle", size=(177.8, 101.6))
    return base, vanity, cycle


def _by_region(layouts: tuple[Layout, ...]) -> dict[str, tuple[Layout, ...]]:
    out: dict[str, tuple[Layout, ...]] = {}
    for layout in layouts:
        out[layout.region] = (*out.get(layout.region, ()), layout)
    return out


LAYOUTS: dict[str, tuple[Layout, ...]] = _by_region(
    (*_EUROPE, *_WORLD, *(layout for code in STATES for layout in _us_state(code)))
)
"""Every look of every region."""

REGIONS: tuple[str, ...] = tuple(LAYOUTS)
"""ISO 3166-1 alpha-2 codes, US plates with their state (`US-CA`)."""
