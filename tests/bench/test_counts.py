# SPDX-License-Identifier: MIT
"""make counts: what it counts, what it says of it, and that it sees a system call and ten percent more."""

import re
import textwrap
from collections import Counter
from fractions import Fraction

import pytest

from bench.counts import __main__ as counts
from bench.counts import operations, tools
from bench.counts.maker import column, maker
from bench.counts.table import Row, Table, TableError
from bench.counts.verdict import Finding, Kind, of_calls, of_instructions

needs_tools = pytest.mark.skipif(any(map(tools.missing, counts.TOOLS)), reason="needs strace and valgrind")

TRACE = f"""\
7 getpid() = 7
7 access("{tools.MARK}", F_OK) = -1 ENOENT (No such file or directory)
7 read(3, <unfinished ...>
8 write(4, "read(3)", 7) = 7
7 <... read resumed>"", 1) = 0
--- SIGCHLD {{si_signo=SIGCHLD}} ---
clone3({{flags=0}}, 88) = 9
read(3, "", 1) = 0
7 access("{tools.MARK}", F_OK) = -1 ENOENT (No such file or directory)
8 +++ exited with 0 +++
"""


def test_what_a_trace_has_between_its_marks():
    assert tools.rounds_of(TRACE) == [{"read": 2, "write": 1, "fork": 1}]


def test_the_usual_of_several_rounds():
    rounds = [Counter(read=2, poll=1), Counter(read=1, poll=1, close=1), Counter(read=1)]
    assert tools.usual(rounds) == {"read": 1}


GOOD = Table(
    {"3.11 x86_64": "CPython 3.11.7", "3.13 x86_64": "CPython 3.13.0"},
    {
        "a b": Row({}, {"3.11 x86_64": 100, "3.13 x86_64": 90}),
        "c": Row({"read": Fraction(1), "mmap": Fraction(1, 100)}, {"3.11 x86_64": 7}),
        "d": Row(),
    },
)


def test_a_table_is_read_as_it_was_written(tmp_path):
    GOOD.write(tmp_path / "table")
    assert Table.read(tmp_path / "table") == GOOD
    assert "\nc\tmmap 1/100, read 1\t7\t?\n" in (tmp_path / "table").read_text()
    assert Table.read(tmp_path / "none") == Table()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\t100\t", "\tx\t"),
        ("\t100\t", "\t"),
        ("\t100\t", "\t100\t100\t"),
        ("read 1", "read one"),
        ("read 1", "read -1"),
        ("read 1", "read"),
        ("read 1", "read 1, read 1"),
        ("c\t", "a b\t"),
        ("\nd\t", "\n\t\n\nd\t"),
        ("# 3.13 x86_64: CPython 3.13.0\n", ""),
        ("operation\t", ""),
        ("# 3.13 x86_64:", "# 3.13 x86_64"),
    ],
)
def test_a_damaged_table_says_where(tmp_path, old, new):
    GOOD.write(tmp_path / "table")
    text = (tmp_path / "table").read_text()
    assert old in text
    (tmp_path / "table").write_text(text.replace(old, new, 1))
    with pytest.raises(TableError, match=re.escape(str(tmp_path / "table"))):
        Table.read(tmp_path / "table")


def test_the_table_in_the_repository_has_each_operation():
    table = Table.read(counts.TABLE)
    assert list(table.rows) == [operation.name for operation in operations.ALL]
    assert all(row.calls is not None for row in table.rows.values())
    for operation in operations.ALL:
        assert set(table.rows[operation.name].instructions) == (set() if operation.launches else set(table.makers))


ONE = Row({"read": Fraction(1)}, {column(): 1000})


@pytest.mark.parametrize(
    ("findings", "kinds"),
    [
        (of_calls("x", {"read": Fraction(1)}, ONE), []),
        (of_calls("x", {"read": Fraction(101, 100)}, ONE), [Kind.MORE]),
        (of_calls("x", {"recvmsg": Fraction(1)}, ONE), [Kind.MORE]),
        (of_calls("x", {}, ONE), [Kind.LESS]),
        (of_calls("x", {}, Row()), [Kind.NEW]),
        (of_instructions("x", 1049, column(), ONE), []),
        (of_instructions("x", 1051, column(), ONE), [Kind.MORE]),
        (of_instructions("x", 951, column(), ONE), []),
        (of_instructions("x", 949, column(), ONE), [Kind.LESS]),
        (of_instructions("x", 949, "another", ONE), [Kind.NEW]),
    ],
)
def test_verdict(findings, kinds):
    found = list(findings)
    assert [finding.kind for finding in found] == kinds
    assert all(finding.fails == (finding.kind is not Kind.LESS) for finding in found)


def test_a_finding_has_both_figures():
    (finding,) = of_instructions("Queue put", 1100, column(), ONE)
    assert str(finding) == "more: Queue put: instructions: 1000 in the table, 1100 now (+10.0%)"
    (finding,) = of_calls("Queue put", {"read": Fraction(2), "poll": Fraction(1)}, ONE)
    assert str(finding) == "more: Queue put: system calls: read 1 in the table, poll 1, read 2 now"


# The whole of it ----------------------------------------------------------------------------------------------------

MODULE = """
import os
from bench.counts.operations import Operation
from mpfast.queues import Queue

class Slower(Queue):
    def put(self, item):
        {slower}
        Queue.put(self, item)

ALL = (Operation("Queue put get", "from {name} import Slower; q = Slower(ctx=ctx)", "q.put(7); q.get()"),)
"""


@pytest.fixture
def count(tmp_path, monkeypatch, capsys):
    """count(name, slower, *options): (status, lines) of make counts, with a put() that also does `slower`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(name, slower, *options):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE.format(slower=slower, name=name)))
        status = counts.main(["--table", str(tmp_path / "table"), "--operations", name, *options])
        return status, "".join(capsys.readouterr()).splitlines()

    return run


def changed(path, factor):
    """Change the instructions that the table allows, and return them."""
    table = Table.read(path)
    allowed = table.rows["Queue put get"].instructions
    allowed[column()] = round(allowed[column()] * factor)
    table.write(path)
    return allowed[column()]


@needs_tools
@pytest.mark.not_asan
@pytest.mark.timeout(400)
def test_more_is_seen(count, tmp_path):
    """A system call more and ten percent of the instructions more. Three percent is nothing."""
    table = tmp_path / "table"
    assert count("before", "pass", "--update")[0] == 0
    changed(table, 1 / 1.03)
    status, lines = count("call", "os.getppid()", "--only", "queue")
    assert status == 1
    assert lines[0] == "more: Queue put get: system calls: - in the table, getppid 1 now"
    known = changed(table, 1.03 / 1.1)
    status, lines = count("same", "pass")
    assert status == 1
    both = rf"instructions: {known} in the table, \d+ now \(\+(9|10)\.\d%\)"
    assert re.fullmatch(f"more: Queue put get: {both}", lines[0])


@needs_tools
@pytest.mark.stress
@pytest.mark.not_asan
@pytest.mark.timeout(400)
def test_less_is_seen(count, tmp_path):
    table = tmp_path / "table"
    assert count("before", "pass", "--update")[0] == 0
    assert count("same", "pass") == (0, ["1 operations counted, 0 counts are not as in the table"])
    changed(table, 1.1)
    status, lines = count("less", "pass")
    assert status == 0
    assert lines[0].startswith("less: Queue put get: instructions: ")
    assert "The table could be lowered: make counts ARGS=--update" in lines


@needs_tools
@pytest.mark.not_asan
def test_an_operation_that_fails_is_no_count(count, monkeypatch):
    monkeypatch.setattr(counts, "missing", lambda tool: tool == "valgrind")
    status, lines = count("broken", "1 / 0", "--update")
    assert (status, lines[-1]) == (counts.NOT_COUNTED, "ZeroDivisionError: division by zero")


def test_without_the_tools(count, monkeypatch):
    monkeypatch.setattr(counts, "missing", lambda tool: True)
    status, lines = count("missing", "pass")
    assert status == 0
    assert lines[:2] == [
        "system calls are not counted: strace is not installed",
        "instructions are not counted: valgrind is not installed",
    ]
    assert count("missing", "pass", "--strict")[0] == counts.NOT_COUNTED


NOT_COMPARED = "instructions are not counted: the table cannot tell"


def test_another_builds_instructions_are_not_compared(count, tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "missing", lambda tool: tool == "strace")
    Table({column(): "another"}, {}).write(tmp_path / "table")
    status, lines = count("other", "pass")
    assert status == 0
    assert lines[1] == f"{NOT_COMPARED}: its column {column()} is of another, and this is {maker()}"


def test_what_is_no_operation_is_gone(count, tmp_path, monkeypatch):
    monkeypatch.setattr(counts, "missing", lambda tool: True)
    Table({}, {"no such operation": Row({})}).write(tmp_path / "table")
    status, lines = count("gone", "pass")
    assert status == 1
    assert str(Finding(Kind.GONE, "no such operation", "no such operation is left")) in lines


@pytest.mark.parametrize("arguments", [["--list"], ["--only", "no such operation"]])
def test_names(arguments, capsys):
    assert counts.main(arguments) == (0 if arguments == ["--list"] else counts.NOT_COUNTED)
    assert capsys.readouterr().out.splitlines() == [operation.name for operation in operations.ALL]
