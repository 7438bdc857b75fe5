"""`platefleet simulate`: a seed in, a folder per camera and the truth out."""

from pathlib import Path

import click

from fleet.terminal import err, print_json, progress_bar


@click.command()
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Chooses roads, cars, weather.")
@click.option("--cameras", type=click.IntRange(1, 99), default=4, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True)
@click.option("--fps", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True)
@click.option("--width", type=click.IntRange(min=64), default=1280, show_default=True)
@click.option("--height", type=click.IntRange(min=64), default=720, show_default=True)
@click.option("--codec", type=click.Choice(["jpeg", "h264"]), default="jpeg", show_default=True)
@click.option("--condition", "conditions", multiple=True, help="Such as night+rain; given to the cameras in turn.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make; may exist when empty.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that render.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def simulate(
    seed: int,
    cameras: int,
    seconds: float,
    fps: float,
    width: int,
    height: int,
    codec: str,
    conditions: tuple[str, ...],
    out: Path,
    jobs: int,
    as_json: bool,
) -> None:
    """Render a drive of CAMERAS dash cams, and the truth of every vehicle that they pass.

    The same seed gives the same drive. `platefleet up --source DIR` plays it.
    """
    from cameras.simulator import simulate as render

    with progress_bar() as bar:
        task = bar.add_task("rendering", total=None)
        made = render(
            out,
            seed=seed,
            cameras=cameras,
            seconds=seconds,
            fps=fps,
            width=width,
            height=height,
            codec="h264" if codec == "h264" else "jpeg",
            conditions=conditions or None,
            jobs=jobs,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(
            {"out": str(made.out), "cameras": made.cameras, "frames": made.frames, "passes": made.passes,
             "legible_passes": made.legible_passes, "start_ms": made.start_ms}
        )  # fmt: skip
    else:
        err.print(
            f"{made.out}: {len(made.cameras)} cameras, {made.frames} frames, {made.passes} passes "
            f"({made.legible_passes} legible)"
        )
