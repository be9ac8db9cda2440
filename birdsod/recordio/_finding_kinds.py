"""What can be wrong with a record file and the files beside it, each with its weight, likely cause and cure."""

from __future__ import annotations

import enum
from typing import NamedTuple

__all__ = ["FindingKind", "Severity"]


class Severity(enum.Enum):
    """How much a finding weighs: only errors make a file faulty."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FindingText(NamedTuple):
    """What is told of every finding of a kind."""

    severity: Severity
    message: str
    cause: str | None
    cure: str | None


_ERROR, _WARNING, _NOTE = Severity
_DAMAGED = "the file is damaged"
_CUT_SHORT = "a copy, download or writer that was cut short"
_REPAIR = "birdsod repair keeps what is whole"
_AGAIN = "pack it again"
_REINDEX = "birdsod reindex writes it again"
_LAYOUT = "a label for classification, or columns that are empty or shifted"
_REPLACED = "it was changed or replaced after packing"


class FindingKind(enum.Enum):
    """One member for each way in which a record file, its index, list or manifest can be at fault.

    The value of a member is its severity, message, likely cause and cure.
    """

    # frames
    EMPTY_FILE = FindingText(_ERROR, "the file is empty", _CUT_SHORT, _AGAIN)
    BAD_MAGIC = FindingText(_ERROR, "no record begins here, the magic number is missing", _DAMAGED, _REPAIR)
    BAD_LENGTH = FindingText(_ERROR, "the record reaches over the beginning of another", _DAMAGED, _REPAIR)
    BAD_CONTINUATION = FindingText(_ERROR, "the continuation flag is none of 0, 1, 2, 3", _DAMAGED, _REPAIR)
    LOST_BEGINNING = FindingText(_ERROR, "a later part of a split record has no first part", _DAMAGED, _REPAIR)
    LOST_END = FindingText(_ERROR, "a split record has no last part", _DAMAGED, _REPAIR)
    SHIFTED = FindingText(_ERROR, "a record begins within this one", "bytes were lost", _REPAIR)
    MISALIGNED = FindingText(
        _ERROR, "from here on records begin at offsets not divisible by 4", "bytes were lost or added", _REPAIR
    )
    CUT_HEADER = FindingText(_ERROR, "the file ends within the header of a frame", _CUT_SHORT, _REPAIR)
    CUT_RECORD = FindingText(_ERROR, "the file ends within a record", _CUT_SHORT, _REPAIR)
    TRAILING_BYTES = FindingText(_ERROR, "what follows the last record is no record", "bytes were added", _REPAIR)
    PADDING = FindingText(_WARNING, "the bytes that fill up the record are not zero", _DAMAGED, _REPAIR)
    # heads of records
    SHORT_RECORD = FindingText(_ERROR, "the record is shorter than its header of 24 bytes", "it holds no image", _AGAIN)
    LONG_LABEL = FindingText(_ERROR, "the label is longer than the record", "it holds no image, or is damaged", _AGAIN)
    DUPLICATE_ID = FindingText(
        _WARNING, "an earlier record has the same id", "a list with an id twice", "give each image its own id"
    )
    # labels
    SHORT_LABEL = FindingText(_ERROR, "the label has no room for the two widths", _LAYOUT, _AGAIN)
    HEADER_WIDTH = FindingText(
        _ERROR, "the width of the label's header is not a whole number from 2 to its length", _LAYOUT, _AGAIN
    )
    OBJECT_WIDTH = FindingText(_ERROR, "the width of an object is not a whole number from 5 to 2^27", _LAYOUT, _AGAIN)
    LABEL_LENGTH = FindingText(_ERROR, "the objects do not fill the label", "columns are missing or too many", _AGAIN)
    MIXED_WIDTHS = FindingText(
        _WARNING, "the widths of the label are not those of the first record", "lists were joined", _AGAIN
    )
    MIXED_LABELS = FindingText(
        _ERROR, "a single number among labels of objects", "packed without --pack-label", "pack with all labels"
    )
    SCALAR_LABELS = FindingText(
        _NOTE, "no record has a detection label, each has one number", "a set for classification", None
    )
    UNPACKED_LABELS = FindingText(
        _ERROR, "the list has labels of objects, the records have one number each", "no --pack-label", _AGAIN
    )
    NO_OBJECTS = FindingText(_NOTE, "the image has no object", None, None)
    NOT_FINITE = FindingText(_ERROR, "a class or coordinate is not a finite number", "a cell 'nan' or 'inf'", _AGAIN)
    CLASS_NOT_WHOLE = FindingText(_ERROR, "a class id is not a whole number", "columns are shifted", _AGAIN)
    CLASS_NEGATIVE = FindingText(_ERROR, "a class id is negative", "the background was counted", "count from 0")
    CLASS_UNKNOWN = FindingText(
        _ERROR, "a class id lies beyond the classes", "counted from 1, or ids of the data set", "count from 0"
    )
    CLASS_GAP = FindingText(
        _WARNING, "class ids below the largest do not occur", "counted from 1, or ids of the data set", "count from 0"
    )
    CLASS_UNUSED = FindingText(_NOTE, "a class of the table does not occur", "no image of it in this channel", None)
    OUTSIDE = FindingText(_ERROR, "a coordinate is not a ratio from 0 to 1", "the box leaves its image", "clip it")
    INVERTED_BOX = FindingText(
        _ERROR, "a box ends before it begins", "width and height in place of xmax and ymax, or swapped corners", _AGAIN
    )
    EMPTY_BOX = FindingText(_ERROR, "a box has no area", "too few decimals in the list", "write more decimals")
    # images, looked at by deep checks only
    IMAGE_EMPTY = FindingText(_ERROR, "the record has no image", "an empty file was passed through", _AGAIN)
    IMAGE_UNKNOWN = FindingText(_ERROR, "this is no image of a known kind", "another file was passed through", _AGAIN)
    IMAGE_BROKEN = FindingText(_ERROR, "the image cannot be decoded", "a file that broke off, or damage", _AGAIN)
    IMAGE_CUT = FindingText(_ERROR, "the image breaks off within its pixels", "a file that broke off", _AGAIN)
    IMAGE_HUGE = FindingText(_ERROR, "the image claims too many pixels to decode", "damage", "pack it smaller")
    IMAGE_SIZE = FindingText(_ERROR, "the shorter edge is not the one packed for", "it was packed otherwise", _AGAIN)
    IMAGE_ENCODING = FindingText(_WARNING, "the encoding is not the one packed for", "packed otherwise", _AGAIN)
    # index
    INDEX_ABSENT = FindingText(_NOTE, "there is no index, so the file is scanned when opened", None, _REINDEX)
    INDEX_UNREADABLE = FindingText(_ERROR, "the index cannot be read", None, _REINDEX)
    INDEX_LINE = FindingText(_ERROR, "the line is not a key, a tab and an offset", "another format", _REINDEX)
    INDEX_BEYOND = FindingText(_ERROR, "the offset lies beyond the file", "the file was cut short", _REINDEX)
    INDEX_OFFSET = FindingText(_ERROR, "no record begins at the offset", "made for another file", _REINDEX)
    INDEX_REPEATED = FindingText(_ERROR, "an earlier line has the same offset", "lines were joined", _REINDEX)
    INDEX_KEY = FindingText(_ERROR, "the key is not the id of the record", "made for another file", _REINDEX)
    INDEX_DUPLICATE = FindingText(_ERROR, "an earlier line has the same key", "lines were joined", _REINDEX)
    INDEX_MISSING = FindingText(_ERROR, "no line of the index leads to the record", "lines were lost", _REINDEX)
    INDEX_ORDER = FindingText(_NOTE, "the lines do not follow the order of the records", "it was shuffled", None)
    INDEX_STALE = FindingText(
        _ERROR, "most lines lead to no record", "the index belongs to another record file", _REINDEX
    )
    # packed.json, shards.json, or the manifest of a part
    NO_CHECKSUM = FindingText(
        _NOTE,
        "no manifest vouches for the file, and the format has no checksum: changed pixels cannot be seen",
        None,
        "pack with birdsod",
    )
    MANIFEST_BROKEN = FindingText(_ERROR, "the manifest cannot be used", None, _AGAIN)
    MANIFEST_SIZE = FindingText(_ERROR, "the file has not the size it was packed with", _REPLACED, _AGAIN)
    MANIFEST_HASH = FindingText(_ERROR, "the file has not the SHA-256 it was packed with", _REPLACED, _AGAIN)
    MANIFEST_INDEX = FindingText(_ERROR, "the index has not the SHA-256 it was packed with", _REPLACED, _REINDEX)
    MANIFEST_LIST = FindingText(_ERROR, "the list has not the SHA-256 it was packed with", _REPLACED, _AGAIN)
    MANIFEST_COUNT = FindingText(_ERROR, "the manifest counts otherwise", _REPLACED, _AGAIN)
    FILE_MISSING = FindingText(
        _ERROR, "a file that the manifest names is missing", "it was moved or deleted, or not copied", _AGAIN
    )
    SHARD_MISSING = FindingText(
        _ERROR, "no manifest tells of the shard", "its job has not ended, or failed", "pack it, or wait for it"
    )
    SHARD_REPEATED = FindingText(_ERROR, "another manifest tells of the same shard", "it was copied", "remove the copy")
    SHARD_MIXED = FindingText(
        _ERROR, "the part is of another run", "folders of several runs were joined", "move it to a folder of its own"
    )
    SHARD_ROWS = FindingText(
        _ERROR, "the shard does not begin where the one before it ends", "packed of different data", _AGAIN
    )
    SHARD_EXTRA = FindingText(_WARNING, "no manifest names the file of a shard", "an earlier run left it", "remove it")
    # list
    LIST_LINE = FindingText(_WARNING, "im2rec would skip the row", "cells that are empty or shifted", "mend the row")
    LIST_LOST = FindingText(_ERROR, "the image is listed but not in the file", "im2rec could not read it", _AGAIN)
    LIST_EXTRA = FindingText(_ERROR, "the record is not listed", "the list belongs to another file", _AGAIN)
    LIST_LABEL = FindingText(_ERROR, "the label is not the listed one", "the list was changed after packing", _AGAIN)
