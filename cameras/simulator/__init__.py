"""The drive simulator: a seed in, a folder of dash-cam recordings with their truth out."""

from cameras.simulator.drive import DriveSummary, simulate
from cameras.simulator.light import CONDITIONS

__all__ = ["CONDITIONS", "DriveSummary", "simulate"]
