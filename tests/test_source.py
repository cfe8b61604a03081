# SPDX-License-Identifier: MIT
"""The house rules that a program can check. Each rule is tried on the repository, and on a text that breaks it."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FILE_LINES, FUNCTION_LINES = 600, 80


class Rule(NamedTuple):
    """A check yields "line N: what is wrong". `bad` is a (path, text) that it must complain about."""

    check: Callable[[str, str], Iterator[str]]
    globs: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def c_code(text: str) -> str:
    """Without comments, strings and characters, every line where it was."""
    return re.sub(r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""", blank, text, flags=re.S)


def found(pattern: str, text: str, complaint: str) -> Iterator[str]:
    for match in re.finditer(pattern, text, re.M):
        yield f"line {line_of(text, match.start())}: {complaint}: {match[0].strip()}"


# Memory orders ------------------------------------------------------------------------------------------------------

ORDERED = r"\b(?:load|store|swap|add|sub|or|and|cas)(?:\d+)?_(?:acquire|release|acqrel|seq)\("


def orders_in_atomic_h(path: str, text: str) -> Iterator[str]:
    if path != "mpfast/core/base/atomic.h":
        builtins = r"\bmemory_order\w*|\b__(?:atomic|sync)_\w+|\batomic_\w+_explicit|#include <stdatomic.h>"
        yield from found(builtins, c_code(text), "only core/base/atomic.h may say")


def no_fences(path: str, text: str) -> Iterator[str]:
    fences = r"\batomic_(?:thread|signal)_fence|\b__sync_synchronize|\b[ms]fence\b"
    yield from found(fences, c_code(text), "a stand-alone fence")


def identifiers(text: str) -> set[str]:
    return set(re.findall(r"\b[A-Za-z_]\w+", c_code(text)))


def core_identifiers() -> set[str]:
    return set().union(*(identifiers(path.read_text()) for path in (ROOT / "mpfast/core").rglob("*.h")))


def partners(comment: str) -> list[str]:
    """The identifiers that a comment names after "pairs with" or "pairs:"."""
    return re.findall(r"\b[a-z]\w*_\w+", comment.partition("pairs")[2])


def orders_name_partner(path: str, text: str) -> Iterator[str]:
    """Each ordered access says whom it meets: on its line, in the three above, or in the comment of its function."""
    if path == "mpfast/core/base/atomic.h":
        return
    known = core_identifiers() | identifiers(text)
    comments = [
        (line_of(text, match.start()), line_of(text, match.end()), match[0])
        for match in re.finditer(r"/\*.*?\*/", text, re.S)
        if re.search(r"pairs(?: with|:)", match[0])
    ]
    functions = list(c_functions(text))
    for call in re.finditer(ORDERED, c_code(text)):
        line = line_of(text, call.start())
        start = next((first for _, first, last in functions if first <= line <= last), line)
        near = [c for first, last, c in comments if line - 3 <= last <= line or first == line or last == start - 1]
        if not near:
            yield f"line {line}: {call[0][:-1]} does not say what it pairs with"
        for name in {name for comment in near for name in partners(comment)} - known:
            yield f"line {line}: pairs with {name}, which the core does not have"
        if near and not any(partners(comment) for comment in near):
            yield f"line {line}: names no function or field after 'pairs with'"


# The core -------------------------------------------------------------------------------------------------------------


def no_python_in_core(path: str, text: str) -> Iterator[str]:
    yield from found(r"#\s*include\s*[<\"]Python\.h|\bPy(?:Object|_|Err_|Mem_)\w*", text, "the core knows no Python")


def declared(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, header, name) of what a .pxd declares from core/*.h: functions, constants, types, fields, enumerators."""
    header = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.split("#")[0].rstrip()
        if line and not line.startswith(" "):
            match = re.match(r'cdef extern from "core/([\w./]+)"', line)
            header = match[1] if match else ""
        elif header and (match := re.search(r'"(\w+)"|(\w+)(?=\()|(\w+)(?:\[\d+\])?:?$', line)):
            name = match[1] or match[2] or match[3]
            if name not in ("pass", "enum", "nogil"):
                yield number, header, name


def declarations_exist(path: str, text: str) -> Iterator[str]:
    """A header counts with what it includes, as it does for C."""
    for number, header, name in declared(text):
        if name not in reachable(header):
            yield f"line {number}: core/{header} has no {name}"


@cache
def reachable(header: str) -> set[str]:
    text = (ROOT / "mpfast/core" / header.removeprefix("core/")).read_text()
    return identifiers(text).union(*map(reachable, re.findall(r'^\s*#\s*include "(.*)"', text, re.M)))


# Sizes --------------------------------------------------------------------------------------------------------------


def file_size(path: str, text: str) -> Iterator[str]:
    if (lines := text.count("\n")) > FILE_LINES:
        yield f"line {FILE_LINES}: the file goes on to line {lines}"


def c_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """(name, first line, last line) of every function: a top-level {} after a ), from where its type begins."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, c_code(text), flags=re.M)
    depth, begin, name, start = 0, 0, "", 0
    for match in re.finditer(r"[{};]", code):
        if match[0] == "{":
            if depth == 0:
                head = code[begin : match.start()]
                plain = re.sub(r"__attribute__\s*\(\(.*?\)\)(?!\))", "", head)
                named = re.search(r"(\w+)\s*\(.*\)\s*$", plain, re.S)
                name = named[1] if named else ""
                start = begin + len(head) - len(head.lstrip())
            depth += 1
        elif match[0] == "}":
            depth -= 1
        if depth == 0:
            begin = match.end()
            if match[0] == "}" and name:
                yield name, line_of(code, start), line_of(code, match.start())


def python_functions(text: str) -> Iterator[tuple[str, int, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, node.end_lineno or node.lineno


def cython_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """By indentation: a function lasts until a line that is indented no deeper and does not close its brackets."""
    lines = text.split("\n")
    for first, line in enumerate(lines):
        match = re.match(r"( *)(?:def|cp?def(?! +(?:class|struct|enum|extern|union)))\b[^=]*?(\w+)\(", line)
        if match:
            last = first
            for number, other in enumerate(lines[first + 1 :], first + 1):
                if re.match(rf" {{0,{len(match[1])}}}[^ )\]]", other):
                    break
                last = number if other.strip() else last
            yield match[2], first + 1, last + 1


def function_size(path: str, text: str) -> Iterator[str]:
    scan = {".py": python_functions, ".pyx": cython_functions}.get(Path(path).suffix, c_functions)
    for name, first, last in scan(text):
        if last - first + 1 > FUNCTION_LINES:
            yield f"line {first}: {name} has {last - first + 1} lines"


# Names --------------------------------------------------------------------------------------------------------------

# (class, file): why there is another class of that name.
SAME_NAME = {
    ("Queue", "mpfast/standin/queues.py"): "multiprocessing's name for it is what a stand-in has to have",
    ("JoinableQueue", "mpfast/standin/queues.py"): "as Queue",
    ("SimpleQueue", "mpfast/standin/queues.py"): "as Queue",
    ("ProcessPoolExecutor", "mpfast/standin/executors.py"): "concurrent.futures' name for it, for the same reason",
}
# File names in comments that are nobody's in the repository.
ELSEWHERE = {
    "c.md": "made up by tests/test_language.py",
    **dict.fromkeys(("made_up/lock/deep.h", "made_up/near.h", "own.h"), "made up by tests/test_build.py"),
    "coverage.py": "the program that measures coverage",
    "Python.h": "CPython's header",
    "stdatomic.h": "C's header",
}
FILE_NAME = re.compile(r"(?<![\w./*-])(?:[\w-]+/)*[\w-]+\.(?:h|c|cpp|pyx|pxd|pyi|py|pml|md)\b(?!\()")


@cache
def defined_in(pattern: str, *globs: str) -> dict[str, set[str]]:
    """The files that define each name. The pattern finds names; "" means functions of C."""
    where: dict[str, set[str]] = {}
    for path in files(globs):
        text = path.read_text()
        names = re.findall(pattern, text, re.M) if pattern else [name for name, _, _ in c_functions(text)]
        for name in names:
            where.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    return where


def functions_defined_once(path: str, text: str) -> Iterator[str]:
    """No two headers of the package define a function of one name, not even two that are never included together."""
    for name, first, _ in c_functions(text):
        for other in defined_in("", "mpfast/**/*.h").get(name, set()) - {path}:
            yield f"line {first}: {other} defines a {name} as well"


def classes_defined_once(path: str, text: str) -> Iterator[str]:
    pattern = r"^ *(?:cdef +)?class +(\w+)"
    for match in re.finditer(pattern, text, re.M):
        others = defined_in(pattern, "mpfast/**/*.py", "mpfast/**/*.pyx").get(match[1], set()) - {path}
        if any((match[1], name) not in SAME_NAME for name in others) and (match[1], path) not in SAME_NAME:
            yield f"line {line_of(text, match.start())}: {', '.join(sorted(others))} has a class {match[1]} as well"


def cython_code(text: str) -> str:
    """Without comments, docstrings and cimports, every line where it was. A cimport with "as" is a use."""
    text = re.sub(r'""".*?"""|#[^\n]*', blank, text, flags=re.S)
    return re.sub(r"^ *from [\w.]+ cimport (?!.* as )(?:\([^)]*\)|[^\n(]*)", blank, text, flags=re.M)


def pxd_names(text: str) -> Iterator[tuple[int, str]]:
    """(line, name) of what a .pxd declares for other Cython code, so without cpdef and public."""
    body: int | None = None
    for number, line in enumerate(cython_code(text).split("\n"), 1):
        indent = len(line) - len(line.lstrip())
        if not line.strip() or (body is not None and indent > body):
            continue
        body = indent if line.lstrip().startswith("cdef inline") else None
        if re.match(r" *(?:cpdef|cdef (?:extern|class|readonly|public)|pass$)", line):
            continue
        function = re.search(r"\(\*(\w+)\)|(\w+)(?: \"\w+\")?\(", line)
        if function:
            yield number, function[1] or function[2]
            continue
        for name in re.findall(r"(\b[A-Za-z_]\w*)(?: \"\w+\")?(?:\[\w+\])?(?=,|:?$)", line.rstrip()):
            if name not in ("enum", "__weakref__"):
                yield number, name


@cache
def cython_uses() -> Counter[str]:
    """How often Cython code says each name, where it neither declares nor defines it."""
    uses: Counter[str] = Counter()
    for path in files(("mpfast/**/*.pyx", "mpfast/**/*.pxd")):
        text = cython_code(path.read_text())
        uses.update(re.findall(r"\b[A-Za-z_]\w*", text))
        if path.suffix == ".pyx":
            uses.subtract(re.findall(r"^ *cp?def\b[^(=\n]*?(\w+)\(", text, re.M))
        else:
            uses.subtract(name for _, name in pxd_names(text))
    return uses


def declarations_used(path: str, text: str) -> Iterator[str]:
    """By name alone, so a field is used if any file says its name."""
    for number, name in pxd_names(text):
        if cython_uses()[name] <= 0:
            yield f"line {number}: no .pyx and no other declaration uses {name}"


@cache
def file_names() -> set[str]:
    """Of every file of the repository, the name alone and behind each part of its path."""
    tops = [path for path in ROOT.iterdir() if path.is_dir() and path.name not in ("build", ".git")]
    paths = [path for path in ROOT.iterdir() if path.is_file()]
    paths += [path for top in tops for path in top.rglob("*") if path.suffix not in (".so", ".pyc")]
    parts = [path.relative_to(ROOT).parts for path in paths]
    return {"/".join(names[i:]) for names in parts for i in range(len(names))}


def files_exist(path: str, text: str) -> Iterator[str]:
    """A file that a comment or a docstring names exists. Code that stands in a triple-quoted string includes others."""
    comment = r"/\*.*?\*/|//[^\n]*" if Path(path).suffix in (".h", ".c", ".cpp", ".pml") else r'""".*?"""|#[^\n]*'
    for match in re.finditer(comment, text, re.S):
        for name in FILE_NAME.finditer(match[0]):
            included = re.search(r"#\s*include *[<\"]$", match[0][: name.start()])
            if name[0] not in file_names() and name[0] not in ELSEWHERE and not included:
                yield f"line {line_of(text, match.start() + name.start())}: there is no {name[0]}"


# Words --------------------------------------------------------------------------------------------------------------


def licence(path: str, text: str) -> Iterator[str]:
    if text and "SPDX-License-Identifier: MIT" not in "".join(text.splitlines()[:2]):
        yield "line 1: no SPDX-License-Identifier"


def no_machine_paths(path: str, text: str) -> Iterator[str]:
    yield from found(r"(?<![\w.$}])/(?:home|root|work|opt|Users)/[\w.]+", text, "a path of one machine")


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


def targets_exist(path: str, text: str) -> Iterator[str]:
    for match in re.finditer(r"(?:`|^ *\$? ?)make ((?:[a-z]+ ?)+)", text, re.M):
        for name in set(match[1].split()) - make_targets():
            yield f"line {line_of(text, match.start())}: the Makefile has no target {name}"


PYTHON = ("setup.py", "mpfast/**/*.py", "tests/**/*.py", "bench/**/*.py", "tools/**/*.py")
CYTHON = ("mpfast/**/*.pyx", "mpfast/**/*.pxd")
C = ("mpfast/**/*.h", "tests/c/*.[ch]")
CODE = (*PYTHON, *CYTHON, *C, "mpfast/**/*.pyi", "tests/**/*.pml")
PROSE = ("*.md", "docs/**/*.md", ".ci/run")

LONG = "\n" * FUNCTION_LINES
LONG_METHOD = f"cdef class A:\n    cdef int f(self,\n          int b\n    ) except -1:{LONG}\n        return b\nx = 1\n"
HEADER = "mpfast/core/locks/lock.h"
RELEASE = "static int f(shared32 *w)\n{\n    return swap_release(w, 0);%s\n}\n"

COMMENT = "x = 1  # %s says why\n"
DOCSTRING = '"""What\n%s leaves."""'

RULES = {
    "orders-in-atomic-h": Rule(
        orders_in_atomic_h,
        C,
        ((HEADER, "x = atomic_load_explicit(p, memory_order_relaxed);"), (HEADER, "__atomic_load_n(p, 0);")),
    ),
    "no-fences": Rule(no_fences, C, ((HEADER, "f();\natomic_thread_fence(x);"),)),
    "orders-name-partner": Rule(
        orders_name_partner,
        ("mpfast/core/**/*.h",),
        (
            (HEADER, RELEASE % ""),
            (HEADER, RELEASE % " /* pairs with the other side */"),
            (HEADER, RELEASE % " /* pairs with no_such_function */"),
            (HEADER, "/* pairs with lock_try */\nint a;\n\n\n\n" + RELEASE % ""),
        ),
    ),
    "no-python-in-core": Rule(no_python_in_core, ("mpfast/core/**/*.h",), ((HEADER, "#include <Python.h>"),)),
    "declarations-exist": Rule(
        declarations_exist,
        ("mpfast/core/**/*.pxd",),
        (
            ("x.pxd", 'cdef extern from "core/base/clock.h":\n    int64_t clock_then() nogil'),
            ("x.pxd", 'cdef extern from "core/base/clock.h":\n    int64_t now "clock_then"() nogil'),
            (
                "x.pxd",
                'cdef extern from "core/family/layout.h":\n    struct participant:\n        shared64 no_such_field',
            ),
        ),
    ),
    "file-size": Rule(file_size, CODE, (("x.py", "\n" * (FILE_LINES + 1)),)),
    "function-size": Rule(
        function_size,
        (*PYTHON, "mpfast/**/*.pyx", *C),
        (
            ("x.py", f"def f():\n    a = 1{LONG}\n    return a\n"),
            ("x.pyx", LONG_METHOD),
            ("x.h", f"#define A {{\nstruct s {{ int a; }};\nstatic int *f(int a)\n{{{LONG}    if (a) {{ g(); }}\n}}\n"),
        ),
    ),
    "functions-defined-once": Rule(
        functions_defined_once,
        ("mpfast/**/*.h",),
        (("mpfast/core/locks/other.h", "static inline bool lock_try(void)\n{\n    return true;\n}\n"),),
    ),
    "classes-defined-once": Rule(
        classes_defined_once,
        ("mpfast/**/*.py", "mpfast/**/*.pyx"),
        (
            ("mpfast/other.py", "class Channel:\n    pass\n"),
            ("mpfast/other.pyx", "if True:\n    cdef class Handle:\n        pass\n"),
        ),
    ),
    "declarations-used": Rule(
        declarations_used,
        ("mpfast/**/*.pxd",),
        (
            ("x.pxd", 'cdef extern from "x.h":\n    int nobody_calls(int me) nogil'),
            ("x.pxd", 'cdef extern from "x.h":\n    void nobody_calls "memcpy"(void *to)'),
            ("x.pxd", 'cdef extern from "x.h":\n    enum:\n        WANTED_BY_NOBODY'),
            ("x.pxd", 'cdef extern from "x.h":\n    struct family:\n        shared32 read_by_nobody[2]'),
            ("x.pxd", "cdef class A:\n    cdef list read_by_nobody  # a comment\n"),
            ("x.pxd", "cdef class A:\n    cdef int nobody_calls(self, int fd) except -1\n"),
            ("x.pxd", "cdef inline int nobody_calls(int fd):\n    return fd\n"),
        ),
    ),
    "files-exist": Rule(
        files_exist,
        ("mpfast/**/*.py", "mpfast/**/*.pyi", *CYTHON, *C, "tests/**/*.py", "tests/**/*.pml", "tests/**/*.cpp"),
        (
            ("x.h", "int a; /* see no_such_file.h */"),
            ("x.c", "// core/bell.h\n"),
            ("x.py", DOCSTRING % "no_such_file.pyx"),
            ("x.pyx", COMMENT % "queue/atomic.h"),
        ),
    ),
    "licence": Rule(licence, (*CODE, "Makefile", ".ci/run"), (("x.py", "import os\n"),)),
    "no-machine-paths": Rule(
        no_machine_paths,
        (*CODE, *PROSE, "examples/*.py", "*.toml", "Makefile", "*.json"),
        (("x.py", 'open("' + "/ho" + 'me/me/file")'),),
    ),
    "targets-exist": Rule(targets_exist, PROSE, (("x.md", "`make no`"), ("x.md", "    make bench nothing\n"))),
}


def files(globs: tuple[str, ...]) -> list[Path]:
    return sorted({path for glob in globs for path in ROOT.glob(glob) if path.is_file()})


@pytest.mark.parametrize("rule", RULES)
def test_repository_keeps(rule: str) -> None:
    check, globs, _ = RULES[rule]
    paths = files(globs)
    assert paths, f"no file to look at: {globs}"
    names = [(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]
    assert not [f"{name}, {problem}" for name, text in names for problem in check(name, text)]


BAD = [pytest.param(name, *bad, id=f"{name}-{i}") for name, rule in RULES.items() for i, bad in enumerate(rule.bad)]


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_rule_can_fail(rule: str, path: str, text: str) -> None:
    assert list(RULES[rule].check(path, text))


GOOD = (
    ("orders-name-partner", HEADER, RELEASE % " /* pairs with lock_try */"),
    ("orders-name-partner", HEADER, "/* What pairs with lock_try. */\n" + "\n".join((RELEASE % "").split("\n"))),
    ("orders-in-atomic-h", HEADER, "/* not memory_order_relaxed */"),
    ("targets-exist", "README.md", "Now make sure that `make test` passes.\n"),
    ("function-size", "x.pyx", f"def f():\n    pass\n{LONG}\n\ndef g():\n    pass\n"),
    ("function-size", "x.h", f"struct s {{{LONG}}};\nint f(void)\n{{\n}}\n"),
    ("functions-defined-once", HEADER, "static inline bool lock_try(void)\n{\n    return true;\n}\n"),
    ("functions-defined-once", "x.h", "bool f(void)\n{\n    lock_try();\n}\n"),
    ("classes-defined-once", "mpfast/other.py", "x = Channel()  # not a class Channel\n"),
    ("declarations-used", "x.pxd", 'cdef extern from "x.h":\n    const int64_t NEVER\n    int64_t clock_now() nogil\n'),
    ("declarations-used", "x.pxd", "cdef inline int me(Handle self):\n    cdef int local_name\n    return 0\n"),
    ("files-exist", "x.h", '#include "no_such_file.h" /* atomic.h, base/atomic.h, core/base/atomic.h */'),
    ("files-exist", "x.py", '"""multiprocessing.queues, *.md and os.path.join()"""'),
)


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_rule_is_not_too_strict(rule: str, path: str, text: str) -> None:
    assert not list(RULES[rule].check(path, text))
