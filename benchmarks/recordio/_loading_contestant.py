"""One contestant of loading.py, in an environment of its own: an epoch for each line it is sent.

    python _loading_contestant.py CONTESTANT CASE FILE.rec

It imports nothing but its own library, so that MXNet and DALI need no birdsod beside them.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE, BATCH, THREADS = 300, 32, 2
MEAN = (123.0, 117.0, 104.0)
# SSD's five samplers, as MXNet's example sets them.
CROPS = {
    "num_crop_sampler": 5,
    "min_crop_scales": (0.3,) * 5,
    "max_crop_scales": (1.0,) * 5,
    "min_crop_aspect_ratios": (0.5,) * 5,
    "max_crop_aspect_ratios": (2.0,) * 5,
    "min_crop_overlaps": (0.1, 0.3, 0.5, 0.7, 0.9),
    "max_crop_overlaps": (1.0,) * 5,
    "max_crop_trials": (25,) * 5,
    "crop_emit_mode": "center",
    "rand_crop_prob": 5 / 6,
    "rand_mirror_prob": 0.5,
}
COLOURS = {
    "random_hue_prob": 0.5,
    "max_random_hue": 18,
    "random_saturation_prob": 0.5,
    "max_random_saturation": 32,
    "random_illumination_prob": 0.5,
    "max_random_illumination": 32,
    "random_contrast_prob": 0.5,
    "max_random_contrast": 0.5,
    "rand_pad_prob": 0.25,
    "max_pad_scale": 2.0,
    "inter_method": 10,
}


class Contestant(NamedTuple):
    """An epoch that returns how many images it gave, and the first image of the file, RGB from 0 to 255."""

    epoch: Callable[[], int]
    first: Callable[[], np.ndarray[Any, Any]]
    cpu: Callable[[], float] = time.process_time


def birdsod(case: str, rec: str, *, threads: int | None = THREADS, processes: int = 0) -> Contestant:
    from birdsod.ssd import Augmentation, BatchForm, DetectionLoader

    changes = {
        "cropped": Augmentation(mirror=0.5, crop=5 / 6, zoom_out=0, colour=0, interpolation="linear"),
        "coloured": Augmentation(),
    }
    form = BatchForm(dtype="uint8", layout="NHWC") if case == "bytes" else BatchForm(mean=MEAN)
    loader = DetectionLoader(
        rec,
        batch_size=BATCH,
        image_shape=SIZE,
        form=form,
        augmentation=changes.get(case),
        threads=threads,
        processes=processes,
    )
    epochs = iter(range(1 << 30))

    def first() -> np.ndarray[Any, Any]:
        loader = DetectionLoader(rec, batch_size=1, image_shape=SIZE, form=form, shuffle=False)
        image: np.ndarray[Any, Any] = next(loader.epoch()).images[0]
        return image if case == "bytes" else image.transpose(1, 2, 0) + np.array(MEAN)

    return Contestant(lambda: sum(len(batch.images) for batch in loader.epoch(next(epochs))), first)


def processes(case: str, rec: str) -> Contestant:
    """Birdsod's loader, whose images are made by as many processes in place of threads."""
    return birdsod(case, rec, threads=None, processes=THREADS)._replace(cpu=_cpu_of_all)


def _cpu_of_all() -> float:
    psutil = importlib.import_module("psutil")
    children = (child.cpu_times() for child in psutil.Process().children(recursive=True))
    return time.process_time() + sum(float(times.user + times.system) for times in children)


def mxnet(case: str, rec: str) -> Contestant:
    mx = importlib.import_module("mxnet")
    more = {"cropped": CROPS, "coloured": {**CROPS, **COLOURS}}.get(case, {})
    means = dict(zip(("mean_r", "mean_g", "mean_b"), MEAN, strict=True))

    def made(*, shuffle: bool) -> Any:  # noqa: ANN401 - the library has no types
        shape = (3, SIZE, SIZE)
        return mx.io.ImageDetRecordIter(
            path_imgrec=rec,
            batch_size=BATCH,
            data_shape=shape,
            shuffle=shuffle,
            preprocess_threads=THREADS,
            label_pad_width=-1,
            **means,
            **(more if shuffle else {}),
        )

    iterator = made(shuffle=True)

    def epoch() -> int:
        iterator.reset()
        images = 0
        for batch in iterator:
            batch.data[0].wait_to_read()
            images += BATCH - batch.pad
        return images

    def first() -> np.ndarray[Any, Any]:
        return next(iter(made(shuffle=False))).data[0][0].asnumpy().transpose(1, 2, 0) + np.array(MEAN)  # type: ignore[no-any-return] # MXNet has no types

    return Contestant(epoch, first)


def dali(case: str, rec: str) -> Contestant:
    dali_ = importlib.import_module("nvidia.dali")
    fn, types = importlib.import_module("nvidia.dali.fn"), dali_.types

    def graph(*, shuffle: bool) -> Any:  # noqa: ANN401 - the library has no types
        index = rec.removesuffix("rec") + "idx"
        stored, labels = fn.readers.mxnet(path=[rec], index_path=[index], random_shuffle=shuffle, name="records")
        crop = case == "cropped" and shuffle
        if crop:
            # It decodes no more than the crop, which need not hold an object.
            images = fn.decoders.image_random_crop(stored, random_area=[0.09, 1.0], random_aspect_ratio=[0.5, 2.0])
        else:
            images = fn.decoders.image(stored, device="cpu", output_type=types.RGB)
        images = fn.resize(images, resize_x=SIZE, resize_y=SIZE, interp_type=types.INTERP_LINEAR, antialias=False)
        if case != "bytes":
            turned = fn.random.coin_flip() if crop else 0
            images = fn.crop_mirror_normalize(
                images, dtype=types.FLOAT, output_layout="CHW", mean=list(MEAN), std=[1.0] * 3, mirror=turned
            )
        return images, labels

    def built(*, shuffle: bool) -> Any:  # noqa: ANN401 - the library has no types
        pipeline = dali_.Pipeline(batch_size=BATCH, num_threads=THREADS, device_id=None, seed=0)
        with pipeline:
            pipeline.set_outputs(*graph(shuffle=shuffle))
        pipeline.build()
        return pipeline

    pipeline = built(shuffle=True)
    batches = pipeline.epoch_size("records") // BATCH

    def first() -> np.ndarray[Any, Any]:
        image = np.array(built(shuffle=False).run()[0].at(0))
        return image if case == "bytes" else image.transpose(1, 2, 0) + np.array(MEAN)

    return Contestant(lambda: sum(len(pipeline.run()[0]) for _ in range(batches)), first)


def ceiling(_: str, rec: str) -> Contestant:
    """OpenCV's decoder and linear interpolation in two threads, and nothing else: no labels, no batches."""
    from concurrent.futures import ThreadPoolExecutor

    import cv2

    from birdsod.recordio import RecordReader

    cv2.setNumThreads(1)
    np.empty(16 << 20, dtype=np.uint8)  # see birdsod.ssd.filling
    stored = [np.frombuffer(record.image, dtype=np.uint8) for record in RecordReader(rec)]

    def one(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise SystemExit("an image cannot be decoded")
        return np.asarray(cv2.resize(pixels, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR))

    def some(part: list[np.ndarray[Any, Any]]) -> int:
        return sum(len(one(data)) == SIZE for data in part)

    def epoch() -> int:
        parts = [stored[start : start + BATCH] for start in range(0, len(stored), BATCH)]
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(some, parts))

    return Contestant(epoch, lambda: one(stored[0]))


CONTESTANTS: dict[str, Callable[[str, str], Contestant]] = {
    "birdsod": birdsod,
    "processes": processes,
    "mxnet": mxnet,
    "dali": dali,
    "ceiling": ceiling,
}


def measured(contestant: Contestant) -> dict[str, float]:
    """Measure an epoch right behind another, so that nothing counts as done that was prepared while others ran."""
    contestant.epoch()
    seconds, cpu = time.perf_counter(), contestant.cpu()
    images = contestant.epoch()
    return {"images": images, "seconds": time.perf_counter() - seconds, "cpu": contestant.cpu() - cpu}


@contextlib.contextmanager
def answers() -> Iterator[Callable[[object], None]]:
    """Keep what libraries print apart from the answers."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        yield lambda answer: print(json.dumps(answer), file=stream, flush=True)


def main() -> None:
    name, case, rec = sys.argv[1:]
    with answers() as answer:
        contestant = CONTESTANTS[name](case, rec)
        answer(contestant.first()[::10, ::10].astype(float).tolist())
        for _ in sys.stdin:
            answer(measured(contestant))


if __name__ == "__main__":
    main()
