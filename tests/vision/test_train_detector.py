"""Training of the detector: samples and targets are right, a run leaves a model that loads, and goes on when asked."""

import itertools
import json
import math
import multiprocessing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vision.detector import DEFAULT_TILES, STRIDE, Architecture, DetectorNet, TorchDetector
from vision.plates import random_plate, render_plate
from vision.registry import WEIGHTS, ModelError, find_model, load_state, read_folder, sha256_of
from vision.training import detector_config
from vision.training.data import DataError, PlateLabel, Scene, load_scenes
from vision.training.detector_config import DetectorTrainConfig, TrainingError, read_config
from vision.training.detector_data import SampleMaker, _label, collate
from vision.training.detector_extras import EXTRAS, with_extras
from vision.training.detector_loss import detector_loss
from vision.training.drives import load_drive
from vision.training.pasting import Label, paste_plates
from vision.training.runs import read_runs
from vision.training.train_detector import _batches, _start, take_over, train
from vision.training.wear import wear

TINY = Architecture((8, 8, 16, 16, 16), (1, 1, 1, 1), 16)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    grain = np.random.default_rng(seed).integers(60, 180, (height // 8, width // 8, 3), dtype=np.uint8)
    return cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data pack of invented scenes: a plate upright in each, eight to train from and two for val."""
    root = tmp_path_factory.mktemp("pack")
    rng = np.random.default_rng(5)
    lines = []
    for number in range(10):
        picture = noise(240, 320, number)
        plate = render_plate(random_plate(rng), 24)
        h, w = plate.shape[:2]
        x, y = int(rng.integers(5, 315 - w)), int(rng.integers(5, 200))
        picture[y : y + h, x : x + w] = plate
        cv2.imwrite(str(root / f"{number}.jpg"), picture)
        lines.append(
            {"image": f"{number}.jpg", "source": "robertlucian", "width": 320, "height": 240, "country": None,
             "split": "val" if number > 7 else "train",
             "plates": [{"box": [x, y, w, h], "corners": None, "text": None}]}
        )  # fmt: skip
    (root / "scenes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (root / "crops.jsonl").write_text("")
    return root


def test_samples_keep_labels_on_their_plates(pack: Path) -> None:
    maker = SampleMaker(load_scenes("train", root=pack), [], seed=1)
    seen = 0
    for _ in range(30):
        tile, labels, partial = maker.sample(128, 192)
        assert tile.shape == (128, 192, 3)
        assert tile.dtype == np.uint8
        assert partial
        for label in labels:
            seen += 1
            (ax, ay), (bx, by), (cx, cy), (dx, dy) = label.corners
            area = (ax * by - bx * ay + bx * cy - cx * by + cx * dy - dx * cy + dx * ay - ax * dy) / 2
            assert area > 0, "corners go clockwise on the screen, also after a mirroring"
    assert seen > 20


def test_the_same_seed_draws_the_same_samples(pack: Path) -> None:
    scenes = load_scenes("train", root=pack)
    one, two = (SampleMaker(scenes, [], seed=9).sample(96, 128)[0] for _ in range(2))
    assert (one == two).all()


def test_a_pasted_plate_lies_on_its_corners() -> None:
    rng = np.random.default_rng(11)
    for _ in range(20):
        before = np.full((256, 384, 3), 90, np.uint8)
        labels: list[Label] = []
        after = paste_plates(before, labels, rng)
        changed = np.abs(after.astype(int) - before).max(axis=2) > 5
        allowed = np.zeros(changed.shape, np.uint8)
        for label in labels:
            middle = label.corners.mean(axis=0)
            grown = middle + (label.corners - middle) * 2.4  # what a plate is mounted on changes too
            cv2.fillConvexPoly(allowed, np.round(grown).astype(np.int32), 1)
            inside = np.zeros(changed.shape, np.uint8)
            cv2.fillConvexPoly(inside, np.round(middle + (label.corners - middle) * 0.7).astype(np.int32), 1)
            if inside.sum() > 30:
                assert changed[inside > 0].mean() > 0.3
        allowed = cv2.dilate(allowed, np.ones((9, 9), np.uint8))
        assert not changed[allowed == 0].any()


def test_targets_peak_at_the_middle_cell_and_unknown_corners_weigh_nothing() -> None:
    tile = np.zeros((64, 128, 3), np.uint8)
    known = Label(np.array([[20, 20], [60, 22], [60, 34], [20, 32]], np.float32))
    boxed = Label.from_box(100.0, 40.0, 30.0, 12.0)
    tiny = Label.from_box(10.0, 58.0, 5.0, 2.0)
    batch = collate([(tile, [known, boxed, tiny], False)])
    assert batch.heat[0, 27 // STRIDE, 40 // STRIDE] == 1
    assert batch.heat[0, 40 // STRIDE, 100 // STRIDE] == 1
    assert batch.weight[0, 58 // STRIDE, 10 // STRIDE] == 0, "too small to want, too real to punish"
    assert (batch.heat == 1).sum() == 2
    of_boxed = batch.boxes[:, 0] > 80
    assert (batch.corner_weight[of_boxed] == 0).all()
    assert (batch.corner_weight[~of_boxed] > 0).all()
    assert batch.corners.min() == 0
    assert batch.corners.max() == 1


def test_the_loss_is_lowest_at_the_truth() -> None:
    tile = np.zeros((64, 128, 3), np.uint8)
    batch = collate([(tile, [Label(np.array([[20, 20], [60, 22], [60, 34], [20, 32]], np.float32))], False)])
    heat = torch.where(torch.from_numpy(batch.heat) == 1, 8.0, -8.0)
    geometry = torch.zeros(1, 12, 8, 16)
    for (_, row, column), (x, y, w, h), corners in zip(batch.cells, batch.boxes, batch.corners, strict=True):
        middle = [x / STRIDE - column - 0.5, y / STRIDE - row - 0.5, math.log(w / STRIDE), math.log(h / STRIDE)]
        geometry[0, :, row, column] = torch.tensor([*middle, *corners.flatten().tolist()])
    right = detector_loss(heat, geometry, batch, sure=False)
    assert right.box == pytest.approx(0, abs=1e-4)
    assert right.corner == pytest.approx(0, abs=1e-4)
    assert right.heat < 0.05
    assert float(detector_loss(heat, geometry + 0.1, batch, sure=False).total) > float(right.total)
    assert detector_loss(-heat, geometry, batch, sure=False).heat > 5


def test_the_loss_to_teachers_is_lowest_at_what_they_say() -> None:
    batch = collate([(np.zeros((64, 128, 3), np.uint8), [Label.from_box(64.0, 32.0, 40.0, 14.0)], False)])
    geometry, told = torch.zeros(1, 12, 8, 16), torch.full((1, 8, 16), 0.02)
    told[0, 2, 3] = 0.9

    def taught(heat: torch.Tensor, share: float = 1.0) -> float:
        return detector_loss(heat, geometry, batch, sure=False, told=told, taught=share).heat

    right = told.logit()
    assert taught(right) == pytest.approx(0, abs=1e-6)
    for other in (right + 1.0, right - 1.0, right.roll(1, dims=2)):
        assert taught(other) > 1e-3
    plain = detector_loss(right, geometry, batch, sure=False).heat
    assert taught(right, 0.0) == pytest.approx(plain)
    assert taught(right, 0.25) == pytest.approx(0.75 * plain)


def test_teachers_are_listened_to(run: DetectorTrainConfig, tmp_path: Path) -> None:
    lone = replace(run, out=tmp_path / "lone", steps=2)
    train(lone)
    # one teacher twice says what one says
    several = replace(lone, out=tmp_path / "taught", teachers=(str(run.out), str(run.out)), taught=1.0)
    train(several)
    rows = [json.loads((one.out / "card.json").read_text()) for one in (lone, several)]
    assert [row["training"]["teachers"] for row in rows] == [[], [read_folder(run.out).version] * 2]
    own, other = (torch.load(one.out / "weights.pt", weights_only=True) for one in (lone, several))
    assert not torch.equal(own["heat.weight"], other["heat.weight"])
    with pytest.raises(ModelError):
        train(replace(lone, out=tmp_path / "none", teachers=("nobody",)))


@pytest.mark.parametrize("pays", [False, True])
def test_steps_are_in_bf16_only_where_that_pays(
    run: DetectorTrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pays: bool
) -> None:
    asked, seen, forward = [], set(), DetectorNet.forward

    def watched(network: DetectorNet, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not torch.is_inference_mode_enabled():  # a look at val has its own
            seen.add(torch.is_autocast_enabled("cpu"))
        return forward(network, pictures)

    def measured(network: torch.nn.Module, device: torch.device, shape: tuple[int, ...], loss: object) -> bool:
        asked.append(shape)
        return pays

    monkeypatch.setattr(DetectorNet, "forward", watched)
    monkeypatch.setattr("vision.training.train_detector.bf16_pays", measured)
    train(replace(run, out=tmp_path, steps=2, teachers=(str(run.out),)))
    assert (asked, seen) == ([(2, 64, 96)], {pays})


def test_a_loose_box_leaves_room_inwards() -> None:
    label = Label.from_box(64.0, 32.0, 60.0, 20.0)
    label.slack = (0.1, 0.2)
    batch = collate([(np.zeros((64, 128, 3), np.uint8), [label], False)])
    heat = torch.zeros(1, 8, 16)

    def box_loss(x: float, y: float, w: float, h: float) -> float:
        geometry = torch.zeros(1, 12, 8, 16)
        for _, row, column in batch.cells:
            middle = [x / STRIDE - column - 0.5, y / STRIDE - row - 0.5, math.log(w / STRIDE), math.log(h / STRIDE)]
            geometry[0, :4, row, column] = torch.tensor(middle)
        return detector_loss(heat, geometry, batch, sure=False).box

    assert box_loss(64, 32, 60, 20) == pytest.approx(0, abs=1e-4)
    assert box_loss(64, 32, 50, 13) == pytest.approx(0, abs=1e-4), "tighter, inside the room"
    assert box_loss(64, 32, 40, 13) > 0.1, "tighter than the room"
    assert box_loss(64, 32, 70, 26) > 0.1, "larger than the box"


def test_a_turned_scene_turns_its_boxes() -> None:
    turn = np.array([[0.96, -0.28, 100.0], [0.28, 0.96, 50.0]], np.float32)
    label = _label(PlateLabel((10.0, 20.0, 50.0, 10.0), None, None), turn, "open-lpr")
    assert label is not None
    assert label.middle_box() == pytest.approx(
        (0.96 * 35 - 0.28 * 25 + 100, 0.28 * 35 + 0.96 * 25 + 50, 0.96 * 50 + 0.28 * 10, 0.28 * 50 + 0.96 * 10),
        rel=1e-4,
    )
    level = _label(PlateLabel((10.0, 20.0, 50.0, 10.0), None, None), np.eye(2, 3, dtype=np.float32), "open-lpr")
    assert level is not None
    assert label.slack[1] > level.slack[1], "how a turned plate fills its box is not known"


def test_further_plates_join_their_scenes(tmp_path: Path) -> None:
    plate = PlateLabel((1.0, 2.0, 30.0, 9.0), None, "AB1")
    bare = PlateLabel(None, None, "AB1")
    scenes = [
        Scene(Path(f"data/scenes/s/{name}.jpg"), "s", 90, 90, plates, None, "train")
        for name, plates in {"a": (plate,), "b": None, "c": None, "d": (bare,)}.items()
    ]
    file = tmp_path / "extras.json"
    file.write_text(
        json.dumps(
            {
                "plates": {"scenes/s/b.jpg": [[5, 6, 20, 8]], "scenes/s/d.jpg": [[5, 6, 20, 8]]},
                "unsure": {"scenes/s/a.jpg": [[50, 50, 9, 4]], "scenes/s/c.jpg": [[5, 6, 20, 8]]},
                "tight": {"scenes/s/a.jpg": [[0, 2, 3, 28, 7]]},
            }
        )
    )
    a, b, c, d = with_extras(scenes, file)
    assert a.plates is not None
    assert [(p.box, p.unsure) for p in a.plates] == [((2, 3, 28, 7), False), ((50, 50, 9, 4), True)]
    assert b.plates is not None
    assert [p.box for p in b.plates] == [(5, 6, 20, 8)]
    assert c.plates is None, "what may be a plate does not make a picture annotated"
    assert d.plates is not None
    assert [p.box for p in d.plates] == [(5, 6, 20, 8)], "a text without a place is left out"


def test_a_config_file_is_read_and_its_slips_are_named(tmp_path: Path) -> None:
    file = Path(detector_config.__file__).parent / "configs" / "detector.toml"
    config = read_config(file, tmp_path)
    assert config.architecture == Architecture()
    assert read_config(file.with_name("detector-v5.toml"), tmp_path).architecture.body == "lcnet4"
    assert config.tiles == DEFAULT_TILES
    slip = tmp_path / "slip.toml"
    for text, word in {"minuets = 3": "minuets", "minutes = 'x'": "minutes", "seed = [": "TOML"}.items():
        slip.write_text(text)
        with pytest.raises(TrainingError, match=word):
            read_config(slip, tmp_path)
    slip.write_text("[architecture]\nwide = 3")
    with pytest.raises(TrainingError, match="architecture"):
        read_config(slip, tmp_path)


def test_a_run_starts_from_a_model_where_shapes_agree(run: DetectorTrainConfig, tmp_path: Path) -> None:
    network = DetectorNet(Architecture((8, 8, 16, 16, 16), (1, 1, 1, 1), 24))
    before = network.join16[0].weight.clone()
    assert take_over(network, str(run.out)) > 20
    kept = torch.load(run.out / "weights.pt", weights_only=True)
    assert torch.allclose(network.stride8[0][0].weight, kept["stride8.0.0.weight"].float())
    assert torch.equal(network.join16[0].weight, before)


@pytest.mark.parametrize("start", ["reader", "other"])
def test_a_start_that_shares_no_weights_is_refused(run: DetectorTrainConfig, tmp_path: Path, start: str) -> None:
    model = find_model("reader").path if start == "reader" else run.out
    config = replace(run, out=tmp_path / "out", start=str(model), architecture=Architecture((24, 24, 40, 40), neck=24))
    with pytest.raises(TrainingError, match="shares no weights"):
        train(config)
    assert not config.out.exists()


def test_a_run_starts_from_a_published_body_which_learns_at_its_own_rate(pack: Path, tmp_path: Path) -> None:
    config = DetectorTrainConfig(
        out=tmp_path / "out", steps=2, workers=0, device="cpu", data=pack, architecture=Architecture(body="lcnet4"),
        body_from="body-ppocrv6-det", body_rate=0.0, weight_decay=0.0, shapes=((2, 64, 96, 1.0),),
    )  # fmt: skip
    train(config)
    trained = torch.load(config.out / "weights.pt", weights_only=True)
    published = load_state(read_folder(WEIGHTS / "body-ppocrv6-det"))
    for name, weights in published.items():
        torch.testing.assert_close(trained[name].float(), weights.float(), msg=name)
    assert json.loads((config.out / "card.json").read_text())["architecture"]["body"] == "lcnet4"
    with pytest.raises(ModelError, match="not the body"):
        train(replace(config, out=tmp_path / "other", architecture=TINY))


def test_wear_keeps_shape_and_type() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        worn = wear(noise(64, 96), rng)
        assert worn.shape == (64, 96, 3)
        assert worn.dtype == np.uint8


@pytest.fixture(scope="module")
def run(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> DetectorTrainConfig:
    """The config of a finished run of eight tiny steps."""
    config = DetectorTrainConfig(
        out=tmp_path_factory.mktemp("run") / "out", steps=8, workers=0, device="cpu", data=pack, architecture=TINY,
        shapes=((2, 64, 96, 1.0),),
    )  # fmt: skip
    train(config)
    return config


def test_a_run_leaves_a_model_with_its_card(run: DetectorTrainConfig) -> None:
    detector = TorchDetector.load(run.out, "cpu")
    assert detector.detect([noise(100, 100)]) is not None
    card = json.loads((run.out / "card.json").read_text())
    assert card["training"]["steps"] == 8
    assert card["training"]["licences"] == {"robertlucian": "MIT"}, "of what it was trained on, and nothing else"
    assert card["training"]["crops"] == []
    assert set(card["val_mended"]) == {"average_precision", "all"}
    assert set(card["val"]) == {"all", "robertlucian"}
    assert "test" not in card
    assert card["sha256"] in (run.out / "card.md").read_text()


def test_a_run_goes_on_from_its_checkpoint(run: DetectorTrainConfig) -> None:
    before = torch.load(run.out / "checkpoint.pt", weights_only=True)["step"]
    more = DetectorTrainConfig(
        out=run.out, steps=11, workers=0, device="cpu", data=run.data, architecture=TINY, shapes=run.shapes, resume=True
    )
    train(more)
    assert before == 8
    assert torch.load(run.out / "checkpoint.pt", weights_only=True)["step"] == 11


@pytest.mark.parametrize(("steps", "minutes", "wanted"), [(2, 75.0, 2), (40, 1e-9, 0), (None, 1e-9, 0)])
def test_a_run_ends_by_steps_or_by_minutes_whichever_comes_first(
    run: DetectorTrainConfig, tmp_path: Path, steps: int | None, minutes: float, wanted: int
) -> None:
    assert train(replace(run, out=tmp_path, steps=steps, minutes=minutes)).steps == wanted


@pytest.mark.timeout(240)
def test_a_worker_starts_when_opencv_and_torch_have_threads(pack: Path, tmp_path: Path) -> None:
    """One that was forked inherited OpenCV's pool without its threads, and waited for them for ever."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.nn.functional.conv2d(torch.zeros(4, 8, 64, 64), torch.zeros(8, 8, 3, 3))
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (9, 9), 3)
        config = DetectorTrainConfig(out=tmp_path, workers=1, shapes=((2, 64, 96, 1.0),))
        batches = _batches(config, load_scenes("train", root=pack), [], 0)
        assert next(batches).pictures.shape == (2, 64, 96, 3)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.timeout(240)
def test_a_run_with_a_worker_ends_when_it_is_out_of_patience(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = itertools.count()
    monkeypatch.setattr("vision.training.train_detector.git_commit", lambda: f"commit {next(commits)}")
    config = DetectorTrainConfig(
        out=tmp_path / "out", steps=100, workers=1, device="cpu", data=pack, architecture=TINY,
        shapes=((2, 64, 96, 1.0),), every_minutes=1e-6, patience=2, learning_rate=0.0,
    )  # fmt: skip
    result = train(config, runs=tmp_path / "runs.jsonl")
    assert result.steps == 3, "a first look, and two without a better figure"
    assert multiprocessing.active_children() == []
    (run,) = read_runs(tmp_path / "runs.jsonl")
    assert (run["kind"], run["ended"], run["steps"]) == ("detector", "out of patience", 3)
    assert run["data"]["scenes.jsonl"] == sha256_of((pack / "scenes.jsonl").read_bytes())
    assert run["extras"] == {EXTRAS.name: sha256_of(EXTRAS.read_bytes())}
    assert run["weights"] == sha256_of((config.out / "weights.pt").read_bytes())
    card = json.loads((config.out / "card.json").read_text())
    assert run["commit"] == card["training"]["commit"] == "commit 0", "the code that ran, not what was committed since"
    assert run["metrics"]["average_precision"] == result.metrics["average_precision"]
    assert list(config.out.glob("events.out.tfevents.*"))


def test_a_run_without_patience_goes_on_with_it_and_keeps_the_best_weights(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DetectorTrainConfig(
        out=tmp_path / "out", steps=3, workers=0, device="cpu", data=pack, architecture=TINY,
        shapes=((2, 64, 96, 1.0),), every_minutes=1e-6,
    )  # fmt: skip
    looks = itertools.chain([0.2, 0.9, 0.3, 0.3], itertools.repeat(0.1))
    figures = (figure for figure in looks for _ in ("as annotated", "mended"))
    monkeypatch.setattr("vision.training.train_detector.average_precision", lambda outcomes: next(figures))
    monkeypatch.setattr("vision.training.train_detector._SETTLING", 0)
    train(config)
    saved = torch.load(config.out / "checkpoint.pt", weights_only=True)
    assert (saved["best"], saved["since_best"]) == (0.9, 1)
    train(replace(config, steps=100, patience=3, resume=True), runs=tmp_path / "runs.jsonl")
    (run,) = read_runs(tmp_path / "runs.jsonl")
    assert (run["ended"], run["steps"]) == ("out of patience", 5)
    weights = torch.load(config.out / "weights.pt", weights_only=True)
    assert torch.equal(weights["heat.weight"], saved["kept"]["heat.weight"].half())
    assert not torch.equal(weights["heat.weight"], saved["average"]["heat.weight"].half())


@pytest.mark.parametrize("gone", [("best", "since_best", "kept"), ("kept",)])
def test_a_checkpoint_without_the_best_weights_counts_looks_anew(
    run: DetectorTrainConfig, tmp_path: Path, gone: tuple[str, ...]
) -> None:
    old = torch.load(run.out / "checkpoint.pt", weights_only=True) | {"best": 0.9, "since_best": 7}
    torch.save({name: value for name, value in old.items() if name not in gone}, tmp_path / "checkpoint.pt")
    config = replace(run, out=tmp_path, resume=True)
    state = _start(config, torch.device("cpu"))
    assert (state.step, state.best, state.since_best) == (old["step"], -1.0, 0)


def test_a_run_that_cannot_be_resumed_says_why(run: DetectorTrainConfig, tmp_path: Path) -> None:
    nowhere = replace(run, out=tmp_path / "out", resume=True)
    with pytest.raises(TrainingError, match="nothing to resume"):
        train(nowhere)
    assert not nowhere.out.exists()
    with pytest.raises(TrainingError, match="another architecture") as caught:
        train(replace(run, architecture=Architecture(), resume=True))
    assert "\n" not in str(caught.value)


def test_a_filter_that_leaves_nothing_is_an_error(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "scenes.jsonl").write_text((pack / "scenes.jsonl").read_text().replace("robertlucian", "nanonets"))
    (tmp_path / "crops.jsonl").write_text("")
    with pytest.raises(TrainingError, match="permissive"):
        train(DetectorTrainConfig(out=tmp_path / "out", data=tmp_path, licence="permissive", device="cpu"))


def test_a_folder_that_is_no_drive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="simulate"):
        load_drive(tmp_path)
