# SPDX-License-Identifier: MIT
"""Builds and runs the harnesses of the core: every tests/c/*.c, plain, under ASan and UBSan, and under TSan.

A harness includes headers as "core/locks/lock.h", knows nothing of Python, and ends with 0 (good), 77 (cannot run here:
its output says why) or anything else (bad). MPFAST_STRESS=1 in its environment asks for a long run.
"""

import functools
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "tests" / "c").glob("*.c"))
BUILD = ROOT / "build" / "c"
SKIP = 77
sanitize = pytest.mark.sanitize


class Variant(NamedTuple):
    name: str
    flags: list[str]
    deadline: int
    marks: tuple[pytest.MarkDecorator, ...] = ()
    stress: bool = False


FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
SANITIZED = ["-O1", "-fno-omit-frame-pointer", "-DMPFAST_DEBUG=1"]
VARIANTS = [
    Variant("plain", ["-O1"], 60),  # compiled in half the time of the storm's -O2
    Variant("asan", [*SANITIZED, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], 180, (sanitize,)),
    Variant("tsan", [*SANITIZED, "-fsanitize=thread"], 300, (sanitize,)),
    Variant("storm", ["-O2"], 900, (pytest.mark.stress,), True),
]


def environment(stress: bool = False) -> dict[str, str]:
    """Ours without what a sanitized Python was started with: compilers and harnesses bring their own."""
    clean = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "MPFAST_STRESS")}
    return clean | {"UBSAN_OPTIONS": "print_stacktrace=1"} | ({"MPFAST_STRESS": "1"} if stress else {})


def build(source: Path, target: Path, flags: list[str]) -> subprocess.CompletedProcess[str]:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        pytest.fail(f"no C compiler: {compiler[0]}")
    target.parent.mkdir(parents=True, exist_ok=True)
    own = target.with_name(f"{target.name}.{os.getpid()}")  # another worker may be running what is there
    command = [*compiler, *FLAGS, *flags, f"-I{ROOT / 'mpfast'}", str(source), "-o", str(own)]
    built = subprocess.run(command, capture_output=True, text=True, env=environment())
    if built.returncode == 0:
        own.replace(target)
    return built


def run(command: list[str], deadline: int, stress: bool = False) -> subprocess.CompletedProcess[str]:
    """In a session of its own, so that a hanging harness goes together with the processes that it forked."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(stress),
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=deadline)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output = process.communicate()[0] + f"\nstill running after {deadline} s"
    return subprocess.CompletedProcess(command, process.returncode, output)


PROBE = "#include <pthread.h>\nint main(void) { return 0; }\n"


@functools.cache
def launcher(name: str) -> tuple[list[str], str]:
    """What to put before a program of this variant, and why that cannot work here (empty if it can).

    TSan of older compilers does not start where the kernel places programs very randomly; `setarch -R` helps.
    """
    flags = next(variant.flags for variant in VARIANTS if variant.name == name)
    source, target = BUILD / "probe.c", BUILD / name / "probe"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(PROBE)
    if (built := build(source, target, flags)).returncode != 0:
        return [], f"the compiler cannot build with {' '.join(flags)}: {built.stderr}"
    outputs = []
    for prefix in ([], ["setarch", "-R"]):
        if not prefix or shutil.which(prefix[0]):
            probe = [run([*prefix, str(target)], 30) for _ in range(5)]
            if all(result.returncode == 0 for result in probe):
                return prefix, ""
            outputs += [result.stdout for result in probe]
    return [], f"a program built with {' '.join(flags)} does not start here: {outputs[-1]}"


def cases() -> list[object]:
    """Those of one variant run one after the other, because many of them spin on all CPUs."""
    return [
        pytest.param(
            source,
            variant,
            id=f"{source.stem}-{variant.name}",
            marks=[*variant.marks, pytest.mark.timeout(1000), pytest.mark.xdist_group(variant.name)],
        )
        for source in SOURCES
        for variant in VARIANTS
        if not variant.stress or any(word in source.read_text() for word in ("times(", "kills.h", "scenes.h"))
    ]


def check(result: subprocess.CompletedProcess[str]) -> None:
    if result.returncode == SKIP:
        pytest.skip(result.stdout.strip() or "the harness does not say why")
    assert result.returncode == 0, f"{result.args} ended with {result.returncode}\n{result.stdout[-20000:]}"


@pytest.mark.parametrize(("source", "variant"), cases())
def test_harness(source: Path, variant: Variant) -> None:
    prefix, problem = launcher(variant.name)
    if problem:
        pytest.fail(problem) if os.environ.get("CI") else pytest.skip(problem)
    target = BUILD / variant.name / source.stem
    built = build(source, target, variant.flags)
    assert built.returncode == 0, built.stderr
    check(run([*prefix, str(target)], variant.deadline, variant.stress))


RACE = """
#include <pthread.h>
static int shared;
static void *add(void *unused) { (void)unused; for (int i = 0; i < 10000; i++) shared++; return NULL; }
int main(void)
{
    pthread_t other;
    pthread_create(&other, NULL, add, NULL);
    add(NULL);
    return pthread_join(other, NULL);
}
"""
OVERRUN = "#include <stdlib.h>\nint main(void) { char *volatile p = malloc(8); return p[8]; }\n"
OVERFLOW = "#include <limits.h>\nint main(void) { volatile int n = INT_MAX; n += 1; return n > 0; }\n"


@sanitize
@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("tsan", RACE, "data race"),
        ("asan", OVERRUN, "heap-buffer-overflow"),
        ("asan", OVERFLOW, "signed integer overflow"),
    ],
    ids=["race", "overrun", "overflow"],
)
def test_sanitizer_sees(name: str, text: str, says: str, tmp_path: Path) -> None:
    prefix, problem = launcher(name)
    if problem:
        pytest.skip(problem)
    source = tmp_path / "bad.c"
    source.write_text(text)
    flags = next(variant.flags for variant in VARIANTS if variant.name == name)
    assert build(source, tmp_path / "bad", flags).returncode == 0
    result = run([*prefix, str(tmp_path / "bad")], 30)
    assert result.returncode != 0
    assert says in result.stdout


def test_every_harness_is_found() -> None:
    assert SOURCES, f"no harness under {ROOT / 'tests' / 'c'}"
