# SPDX-License-Identifier: MIT
"""How an item lies in a ShareableList: what a format of multiprocessing's says, and what it cannot say.

An item has some room, and a format of at most 8 characters for struct. multiprocessing writes text with the format of
its whole room, and takes all NULs off the end when it reads. Where the text itself ends in NUL, the format here has the
text's own length and a space, which struct passes over. So multiprocessing reads it as ever. When it writes a longer
text there it takes the whole room, because the format does not end with an "s". Without the space, too, a length that
is not the room's is taken for the text's own.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["BYTES", "NONE", "NUMBER", "NUMBERS", "STR", "lay", "read", "room"]

NUMBER, STR, BYTES, NONE = range(4)  # multiprocessing's codes
MOST = 8  # characters of a format
_STEP = 8
_NULL = "xxxxxx?x"
# How numbers are read, by what lies where a list has the format.
NUMBERS = {form.encode().ljust(MOST, b"\0"): Struct(form).unpack_from for form in ("q", "d", "xxxxxxx?")}
_PACKERS = {form: (form.encode(), Struct(form).pack) for form in ("q", "d", "xxxxxxx?", _NULL)}
_NOTHING = _NULL.encode()


def room(item: Any) -> int:
    """The bytes that an item of a new list gets. As many as multiprocessing gives, and enough for the item."""
    if not isinstance(item, (str, bytes)):
        return _STEP
    usual = _STEP * (len(item) // _STEP + 1)
    if isinstance(item, str):
        usual = max(usual, -(-len(item.encode()) // _STEP) * _STEP)
    return usual


def lay(item: Any, room: int, formats: dict[type, str]) -> tuple[bytes, int, bytes]:
    """(format, code, bytes) of an item that gets `room` bytes. Raises what multiprocessing's list raises."""
    if not isinstance(item, (str, bytes)):
        form, pack = _PACKERS[formats[type(item)]]
        return form, NONE if item is None else NUMBER, pack(item)
    data = item.encode() if isinstance(item, str) else bytes(item)
    if len(data) > room:
        raise ValueError("bytes/str item exceeds available storage")
    form = b"%ds " % len(data) if data.endswith(b"\0") else b"%ds" % room
    if len(form) > MOST and len(data) != room:
        form = form.rstrip()
    if len(form) > MOST:
        raise ValueError(f"a ShareableList cannot say that an item has {len(data)} bytes in {room}")
    return form, STR if isinstance(item, str) else BYTES, data.ljust(room, b"\0")


def read(form: bytes, code: int, buffer: Any, at: int, room: int) -> Any:
    """The text, or None, that lies at a place with a format and a code. LookupError if they are of another kind."""
    if form == _NOTHING:
        return None
    if code not in (STR, BYTES):
        raise LookupError(f"an item with the format {form!r} and the code {code}")
    text = form.rstrip(b"\0")
    if text == b"%ds" % room:
        data = bytes(buffer[at : at + room]).rstrip(b"\0")
    else:
        length = text.removesuffix(b" ").removesuffix(b"s")
        if not length.isdigit() or int(length) > room:
            raise LookupError(f"an item with the format {text!r} in {room} bytes")
        data = bytes(buffer[at : at + int(length)])
    return data.decode() if code == STR else data
