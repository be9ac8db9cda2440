"""Made-up birds: layout, sameness, boxes, company, and what happens when drawing is interrupted."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from birdsod.dataset import _synthetic, synthetic_birds
from birdsod.dataset._drawing import anatomy, paint, picture, shapes
from birdsod.dataset._drawing.picture import Drawn, draw
from birdsod.dataset._drawing.species import PALETTE, SPECIES
from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from birdsod.dataset import DetectionDataset

TABLES = ("images", "classes", "image_class_labels", "bounding_boxes", "train_test_split", "sizes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made-up") / "birds"


@pytest.fixture(scope="module")
def birds(folder: Path) -> DetectionDataset:
    return synthetic_birds(folder, seed=3, classes=2, per_class=3)


@pytest.fixture(scope="module")
def pictures() -> list[Drawn]:
    """A picture of every species, and further ones of the first."""
    return [draw(0, species, 0) for species in range(len(SPECIES))] + [draw(0, 0, index) for index in range(1, 7)]


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def pixels(jpeg: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def rows(folder: Path, table: str) -> list[list[str]]:
    return [line.split() for line in (folder / f"{table}.txt").read_text(encoding="utf-8").splitlines()]


def test_the_layout_is_cubs(birds: DetectionDataset, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"images", "synthetic.json", *(f"{name}.txt" for name in TABLES)}
    assert len(birds) == 6
    assert birds.class_table.names == ("001.Lantern_Tipplefinch", "002.Velvet_Moorwhistler")
    assert [row[0] for row in rows(folder, "images")] == [str(number) for number in range(1, 7)]
    for image_id, name in rows(folder, "images"):
        species, _, base = name.partition("/")
        assert base.startswith(species[4:])
        assert base.endswith(f"_{image_id}.jpg")
    assert all(float(cell) >= 0.0 for row in rows(folder, "bounding_boxes") for cell in row)


def test_sizes_are_those_of_the_pictures(birds: DetectionDataset, folder: Path) -> None:
    sizes = {row[0]: (int(row[1]), int(row[2])) for row in rows(folder, "sizes")}
    for record in birds:
        height, width = pixels(record.path.read_bytes()).shape[:2]
        assert sizes[str(record.image_id)] == (width, height) == (record.width, record.height)


def test_half_of_each_species_is_for_training(birds: DetectionDataset) -> None:
    assert birds.classes["train"].tolist() == [2, 2]
    assert birds.classes["validation"].tolist() == [1, 1]


def test_records_hold_what_was_drawn(birds: DetectionDataset) -> None:
    for position, record in enumerate(birds):
        species, index = divmod(position, 3)
        drawn = draw(3, species, index)
        assert record.path.read_bytes() == drawn.jpeg
        assert set(record.class_ids.tolist()) == {species}
        boxes = [[x, y, x + width, y + height] for x, y, width, height in drawn.boxes]
        assert record.boxes.tolist() == boxes


@pytest.mark.usefixtures("birds")
def test_the_same_numbers_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    synthetic_birds(tmp_path / "again", seed=3, classes=2, per_class=3)
    assert hashes(tmp_path / "again") == hashes(folder)


def test_another_seed_gives_other_pictures(birds: DetectionDataset, tmp_path: Path) -> None:
    other = synthetic_birds(tmp_path / "other", seed=4, classes=1, per_class=2)
    assert other[0].path.read_bytes() != birds[0].path.read_bytes()


def test_more_of_them_begin_with_the_same_pictures(birds: DetectionDataset, tmp_path: Path) -> None:
    fewer = synthetic_birds(tmp_path / "fewer", seed=3, classes=1, per_class=2)
    assert [record.path.read_bytes() for record in fewer] == [birds[i].path.read_bytes() for i in range(2)]


def test_boxes_are_the_extent_of_the_silhouettes(pictures: list[Drawn]) -> None:
    for drawn in pictures:
        assert len(drawn.boxes) == len(drawn.masks) >= 1
        for (x, y, width, height), mask in zip(drawn.boxes, drawn.masks, strict=True):
            assert mask.shape == (drawn.height, drawn.width)
            assert 0 <= x < x + width <= drawn.width
            assert 0 <= y < y + height <= drawn.height
            inside = mask[y : y + height, x : x + width]
            assert inside.sum() == mask.sum()
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_birds_are_large_enough_to_be_seen(pictures: list[Drawn]) -> None:
    for drawn in pictures:
        for _, _, width, height in drawn.boxes:
            assert max(width, height) >= 40
            assert min(width, height) >= 15


def test_what_is_drawn_lies_under_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture with birds differs from the same picture without just where the masks are."""
    monkeypatch.setattr(picture, "_developed", lambda scene, _: scene.astype(np.float32).tobytes())
    monkeypatch.setattr(picture, "_hide", lambda *_: None)
    monkeypatch.setattr(picture, "branch", lambda *_, **__: None)
    drawn = draw(0, 2, 1)
    monkeypatch.setattr(picture, "paint_bird", unpainted)
    scenes = [np.frombuffer(one.jpeg, np.float32).reshape(drawn.height, drawn.width, 3)
              for one in (drawn, draw(0, 2, 1))]  # fmt: skip
    changed = np.abs(scenes[0] - scenes[1]).max(axis=2) > 1.0
    mask = np.logical_or.reduce(drawn.masks)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert (changed & mask).sum() > 0.95 * mask.sum()
    assert not (changed & ~near).any()


def unpainted(scene: Any, *rest: Any) -> Any:
    return paint.paint_bird(scene.copy(), *rest)


def test_some_pictures_show_several_birds_and_most_show_one(pictures: list[Drawn]) -> None:
    counts = np.array([len(drawn.masks) for drawn in pictures])
    assert counts.max() >= 2
    assert 0.5 < (counts == 1).mean() < 1.0


def test_company_is_told_in_further_rows_of_the_same_image(tmp_path: Path) -> None:
    several = next(index for index in range(40) if len(draw(0, 0, index).masks) > 1)
    flock = synthetic_birds(tmp_path / "flock", seed=0, classes=1, per_class=max(several + 1, 2))
    assert len(flock[several].boxes) == len(draw(0, 0, several).masks)
    assert len(rows(tmp_path / "flock", "bounding_boxes")) == flock.num_objects > len(flock)


def test_pictures_lie_and_stand(pictures: list[Drawn]) -> None:
    shapes_seen = {drawn.width > drawn.height for drawn in pictures}
    assert shapes_seen == {True, False}
    assert len({(drawn.width, drawn.height) for drawn in pictures}) > len(pictures) // 2
    assert all(250 <= min(drawn.width, drawn.height) <= max(drawn.width, drawn.height) == 500 or
               max(drawn.width, drawn.height) == 400 for drawn in pictures)  # fmt: skip


@pytest.mark.parametrize("kind", ["perched", "standing", "foraging", "flying"])
@pytest.mark.parametrize("species", SPECIES, ids=lambda species: species.name)
def test_every_species_takes_every_pose(species: Any, kind: Any) -> None:
    rng = np.random.default_rng(0)
    figure = anatomy.build(species, anatomy.draw_pose(kind, rng), rng)
    names = [layer.name for layer in figure.layers]
    assert all(layer.colour in PALETTE for layer in figure.layers)
    assert all(np.isfinite(outline).all() for layer in figure.layers for outline in layer.outlines)
    assert ("far wing" in names) == (kind == "flying")
    assert ("legs" in names) == (kind != "flying")
    for position, layer in enumerate(figure.layers):
        assert layer.inside is None or layer.inside in names[:position]


def test_species_are_many_distinct_and_share_their_colours() -> None:
    assert len(SPECIES) >= 20
    assert len({species.name for species in SPECIES}) == len(SPECIES)
    parts = ("back", "belly", "head", "wing", "tail", "accent", "trim")
    worn = [{getattr(species, part) for part in parts} for species in SPECIES]
    assert set().union(*worn) <= set(PALETTE)
    for chosen in (worn[:5], worn):
        for position, colours in enumerate(chosen):
            others = set().union(*chosen[:position], *chosen[position + 1 :])
            assert len(colours - others) <= 2, "a species' colours give it away"


def test_no_single_colour_gives_the_species_away() -> None:
    """Naming the species by the commonest colours of the picture does not work."""
    train = np.array([[histogram(draw(1, species, index)) for index in range(3)] for species in range(5)])
    hits = [
        int(np.abs(train - histogram(draw(1, species, index))).sum(axis=2).min(axis=1).argmin() == species)
        for species in range(5)
        for index in range(3, 5)
    ]
    assert np.mean(hits) < 0.7


def histogram(drawn: Drawn) -> Any:
    coarse = pixels(drawn.jpeg).astype(int) // 64
    codes = coarse[..., 0] * 16 + coarse[..., 1] * 4 + coarse[..., 2]
    return np.bincount(codes.ravel(), minlength=64) / codes.size


def test_the_same_set_is_used_again(birds: DetectionDataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_synthetic, "draw", lambda *_: pytest.fail("it is drawn again"))
    again = synthetic_birds(folder, seed=3, classes=2, per_class=3)
    assert len(again) == len(birds)


@pytest.mark.usefixtures("birds")
@pytest.mark.parametrize("change", [{"seed": 4}, {"classes": 1}, {"per_class": 4}])
def test_another_set_is_not_drawn_over_it(folder: Path, change: dict[str, int]) -> None:
    before = hashes(folder)
    with pytest.raises(DatasetError, match="holds another set of made-up birds"):
        synthetic_birds(folder, **{"seed": 3, "classes": 2, "per_class": 3, **change})
    assert hashes(folder) == before


def lose_a_picture(folder: Path) -> None:
    next((folder / "images").rglob("*.jpg")).unlink()


def shorten_a_table(folder: Path) -> None:
    (folder / "images.txt").write_text("1 one.jpg\n", encoding="utf-8")


def draw_with_another_version(folder: Path) -> None:
    marker = json.loads((folder / "synthetic.json").read_text(encoding="utf-8"))
    marker["order"]["version"] = 0
    (folder / "synthetic.json").write_text(json.dumps(marker), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose_a_picture, "were changed after they were drawn"),
        (shorten_a_table, "were changed after they were drawn"),
        (draw_with_another_version, "another set"),
    ],
)
def test_a_set_that_was_changed_is_refused(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    synthetic_birds(tmp_path / "birds", seed=0, classes=1, per_class=2)
    change(tmp_path / "birds")
    with pytest.raises(DatasetError, match=message) as raised:
        synthetic_birds(tmp_path / "birds", seed=0, classes=1, per_class=2)
    assert raised.value.path == str(tmp_path / "birds")
    assert raised.value.cure


@pytest.mark.parametrize(("name", "content"), [("holiday.jpg", "x"), ("synthetic.json", "{"), ("synthetic.json", "[]")])
def test_a_foreign_folder_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match="the folder holds"):
        synthetic_birds(tmp_path, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "birds").write_text("a file", encoding="utf-8")
    with pytest.raises(DatasetError, match="the folder holds something other"):
        synthetic_birds(tmp_path / "birds", seed=0)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written here") as caught:
        synthetic_birds(tmp_path / "file" / "birds", seed=0, classes=1, per_class=2)
    assert caught.value.path == str(tmp_path / "file" / "birds")


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    assert len(synthetic_birds(tmp_path / "birds", seed=0, classes=1, per_class=2)) == 2


def test_folders_above_are_made(tmp_path: Path) -> None:
    assert len(synthetic_birds(tmp_path / "a" / "b", seed=0, classes=1, per_class=2)) == 2


@pytest.mark.parametrize(("exception", "told"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError, DatasetError)])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exception: type[BaseException], told: type[BaseException]
) -> None:
    def interrupted(seed: int, species: int, index: int) -> Drawn:
        if index == 1:
            raise exception
        return draw(seed, species, index)

    monkeypatch.setattr(_synthetic, "draw", interrupted)
    with pytest.raises(told):
        synthetic_birds(tmp_path / "birds", seed=0, classes=1, per_class=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "numbers",
    [{"seed": -1}, {"seed": 0, "classes": 0}, {"seed": 0, "classes": 25}, {"seed": 0, "per_class": 1}],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, numbers: dict[str, int]) -> None:
    with pytest.raises(DatasetError) as raised:
        synthetic_birds(tmp_path / "birds", **numbers)
    assert raised.value.value in numbers.values()
    assert list(tmp_path.iterdir()) == []


def test_a_hull_holds_its_points() -> None:
    cloud = np.random.default_rng(0).normal(size=(60, 2))
    outline = shapes.hull(cloud)
    edges = np.roll(outline, -1, axis=0) - outline
    for point in cloud:
        inward = point - outline
        assert (edges[:, 0] * inward[:, 1] - edges[:, 1] * inward[:, 0] >= -1e-9).all()


def test_a_turn_lifts_what_lies_to_the_right() -> None:
    assert np.allclose(shapes.turned(np.array([[1.0, 0.0]]), np.pi / 2), [[0.0, -1.0]])
