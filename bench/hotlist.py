"""What a match with hotlists costs, beside a dictionary look-up of the same plates.

    python -m bench.hotlist [--exact N] [--patterns N] [--json]

Plates are three letters and four digits, by chance. Three settings of the long list: equal texts only; one look-alike;
one look-alike and one difference. Beside it always the patterns, and a list of 10,000 plates with two look-alikes and
two differences. Sightings have five candidates; one in four is on the long list. Memory is what the process grows by.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import psutil

from plumbing.clock import from_ms
from schemas.hotlist import HotlistEntry, HotlistRules
from schemas.read import Candidate
from schemas.sighting import Evidence, Sighting
from streams.hotlist import Hotlist

NOW = from_ms(1_780_000_000_000)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SETTINGS = {"equal": (0, 0), "1 look-alike": (1, 0), "1 look-alike, 1 difference": (1, 1)}
SHORT = 10_000
TARGET_US = 1000.0


def plate(rng: random.Random) -> str:
    """An invented plate."""
    return "".join(rng.choices(LETTERS, k=3)) + f"{rng.randrange(10_000):04d}"


def sighting(text: str) -> Sighting:
    """A sighting with five candidates."""
    corner = (0.0, 0.0)
    evidence = Evidence(
        seq=1,
        captured_at=NOW,
        corners=(corner, corner, corner, corner),
        crop_jpeg=b"",
        crop_sha256="",
        frame_sha256="",
        topic="",
        partition=0,
        offset=0,
    )
    others = tuple(Candidate(text[:-1] + c, 0.05) for c in "0123")
    return Sighting(
        sighting_id="",
        revision=1,
        status="provisional",
        camera_id="cam",
        plate=text,
        confidence=0.7,
        region="",
        region_confidence=0.0,
        candidates=(Candidate(text, 0.7), *others),
        votes=2,
        frames=2,
        opened_at=NOW,
        first_seen=NOW,
        last_seen=NOW,
        lat=52.0,
        lon=13.0,
        heading=90.0,
        speed=10.0,
        direction="approaching",
        trail=(),
        evidence=evidence,
        model_version="bench",
        emitted_at=NOW,
    )


def plates(count: int) -> list[str]:
    """The long list, always the same."""
    rng = random.Random(1)
    return [plate(rng) for _ in range(count)]


def measure(count: int, patterns: int, equivalents: int, differences: int) -> dict[str, float]:
    """Load the lists and match; in a process of its own, so that memory is its own, too."""
    exact = plates(count)
    rng = random.Random(2)
    before, begin = psutil.Process().memory_info().rss, time.process_time()
    listed = Hotlist()
    for name, rule in (("stolen", (equivalents, differences)), ("short", (2, 2))):
        rules = HotlistRules(hotlist_id=name, ocr_equivalent=rule[0], differences=rule[1], updated_at=NOW)
        listed.put_rules(rules)
    for text in exact:
        listed.put(HotlistEntry(hotlist_id="stolen", entry=text, added_at=NOW))
    for _ in range(patterns):
        listed.put(HotlistEntry(hotlist_id="wild", entry=plate(rng)[:5] + "?*", added_at=NOW))
    for _ in range(min(SHORT, len(exact))):
        listed.put(HotlistEntry(hotlist_id="short", entry=plate(rng), added_at=NOW))
    seen = [sighting(rng.choice(exact) if i % 4 == 0 else plate(rng)) for i in range(2_000)]
    listed.match(seen[0], 0.2)
    load = time.process_time() - begin
    memory = psutil.Process().memory_info().rss - before
    hits = 0
    times = []
    for one in seen:
        begin = time.thread_time()
        hits += len(listed.match(one, 0.2))
        times.append(time.thread_time() - begin)
    times.sort()
    return {
        "load_s": load,
        "memory_mb": memory / 1e6,
        "index_mb": listed.index_bytes / 1e6,
        "us_median": 1e6 * times[len(times) // 2],
        "us_99": 1e6 * times[int(0.99 * len(times))],
        "hits_each": hits / len(seen),
    }


def lookup(exact: Sequence[str]) -> float:
    """Microseconds of the yardstick: five look-ups in a dictionary, as a list of equal texts alone would need."""
    known = dict.fromkeys(exact, True)
    rng = random.Random(3)
    texts = [[plate(rng) for _ in range(5)] for _ in range(2_000)]
    return _each(lambda i: sum(text in known for text in texts[i]), len(texts))


def _each(do: Callable[[int], object], times: int) -> float:
    begin = time.process_time()
    for i in range(times):
        do(i)
    return 1e6 * (time.process_time() - begin) / times


def table(result: dict[str, Any]) -> str:
    """For people."""
    names = ("load_s", "memory_mb", "index_mb", "us_median", "us_99", "hits_each")
    lines = [f"{'rules of the long list':<30}" + "".join(f"{name:>12}" for name in names)]
    for name, values in result["settings"].items():
        lines.append(f"{name:<30}" + "".join(f"{values[column]:>12,.1f}" for column in names))
    lines.append(
        f"ratio to five dictionary look-ups ({result['us_lookup']:.1f} us): "
        + ", ".join(f"{values['us_median'] / result['us_lookup']:.0f}" for values in result["settings"].values())
        + f"; target {TARGET_US:,.0f} us a match"
    )
    return "\n".join(lines)


def main() -> int:
    """Measure, print, return the exit status: 1 when a median misses the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--exact", type=int, default=1_000_000)
    parser.add_argument("--patterns", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    settings = {}
    for name, rule in SETTINGS.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            settings[name] = pool.submit(measure, options.exact, options.patterns, *rule).result()
    result = {
        "exact": options.exact,
        "patterns": options.patterns,
        "settings": settings,
        "us_lookup": lookup(plates(options.exact)),
    }
    print(json.dumps(result) if options.json else table(result))
    return int(any(values["us_median"] > TARGET_US for values in settings.values()))


if __name__ == "__main__":
    sys.exit(main())
