"""Figures: what they show, that labels stay in the picture, and that nothing else is touched."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from birdsod import image
from birdsod.classes import ClassTable
from birdsod.dataset import DetectionDataset
from birdsod.detections import Detections
from birdsod.errors import DatasetError, ImageError, InputError
from birdsod.evaluation import Report
from birdsod.metrics import GroundTruth, Predictions
from birdsod.testing import detections
from birdsod.viz import compare, plot_map, show_boxes, show_detections, show_species
from birdsod.viz._labels import Label
from birdsod.viz._notebook import NotebookFigure
from birdsod.viz._pictures import thumbnail
from birdsod.viz._style import class_style, ink_on, readable, run_colour

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BIRDS = ClassTable((17, 36, 41), ("017.Cardinal", "036.Northern_Flicker", "041.Scissor_tailed_Flycatcher"))
GREY = np.full((60, 80, 3), 128, dtype=np.uint8)
CURVE = pd.DataFrame({"epoch": [0, 1, 2, 3], "map": [0.1, 0.4, 0.3, 0.35]})


def made_up(folder: Path, count: int, kind: int = 0) -> DetectionDataset:
    """Return photographs of one class, upright and lying ones, each with one box."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        size = (60, 80) if number % 2 else (80, 60)
        (folder / f"{number}.png").write_bytes(image.encode(np.full((*size, 3), number, np.uint8), encoding=".png"))
    return DetectionDataset.from_tables(
        {"image_id": np.arange(count) + 100, "path": [f"{number}.png" for number in range(count)]},
        {
            "image_id": np.arange(count) + 100,
            "class_id": np.full(count, kind),
            "xmin": np.full(count, 10.25),
            "ymin": np.full(count, 5.5),
            "xmax": np.full(count, 40.75),
            "ymax": np.full(count, 55.0),
        },
        root=folder,
        class_table=BIRDS,
    )


@pytest.fixture
def birds(tmp_path: Path) -> DetectionDataset:
    return made_up(tmp_path, 3)


@pytest.fixture
def found() -> Detections:
    rows = [[0, 0.9, 0.1, 0.2, 0.5, 0.8], [1, 0.4, 0.5, 0.0, 1.0, 1.0], [0, 0.3, 0.5, 0.5, 0.6, 0.7]]
    return Detections.from_prediction(rows, width=80, height=60, classes=BIRDS)


def drawn(figure: Figure) -> Figure:
    figure.canvas.draw()
    return figure


def frames(figure: Figure) -> list[Rectangle]:
    return [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]


def labels(figure: Figure) -> list[Label]:
    return [text for text in figure.axes[0].texts if isinstance(text, Label)]


class TestShowSpecies:
    @pytest.mark.parametrize("count", [1, 5, 6, 7, 59])
    def test_every_image_has_its_place(self, tmp_path: Path, count: int) -> None:
        figure = drawn(show_species(made_up(tmp_path, count), "017.Cardinal"))
        assert [axes.get_title() for axes in figure.axes] == [str(100 + number) for number in range(count)]
        assert all(len(axes.images) == 1 for axes in figure.axes)
        plural = "" if count == 1 else "s"
        assert figure.get_suptitle() == f"Cardinal: {count} image{plural}"

    @pytest.mark.parametrize(("count", "columns"), [(7, 6), (7, 3), (2, 6), (5, 1)])
    def test_the_grid_is_filled_row_by_row_without_overlap(self, tmp_path: Path, count: int, columns: int) -> None:
        figure = show_species(made_up(tmp_path, count), 17, columns=columns)
        cells = [axes.get_position(original=True) for axes in figure.axes]
        corners = [(round(-cell.y0, 6), round(cell.x0, 6)) for cell in cells]
        assert corners == sorted(corners)
        assert len(set(corners)) == count
        assert len({row for row, _ in corners}) == -(-count // columns)
        assert all(min(cell.x0, cell.y0) >= 0 and max(cell.x1, cell.y1) <= 1 for cell in cells)
        assert not any(one.overlaps(other) for k, one in enumerate(cells) for other in cells[:k])

    def test_the_title_stays_clear_of_the_pictures(self, birds: DetectionDataset) -> None:
        figure = drawn(show_species(birds, 17))
        title = figure.texts[0].get_window_extent()
        assert not any(axes.get_tightbbox().overlaps(title) for axes in figure.axes)  # type: ignore[union-attr] # they are visible
        assert title.y1 <= figure.bbox.y1

    def test_a_limit(self, birds: DetectionDataset) -> None:
        figure = show_species(birds, 17, limit=2)
        assert (len(figure.axes), figure.get_suptitle()) == (2, "Cardinal: 2 of 3 images")

    def test_a_species_without_images(self, birds: DetectionDataset) -> None:
        figure = drawn(show_species(birds, 36))
        assert (len(figure.axes), figure.get_suptitle()) == (0, "Northern Flicker: 0 images")

    def test_only_images_of_the_species(self, tmp_path: Path) -> None:
        other = made_up(tmp_path, 3, kind=1)
        assert len(show_species(other, 36).axes) == 3
        assert len(show_species(other, 17).axes) == 0

    def test_an_unknown_species(self, birds: DetectionDataset) -> None:
        with pytest.raises(DatasetError, match="no such class"):
            show_species(birds, "Cardinalis")

    def test_an_image_that_cannot_be_read(self, birds: DetectionDataset) -> None:
        birds.require_sizes()
        (birds.root / "1.png").write_bytes(b"no image")
        with pytest.raises(ImageError, match=r"1\.png"):
            show_species(birds, 17)

    def test_no_columns(self, birds: DetectionDataset) -> None:
        with pytest.raises(InputError, match="at least one column"):
            show_species(birds, 17, columns=0)

    def test_a_negative_limit(self, birds: DetectionDataset) -> None:
        with pytest.raises(InputError, match="limit is not negative"):
            show_species(birds, 17, limit=-1)


class TestThumbnail:
    @pytest.mark.parametrize("longest", [10, 50, 100, 200, 400, 800])
    @pytest.mark.parametrize("suffix", [".jpg", ".png"])
    def test_shape_is_kept_and_nothing_grows(self, tmp_path: Path, longest: int, suffix: str) -> None:
        path = tmp_path / f"bird{suffix}"
        path.write_bytes(image.encode(np.full((300, 400, 3), 90, np.uint8), encoding=suffix))
        small = thumbnail(path, longest)
        height, width = small.shape[:2]
        assert max(height, width) == min(longest, 400)
        assert width / height == pytest.approx(4 / 3, abs=0.15)

    def test_only_part_of_a_large_jpeg_is_decoded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "bird.jpg"
        path.write_bytes(image.encode(np.full((800, 800, 3), (10, 90, 200), np.uint8)))
        monkeypatch.setattr(image, "decode", None)  # a call of it would fail
        assert thumbnail(path, 100)[50, 50].tolist() == pytest.approx([200, 90, 10], abs=3)

    @pytest.mark.parametrize("side", [90, 900])
    def test_orientation_is_applied_at_any_size(self, tmp_path: Path, side: int) -> None:
        from PIL import Image

        path = tmp_path / "turned.jpg"
        picture = Image.new("RGB", (2 * side, side))
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.save(path, exif=exif)
        assert thumbnail(path, 80).shape == (80, 40, 3)


class TestShowBoxes:
    @pytest.mark.parametrize("pick", [101, np.int64(101), "1.png"])
    def test_by_id_or_path(self, birds: DetectionDataset, pick: Any) -> None:
        assert show_boxes(birds, pick).axes[0].get_title() == "1.png (image 101)"

    def test_by_record_with_its_split(self, birds: DetectionDataset) -> None:
        train, _ = birds.split(0.7)
        assert show_boxes(train, train[0]).axes[0].get_title().endswith(", train)")

    def test_sides_are_not_rounded(self, birds: DetectionDataset) -> None:
        (frame,) = frames(show_boxes(birds, 100))
        assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((10.25, 5.5), 30.5, 49.5)

    def test_a_box_of_the_whole_image_is_the_edge_of_the_picture(self, birds: DetectionDataset) -> None:
        axes = show_boxes(birds, 100).axes[0]
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, 60), (80, 0))

    @pytest.mark.parametrize("pick", [5, "5.png"])
    def test_no_such_image(self, birds: DetectionDataset, pick: int | str) -> None:
        with pytest.raises(DatasetError, match="no such image"):
            show_boxes(birds, pick)


class TestShowDetections:
    def test_threshold(self, found: Detections) -> None:
        figure = show_detections(GREY, found)
        assert [label.get_text() for label in labels(figure)] == ["Cardinal 0.90", "Northern Flicker 0.40"]
        assert figure.axes[0].get_title() == "2 detections at 0.40 or more"
        assert len(frames(show_detections(GREY, found, threshold=0.3))) == 3

    def test_nothing_found(self, found: Detections) -> None:
        figure = drawn(show_detections(GREY, found, threshold=1))
        assert (frames(figure), figure.axes[0].get_title()) == ([], "0 detections at 1.00 or more")

    @pytest.mark.parametrize("kind", ["path", "text", "bytes", "array"])
    def test_any_image(self, tmp_path: Path, found: Detections, kind: str) -> None:
        path = tmp_path / "goldfinch.png"
        path.write_bytes(image.encode(GREY, encoding=".png"))
        source = {"path": path, "text": str(path), "bytes": path.read_bytes(), "array": GREY}[kind]
        named = "goldfinch.png: " if kind in {"path", "text"} else ""
        figure = show_detections(source, found)  # type: ignore[arg-type] # one of the four
        assert figure.axes[0].get_title() == f"{named}2 detections at 0.40 or more"

    def test_boxes_fit_a_picture_of_another_size(self, found: Detections) -> None:
        (frame, _) = frames(show_detections(np.zeros((600, 800, 3), np.uint8), found))
        assert [*frame.get_xy(), frame.get_width()] == pytest.approx([80, 120, 320])

    def test_a_large_picture_is_shown_smaller_in_the_same_place(self, found: Detections) -> None:
        figure = show_detections(np.zeros((3000, 4000, 3), np.uint8), found)
        axes = figure.axes[0]
        assert (axes.get_xlim(), axes.get_ylim()) == ((0, 4000), (3000, 0))
        assert axes.images[0].get_array().shape == (1200, 1600, 3)  # type: ignore[union-attr] # it has pixels
        assert frames(figure)[0].get_xy() == (400, 600)

    def test_colour_belongs_to_the_class(self, found: Detections) -> None:
        alone = frames(show_detections(GREY, found[1]))[0]
        assert alone.get_edgecolor() == frames(show_detections(GREY, found))[1].get_edgecolor()
        assert alone.get_edgecolor() != frames(show_detections(GREY, found))[0].get_edgecolor()

    @given(detections())
    @settings(max_examples=25)
    def test_labels_stay_in_the_picture(self, anything: Detections) -> None:
        figure = drawn(show_detections(GREY, anything, threshold=0))
        left, bottom, right, top = figure.axes[0].bbox.extents
        for label in labels(figure):
            assert left - 0.01 <= label.area.left <= label.area.right <= right + 0.01
            assert bottom - 0.01 <= label.area.bottom <= label.area.top <= top + 0.01

    def test_labels_of_close_boxes_do_not_overlap(self) -> None:
        boxes = [[0.30, 0.3, 0.6, 0.6], [0.31, 0.3, 0.6, 0.6], [0.32, 0.31, 0.6, 0.6], [0.3, 0.32, 0.61, 0.6]]
        close = Detections([0, 1, 2, 0], [0.9, 0.8, 0.7, 0.6], boxes, 80, 60, BIRDS)
        areas = [label.area for label in labels(drawn(show_detections(GREY, close)))]
        assert all(one.common(other) == 0 for k, one in enumerate(areas) for other in areas[:k])

    def test_labels_move_with_the_resolution(self, found: Detections, tmp_path: Path) -> None:
        figure = show_detections(GREY, found)
        figure.savefig(tmp_path / "large.png", dpi=200)
        figure.savefig(tmp_path / "tight.png", bbox_inches="tight")
        drawn(figure)
        assert labels(figure)[0].area.right <= figure.axes[0].bbox.x1

    def test_a_label_wider_than_the_picture_shrinks(self) -> None:
        long = Detections([2], [0.9], [[0, 0, 1, 1]], 20, 60, BIRDS)
        figure = Figure(figsize=(1.6, 5.2))
        FigureCanvasAgg(figure)
        show_detections(np.zeros((60, 20, 3), np.uint8), long, ax=figure.add_axes((0, 0, 1, 0.9)))
        (label,) = labels(drawn(figure))
        assert 4 <= float(label.get_fontsize()) < 9
        assert label.area.right <= figure.axes[0].bbox.x1 + 0.01

    def test_a_hidden_label_is_not_placed(self, found: Detections) -> None:
        figure = show_detections(GREY, found[:1])
        labels(figure)[0].set_visible(False)
        drawn(figure)
        assert labels(figure)[0].area == (0, 0, 0, 0)

    def test_a_dollar_sign_is_a_dollar_sign(self) -> None:
        table = ClassTable((1,), ("$x^$",))
        drawn(show_detections(GREY, Detections([0], [0.9], [[0, 0, 1, 1]], 80, 60, table)))

    def test_an_image_that_is_not_there(self, found: Detections) -> None:
        with pytest.raises(ImageError, match=r"nowhere\.jpg"):
            show_detections("nowhere.jpg", found)


class Job:
    """As much of a job as the curve needs."""

    name = "birdsod-1"

    def metrics(self) -> pd.DataFrame:
        return CURVE


class TestPlotMap:
    def test_a_job_gives_the_title(self) -> None:
        axes = plot_map(Job()).axes[0]  # type: ignore[arg-type] # a part of a job
        assert axes.get_title() == "Validation mAP: birdsod-1"
        assert axes.get_ylim() == (0, 1)

    @pytest.mark.parametrize(("title", "expected"), [(None, "Validation mAP"), ("mine", "mine"), ("", "")])
    def test_a_title_of_ones_own(self, title: str | None, expected: str) -> None:
        assert plot_map(CURVE, title=title).axes[0].get_title() == expected

    def test_the_maximum_is_marked_with_its_epoch(self) -> None:
        axes = plot_map(CURVE).axes[0]
        assert axes.texts[0].get_text() == "maximum 0.400 at epoch 1"
        assert axes.lines[1].get_xydata().tolist() == [[1, 0.4]]  # type: ignore[union-attr] # an array

    def test_of_equal_maxima_the_first(self) -> None:
        axes = plot_map(pd.DataFrame({"epoch": [3, 4, 5], "map": [0.2, 0.9, 0.9]})).axes[0]
        assert axes.texts[0].get_text() == "maximum 0.900 at epoch 4"

    def test_gaps_are_gaps(self) -> None:
        frame = pd.DataFrame({"epoch": [0, 1, 4, 5], "map": [0.1, np.nan, 0.3, 0.4]})
        line = plot_map(frame).axes[0].lines[0]
        assert line.get_xdata().tolist() == [0, 1, 2, 3, 4, 5]  # type: ignore[union-attr] # an array
        assert np.array_equal(line.get_ydata(), [0.1, np.nan, np.nan, np.nan, 0.3, 0.4], equal_nan=True)

    def test_an_epoch_done_twice_counts_as_done_last(self) -> None:
        line = plot_map(pd.DataFrame({"epoch": [0, 1, 1], "map": [0.1, 0.9, 0.2]})).axes[0].lines[0]
        assert np.asarray(line.get_ydata()).tolist() == [0.1, 0.2]

    @pytest.mark.parametrize("frame", [CURVE[:0], pd.DataFrame({"epoch": [0, 1], "map": [np.nan, np.nan]})])
    def test_no_figures_yet(self, frame: pd.DataFrame) -> None:
        axes = drawn(plot_map(frame)).axes[0]
        assert [text.get_text() for text in axes.texts] == ["no validation mAP in the log yet"]

    def test_a_single_epoch(self) -> None:
        assert drawn(plot_map(CURVE[:1])).axes[0].texts[0].get_text() == "maximum 0.100 at epoch 0"

    @pytest.mark.parametrize(
        "values",
        [np.linspace(0, 1, 20), np.linspace(1, 0, 20), np.full(20, 0.03), np.full(20, 0.97), [0.5], np.zeros(3)],
    )
    def test_the_text_keeps_off_the_curve(self, values: Any) -> None:
        figure = drawn(plot_map(pd.DataFrame({"epoch": np.arange(len(values)), "map": values})))
        axes = figure.axes[0]
        box = axes.texts[0].get_window_extent()
        points = axes.transData.transform(np.c_[np.arange(len(values)), values])
        assert not any(box.contains(x, y) for x, y in points)
        assert figure.bbox.contains(*box.min)
        assert figure.bbox.contains(*box.max)

    def test_another_table(self) -> None:
        with pytest.raises(InputError, match="no columns epoch and map"):
            plot_map(pd.DataFrame({"epoch": [1]}))
        with pytest.raises(InputError, match=r"neither a job nor a table \(got 'NoneType'\)"):
            plot_map(None)  # type: ignore[arg-type] # what a type checker refuses


def report(correct: int, count: int = 4, classes: ClassTable = BIRDS) -> Report:
    """Return a report of which so many detections are right; there are no objects of the last class."""
    ids, kinds = np.arange(count), np.arange(count) % max(1, len(classes) - 1)
    boxes = np.tile([0.0, 0.0, 10.0, 10.0], (count, 1))
    found = boxes + np.where(np.arange(count) < correct, 0, 100)[:, None]
    return Report(GroundTruth(ids, kinds, boxes), Predictions(ids, kinds, np.full(count, 0.5), found), classes, ids)


class TestCompare:
    def test_bars_are_the_figures(self) -> None:
        reports = {"as given": report(2), "mirrored": report(4)}
        overall, each = drawn(compare(reports)).axes
        for bars, one in zip(overall.containers, reports.values(), strict=True):
            heights = [bar.get_height() for bar in bars]
            assert heights == pytest.approx([one.map50, one.map50_voc07, one.map75, one.coco_map])
        for bars, one in zip(each.containers, reports.values(), strict=True):
            assert [bar.get_width() for bar in bars] == pytest.approx([*one.scores.area[:2], 0])

    def test_names(self) -> None:
        figure = compare({"as given": report(2), "mirrored": report(4)})
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["as given", "mirrored"]
        shown = [text.get_text() for text in figure.axes[1].get_yticklabels()]
        assert shown == ["Cardinal", "Northern Flicker", "Scissor tailed Flycatcher"]

    def test_a_class_without_objects_says_so(self) -> None:
        each = compare({"one": report(4)}).axes[1]
        assert [text.get_text() for text in each.texts] == ["1.00", "1.00", "no objects"]

    def test_classes_that_one_report_lacks(self) -> None:
        other = ClassTable((17, 50), ("017.Cardinal", "050.Wren"))
        each = compare({"one": report(4), "other": report(4, classes=other)}).axes[1]
        assert [text.get_text() for text in each.get_yticklabels()][-1] == "Wren"

    def test_of_many_classes_those_that_differ_most(self) -> None:
        many = ClassTable(tuple(range(41)), tuple(f"{k:03d}.Bird_{k}" for k in range(41)))
        each = drawn(compare({"one": report(5, 40, many), "other": report(40, 40, many)})).axes[1]
        assert each.get_title() == "The 30 of 41 classes that differ most, AP@0.5"
        assert [text.get_text() for text in each.get_yticklabels()] == [f"Bird {k}" for k in range(5, 35)]

    def test_many_reports(self) -> None:
        figure = drawn(compare({str(k): report(k % 5) for k in range(6)}))
        assert len(figure.axes[0].containers) == 6
        assert all(len(text.get_text()) == len("0.50") for text in figure.axes[0].texts)

    def test_nothing_to_compare(self) -> None:
        with pytest.raises(InputError, match="no report to compare"):
            compare({})

    def test_what_is_no_report(self) -> None:
        with pytest.raises(InputError, match=r"no names \(got 'list'\)\. Cure: give \{name: report\}"):
            compare([report(2)])  # type: ignore[arg-type] # what a type checker refuses
        with pytest.raises(InputError, match=r"'a' is no report \(got 'int'\)"):
            compare({"a": 1})  # type: ignore[dict-item] # what a type checker refuses


class TestStyle:
    def test_neighbouring_classes_differ_and_later_ones_by_their_dashes(self) -> None:
        styles = [class_style(kind) for kind in range(28)]
        assert len(set(styles)) == 28
        assert len({style.colour for style in styles[:7]}) == 7
        assert class_style(28) == styles[0]

    def test_ink_is_readable(self) -> None:
        assert (ink_on("#FFFFFF"), ink_on("#000000"), ink_on("#F0E442"), ink_on("#0072B2")) == (
            "black",
            "white",
            "black",
            "white",
        )

    @pytest.mark.parametrize(
        ("name", "shown"),
        [("017.Cardinal", "Cardinal"), ("041.Scissor_tailed_Flycatcher", "Scissor tailed Flycatcher"), ("5", "5")],
    )
    def test_names(self, name: str, shown: str) -> None:
        assert readable(name) == shown

    def test_a_name_that_is_only_a_number(self) -> None:
        assert readable("017.") == "017."

    def test_runs_beyond_the_palette_begin_again(self) -> None:
        assert run_colour(0) == run_colour(6) != run_colour(1)


class TestNothingElseIsTouched:
    def test_axes_of_ones_own(self, birds: DetectionDataset, found: Detections) -> None:
        figure = Figure()
        grid = figure.add_gridspec(1, 2)
        part, other = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
        axes = [part.add_subplot(), *other.subplots(2)]
        assert show_boxes(birds, 100, ax=axes[0]) is figure
        assert show_detections(GREY, found, ax=axes[1]) is figure
        assert plot_map(CURVE, ax=axes[2]) is figure
        assert all(ax.get_title() for ax in axes)
        drawn(figure)

    def test_settings_and_inputs_stay(self, found: Detections) -> None:
        before, backend, pixels = dict(mpl.rcParams), mpl.get_backend(), GREY.copy()
        drawn(show_detections(GREY, found))
        drawn(plot_map(CURVE))
        assert (dict(mpl.rcParams), mpl.get_backend()) == (before, backend)
        assert np.array_equal(GREY, pixels)

    def test_without_a_screen_and_without_pyplot(self) -> None:
        code = """
import sys
import birdsod.viz, birdsod.evaluation, birdsod.metrics, birdsod.detections
assert not {"matplotlib", "pandas", "cv2", "torch"} & set(sys.modules)
import pandas as pd
figure = birdsod.viz.plot_map(pd.DataFrame({"epoch": [0], "map": [0.5]}))
figure.savefig(sys.stdout.buffer, format="png")
assert "matplotlib.pyplot" not in sys.modules
"""
        environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {"MPLBACKEND": "tkagg"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith(b"\x89PNG")

    def test_a_figure_survives_a_journey(self) -> None:
        import pickle

        back = pickle.loads(pickle.dumps(plot_map(CURVE)))  # noqa: S301 - our own bytes
        assert back.axes[0].texts[0].get_text() == "maximum 0.400 at epoch 1"


class Events:
    """As much of IPython's events as a figure needs."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def register(self, _event: str, function: Callable[[], None]) -> None:
        self.waiting.append(function)

    def unregister(self, _event: str, function: Callable[[], None]) -> None:
        self.waiting.remove(function)


class Shell:
    """A notebook's shell that counts cells; ``kernel`` is how IPython in a terminal differs."""

    kernel = object()

    def __init__(self) -> None:
        self.execution_count = 1
        self.events = Events()
        self.published: list[tuple[bytes, str, bool]] = []

    def publish(self, data: dict[str, str], *, transient: dict[str, str], update: bool) -> None:
        self.published.append((base64.b64decode(data["image/png"]), transient["display_id"], update))

    def end_cell(self) -> None:
        for function in self.events.waiting.copy():
            function()
        self.execution_count += 1


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    """What a figure takes for the running notebook; a real one is run by the notebook's own tests."""
    import IPython.core.getipython
    import IPython.display

    running = Shell()
    monkeypatch.setattr(IPython.core.getipython, "get_ipython", lambda: running)
    monkeypatch.setattr(IPython.display, "publish_display_data", running.publish)
    return running


class TestInANotebook:
    def test_shown_once_where_it_is_made(self, shell: Shell) -> None:
        figure = plot_map(CURVE)
        assert isinstance(figure, NotebookFigure)
        figure._ipython_display_()
        shell.end_cell()
        assert [update for _, _, update in shell.published] == [False]

    def test_shown_again_in_a_later_cell(self, shell: Shell) -> None:
        figure = plot_map(CURVE)
        assert isinstance(figure, NotebookFigure)
        shell.end_cell()
        figure._ipython_display_()
        shell.end_cell()
        (first, one, _), (second, other, update) = shell.published
        assert (first == second, one == other, update) == (True, False, False)

    def test_a_change_is_shown_in_the_same_place_at_the_end_of_the_cell(self, shell: Shell) -> None:
        plot_map(CURVE).axes[0].set_title("renamed")
        plot_map(CURVE)
        shell.end_cell()
        assert [update for _, _, update in shell.published] == [False, False, True]
        assert shell.published[2][1] == shell.published[0][1]
        assert shell.published[2][0] != shell.published[0][0]

    def test_a_change_that_cannot_be_seen_is_not_shown(self, shell: Shell) -> None:
        figure = plot_map(CURVE)
        figure.stale = True
        shell.end_cell()
        assert len(shell.published) == 1

    def test_nothing_is_left_at_the_end_of_the_cell(self, shell: Shell) -> None:
        plot_map(CURVE)
        shell.end_cell()
        assert shell.events.waiting == []

    def test_axes_of_ones_own_are_not_shown(self, shell: Shell) -> None:
        plot_map(CURVE, ax=Figure().add_subplot())
        assert shell.published == []

    def test_a_terminal_shows_it_as_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import IPython.core.getipython

        monkeypatch.setattr(IPython.core.getipython, "get_ipython", lambda: None)
        figure = plot_map(CURVE)
        assert isinstance(figure, NotebookFigure)
        with pytest.raises(NotImplementedError):
            figure._ipython_display_()

    def test_without_ipython(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "IPython", raising=False)
        assert len(plot_map(CURVE).axes) == 1
