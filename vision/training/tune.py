"""Search for better settings: a config and a number of short runs in, the best settings out, in the form of the config.

Optuna (of the extra `train`) chooses each trial by what the earlier ones reached on `val`. The study lies in an SQLite
file beside the trials' folders: a search that was stopped goes on from the trials that it has.

Errors: `TuneError` (a ValueError) where Optuna is missing or the study is of another kind.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vision.registry import Kind
from vision.training.runs import TrainResult
from vision.training.search_space import FIGURE, SPACE

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

STUDY = "study.sqlite3"


class TuneError(ValueError):
    """The search cannot be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found so far."""

    settings: dict[str, float]
    """The best trial's."""
    figure: float
    """What it reached on val."""
    trials: int
    """Finished ones, of this and earlier searches."""


def tune(
    kind: Kind,
    base: Any,
    train: Callable[[Any], TrainResult],
    *,
    trials: int,
    minutes: float,
) -> Found:
    """Run trials until the study has `trials` finished ones.

    Args:
        kind: whose settings; they are drawn from `SPACE`.
        base: a `ReaderTrainConfig` or `DetectorTrainConfig`; its `out` is the folder of the study and the trials.
        train: trains by such a config.
        trials: how many in all, those of earlier searches included.
        minutes: length of each; the learning rate falls within it.
    """
    study = _study(kind, base)
    if not _finished(study):
        study.enqueue_trial({name: getattr(base, name) for name in SPACE[kind]})

    def reach(trial: "optuna.Trial") -> float:
        config = replace(base, **_suggest(trial, kind), out=base.out / f"trial-{trial.number:03}", resume=False)
        metrics = train(replace(config, minutes=minutes)).metrics
        figure = float(next(metrics[name] for name in FIGURE[kind] if name in metrics))
        log.info("trial %d reached %.4f with %s", trial.number, figure, trial.params)
        return figure

    while (finished := _finished(study)) < trials:
        # a fixed seed would draw what was drawn before the search was stopped
        study.sampler = _sampler(base.seed + finished)
        study.optimize(reach, n_trials=1)
    return Found(dict(study.best_params), study.best_value, _finished(study))


def _study(kind: Kind, base: Any) -> "optuna.Study":
    try:
        import optuna
    except ImportError as error:
        raise TuneError("a search for settings needs Optuna: pip install -e '.[train,export]'") from error
    base.out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = base.out / STUDY
    study = optuna.create_study(
        storage=f"sqlite:///{file}", study_name="settings", direction="maximize", load_if_exists=True
    )
    if study.user_attrs.get("kind", kind) != kind:
        raise TuneError(f"{file} is a search for a {study.user_attrs['kind']}'s settings; name another folder")
    study.set_user_attr("kind", kind)
    return study


def _sampler(seed: int) -> "optuna.samplers.BaseSampler":
    import optuna

    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5)


def _suggest(trial: "optuna.Trial", kind: Kind) -> dict[str, float]:
    return {
        name: trial.suggest_float(name, bounds.low, bounds.high, log=bounds.by_ratio)
        for name, bounds in SPACE[kind].items()
    }


def _finished(study: "optuna.Study") -> int:
    return sum(trial.state.name == "COMPLETE" for trial in study.trials)
