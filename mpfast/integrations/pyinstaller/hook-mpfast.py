# SPDX-License-Identifier: MIT
"""PyInstaller's hook for mpfast. PyInstaller finds no import in an extension module, and none that is made by name."""

from PyInstaller.utils.hooks import collect_submodules  # type: ignore[import-not-found,import-untyped,unused-ignore]

# The standard library's modules that mpfast's extensions import. tests/launch/test_launch_frozen.py compares the two.
OF_EXTENSIONS = [
    *(
        "_posixsubprocess",
        "atexit",
        "builtins",
        "collections",
        "collections.abc",
        "concurrent.futures",
        "concurrent.futures._base",
        "contextlib",
        "copyreg",
        "ctypes",
        "errno",
        "functools",
        "heapq",
        "itertools",
        "operator",
        "os",
        "pickle",
        "posix",
    ),
    *("queue", "reprlib", "signal", "sys", "tempfile", "threading", "traceback", "types", "warnings", "weakref"),
]


def _is_needed(name: str) -> bool:
    return not name.startswith(("mpfast.integrations", "multiprocessing.popen_spawn_win32"))


hiddenimports = [
    *OF_EXTENSIONS,
    *collect_submodules("mpfast", filter=_is_needed),
    *collect_submodules("multiprocessing", filter=_is_needed),
]
