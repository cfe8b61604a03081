# SPDX-License-Identifier: MIT
"""What tests of Values and Arrays do, here and in children."""

import ctypes
import os
import signal


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_double))


class Large(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char * 100), ("sums", ctypes.c_long * 8))


class Once(ctypes.c_int):
    """A type of a program's own, which is no int of ctypes."""


def get(obj, name="value"):
    return getattr(obj, name)


def put(obj, value, name="value"):
    setattr(obj, name, value)


def item(array, index):
    return array[index]


def put_item(array, index, value):
    array[index] = value


def add(value, times):
    """The program of every introduction."""
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def add_many(value, times):
    for _ in range(times):
        value.fetch_add(1)


def add_until_killed(value, link=None):
    if link is not None:
        link.send(os.getpid())
    while True:
        value.fetch_add(1)


def hold_and_die(value):
    """Is killed with the lock in hand, half way through."""
    with value.get_lock():
        value.value += 1
        os.kill(os.getpid(), signal.SIGKILL)


def square(array):
    for i in range(len(array)):
        array[i] = array[i] ** 2


def kind_of(obj):
    return type(obj).__name__
