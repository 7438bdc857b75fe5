"""What a benchmark says of a target: the figure, the target, and whether it was reached."""

import argparse


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Of a benchmark with the module text `doc`, whose first line says what it measures."""
    about = (doc or "").splitlines()[0]
    return argparse.ArgumentParser(
        description=f"{about} Prints whether each target was reached; it measures, and ends with 0."
    )


def verdict(what: str, figure: str, target: str, reached: bool | None) -> str:
    """One line.

    Args:
        what: was measured.
        figure: as measured, with its unit.
        target: as wanted, with its unit.
        reached: None when there was nothing to measure it by.
    """
    said = {True: "reached", False: "not reached", None: "not measured"}[reached]
    return f"{what}: {figure} (target: {target}): {said}"
