# SPDX-License-Identifier: MIT
"""The language of documents and comments. One thought a sentence, a subject that has a name, links that lead somewhere.

How it is counted. Blocks of code, tables, headings and the targets of links are taken out, and a piece of inline code
counts as one word. What is left falls into blocks (paragraphs, and the items of lists), and each block into sentences:
one ends at a `.`, `!` or `?` before white space, or with its block.

* A sentence hangs if there is a `;` or a `:` in it. In each set of files fewer than a quarter of the sentences do.
* There is no `;` outside code and tables.
* There is no "who" and no "whoever" but in a question, in tables neither: a process, a thread or a call does things.
* A relative link names a file or folder that exists, and an anchor names a heading of that file.
* Every document can be reached from README.md over such links.
* A path in inline code that begins with a folder of the project exists.

In the code, comments and docstrings are counted, room by room. "who" is nobody's name there either. "whose" may stand
before a noun. Fewer than a twentieth of the sentences have a `;`, which a line of code in a comment may need.

Each check is tried on the files, and on a text that breaks it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from inspect import cleandoc
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETS = {
    "readme": ("README.md",),
    "docs": ("docs/**/*.md",),
    "contributing": ("CONTRIBUTING.md",),
    "changelog": ("CHANGELOG.md",),
    "tests": ("tests/README.md", "tests/models/README.md"),
}
README_LINES = 130
HANGING = 0.25

ROOMS = (
    *("family", "serialize", "channel", "sync", "tables", "wire", "launch", "tasks", "standin", "cli", "former"),
    "integrations",
    *(f"core/{room}" for room in ("base", "family", "locks", "store", "queue", "tasks", "life", "wire", "child")),
)
CODE_SETS = {
    "faces": ("mpfast/*.*",),
    **{room: (f"mpfast/{room}/**/*.*",) for room in ROOMS},
}
SOURCES = (".py", ".pyx", ".pyi", ".pxd", ".h")
SEMICOLONS = 0.05

CODE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$", re.M | re.S)
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?:(?: {4}|\t).*\n|\n(?= {4}))+", re.M)
TABLE = re.compile(r"^ *\|.*$", re.M)
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.M)
INLINE = re.compile(r"(`+)(.+?)\1", re.S)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]*)\)")
BLOCK = re.compile(r"\n\s*\n|\n(?= *(?:[-*+]|\d+\.) )")
PLACE = re.compile(r"(?:mpfast|bench|tests|docs|examples|\.ci|\.github)/[\w./-]*\w/?")


def without_code(text: str) -> str:
    """Without blocks of code and comments; pieces of inline code become a word."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = HEADING.sub("\n", CODE.sub("", text))  # a heading needs no empty line before indented code
    return INLINE.sub("code", INDENTED.sub("\n", text))


def without_targets(text: str) -> str:
    return LINK.sub(r"\2", LINK.sub(r"\2", text))  # an image may be in a link


def blocks(text: str) -> Iterator[str]:
    """Paragraphs and items of lists, each on one line."""
    text = TABLE.sub("\n", without_targets(without_code(text)))
    for block in BLOCK.split(text):
        words = re.sub(r"^\s*(?:[-*+]|\d+\.|>) ", "", block).split()
        if words:
            yield " ".join(words)


def sentences(text: str) -> list[str]:
    return [sentence for block in blocks(text) for sentence in re.split(r"(?<=[.!?])[\"')*_]*\s+", block)]


def cells(text: str) -> Iterator[str]:
    """What stands in tables."""
    for match in TABLE.finditer(without_targets(without_code(text))):
        yield from (cell.strip() for cell in match[0].split("|") if cell.strip())


# The checks ---------------------------------------------------------------------------------------------------------


def hanging(text: str) -> list[str]:
    return [sentence for sentence in sentences(text) if re.search("[;:]", sentence)]


def semicolons(text: str) -> list[str]:
    return [sentence for sentence in sentences(text) if ";" in sentence]


def nameless(text: str) -> list[str]:
    """Sentences whose subject is nobody's name."""
    questions = re.compile(r"\?[\"')*_]*$")
    return [
        said
        for said in (*sentences(text), *(part for cell in cells(text) for part in re.split(r"(?<=[.!?])\s", cell)))
        if re.search(r"\bwho(?:ever|m|mever)?\b", said, re.I) and not questions.search(said)
    ]


def slugs(text: str) -> set[str]:
    """The anchors of a document's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for match in HEADING.finditer(CODE.sub("", text)):
        title = LINK.sub(r"\2", match[1]).lower()
        slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def links(text: str) -> Iterator[str]:
    text = INDENTED.sub("\n", CODE.sub("", text))
    while match := LINK.search(text):
        yield match[3]
        text = text[: match.start()] + match[2] + text[match.end() :]


def dead_links(text: str, folder: Path) -> list[str]:
    return [target for target in links(text) if not leads_somewhere(target, text, folder)]


def leads_somewhere(target: str, text: str, folder: Path) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    path, _, anchor = target.partition("#")
    found = folder / path
    if not path:
        return anchor in slugs(text)
    return found.exists() and (not anchor or anchor in slugs(found.read_text()))


def dead_places(text: str) -> list[str]:
    """Paths in inline code; one with a * or a {placeholder} is a pattern, and is left alone."""
    named = [match[2] for match in INLINE.finditer(CODE.sub("", text))]
    return [name for name in named if PLACE.fullmatch(name) and not (ROOT / name).exists()]


# Comments -----------------------------------------------------------------------------------------------------------

C_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|/\*(.*?)\*/', re.S)
PYTHON_COMMENT = re.compile(
    r'(?:^[ \t]*[rRbBuUfF]*"""(.*?)"""|""".*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    r"|((?:^[ \t]*#[^\n]*\n)+|#[^\n]*))",
    re.M | re.S,
)


def comments(name: str, text: str) -> Iterator[str]:
    """Comments and docstrings. Lines of # that follow each other are one."""
    for match in (C_COMMENT if name.endswith(".h") else PYTHON_COMMENT).finditer(text):
        said = "".join(part for part in match.groups() if part)
        yield cleandoc(re.sub(r"^[ \t]*(?:#+|\*(?!\w))", "", said, flags=re.M))


def comment_sentences(name: str, text: str) -> list[str]:
    return [said for comment in comments(name, text) for said in sentences(re.sub(r"`[^`]*`", "code", comment))]


def nameless_in_code(name: str, text: str) -> list[str]:
    """Subjects that are nobody's name. "whose" is one if it begins a sentence, or if no noun follows."""
    subject = re.compile(r"\bwho(?:ever|m|mever)?\b|^whose\b|\bwhose(?! +(?!(?:is|are|was|were|has)\b)[*\w])", re.I)
    return [said for said in comment_sentences(name, text) if subject.search(said) and not said.endswith("?")]


def semicolons_in_code(name: str, text: str) -> list[str]:
    return [said for said in comment_sentences(name, text) if ";" in said]


# On the documents ---------------------------------------------------------------------------------------------------


def files(name: str) -> list[Path]:
    return sorted({path for glob in SETS[name] for path in ROOT.glob(glob)})


def found(name: str, check: Callable[[str], list[str]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}: {problem}" for path in files(name) for problem in check(path.read_text())]


DOCUMENTS = pytest.mark.parametrize("name", SETS)


@DOCUMENTS
def test_few_sentences_hang(name: str) -> None:
    hang = found(name, hanging)
    share = len(hang) / sum(len(sentences(path.read_text())) for path in files(name))
    assert share < HANGING, "\n".join([f"{share:.0%} of the sentences hang on ; or :", *hang])


@DOCUMENTS
def test_no_semicolons(name: str) -> None:
    assert not found(name, semicolons)


@DOCUMENTS
def test_subjects_have_names(name: str) -> None:
    assert not found(name, nameless)


@DOCUMENTS
def test_links_lead_somewhere(name: str) -> None:
    dead = {path.relative_to(ROOT).as_posix(): dead_links(path.read_text(), path.parent) for path in files(name)}
    assert not {path: targets for path, targets in dead.items() if targets}


def reached(start: Path) -> set[Path]:
    """The documents that links lead to, from this one and from those."""
    found, left = set(), [start.resolve()]
    while left:
        document = left.pop()
        found.add(document)
        targets = (document.parent / target.partition("#")[0] for target in links(document.read_text()))
        documents = {path.resolve() for path in targets if path.suffix == ".md" and path.is_file()}
        left += documents - found
    return found


def test_every_document_can_be_reached() -> None:
    documents = {path for name in SETS for path in files(name)}
    assert documents <= reached(ROOT / "README.md")


def test_a_document_without_links_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("[b](b.md#x) [c](c.md)")
    (tmp_path / "b.md").write_text("[a](a.md)")
    (tmp_path / "d.md").write_text("[a](a.md)")
    assert reached(tmp_path / "a.md") == {tmp_path / "a.md", tmp_path / "b.md"}


@DOCUMENTS
def test_paths_exist(name: str) -> None:
    assert not found(name, dead_places)


ROOM = pytest.mark.parametrize("room", CODE_SETS)


def code_of(room: str) -> list[tuple[str, str]]:
    paths = {path for glob in CODE_SETS[room] for path in ROOT.glob(glob) if path.suffix in SOURCES}
    assert paths, f"the room {room} is empty"
    return [(path.relative_to(ROOT).as_posix(), path.read_text()) for path in sorted(paths)]


@ROOM
def test_subjects_in_code_have_names(room: str) -> None:
    assert not [f"{name}: {said}" for name, text in code_of(room) for said in nameless_in_code(name, text)]


@ROOM
def test_few_semicolons_in_code(room: str) -> None:
    code = code_of(room)
    found = [f"{name}: {said}" for name, text in code for said in semicolons_in_code(name, text)]
    share = len(found) / sum(len(comment_sentences(name, text)) for name, text in code)
    assert share < SEMICOLONS, "\n".join([f"{share:.0%} of the sentences have a ;", *found])


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


# On texts that break them -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (hanging, "A put does this: it stores."),
        (hanging, "- A put stores;\n- a get takes"),
        (hanging, "A list follows:\n\n    code"),
        (semicolons, "A put stores; a get takes."),
        (semicolons, "Good.\n\n```\ncode\n```\n\nA [put](x;y) stores; `a;b` too."),
        (nameless, "Who waits is woken."),
        (nameless, "It wakes whoever waits."),
        (nameless, "Words.\nThe process\nwho waits. Who is next?"),
        (nameless, "| a | who sleeps |\n|---|---|"),
        (nameless, "| a | It depends on whom. Is it? |\n|---|---|"),
        (lambda text: dead_links(text, ROOT), "See [this](no_such_file.md)."),
        (lambda text: dead_links(text, ROOT), "See [this](#nowhere).\n\n# Somewhere\n"),
        (lambda text: dead_links(text, ROOT), "See [this](README.md#nowhere)."),
        (lambda text: dead_links(text, ROOT), "[![picture](no_such.svg)](README.md)"),
        (dead_places, "The code is in `mpfast/no_such_file.py`."),
    ],
)
def test_check_can_fail(check: Callable[[str], list[str]], text: str) -> None:
    assert check(text)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (hanging, "Good.\n\n```\na: b; c\n```\n\n    d: e;\n\n# A: b\n    f: g\n\n| a: b; c |\n|---|\n"),
        (hanging, "See [it](http://x) and `a:b`."),
        (semicolons, "| a; b |\n|---|\n"),
        (nameless, "Who is dead? The whole process."),
        (nameless, "| Who holds it? | a thread |\n|---|---|\n"),
        (lambda text: dead_links(text, ROOT), "[a](#a-b-code) [c](https://x#y) [d](README.md)\n\n## A, b: `code`\n"),
        (dead_places, "`tests/test_language.py`, `tests/`, `mpfast/*.pyx`, `bench/{name}.py`, `.ci/run`"),
    ],
)
def test_check_is_not_too_strict(check: Callable[[str], list[str]], text: str) -> None:
    assert not check(text)


@pytest.mark.parametrize(
    ("check", "name", "text"),
    [
        (nameless_in_code, "x.h", "int a; /* Who waits is woken. */"),
        (nameless_in_code, "x.h", "/* It wakes\n * whoever waits. */"),
        (nameless_in_code, "x.h", "int a; /* It tells whose. */"),
        (nameless_in_code, "x.pyx", 'cdef f():\n    """Waits.\n\n    Whose turn it is shows.\n    """\n'),
        (nameless_in_code, "x.py", "a = 1  # for whom it is\n"),
        (nameless_in_code, "x.py", "# It wakes one,\n# the one who waits.\na = 1\n"),
        (semicolons_in_code, "x.h", "/* It sleeps; then it wakes. */"),
        (semicolons_in_code, "x.py", "a = 1  # it sleeps; then it wakes\n"),
        (semicolons_in_code, "x.pxd", '"""It sleeps; it wakes."""\n'),
    ],
)
def test_check_of_code_can_fail(check: Callable[[str, str], list[str]], name: str, text: str) -> None:
    assert check(name, text)


@pytest.mark.parametrize(
    ("check", "name", "text"),
    [
        (nameless_in_code, "x.h", 'f("who"); /* A process whose lock is free. Who is it? */'),
        (nameless_in_code, "x.py", "who = 'whoever' + \"# who\"  # the whole `who`\n"),
        (semicolons_in_code, "x.h", "for (;;); /* Words. `a; b` */ int a;"),
        (semicolons_in_code, "x.py", 'a = """b; c"""; d = "# e; f"  # words\n'),
    ],
)
def test_check_of_code_is_not_too_strict(check: Callable[[str, str], list[str]], name: str, text: str) -> None:
    assert not check(name, text)


def test_what_is_a_comment() -> None:
    code = '"""One.\n\nTwo."""\na = "#"  # three\n# four\n# five\nb = """six"""\n'
    assert comment_sentences("x.py", code) == ["One.", "Two.", "three", "four five"]
    code = '/* One\n * two. */\nf("/*", *a); /* three */\n'
    assert comment_sentences("x.h", code) == ["One two.", "three"]


def test_what_is_a_sentence() -> None:
    text = "One is 1.5 long. Two\nis on two lines!\n\n- three\n- four? `five. six`\n  still five\n\n1. six\n"
    expected = ["One is 1.5 long.", "Two is on two lines!", "three", "four?", "code still five", "six"]
    assert sentences(text) == expected
