"""Prices by instance type, region and use, each with its source and date."""

from __future__ import annotations

import csv
import datetime as dt
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from birdsod.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from typing import Self

__all__ = ["Price", "PriceTable", "PricedUse"]

PricedUse: TypeAlias = Literal["training", "hosting", "transform"]
"""What an instance is paid for."""

_COLUMNS = ("instance_type", "region", "use", "usd_per_hour", "source", "as_of")
_SHIPPED = Path(__file__).with_name("prices.csv")


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour of an instance costs, by whom and when.

    Parameters
    ----------
    instance_type, region : str
        Which instance, where.
    use : {"training", "hosting", "transform"}
        What it is paid for.
    usd_per_hour : float
        Dollars an hour, on demand, without tax, storage or traffic.
    source : str
        Who says so.
    as_of : datetime.date
        When.
    """

    instance_type: str
    region: str
    use: PricedUse
    usd_per_hour: float
    source: str
    as_of: dt.date

    def __str__(self) -> str:
        where = f"{self.instance_type} for {self.use} in {self.region}"
        return f"${self.usd_per_hour:g} an hour for {where} ({self.source}, as of {self.as_of})"


@dataclass(frozen=True)
class PriceTable:
    """Prices by instance type, region and use, each with its source and date.

    Parameters
    ----------
    rows : tuple of Price
        Of two for the same, the later one counts.

    Examples
    --------
    >>> table = PriceTable.shipped()
    >>> table.hourly("ml.g4dn.xlarge", "eu-west-1", "training").usd_per_hour
    0.822
    >>> print(table.hourly("ml.g4dn.xlarge", "moon-1", "training"))
    None
    """

    rows: tuple[Price, ...]

    @classmethod
    def shipped(cls) -> Self:
        """Return the prices that birdsod found published; few, and none of them a promise.

        Returns
        -------
        PriceTable
        """
        return cls.read(_SHIPPED)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read prices of one's own.

        Parameters
        ----------
        path : path-like
            A CSV file with the columns ``instance_type``, ``region``, ``use`` (training, hosting or transform),
            ``usd_per_hour``, ``source`` and ``as_of`` (a date such as 2026-09-28).

        Returns
        -------
        PriceTable

        Raises
        ------
        InputError
            If the file cannot be read, a column is missing, or a cell is none of what it should be; with its line.
        """
        try:
            with Path(path).open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                _check_columns(reader.fieldnames or (), path)
                return cls(tuple(_price(row, path, reader.line_num) for row in reader))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            cure = f"give a CSV file with the columns {', '.join(_COLUMNS)}"
            raise InputError("the prices cannot be read", path=path, cause=str(error), cure=cure) from error

    def hourly(self, instance_type: str, region: str, use: PricedUse) -> Price | None:
        """Return the price of an instance.

        Parameters
        ----------
        instance_type, region : str
            Which instance, where.
        use : {"training", "hosting", "transform"}
            What it is paid for.

        Returns
        -------
        Price or None
            The newest; None if the table does not have it, which is no price of 0.
        """
        wanted = (instance_type, region, use)
        found = [row for row in self.rows if (row.instance_type, row.region, row.use) == wanted]
        return max(found, key=lambda row: row.as_of) if found else None


def _check_columns(found: Iterable[str], path: str | os.PathLike[str]) -> None:
    missing = [name for name in _COLUMNS if name not in set(found)]
    if missing:
        cure = f"the first line is {','.join(_COLUMNS)}"
        raise InputError("a column is missing", path=path, line=1, value=missing[0], cure=cure)


def _price(row: Mapping[str, str | None], path: str | os.PathLike[str], line: int) -> Price:
    for name in _COLUMNS:
        if not (row.get(name) or "").strip():
            raise InputError(f"the cell {name} is empty", path=path, line=line, cure="each row has its source and date")
    cells = {name: str(row[name]).strip() for name in _COLUMNS}
    if cells["use"] not in get_args(PricedUse):
        cure = f"give one of {', '.join(get_args(PricedUse))}"
        raise InputError("the use is unknown", path=path, line=line, value=cells["use"], cure=cure)
    return Price(
        instance_type=cells["instance_type"],
        region=cells["region"],
        use=cast("PricedUse", cells["use"]),
        usd_per_hour=_amount(cells["usd_per_hour"], path, line),
        source=cells["source"],
        as_of=_date(cells["as_of"], path, line),
    )


def _amount(text: str, path: str | os.PathLike[str], line: int) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not (math.isfinite(amount) and amount > 0):
        cure = "give dollars an hour, such as 0.736"
        raise InputError("the price is no number above 0", path=path, line=line, value=text, cure=cure)
    return amount


def _date(text: str, path: str | os.PathLike[str], line: int) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        cure = "give year, month and day: 2026-09-28"
        raise InputError("as_of is no date", path=path, line=line, value=text, cure=cure) from error
