"""The class table: zero-based class ids beside the ids and names that the data set writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from birdsod.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

__all__ = ["ClassTable"]


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Which class a zero-based ``class_id`` stands for; it travels with the data and the model.

    Parameters
    ----------
    source_ids : tuple of int
        Ids as the data set writes them; position is the zero-based class id.
    names : tuple of str
        Class names, in the same order.

    Raises
    ------
    DatasetError
        If the two differ in length, or an id or a name occurs twice.

    Examples
    --------
    >>> table = ClassTable(source_ids=(17, 36), names=("017.Cardinal", "036.Northern_Flicker"))
    >>> table.names[1], table.source_ids[1], len(table)
    ('036.Northern_Flicker', 36, 2)
    """

    source_ids: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.source_ids) != len(self.names):
            message = f"{len(self.source_ids)} class ids but {len(self.names)} class names"
            raise DatasetError(message, cure="give one name for each id")
        for what, values in (("id", self.source_ids), ("name", self.names)):
            twice = _first_repeated(values)
            if twice is not None:
                message = f"class {what} occurs twice"
                raise DatasetError(message, value=twice, cure=f"give each class its own {what}")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def find(self, wanted: int | str) -> int:
        """Return the zero-based class id of a source id or a name.

        Parameters
        ----------
        wanted : int or str
            Source id, or class name.

        Returns
        -------
        int

        Raises
        ------
        DatasetError
            If there is no such class; the message names close matches.

        Examples
        --------
        >>> ClassTable((17, 36), ("017.Cardinal", "036.Northern_Flicker")).find(36)
        1
        """
        values: Sequence[int | str] = self.names if isinstance(wanted, str) else self.source_ids
        if wanted in values:
            return values.index(wanted)
        raise DatasetError("no such class", value=wanted, cure=f"choose from {self._known(wanted)}")

    def subset(self, wanted: Iterable[int | str]) -> ClassTable:
        """Return the table of some classes, in this table's order, numbered anew from zero.

        Parameters
        ----------
        wanted : iterable of int or str
            Source ids or names; the order does not matter.

        Returns
        -------
        ClassTable

        Examples
        --------
        >>> ClassTable((17, 36, 47), ("a", "b", "c")).subset(["c", 17]).names
        ('a', 'c')
        """
        keep = sorted({self.find(item) for item in wanted})
        return ClassTable(tuple(self.source_ids[k] for k in keep), tuple(self.names[k] for k in keep))

    def to_frame(self) -> pd.DataFrame:
        """Return columns ``class_id``, ``source_id`` and ``name``.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd

        return pd.DataFrame(
            {"class_id": range(len(self)), "source_id": list(self.source_ids), "name": list(self.names)}
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rows as plain values, for ``packed.json`` and ``classes.json``.

        Returns
        -------
        list of dict

        Examples
        --------
        >>> ClassTable((17,), ("017.Cardinal",)).to_json()
        [{'class_id': 0, 'source_id': 17, 'name': '017.Cardinal'}]
        """
        return [
            {"class_id": position, "source_id": source_id, "name": name}
            for position, (source_id, name) in enumerate(zip(self.source_ids, self.names, strict=True))
        ]

    @classmethod
    def numbered(cls, count: int) -> ClassTable:
        """Return classes that are named after their ids, for a model of which nobody knows more.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        ClassTable

        Examples
        --------
        >>> ClassTable.numbered(2).names
        ('0', '1')
        """
        return cls(tuple(range(count)), tuple(map(str, range(count))))

    @classmethod
    def from_json(cls, rows: Sequence[Mapping[str, Any]]) -> ClassTable:
        """Return the table that :meth:`to_json` wrote.

        Parameters
        ----------
        rows : sequence of mapping
            Rows with ``class_id``, ``source_id`` and ``name``, in any order.

        Returns
        -------
        ClassTable

        Raises
        ------
        DatasetError
            If a key is missing or the class ids are not 0 to n - 1.
        """
        try:
            ordered = sorted(rows, key=lambda row: int(row["class_id"]))
            ids = [int(row["class_id"]) for row in ordered]
            table = cls(tuple(int(row["source_id"]) for row in ordered), tuple(str(row["name"]) for row in ordered))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError("the class table is malformed", value=error, cure="write it again") from error
        if ids != list(range(len(ids))):
            raise DatasetError("class ids have gaps", value=ids, cure="number the classes from 0 without gaps")
        return table

    def _known(self, wanted: int | str) -> str:
        import difflib

        close = difflib.get_close_matches(str(wanted), self.names, n=3) if isinstance(wanted, str) else []
        shown = close or [f"{i} {name}" for i, name in zip(self.source_ids[:5], self.names[:5], strict=True)]
        return ", ".join(shown) + (f", ... ({len(self)} classes)" if len(shown) < len(self) else "")


def _first_repeated(values: Sequence[object]) -> object:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
