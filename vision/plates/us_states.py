# ruff: noqa: E501
"""United States plates as data: per state its name, slogans, inks, grounds (RGB hex) and patterns."""

_W = ("f4f4f2",)
_SKY = ("bcd8ee", "f4f4f2", "f4f4f2")
_DUSK = ("f4f4f2", "f4f4f2", "e8b08c")
_CREAM = ("f3ead0",)
_FADE = ("7ea6d8", "f4f4f2", "7ea6d8")

State = tuple[str, tuple[str, ...], tuple[str, ...], tuple[tuple[str, ...], ...], tuple[str, ...]]

STATES: dict[str, State] = {
    "AL": ("Alabama", ("Sweet Home", "Heart of Dixie"), ("a3242f", "1d2b5a"), (_SKY, _W), ("99AA999", "9A9999A", "99A9A99")),
    "AK": ("ALASKA", ("The Last Frontier",), ("1b3a86",), (("f1b82d",),), ("AAA 999",)),
    "AZ": ("ARIZONA", ("Grand Canyon State",), ("17603f", "14406b"), (("a9d3e0", "f4f4f2", "6a3f86"),), ("AAA~9999", "999~AAA", "AAA 9999")),
    "AR": ("Arkansas", ("The Natural State",), ("a21f2c", "1d2b5a"), (_SKY, _W), ("999~AAA", "AAA 99A")),
    "CA": ("California", ("dmv.ca.gov", "", "The Golden State"), ("1c2c5e", "20356f"), (_W, _W, ("1c2c5e",)), ("9AAA999", "9A99999", "9AAA999")),
    "CO": ("COLORADO", ("",), ("17563a", "f4f4f2"), (("f4f4f2", "f4f4f2", "2f7a4f"), ("2f7a4f",)), ("999~AAA", "AAA-999", "AAA-A99")),
    "CT": ("Connecticut", ("Constitution State",), ("14316b",), (_FADE, ("9cc3e6", "f4f4f2")), ("999~AAA", "AA~99999", "9AA~AA9")),
    "DE": ("DELAWARE", ("The First State",), ("e0b33a",), (("14316b",),), ("999999", "99999")),
    "FL": ("FLORIDA", ("Sunshine State", "MYFLORIDA.COM"), ("17563a",), (_W, ("f4f4f2", "f4f4f2", "f2cf9a")), ("AAA~A99", "999~AAA", "AA9 9AA")),
    "GA": ("GEORGIA", ("Peach State", "FULTON", "COBB"), ("14202f", "17563a"), (_W, ("f4f4f2", "e9c79a")), ("AAA 9999", "999~AAA")),
    "HI": ("HAWAII", ("Aloha State",), ("1b1b1d",), (("f4f4f2", "d9a3b8", "f4f4f2"),), ("AAA 999",)),
    "ID": ("IDAHO", ("Famous Potatoes", "Scenic Idaho"), ("1c2c5e", "a21f2c"), (("d86a5c", "f4f4f2", "5a77b5"),), ("9A 99999", "A 999999", "9A A9999")),
    "IL": ("Illinois", ("Land of Lincoln",), ("a3242f",), (_SKY, _W), ("A99 9999", "AA 99999", "999 9999")),
    "IN": ("Indiana", ("", "IN GOD WE TRUST"), ("14316b", "1b1b1d"), (("3f66a8", "f4f4f2"), _W), ("999 A", "999AAA", "99A9999")),
    "IA": ("IOWA", ("POLK", "LINN", "SCOTT"), ("14316b", "1b1b1d"), (_FADE, _W), ("AAA 999", "999 AAA")),
    "KS": ("KANSAS", ("",), ("1c2c5e",), (("cfe0ee",), _SKY), ("999 AAA", "AAA 999", "9999AAA")),
    "KY": ("Kentucky", ("Bluegrass State", "Unbridled Spirit"), ("1c2c5e",), (("f4f4f2", "f4f4f2", "6f9bd1"),), ("999~AAA", "AAA 999")),
    "LA": ("Louisiana", ("Sportsmans Paradise",), ("1c2c5e", "a21f2c"), (_W, ("f4f4f2", "e9d9a0")), ("AAA 999", "999~AAA")),
    "ME": ("MAINE", ("Vacationland", "Lobster"), ("17563a", "1b1b1d"), (_W, ("c7ddd0", "f4f4f2")), ("9999 AA", "999~AAA")),
    "MD": ("MARYLAND", ("MARYLAND.GOV", "War of 1812"), ("1b1b1d",), (_W, ("f4f4f2", "d8aab0")), ("9AA~A99", "AAA 999", "9AA9999")),
    "MA": ("Massachusetts", ("The Spirit of America",), ("a3242f",), (_W,), ("999 AA9", "9AA 999", "99A A99", "9999 AA")),
    "MI": ("MICHIGAN", ("Great Lakes", "Pure Michigan"), ("14316b",), (("3867b0", "f4f4f2", "f4f4f2"), _W), ("AAA 9999", "9AA A99", "AAA 999")),
    "MN": ("Minnesota", ("10000 lakes", "Explore"), ("14316b",), (("8fb6dc", "f4f4f2", "8fb6a0"),), ("999-AAA", "AAA-999")),
    "MS": ("MISSISSIPPI", ("HINDS", "MADISON"), ("1c2c5e", "17563a"), (_CREAM, ("c9dbee", "f4f4f2")), ("AAA~999", "AA9 9999")),
    "MO": ("MISSOURI", ("Show-Me State",), ("1c2c5e",), (("a9c9e2", "f4f4f2", "a9c9e2"),), ("AA9~A9A", "999~AAA")),
    "MT": ("MONTANA", ("Big Sky Country", "Treasure State"), ("f4f4f2", "1c2c5e"), (("2b4f8f",), ("5c83c0", "f4f4f2")), ("9-99999A", "999999A")),
    "NE": ("NEBRASKA", ("nebraska.gov",), ("1b1b1d", "1c2c5e"), (_W, ("f4f4f2", "d7c3a2")), ("AAA 999", "99-A999")),
    "NV": ("NEVADA", ("The Silver State", "Home Means Nevada"), ("1c2c5e",), (("9fc6e8", "f4f4f2", "d7b56b"),), ("999~AAA", "99A~999")),
    "NH": ("NEW HAMPSHIRE", ("Live Free or Die",), ("17563a",), (("cfe3d8", "f4f4f2"), _W), ("999 9999", "AAA 999")),
    "NJ": ("New Jersey", ("Garden State",), ("1b1b1d",), (("f1d27a", "f4ead0"), ("f2d36b", "f6efd9")), ("A99~AAA", "AAA~99A", "A99 AAA")),
    "NM": ("NEW MEXICO", ("Land of Enchantment",), ("b5202a", "e6c02a"), (("f2c318",), ("39a0a8",)), ("999 AAA", "AAA 999", "AAAA99")),
    "NY": ("NEW YORK", ("EMPIRE STATE", "THE EMPIRE STATE", "EXCELSIOR", "TLC", "TAXI"), ("18264f", "1b2b5c"),
           (("f0a824",), ("e9a630",), ("f0b43c",), ("f4f4f2",), ("2b4f94", "f4f4f2", "f4f4f2")), ("AAA~9999", "AAA~9999", "T999999C", "AAA 9999", "99999~AA", "Y999999C")),
    "NC": ("NORTH CAROLINA", ("First in Flight", "First in Freedom"), ("a3242f", "1c2c5e"), (_W, ("c9dbee", "f4f4f2")), ("AAA-9999",)),
    "ND": ("NORTH DAKOTA", ("Peace Garden State", "Legendary"), ("1b1b1d",), (("8fb6dc", "f4f4f2", "d9b36b"),), ("999 AAA", "AAA 999")),
    "OH": ("OHIO", ("Birthplace of Aviation",), ("1c2c5e", "1b1b1d"), (_W, ("f4f4f2", "d88c8c")), ("AAA 9999", "AA 99 AA")),
    "OK": ("OKLAHOMA", ("Native America",), ("1b1b1d", "17563a"), (_W, ("c9dbee", "f4f4f2")), ("999~AAA", "AAA 999")),
    "OR": ("Oregon", ("",), ("1c2c5e",), (("c9dbee", "f4f4f2", "d5c0dd"),), ("999~AAA", "AAA 999")),
    "PA": ("PENNSYLVANIA", ("visitPA.com", "Keystone State"), ("14316b",), (("3f66a8", "f4f4f2", "f1cf52"), ("14316b", "f4f4f2", "f0c840")), ("AAA~9999", "AAA-9999")),
    "RI": ("Rhode Island", ("Ocean State",), ("14316b",), (("c9dbee", "f4f4f2"), _W), ("AA-999", "999-999", "AA 999")),
    "SC": ("SOUTH CAROLINA", ("Smiling Faces", "While I Breathe I Hope"), ("1c2c5e",), (("9fc6e8", "f4f4f2", "f0d6a0"), _W), ("AAA~999", "999 9AA")),
    "SD": ("SOUTH DAKOTA", ("Great Faces Great Places",), ("1b1b1d", "1c2c5e"), (("c9dbee", "f4f4f2", "e6c79a"),), ("99A 999", "9AA 999")),
    "TN": ("Tennessee", ("The Volunteer State",), ("1c2c5e",), (("f4f4f2", "a9cfa0"), ("f4f4f2",)), ("A99 99A", "999 AAA", "999-AAA")),
    "TX": ("TEXAS", ("The Lone Star State",), ("1b1b1d", "1c2c5e"), (_W, ("9fb8d8", "f4f4f2", "f4f4f2")), ("AAA-9999", "AA9~A999", "A99~AAA", "999~AAA")),
    "UT": ("UTAH", ("Life Elevated", "Greatest Snow on Earth"), ("1c2c5e", "1b1b1d"), (("a9d3e8", "f4f4f2", "d98c5a"), _W), ("A99 9AA", "999~AAA", "9A9 9AA")),
    "VT": ("Vermont", ("Green Mountain State",), ("f4f4f2",), (("1f5a3c",), ("256a47",)), ("AAA 999", "999A9")),
    "VA": ("VIRGINIA", ("", "Virginia is for Lovers"), ("1c2c5e",), (_W, ("f4f4f2", "f4f4f2")), ("AAA-9999", "AAA 9999", "AB-999A")),
    "WA": ("WASHINGTON", ("Evergreen State",), ("1c2c5e", "a3242f"), (("9fc6e8", "f4f4f2", "f4f4f2"), _W), ("AAA9999", "999-AAA")),
    "WV": ("West Virginia", ("Wild Wonderful",), ("1c2c5e",), (("2b5aa0", "f4f4f2", "f0c840"),), ("9A 9999", "AAA 999", "99A 999")),
    "WI": ("WISCONSIN", ("Americas Dairyland",), ("1b1b1d", "a3242f"), (_W, ("f4f4f2", "f4f4f2", "e8c98a")), ("999-AAA", "AAA-9999")),
    "WY": ("WYOMING", ("", "Forever West"), ("1b1b1d", "3a2c1d"), (("b6d0e6", "f4f4f2", "c9b184"),), ("9 99999", "99 9999", "22 999A")),
    "DC": ("WASHINGTON D.C.", ("TAXATION WITHOUT REPRESENTATION",), ("1c2c5e",), (_W,), ("AA 9999",)),
}  # fmt: skip
"""Keyed by the postal code."""
