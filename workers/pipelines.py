"""Where a reader actor gets its pipeline: the real one, or whatever a factory `module:function` makes."""

import importlib
from collections.abc import Callable, Sequence
from typing import Protocol

from vision.types import Image, PlateResult
from workers.settings import ReaderSettings, SettingsError


class Pipeline(Protocol):
    """Pictures in, plates out, batch in, batch out."""

    @property
    def model_version(self) -> str:
        """Says exactly which weights read."""

    def read(self, images: Sequence[Image], stills: Sequence[bool] | None = None) -> Sequence[Sequence[PlateResult]]:
        """One list of plates per picture; `stills` says which pictures are the only look at their vehicles."""


def plate_pipeline(settings: ReaderSettings) -> Pipeline:
    """The trained pipeline."""
    # torch takes 350 MB: it is imported where it is used, never in the feeder's process
    from vision.pipeline import PlatePipeline

    pipeline: Pipeline = PlatePipeline.load(
        settings.device,
        settings.precision,
        settings.threads,
        detector=settings.detector,
        reader=settings.reader,
        engine=settings.engine,
        cache=settings.cache_dir,
        tiles=settings.detector_tiles,
    )
    return pipeline


def make_pipeline(settings: ReaderSettings) -> Pipeline:
    """Call the factory that `settings` names.

    Raises:
        SettingsError: there is no such factory.
    """
    module, _, name = settings.factory.partition(":")
    try:
        factory: Callable[[ReaderSettings], Pipeline] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"no pipeline factory {settings.factory!r} ({error}); write module:function") from error
    return factory(settings)
