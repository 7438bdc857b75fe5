"""Training the reader: it can learn eight plates by heart, a run ends with a loadable model, and can go on later."""

import ast
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vision.alphabet import greedy
from vision.device import place
from vision.plates import REGIONS, plate_with_text, render_plate
from vision.reader import CROP_SIZE, ReaderArchitecture, ReaderNet, TorchReader, network_of, prepare_batch
from vision.rectify import box_corners, rectify
from vision.registry import WEIGHTS, ModelError, ModelFolder, find_model, load_state, read_folder
from vision.training import train_reader
from vision.training.calibrate import LookedAt, calibration_error, crossed_error, fit_temperature
from vision.training.data import DEFAULT_ROOT, REPOSITORY, DataError
from vision.training.evaluate_reader import ValSet
from vision.training.jitter import jitter
from vision.training.judging import edit_distance, fold
from vision.training.model_card import card_text
from vision.training.optimising import weight_groups
from vision.training.reader_config import CODE, ConfigError, ReaderTrainConfig, learning_rate, read_config
from vision.training.reader_data import (
    RealPlate,
    RealPool,
    Sample,
    load_real_plates,
    make_sample,
    real_crop,
    region_index,
    seen_corners,
    source_odds,
)
from vision.training.reader_loss import reader_loss, text_losses
from vision.training.replay import ReplayBuffer
from vision.training.runs import read_runs
from vision.training.sample_workers import MixSettings
from vision.training.splicing import find_gaps
from vision.training.synth import synth_crop
from vision.training.train_reader import train
from vision.types import Detection

pytestmark = pytest.mark.usefixtures("one_thread")


def _samples(count: int, seed: int) -> list[Sample]:
    rng = np.random.default_rng(seed)
    made = [synth_crop(rng, 0.0, CROP_SIZE) for _ in range(count)]
    return [Sample(m.crop, m.text, REGIONS.index(m.region), m.legible, False) for m in made]


def test_it_learns_eight_plates_by_heart() -> None:
    torch.manual_seed(0)
    samples = _samples(8, seed=3)
    network = ReaderNet(ReaderArchitecture((8, 16, 24, 32), 64, REGIONS))
    optimiser = torch.optim.Adam(network.parameters(), 4e-3, betas=(0.9, 0.98))
    inputs = prepare_batch(torch.from_numpy(np.stack([s.crop for s in samples])))
    for _ in range(200):
        out = network(inputs)
        loss = reader_loss(text_losses(out.logits, samples), out.region, out.legible, samples)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        texts = [greedy(row) for row in out.logits.detach().numpy()]
        if texts == [s.text for s in samples]:
            break
    assert texts == [s.text for s in samples]


def test_a_short_run_gives_a_model_and_resumes(tmp_path: Path) -> None:
    config = ReaderTrainConfig(
        tmp_path / "run",
        steps=3,
        batch=8,
        threads=1,
        replay=96,
        check_every=2,
        real=False,
        widths=(8, 8, 16, 16),
        sequence=32,
    )
    assert train(config).steps == 3
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 3]
    reader = TorchReader.load(tmp_path / "run", device="cpu", precision="fp32")
    assert len(reader.read([np.zeros((*CROP_SIZE, 3), np.uint8)])) == 1
    assert train(replace(config, steps=5, resume=True)).steps == 5
    with pytest.raises(DataError, match="nothing to resume"):
        train(replace(config, out=tmp_path / "other", resume=True))


def test_learning_rate_warms_up_and_decays(tmp_path: Path) -> None:
    config = ReaderTrainConfig(tmp_path, rate=1.0, warm_up=10)
    rates = [learning_rate(config, step, step / 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) <= 1.0
    assert rates[100] == pytest.approx(0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    late = replace(config, decay_from=0.5)
    assert {learning_rate(late, step, step / 100) for step in range(10, 51)} == {1.0}
    assert learning_rate(late, 75, 0.75) == pytest.approx(0.505)
    assert learning_rate(late, 100, 1.0) == pytest.approx(0.01)


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("steps = 7\nrate = 1\nwidths = [8, 8, 16, 16]\n", encoding="utf-8")
    config = read_config(file, tmp_path / "out", resume=True)
    assert (config.steps, config.rate, config.widths, config.resume) == (7, 1.0, (8, 8, 16, 16), True)
    for text, message in (("stepps = 7", "unknown setting 'stepps'"), ('steps = "7"', "must be a int"), ("=", "TOML")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            read_config(file, tmp_path / "out")
    for shipped in (Path(read_config.__code__.co_filename).parent / "configs").glob("reader*.toml"):
        assert read_config(shipped, tmp_path).steps > 0


def test_a_run_starts_from_a_model(tmp_path: Path) -> None:
    small = {"batch": 8, "threads": 1, "replay": 96, "real": False, "widths": (8, 8, 16, 16), "sequence": 32}
    first = ReaderTrainConfig(tmp_path / "first", steps=2, **small)  # type: ignore[arg-type]
    train(first)
    second = replace(first, out=tmp_path / "second", start=str(tmp_path / "first"), steps=1, rate=0.0)
    train(second)
    cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in ("first", "second")]
    assert cards[1]["start"]["sha256"] == cards[0]["sha256"]
    states = [network_of(read_folder(tmp_path / name)).state_dict() for name in ("first", "second")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0] if name.endswith("weight"))


def test_a_run_starts_from_a_published_body(tmp_path: Path) -> None:
    small = {"batch": 4, "threads": 1, "replay": 96, "real": False, "sequence": 32}
    first = ReaderTrainConfig(tmp_path / "first", steps=1, widths=(8, 8, 16, 16), **small)  # type: ignore[arg-type]
    train(first)
    second = replace(
        first, out=tmp_path / "second", start=str(tmp_path / "first"), body="lcnet", body_from="body-ppocrv4", rate=0.0
    )
    train(second)
    network = network_of(read_folder(tmp_path / "second"))
    assert network.architecture.body == "lcnet"
    published = load_state(read_folder(WEIGHTS / "body-ppocrv4"))
    for name, weights in network.body.state_dict().items():
        assert torch.equal(weights, published[name].to(torch.bfloat16).float()), name
    before = network_of(read_folder(tmp_path / "first"))
    assert torch.equal(network.letters.weight, before.letters.weight)
    assert train(replace(second, steps=2, resume=True)).steps == 2
    with pytest.raises(ModelError, match="not the body"):
        train(replace(second, out=tmp_path / "third", body="plain"))


def test_a_body_can_learn_slower_than_the_rest() -> None:
    network = ReaderNet(ReaderArchitecture((8, 8, 16, 16), 32, REGIONS))
    groups = weight_groups(network, 0.02, body_rate=0.25)
    shares = {id(weights): group["share"] for group in groups for weights in group["params"]}
    decays = {id(weights): group["weight_decay"] for group in groups for weights in group["params"]}
    assert len(shares) == len(list(network.parameters()))
    assert {shares[id(weights)] for weights in network.body.parameters()} == {0.25}
    assert shares[id(network.letters.weight)] == 1.0
    assert (decays[id(network.letters.weight)], decays[id(network.letters.bias)]) == (0.02, 0.0)


def test_illegible_samples_teach_no_text() -> None:
    samples = [replace(s, legible=False) for s in _samples(2, seed=1)]
    logits, legible = torch.zeros(2, 72, 37, requires_grad=True), torch.zeros(2, requires_grad=True)
    losses = text_losses(logits, samples)
    loss = reader_loss(losses, torch.zeros(2, len(REGIONS)), legible, samples)
    loss.backward()
    assert torch.isfinite(loss)
    assert losses.tolist() == [0.0, 0.0]
    assert logits.grad is None
    assert legible.grad is not None


def test_the_replay_buffer_keeps_the_newest() -> None:
    buffer = ReplayBuffer(4, CROP_SIZE)
    samples = _samples(6, seed=2)
    buffer.add(samples)
    _, crops, facts = buffer.draw(np.random.default_rng(0), 64)
    assert len(buffer) == 4
    assert {s.text for s in facts} == {s.text for s in samples[2:]}
    by_text = {s.text: s.crop for s in samples}
    assert all(np.array_equal(crop, by_text[s.text]) for crop, s in zip(crops, facts, strict=True))


def test_hard_samples_are_drawn_more_often_than_easy_and_hopeless_ones() -> None:
    buffer = ReplayBuffer(4, CROP_SIZE)
    buffer.add(_samples(4, seed=2))
    buffer.judge(np.arange(4), np.array([0.001, 1.5, 40.0, 0.0]))
    rng = np.random.default_rng(0)
    drawn = np.bincount(buffer.draw(rng, 4_000)[0], minlength=4) / 4_000
    assert drawn[1] > 0.7
    assert drawn[0] == pytest.approx(drawn[3], abs=0.02)
    assert 0.02 < drawn[0] < drawn[2] < 0.2
    buffer.add(_samples(1, seed=9))
    assert np.bincount(buffer.draw(rng, 400)[0], minlength=4).argmax() == 0, "a new sample has to be seen soon"


def test_jitter_keeps_shape_and_is_repeatable() -> None:
    inputs = torch.zeros(4, 3, *CROP_SIZE)
    torch.manual_seed(1)
    first = jitter(inputs, np.random.default_rng(1))
    torch.manual_seed(1)
    assert torch.equal(first, jitter(inputs, np.random.default_rng(1)))
    assert first.shape == inputs.shape


@pytest.mark.parametrize(
    ("country", "region"),
    [("BR", "BR"), ("US-CA", "US-CA"), ("US-NEWYORK_TLC", "US-NY"), ("EU", None), ("US", None), (None, None)],
)
def test_regions_of_the_manifests(country: str | None, region: str | None) -> None:
    assert region_index(country) == (REGIONS.index(region) if region else -1)


@pytest.mark.data
def test_real_plates_are_cut_and_varied() -> None:
    if not DEFAULT_ROOT.exists():
        pytest.skip("the data pack does not lie beside this checkout (../shared/data)")
    plates = load_real_plates("val")
    assert {"robertlucian", "nanonets", "reported-nyc"} <= {p.source for p in plates}
    assert source_odds(plates).sum() == pytest.approx(1)
    plate = next(p for p in plates if p.source == "robertlucian")
    assert real_crop(plate, CROP_SIZE).shape == (*CROP_SIZE, 3)
    rng = np.random.default_rng(0)
    first, second = (real_crop(plate, CROP_SIZE, rng) for _ in range(2))
    assert not np.array_equal(first, second)
    pool = RealPool(plates)
    made = [make_sample(rng, CROP_SIZE, 0.5, pool, 0.5) for _ in range(40)]
    assert 8 < sum(s.real for s in made) < 32
    with pytest.raises(DataError, match="test split"):
        load_real_plates("test")


def _one_row(text: str, seed: int) -> tuple[RealPlate, np.ndarray]:
    """A drawn plate as if it were a photograph, and the reader's crop of it."""
    picture = render_plate(plate_with_text(text, "BR", seed), 60)
    corners = box_corners(0, 0, picture.shape[1], picture.shape[0])
    plate = RealPlate(b"", corners, text.replace("-", ""), "made", "BR", Path(text), 0.0, picture)
    return plate, real_crop(plate, CROP_SIZE)


@pytest.mark.parametrize("name", ["reader-v6", "reader-v7"])
def test_two_plates_of_a_kind_are_joined_into_a_third(name: str) -> None:
    network = network_of(find_model("reader", name))
    made = [_one_row(text, seed) for seed, text in enumerate(["KVA-2857", "HTB-6493", "MND-7154", "PWX-3826"])]
    plates, crops = [plate for plate, _ in made], [crop for _, crop in made]
    gaps = find_gaps(network, crops, [(p.margin, p.text, p.source) for p in plates])
    assert all(found and found.pattern == "made:AAA9999" for found in gaps)
    for found in gaps:
        assert found
        assert len(found.places) == 6
        assert found.places[0] > 0
        assert found.places[-1] < 1
        assert all(a < b for a, b in itertools.pairwise(found.places))
    pool, rng = RealPool(plates, gaps), np.random.default_rng(0)
    joined = [plate for plate in (pool.draw(rng, 1.0) for _ in range(40)) if plate.text not in {p.text for p in plates}]
    assert len(joined) > 20
    reader = TorchReader(network, REGIONS, place("cpu", "fp32"))
    read = reader.read([rectify(plate.picture(), plate.corners, CROP_SIZE) for plate in joined])
    assert np.mean([text.plate == plate.text for text, plate in zip(read, joined, strict=True)]) > 0.8
    assert {pool.draw(rng, 0.0).text for _ in range(40)} <= {p.text for p in plates}


class _Told:
    """A detector that finds what it is told, in the pixels of the whole picture."""

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self._boxes = boxes

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[Detection(box_corners(*box), 0.9) for box in self._boxes] for _ in images]


@pytest.fixture
def scene_pack(tmp_path: Path) -> Path:
    """A pack of one invented scene of train, larger than what a cut is kept at, and one crop."""
    for name in ("scene.jpg", "crop.jpg"):
        cv2.imwrite(str(tmp_path / name), np.full((900, 1600, 3), 90, np.uint8))
    plate = {"box": [200, 100, 800, 200], "corners": None, "text": "ABC123"}
    scene = {
        "image": "scene.jpg", "source": "open-lpr", "width": 1600, "height": 900, "country": None, "split": "train",
        "plates": [plate],
    }  # fmt: skip
    crop = {
        "image": "crop.jpg", "source": "nanonets", "text": "XY12", "country": None, "split": "train", "label": "checked"
    }  # fmt: skip
    (tmp_path / "scenes.jsonl").write_text(json.dumps(scene) + "\n")
    (tmp_path / "crops.jsonl").write_text(json.dumps(crop) + "\n")
    return tmp_path


def test_plates_are_cut_where_detectors_see_them(scene_pack: Path) -> None:
    plates = load_real_plates("train", root=scene_pack)
    assert [plate.text for plate in plates] == ["XY12", "ABC123"]
    near, far = (210.0, 104.0, 800.0, 200.0), (1200.0, 600.0, 300.0, 100.0)
    of_crop, of_scene = seen_corners(plates, [_Told(near, far), _Told(far), _Told((200.0, 100.0, 800.0, 200.0))])
    assert of_crop == (), "a crop is of no scene"
    assert len(of_scene) == 2, "what lies elsewhere is not of this plate"
    scale = plates[1].place[2]
    assert scale < 1
    moved = of_scene[0] - of_scene[1]
    assert np.allclose(moved, [10 * scale, 4 * scale], atol=0.02), "the found box lies where it was found"
    assert np.allclose(of_scene[1], plates[1].corners, atol=1.0)
    seen = replace(plates[1], seen=of_scene[:1])
    rng = np.random.default_rng(0)
    assert real_crop(seen, CROP_SIZE, rng).shape == (*CROP_SIZE, 3)


def _begun(config: ReaderTrainConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[train_reader._Run, MixSettings]:
    """A run before its first step, and what its workers, which do not start, were told."""
    given = []

    class Workers:
        def __init__(self, settings: MixSettings) -> None:
            given.append(settings)

    monkeypatch.setattr(train_reader, "SampleWorkers", Workers)
    config.out.mkdir()
    run = train_reader._Run(config, ReaderArchitecture((8, 8, 16, 16), 32, REGIONS))
    run.log.close()
    run.curves.close()
    return run, given[0]


def test_the_settings_detectors_and_dropout_reach_the_run(
    scene_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ReaderTrainConfig(tmp_path / "run", data=scene_pack, detectors=("detector-v2",), dropout=0.3, real=True)
    asked = []

    def told(model: ModelFolder, *arguments: object) -> _Told:
        asked.append(model.name)
        return _Told((200.0, 100.0, 800.0, 200.0))

    monkeypatch.setattr(train_reader.TorchDetector, "from_model", told)
    monkeypatch.setattr(train_reader, "load_val", lambda *arguments: None)
    run, mix = _begun(config, monkeypatch)
    assert asked == ["detector-v2"]
    assert [len(seen) for seen in mix.seen] == [0, 1]
    assert run.network.drop.p == 0.3
    assert run.average.drop.p == 0.0, "the averaged weights are never dropped from"


def test_crops_are_put_on_cars_as_often_as_the_settings_say(
    scene_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [json.loads(line) for line in (scene_pack / "scenes.jsonl").read_text().splitlines()]
    rows[0]["plates"][0]["box"] = [200, 100, 160, 90]
    rows += [row | {"split": "val"} for row in rows]
    (scene_pack / "scenes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    crop = json.loads((scene_pack / "crops.jsonl").read_text())
    both = [crop, crop | {"split": "val", "text": "ZZ99"}]
    (scene_pack / "crops.jsonl").write_text("".join(json.dumps(row) + "\n" for row in both))
    config = ReaderTrainConfig(tmp_path / "run", data=scene_pack, detectors=("detector-v2",), mounted=2)
    seen = _Told((200.0, 100.0, 160.0, 90.0))
    monkeypatch.setattr(train_reader.TorchDetector, "from_model", lambda *arguments: seen)
    run, mix = _begun(config, monkeypatch)
    assert [plate.text for plate in mix.mounted] == ["XY12", "XY12"]
    assert mix.mounted[0].data != mix.mounted[1].data
    assert run.val_mounted is not None
    assert run.val_mounted.truths == ["ZZ99"]


def test_a_finished_run_tells_the_figures_of_the_weights_that_it_kept(
    scene_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(scene_pack / "crop.jpg"), np.full((60, 180, 3), 90, np.uint8))
    crop = json.loads((scene_pack / "crops.jsonl").read_text())
    both = [crop, *(crop | {"split": "val", "text": text} for text in ("AB1", "AB2"))]
    (scene_pack / "crops.jsonl").write_text("".join(json.dumps(row) + "\n" for row in both))
    shares = iter([0.5, 0.4, 0.4, 0.3, 0.3, 0.3])

    def worse_and_worse(val: ValSet, network: ReaderNet) -> dict[str, float]:
        return {"greedy_exact": next(shares)}

    monkeypatch.setattr(ValSet, "measure", worse_and_worse)
    config = ReaderTrainConfig(
        tmp_path / "run", steps=3, batch=8, threads=1, replay=96, check_every=1, data=scene_pack,
        widths=(8, 8, 16, 16), sequence=32,
    )  # fmt: skip
    result = train(config, runs=tmp_path / "runs.jsonl")
    (run,) = read_runs(tmp_path / "runs.jsonl")
    card = read_folder(config.out).card
    assert card["steps"] == 3, "nobody reads anything, so the last weights read no worse"
    assert result.metrics == run["metrics"] == card["val"]
    assert set(card["val"]) == {"exact", "all", "nanonets"}


def test_greedy_figures_are_called_so(tmp_path: Path) -> None:
    crops = np.zeros((2, *CROP_SIZE, 3), np.uint8)
    plates = [RealPlate(b"", np.zeros((4, 2), np.float32), text, "made", None, "", 0.0) for text in ("A", "B")]
    found = ValSet(plates, crops).measure(ReaderNet(ReaderArchitecture((8, 8, 16, 16), 32, REGIONS)))
    assert set(found) == {"greedy_exact", "all", "made", "loss"}
    card = find_model("reader").card
    assert "read as production reads" in card_text(card)
    assert "Read greedily" in card_text(card | {"val": found})


def test_dropout_does_nothing_when_reading() -> None:
    torch.manual_seed(0)
    network = ReaderNet(ReaderArchitecture((8, 8, 16, 16), 32, REGIONS))
    inputs = torch.randn(2, 3, *CROP_SIZE)
    network.drop.p = 0.5
    with torch.no_grad():
        network.train()
        assert not torch.equal(network(inputs).logits, network(inputs).logits)
        network.eval()
        plain = network(inputs).logits
        assert torch.equal(network(inputs).logits, plain)
        network.drop.p = 0.0
        assert torch.equal(network(inputs).logits, plain)


def test_the_code_of_a_run_is_all_that_it_imports() -> None:
    todo, seen = ["vision/training/train_reader.py"], set()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for node in ast.walk(ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vision"):
                names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
                files = [name.replace(".", "/") + ".py" for name in names]
                todo += [file for file in files if (REPOSITORY / file).is_file()]
    beside = {
        "curves", "detector_card", "model_card", "runs",  # what is told of a run
        "detector", "device", "engines", "graphs", "lcnet4", "registry", "resident", "runtime_onnx",
        "types",  # how it is run
    }  # fmt: skip
    told = {path for path in seen if not any(path == own or path.startswith(f"{own}/") for own in CODE)}
    assert {Path(path).stem for path in told} <= beside
    assert all((REPOSITORY / own).exists() for own in CODE)


def test_plates_that_are_not_read_are_not_joined() -> None:
    _, crop = _one_row("KVA-2857", 0)
    network = network_of(find_model("reader"))
    assert find_gaps(network, [crop], [(0.0, "KVA2858", "made")]) == [None]


def test_temperature_is_fitted_and_errors_are_counted() -> None:
    rng = np.random.default_rng(0)
    logits, truths = [], []
    for _ in range(60):
        row = np.zeros((3, 37))
        row[:, 0] = [8, 0, 8]
        row[1, 1] = 6.0  # says A, surer than it should be
        logits.append(row[None])
        truths.append("A" if rng.random() < 0.7 else "B")
    judged = LookedAt(logits, truths, [(None, None)] * len(logits))
    assert fit_temperature(judged, grid=(1.0, 1.3, 1.6)) == 1.3
    assert crossed_error(judged, grid=(1.0, 1.3, 1.6)) < 0.2
    assert crossed_error(judged, grid=(0.5,)) > 0.25
    assert calibration_error(np.full(10, 0.9), np.array([True] * 9 + [False]), bins=1) == pytest.approx(0.0)


def test_text_measures() -> None:
    assert fold("OQ1I0") == "00110"
    assert edit_distance("AB12", "A812") == 1
    assert edit_distance("", "ABC") == 3
    assert edit_distance("ABC", "ABXC") == 1
