"""Invented number plates: a region and a random generator in, a plate's text and its picture out.

The layouts imitate public ones (sizes, colours, patterns of letters and digits); the texts are random.
"""

from vision.plates.layouts import LAYOUTS, REGIONS, Layout
from vision.plates.render import plate_size, render_plate
from vision.plates.spec import PlateSpec, plate_with_text, random_plate

__all__ = ["LAYOUTS", "REGIONS", "Layout", "PlateSpec", "plate_size", "plate_with_text", "random_plate", "render_plate"]
