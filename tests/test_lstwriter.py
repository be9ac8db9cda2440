"""Lists: written, read back, and parsed as im2rec parses them."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdsod import bbox, lstwriter
from birdsod.errors import BoxError, ListError
from birdsod.testing import ListedImages, MadeImage, list_lines, listed_images

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = ["bad2", "big", "cls_pack", "det", "det6", "dup", "neg", "ovf", "ovf1"]


def made(*boxes: tuple[float, ...], **changes: Any) -> MadeImage:
    values: dict[str, Any] = {"image_id": 7, "name": "a.jpg", "width": 200, "height": 100}
    values |= {"class_ids": np.arange(len(boxes)), "boxes": np.array(boxes, dtype=np.float64).reshape(-1, 4)}
    return MadeImage(**(values | changes))


def written(folder: Path, *images: MadeImage, **options: Any) -> tuple[str, lstwriter.Written]:
    result = lstwriter.write(ListedImages(images), folder / "a.lst", **options)
    return (folder / "a.lst").read_bytes().decode(), result


def as_im2rec(text: str) -> list[tuple[int, list[float], str]]:
    """What im2rec packs of a text, told once more: strip, split, whole id, numbers, path."""
    found = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        cells = [cell.strip() for cell in line.strip().split("\t")]
        try:
            row = int(cells[0]), [float(cell) for cell in cells[1:-1]], cells[-1]
        except ValueError:
            continue
        if len(cells) >= 3 and 0 <= row[0] < 2**64:
            found.append(row)
    return found


# --- write ----------------------------------------------------------------------------------------------------------


def test_rows_are_written_as_in_the_walkthrough(tmp_path: Path) -> None:
    images = [
        made((20, 10, 100, 90), (0, 0, 200, 100), image_id=3, name="017.Cardinal/one bird.jpg"),
        made(image_id=2**64 - 1, name="\u0442\u0443\u043a\u0430\u043d.png"),
    ]
    text, result = written(tmp_path, *images)
    assert text == (
        "3\t2\t5\t0\t0.1000\t0.1000\t0.5000\t0.9000\t1\t0.0000\t0.0000\t1.0000\t1.0000\t017.Cardinal/one bird.jpg\n"
        "18446744073709551615\t2\t5\t\u0442\u0443\u043a\u0430\u043d.png\n"
    )
    assert result == lstwriter.Written(tmp_path / "a.lst", 2, ())


@given(listed_images())
@settings(max_examples=60)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, images: ListedImages) -> None:
    folder = tmp_path_factory.mktemp("lists")
    text, result = written(folder, *images)
    assert result.rows == len(images)
    assert not result.clipped
    rows = list(lstwriter.rows(folder / "a.lst"))
    assert [(row.image_id, row.path, row.line) for row in rows] == [
        (image.image_id, image.name, line) for line, image in enumerate(images, start=1)
    ]
    for row, image in zip(rows, images, strict=True):
        relative = bbox.absolute_to_relative(image.boxes, width=image.width, height=image.height)
        np.testing.assert_allclose(row.label, lstwriter.label_row(image.class_ids, relative), atol=0.5001e-4)
        packed = row.label[2:].reshape(-1, 5)
        np.testing.assert_array_equal(packed[:, 0], image.class_ids)
        bbox.validate(packed[:, 1:], width=1, height=1, tolerance=0)
    assert [(row[0], row[2]) for row in as_im2rec(text)] == [(row.image_id, row.path) for row in rows]
    frame = lstwriter.read(folder / "a.lst")
    assert frame["image_id"].tolist() == [image.image_id for image in images]
    assert frame["path"].tolist() == [image.name for image in images]


@given(listed_images(), st.integers(1, 9))
@settings(max_examples=30)
def test_decimals_are_as_wanted_where_boxes_allow(
    tmp_path_factory: pytest.TempPathFactory, images: ListedImages, decimals: int
) -> None:
    text, _ = written(tmp_path_factory.mktemp("lists"), *images, decimals=decimals)
    for line, image in zip(text.split("\n"), images, strict=False):
        cells = line.split("\t")[3:-1]
        relative = bbox.absolute_to_relative(image.boxes, width=image.width, height=image.height)
        for place, box in enumerate(relative.tolist()):
            numbers = cells[5 * place + 1 : 5 * place + 5]
            places = len(numbers[0].partition(".")[2])
            assert places >= decimals
            assert numbers == [f"{number:.{places}f}" for number in box]


def test_a_box_that_rounding_would_close_gets_more_decimals(tmp_path: Path) -> None:
    text, _ = written(tmp_path, made((100, 10, 100.002, 90), (0, 0, 20, 10)))
    assert text.split("\t")[3:13] == [
        "0", "0.50000", "0.10000", "0.50001", "0.90000", "1", "0.0000", "0.0000", "0.1000", "0.1000",
    ]  # fmt: skip


def test_a_box_stays_open_in_32_bits_or_is_refused(tmp_path: Path) -> None:
    text, _ = written(tmp_path, made((100, 10, 100.00002, 90)))
    xmin, xmax = np.float32(text.split("\t")[4]), np.float32(text.split("\t")[6])
    assert xmin < xmax
    with pytest.raises(BoxError, match="image 7 is too thin") as caught:
        written(tmp_path, made((100, 10, 100.0000001, 90)))
    assert caught.value.path == "a.jpg"


def test_boxes_outside_are_clipped_and_listed(tmp_path: Path) -> None:
    images = [made((0, 0, 9, 9), (-4, 20, 232, 100.5)), made((1, 1, 2, 2), image_id=8)]
    text, result = written(tmp_path, *images)
    assert text.split("\n")[0].split("\t")[8:13] == ["1", "0.0000", "0.2000", "1.0000", "1.0000"]
    assert result.clipped == (
        lstwriter.ClippedBox(7, "a.jpg", 1, (-4.0, 20.0, 232.0, 100.5), (0.0, 20.0, 200.0, 100.0)),
    )


def test_clips_and_faults_name_their_image_among_many(tmp_path: Path) -> None:
    plain = [made((0, 0, 9, 9), (1, 1, 5, 5), image_id=k, name=f"{k}.jpg") for k in range(1500)]
    plain[2] = made(image_id=2, name="2.jpg")
    cut = made((0, 0, 9, 9), (0, 0, 300, 9), image_id=5000, name="cut.jpg")
    _, result = written(tmp_path, *plain[:3], cut, *plain[3:], cut)
    assert result.rows == 1502
    assert [(box.image_id, box.name, box.object_index) for box in result.clipped] == [(5000, "cut.jpg", 1)] * 2
    wrong = made((0, 0, 9, 9), (9, 0, 5, 9), image_id=5001, name="wrong.jpg")
    with pytest.raises(BoxError, match="object 1 of image 5001: the box is inverted") as caught:
        written(tmp_path, *plain, wrong)
    assert caught.value.path == "wrong.jpg"


def test_float_noise_is_no_clip(tmp_path: Path) -> None:
    for outside in ("clip", "raise"):
        text, result = written(tmp_path, made((-1e-7, 0, 200 + 1e-7, 100)), outside=outside)
        assert not result.clipped
        assert text.split("\t")[4:8] == ["0.0000", "0.0000", "1.0000", "1.0000"]


def test_boxes_outside_can_be_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BoxError, match="object 1 of image 7: the box lies outside its image, xmax is above 200"
    ) as caught:
        written(tmp_path, made((0, 0, 9, 9), (0, 0, 201, 9)), outside="raise")
    assert caught.value.path == "a.jpg"
    assert caught.value.value == [0, 0, 201, 9]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("outside", ["clip", "raise"])
@pytest.mark.parametrize(
    ("box", "what"),
    [
        ((math.nan, 0, 5, 5), "not finite"),
        ((5, 0, 2, 5), "inverted"),
        ((5, 0, 5, 5), "empty"),
        ((-9, 0, -5, 5), "(empty|outside)"),
        ((205, 0, 300, 5), "(empty|outside)"),
    ],
)
def test_unsound_boxes_are_refused(box: tuple[float, ...], what: str, outside: str, tmp_path: Path) -> None:
    with pytest.raises(BoxError, match=f"object 0 of image 7: the box .*{what}"):
        written(tmp_path, made(box), outside=outside)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a\tb.jpg", "a\nb.jpg", "a\rb.jpg", " a.jpg", "a.jpg ", "a.jpg\u2003", ""])
def test_paths_that_would_not_come_back_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ListError, match="path of image 7 cannot stand in a list"):
        written(tmp_path, made(name=name))


def test_paths_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="path of image 7 is not valid text"):
        written(tmp_path, made(name="\udcff.jpg"))


@pytest.mark.parametrize("image_id", [-1, 2**64])
def test_ids_that_do_not_fit_are_refused(image_id: int, tmp_path: Path) -> None:
    with pytest.raises(ListError, match="does not fit into a record") as caught:
        written(tmp_path, made(image_id=image_id))
    assert caught.value.value == image_id


def test_as_many_classes_as_boxes(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="2 class ids but 1 boxes"):
        written(tmp_path, made((0, 0, 9, 9), class_ids=np.array([1, 2])))
    with pytest.raises(ListError, match="1 class ids but 2 boxes"):
        lstwriter.label_row([1], np.zeros((2, 4)))


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="unknown way to treat boxes outside"):
        written(tmp_path, outside="drop")
    for decimals in (0, 18):
        with pytest.raises(ListError, match="decimals out of range"):
            written(tmp_path, decimals=decimals)


def test_a_list_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="the list cannot be written") as caught:
        lstwriter.write(ListedImages(()), tmp_path / "nosuch" / "a.lst")
    assert caught.value.path == str(tmp_path / "nosuch" / "a.lst")


def test_sizes_are_asked_for_first(tmp_path: Path) -> None:
    class Sizeless(list[MadeImage]):
        def require_sizes(self) -> None:
            raise ListError("no sizes")

    with pytest.raises(ListError, match="no sizes"):
        lstwriter.write(Sizeless(), tmp_path / "a.lst")


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN)
def test_rows_take_what_im2rec_took(name: str, golden: Path) -> None:
    records = json.loads((golden / "lst" / f"{name}.unpack.json").read_text())["records"]
    rows = list(lstwriter.rows(golden / "lst" / f"{name}.lst", on_skip=lambda _: None))
    assert [row.image_id for row in rows] == [record["id"] for record in records]
    for row, record in zip(rows, records, strict=True):
        assert row.label.astype("<f4").tobytes().hex() == record["label_f32_hex"]
        assert row.label.dtype == np.float32
        # One cell becomes the scalar of the header.
        assert record["flag"] == (0 if len(row.label) == 1 else len(row.label))


def test_rows_say_what_im2rec_skips(golden: Path) -> None:
    file = golden / "lst" / "bad.lst"
    refused: list[ListError] = []
    rows = list(lstwriter.rows(file, on_skip=refused.append))
    assert [(row.line, row.image_id, row.path) for row in rows] == [
        (1, 0, "a_grad_320x240.jpg"),
        (7, 5, "0.6"),  # an empty path makes the last number the path
        (8, 6, "a_grad_320x240.jpg"),
        (9, 7, "a_grad_320x240.jpg"),
        (11, 9, "a_grad_320x240.jpg"),
    ]
    assert [(error.line, error.value) for error in refused] == [
        (3, "1\ta_grad_320x240.jpg"), (4, "x2"), (5, "abc"), (6, "4.0"), (10, ""),
    ]  # fmt: skip
    assert {error.path for error in refused} == {str(file)}
    with pytest.raises(ListError, match="line 3: the row has fewer than three cells"):
        list(lstwriter.rows(file))


@given(st.lists(list_lines(), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@settings(max_examples=100)
def test_rows_agree_with_im2rec_s_rule(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ending: str, final: bool
) -> None:
    file = tmp_path_factory.mktemp("lists") / "a.lst"
    text = ending.join(lines) + (ending if final else "")
    file.write_bytes(text.encode())
    expected = as_im2rec(text)
    refused: list[ListError] = []
    rows = list(lstwriter.rows(file, on_skip=refused.append))
    assert [(row.image_id, row.path) for row in rows] == [(row[0], row[2]) for row in expected]
    for row, (_, numbers, _) in zip(rows, expected, strict=True):
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(row.label, np.array(numbers).astype(np.float32))
    # Nothing is lost without a word: every line that holds something is taken or refused.
    assert len(rows) + len(refused) == sum(1 for line in lines if line.strip())
    frame = lstwriter.read(file, on_error="collect")
    assert len(frame) == len(rows)
    assert len(frame.attrs["skipped"]) == len(refused)


def test_rows_are_read_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "a.lst"
    file.write_text("1\t0\ta.jpg\nbroken\n")
    rows = lstwriter.rows(file)
    assert next(rows).image_id == 1
    with pytest.raises(ListError, match="line 2"):
        next(rows)


def test_bytes_that_are_no_text_cost_their_row_only(tmp_path: Path) -> None:
    file = tmp_path / "a.lst"
    file.write_bytes(b"1\t0\ta\xff.jpg\n2\t0\tb.jpg\n")
    refused: list[ListError] = []
    assert [row.image_id for row in lstwriter.rows(file, on_skip=refused.append)] == [2]
    assert refused[0].line == 1
    with pytest.raises(ListError, match="line 1: the path is not UTF-8"):
        list(lstwriter.rows(file))


def test_a_list_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ListError, match="the list is missing") as caught:
        list(lstwriter.rows(tmp_path / "nosuch.lst"))
    assert caught.value.path == str(tmp_path / "nosuch.lst")
    with pytest.raises(ListError, match="the list cannot be read"):
        lstwriter.read(tmp_path)


def test_label_row_takes_lists_and_nothing() -> None:
    assert lstwriter.label_row([1, 2], [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]).tolist() == [
        2, 5, 1, 0, 0, 0.5, 1, 2, 0.5, 0, 1, 1,
    ]  # fmt: skip
    assert lstwriter.label_row([], np.zeros((0, 4))).dtype == np.float64


# --- read -----------------------------------------------------------------------------------------------------------


def test_read_keeps_extra_columns_of_header_and_objects(tmp_path: Path) -> None:
    file = tmp_path / "a.lst"
    file.write_text("1\t4\t6\t640\t480\t0\t.1\t.2\t.3\t.4\t9\t1\t.5\t.6\t.7\t.8\t8\ta.jpg\n2\t4\t6\t320\t240\tb.jpg\n")
    frame = lstwriter.read(file)
    assert frame.columns.tolist() == [
        "image_id", "header_width", "object_width", "header_2", "header_3",
        "class_id", "xmin", "ymin", "xmax", "ymax", "extra_5",
        "class_id_2", "xmin_2", "ymin_2", "xmax_2", "ymax_2", "extra_5_2", "path",
    ]  # fmt: skip
    assert frame["header_2"].tolist() == [640, 320]
    assert frame["extra_5_2"].tolist()[0] == 8
    assert frame["class_id_2"].dtype == "Int64"
    assert frame["class_id_2"].isna().tolist() == [False, True]


def test_read_sorts_columns_however_long_rows_are(tmp_path: Path) -> None:
    file = tmp_path / "a.lst"
    numbers = "\t".join(f"{k}\t0\t0\t1\t1" for k in range(11))
    file.write_text(f"1\t2\t5\tnone.jpg\n2\t2\t5\t{numbers}\tmany.jpg\n3\t2\t6\t0\t0\t0\t1\t1\t1\twide.jpg\n")
    columns = lstwriter.read(file).columns.tolist()
    assert columns[:9] == [
        "image_id", "header_width", "object_width", "class_id", "xmin", "ymin", "xmax", "ymax", "extra_5",
    ]  # fmt: skip
    assert columns[9:14] == ["class_id_2", "xmin_2", "ymin_2", "xmax_2", "ymax_2"]
    assert columns[-6:] == ["class_id_11", "xmin_11", "ymin_11", "xmax_11", "ymax_11", "path"]


def test_read_shows_the_last_rows_in_full_precision(golden: Path) -> None:
    tail = lstwriter.read(golden / "lst" / "det6.lst").tail(3)
    assert tail["xmin"].tolist() == [0.1, 0.001, 0.123456789]
    assert tail["class_id"].dtype == np.int64


def test_read_of_a_list_of_classes(golden: Path) -> None:
    frame = lstwriter.read(golden / "lst" / "cls_pack.lst")
    assert frame.columns.tolist() == ["image_id", "label", "path"]
    assert frame["label"].tolist() == [0, 1, 2, 0, 0, 1]


@pytest.mark.parametrize("label", ["2", "2\t4", "1\t5", "2\t5\t0", "nan\t5", "2\t5.5", "9\t5"])
def test_read_of_what_is_no_detection_label(label: str, tmp_path: Path) -> None:
    file = tmp_path / "a.lst"
    file.write_text(f"1\t{label}\ta.jpg\n2\t2\t5\tb.jpg\n")
    columns = lstwriter.read(file).columns.tolist()
    assert columns[:2] == ["image_id", "label"]
    assert columns[-1] == "path"


def test_read_of_odd_classes(tmp_path: Path) -> None:
    file = tmp_path / "a.lst"
    for cell in ("0.5", "inf"):
        file.write_text(f"1\t2\t5\t{cell}\t0\t0\t1\t1\ta.jpg\n")
        assert lstwriter.read(file)["class_id"].tolist() == [float(cell)]


def test_read_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.lst").write_text("\n \n")
    frame = lstwriter.read(tmp_path / "a.lst")
    assert len(frame) == 0
    assert frame.columns.tolist()[:4] == ["image_id", "header_width", "object_width", "class_id"]


def test_read_of_ids_beyond_signed_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.lst").write_text(f"{2**64 - 1}\t0\ta.jpg\n")
    assert lstwriter.read(tmp_path / "a.lst")["image_id"].tolist() == [2**64 - 1]


def test_read_raises_skips_or_collects(golden: Path) -> None:
    file = golden / "lst" / "bad2.lst"
    with pytest.raises(ListError, match="fewer than three cells") as caught:
        lstwriter.read(file)
    assert (caught.value.path, caught.value.line) == (str(file), 3)
    assert "skipped" not in lstwriter.read(file, on_error="skip").attrs
    frame = lstwriter.read(file, on_error="collect")
    assert frame["image_id"].tolist() == [0, 6, 7, 9]
    assert [error.line for error in frame.attrs["skipped"]] == [3, 4, 5, 6, 9]
    with pytest.raises(ListError, match="unknown way to treat errors"):
        lstwriter.read(file, on_error=cast("Any", "ignore"))


# --- real birds -----------------------------------------------------------------------------------------------------


@pytest.mark.birds
def test_all_birds_as_the_walkthrough_writes_them(cub: Path, tmp_path: Path) -> None:
    from birdsod import load_cub

    sizes = next((file for file in (cub / "sizes.txt", cub.parent / "sizes.txt") if file.is_file()), None)
    if sizes is None:
        pytest.skip("no list of sizes lies in or beside the folder of birds")
    result = lstwriter.write(load_cub(cub, sizes=sizes), tmp_path / "all.lst")
    assert result.rows == 11_788
    assert len(result.clipped) == 30
    expected = dict(walkthrough_rows(cub, sizes))
    clipped = {box.image_id for box in result.clipped}
    agreeing = 0
    for line in (tmp_path / "all.lst").read_text().splitlines():
        cells = line.split("\t")
        if int(cells[0]) not in clipped:
            assert [*cells[:3], *map(float, cells[3:8]), cells[8]] == expected[int(cells[0])]
            agreeing += 1
    assert agreeing == 11_758


def walkthrough_rows(cub: Path, sizes: Path) -> list[tuple[int, list[Any]]]:
    """The walkthrough's rule in plain loops: corner and size divided by the image's size, four decimals."""

    def table(file: Path) -> dict[int, list[str]]:
        rows = (line.split() for line in file.read_text().splitlines())
        return {int(row[0]): row[1:] for row in rows}

    names, boxes, shapes = table(cub / "images.txt"), table(cub / "bounding_boxes.txt"), table(sizes)
    classes = table(cub / "image_class_labels.txt")
    found = []
    for image_id, (name,) in names.items():
        x, y, wide, high = map(float, boxes[image_id])
        width, height = map(int, shapes[image_id])
        relative = [x / width, y / height, (x + wide) / width, (y + high) / height]
        numbers = [float(int(classes[image_id][0]) - 1), *(float(f"{number:.4f}") for number in relative)]
        found.append((image_id, [str(image_id), "2", "5", *numbers, name]))
    return found


def test_the_protocol_takes_any_images(tmp_path: Path) -> None:
    bird = SimpleNamespace(image_id=1, name="a.jpg", width=4, height=4, class_ids=np.array([2]), boxes=np.ones((1, 4)))
    bird.boxes[0, 2:] = 3

    class Birds(list[Any]):
        def require_sizes(self) -> None: ...

    assert lstwriter.write(Birds([bird]), tmp_path / "a.lst").rows == 1
