"""Models in the object store open as those on disk do, and what goes wrong names the address."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from birdsod.errors import ArtifactError, CloudError, MissingDependencyError
from birdsod.ssd import convert, fetching, load_model
from birdsod.testing import FakeSageMaker

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = Path(__file__).parents[1] / "golden" / "mxnet_ssd"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSageMaker]:
    import boto3

    with FakeSageMaker() as made:
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", made.session())
        yield made


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "m-symbol.json").write_bytes((GOLDEN / "model_algo_1-symbol.json").read_bytes())
    (folder / "m-0000.params").write_bytes((GOLDEN / "model_algo_1-0000.params").read_bytes())
    return folder


def test_a_model_in_the_store_is_opened(
    fake: FakeSageMaker, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.load(GOLDEN / "deploy_io.npz")["data"]
    expected = load_model(tiny, image_shape=128).detect(images)
    (tiny / "hyperparams.json").write_text(json.dumps({"image_shape": "128"}), encoding="utf-8")
    client = fake.session().client("s3")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    for name in ("model.onnx", "model.tar.gz"):
        file = convert(tiny, tmp_path / name)
        client.upload_file(str(file), fake.bucket, f"jobs/birds/{name}")
        found = load_model(f"s3://{fake.bucket}/jobs/birds/{name}").detect(images)
        np.testing.assert_array_equal(found, expected)
    assert not list((tmp_path / "temporary").iterdir())


def test_a_warning_tells_the_address(fake: FakeSageMaker, tiny: Path, tmp_path: Path) -> None:
    file = convert(tiny, tmp_path / "model.tar.gz")
    fake.session().client("s3").upload_file(str(file), fake.bucket, "model.tar.gz")
    with pytest.warns(UserWarning, match=f"s3://{fake.bucket}/model.tar.gz: the archive does not tell image_shape"):
        load_model(f"s3://{fake.bucket}/model.tar.gz")


def test_what_cannot_be_fetched_or_read_is_told_by_its_address(
    fake: FakeSageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"s3://{fake.bucket}/model.tar.gz"
    with pytest.raises(CloudError, match="cannot fetch s3://") as caught:
        load_model(uri)
    assert caught.value.cure == "check the address: there is no such object"
    fake.session().client("s3").put_object(Bucket=fake.bucket, Key="model.tar.gz", Body=b"no archive")
    with pytest.raises(ArtifactError, match="no complete model archive") as refused:
        load_model(uri)
    assert refused.value.path == uri
    monkeypatch.setattr(fetching, "MOST_BYTES", 3)
    with pytest.raises(ArtifactError, match="more than 3 bytes") as refused:
        load_model(uri)
    assert refused.value.path == uri
    for wrong in ("s3://", f"s3://{fake.bucket}", f"s3://{fake.bucket}/folder/"):
        with pytest.raises(ArtifactError, match="no address of an object"):
            load_model(wrong)


def test_without_boto3_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    given = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "boto3":
            raise ImportError(name)
        return given(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match="boto3 is not installed"):
        load_model("s3://birds/model.tar.gz")
