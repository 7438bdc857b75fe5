"""What a benchmark says of a target: the figure, the target, and whether it was reached."""


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
