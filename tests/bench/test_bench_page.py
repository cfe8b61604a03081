# SPDX-License-Identifier: MIT
"""The page's plots: drawn in a browser by the library that the page carries, and said to be missing where it is not."""

import functools
import http.server
import io
import json
import re
import tarfile
import threading
from pathlib import Path
from xml.etree import ElementTree

import browser
import faulty_bench
import made_up
import pytest

import bench
from bench import main
from bench.base import facts
from bench.history.recorded import Point, Recorded
from bench.measure.runner import Run
from bench.page import assets, picture, plots
from bench.page.report import write_page
from bench.suites.plan import cells

PLOT = assets.OF_PAGE[1]
HISTORY = 14
PICTURE = re.compile(r'<div class="picture" .*?aria-label="([^"]*)".*?><script[^>]*>(.*?)</script><span>(.*?)</span>')

pytestmark = pytest.mark.timeout(120)


def history():
    points = [Point(f"{number:040x}", 2 + number / 10, 1, 4) for number in range(HISTORY)]
    return Recorded({("with_lock", "fork", "one_cpu"): points})


def page(folder, results, library):
    return write_page(folder, results, facts.gather(same=True), ["made up"], library, history()).read_text("utf-8")


def without_scripts(text):
    return re.sub(r"<script.*?</script>", "", text, flags=re.S)


@pytest.fixture
def library():
    if not assets.cached(packages=assets.OF_PAGE):
        pytest.skip("the plots' library is not there: make bench fetches it")
    return plots.library()


@pytest.fixture
def look(tmp_path):
    """look(folder, condition): what is seen on the page once it is so; nothing may have gone wrong."""
    if not browser.browser():
        pytest.skip("there is no Chromium")

    def look(folder, condition):
        (seen,), failed = browser.visit(folder, [{"address": "index.html", "condition": condition}], tmp_path)
        assert failed == seen["failures"] == seen["elsewhere"] == []
        assert seen["ready"]
        return seen

    return look


def circles(place, count):
    return f"view.document.querySelectorAll('{place} svg circle').length === {count}"


def test_plots_are_drawn(tmp_path, library, look):
    """Every dot of a cell: twenty ratios, twice twenty times, and the last one of the history."""
    page(tmp_path / "page", made_up.results(), library)
    line, drawn = "#with_lock-fork-one_cpu", "[...view.document.querySelectorAll('.picture')].every(place => {"
    wanted = (
        f"{drawn} if (!place.querySelector('svg')) place.scrollIntoView(); return place.querySelector('svg'); }})",
        circles(f"{line} .plot:nth-of-type(8)", 20),
        circles(f"{line} .plot:nth-of-type(9)", 40),
        circles(f'{line} [aria-label^="{HISTORY} commits"]', 1),
        circles(".primitive", 3),
        f"view.document.querySelectorAll('{line} .history svg [aria-label=line] path').length === 1",
        "[...view.document.querySelectorAll('tfoot svg')].every(axis => /x|ns/.test(axis.textContent))",
    )
    seen = look(tmp_path / "page", " && ".join(wanted))
    assert "no plot" not in seen["text"]


def test_only_what_is_in_view_is_drawn(tmp_path, library, look):
    """A page of all cells opens at once."""
    page(tmp_path / "page", [made_up.result(cell, [(2.0, 1.0)] * 20) for cell in cells([])], library)
    drawn = "view.document.querySelectorAll('.picture svg').length"
    places = "view.document.querySelectorAll('.picture').length"
    look(tmp_path / "page", f"{drawn} && {places} > 500 && {drawn} < {places} / 10")


def test_plot_follows_the_width(tmp_path, library, look):
    page(tmp_path / "page", made_up.results(), library)
    width = "view.document.querySelector('.primitive svg')?.getAttribute('width')"
    narrow = "(view.frameElement.width = 500)"
    look(tmp_path / "page", f"{width} && ((view.before ??= {width}), {narrow}, +{width} < +view.before - 100)")


def test_page_is_one_file_with_the_licences(tmp_path, library):
    text = page(tmp_path, made_up.results(), library)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert not re.search(r"""(src|href)=["']?(http|//)""", text)
    assert text.count("Permission to use, copy, modify, and/or distribute") == len(assets.OF_PAGE)


def test_what_a_plot_shows_is_little(tmp_path):
    result = made_up.result(cells(["with_lock/fork"])[0], [(100 + i / 7, 50 + i / 9) for i in range(500)])
    found = PICTURE.findall(page(tmp_path, [result], plots.Library()))
    shown = [json.loads(data) for _, data, _ in found]
    sizes = [len(group["values"]) for plot in shown for group in plot.get("groups", [])]
    assert max(sizes) <= plots.MOST_VALUES
    assert max(sizes) > plots.MOST_VALUES / 2
    assert max(len(data) for _, data, _ in found) < 2500


def test_without_the_library_the_numbers_are_there(tmp_path, look):
    text = page(tmp_path / "page", made_up.results(), plots.Library())
    found = PICTURE.findall(text)
    assert {instead for _, _, instead in found} == {"no plot: see the note at the top"}
    assert all(label for label, _, _ in found)
    assert not re.search(r"<script(?! type=.application/json)", text)
    seen = look(tmp_path / "page", "view.document.querySelectorAll('tr[id]').length === 3")
    for told in ("3.02x", "no plot: see the note at the top", "slower"):
        assert told in seen["text"]


def test_without_scripts_each_place_says_so(tmp_path, library):
    text = page(tmp_path, made_up.results(), library)
    found = PICTURE.findall(text)
    assert {instead for _, _, instead in found} == {"no plot: it needs JavaScript"}
    assert "3.02x" in without_scripts(text)


def test_run_that_cannot_fetch_says_so_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plots, "library", functools.partial(plots.library, tmp_path / "kept"))
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    monkeypatch.setattr(assets, "REGISTRY", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr(main, "cells", lambda only: [faulty_bench.cell("works")])
    command = (main.sys.executable, str(Path(faulty_bench.__file__)))
    monkeypatch.setattr(main, "Run", lambda *args, **kwargs: Run(*args, **kwargs, command=command))
    assert main.main(["--aa", "--quick", "--out", str(tmp_path)]) == main.MEASURED
    reason = "the page has no plots: d3 7.9.0 cannot be fetched from the npm registry"
    assert reason in capsys.readouterr().out
    text = (tmp_path / "index.html").read_text("utf-8")
    assert reason in text
    assert "no plot: see the note at the top" in text


def picture_data(tmp_path, keys, same=False):
    """What make bench would have written, had it measured cells whose names begin so."""
    found = [cell for cell in cells() if cell.key.startswith(keys)]
    results = [made_up.result(cell, [(100.0, 50.0 + i % 7)] * 8) for i, cell in enumerate(found)]
    data = tmp_path / "data.json"
    data.write_text(json.dumps(main.as_json(results, facts.gather(same), [])))
    return data


BARS = [bar for bars in picture.GROUPS.values() for bar in bars]


def test_picture_is_one_well_formed_file_that_says_where_it_is_from(tmp_path, capsys):
    data, out = picture_data(tmp_path, tuple(bar.cells for bar in BARS)), tmp_path / "speed.svg"
    assert picture.main(["--data", str(data), "--out", str(out)]) == picture.DRAWN
    root = ElementTree.fromstring(out.read_text("utf-8"))
    spaces = {"": "http://www.w3.org/2000/svg"}
    shown = " ".join(text.text for text in root.findall("text", spaces))
    known = json.loads(data.read_text())["facts"]
    for told in (shown, root.find("desc", spaces).text):
        for fact in (known["begun"].split()[0], known["commit"], known["machine"], known["python"]):
            assert fact in told
        assert all(bar.name in told for bar in BARS)
        assert "not measured" not in told
    assert root.find("title", spaces).text
    assert len(BARS) <= 12
    assert len([bar for bar in root.findall("rect", spaces) if bar.get("class") == "faster"]) == len(BARS)
    assert not re.search(r"url\(|href|@import|@font-face", out.read_text("utf-8"))
    assert "prefers-color-scheme: dark" in out.read_text("utf-8")


def test_picture_shows_what_is_slower_and_what_is_missing(tmp_path):
    most = [bar for bar in BARS if not bar.cells.startswith("queues/")]
    data = json.loads(picture_data(tmp_path, tuple(bar.cells for bar in most)).read_text())
    for cell in data["cells"]:
        if cell["key"].startswith(most[0].cells):
            cell["times_faster"] = 0.5
    drawn = picture.render(data)
    assert drawn.count('class="slower"') == 1
    assert "0.50x" in drawn
    assert drawn.count(">not measured<") == len(BARS) - len(most)


@pytest.mark.parametrize(("load", "told"), [(0.2, False), (30.0, True)])
def test_picture_says_that_the_machine_was_busy(tmp_path, load, told):
    data = json.loads(picture_data(tmp_path, tuple(bar.cells for bar in BARS)).read_text())
    data["facts"] |= {"load_before": load, "cpus": 4}
    assert ("busy" in picture.render(data)) == told


@pytest.mark.parametrize("same", [True, False])
def test_picture_of_too_little_is_refused(tmp_path, capsys, same):
    data = picture_data(tmp_path, tuple(bar.cells for bar in BARS) if same else "locks/", same)
    out = tmp_path / "speed.svg"
    assert picture.main(["--data", str(data), "--out", str(out)]) == picture.NOT_DRAWN
    assert ("the stdlib against itself" if same else "measured too little") in capsys.readouterr().err
    assert not out.exists()
    assert picture.main(["--data", str(tmp_path / "none"), "--out", str(out)]) == picture.NOT_DRAWN


@pytest.mark.parametrize("bar", BARS)
def test_each_bar_stands_for_cells(bar):
    assert any(cell.key.startswith(bar.cells) for cell in cells())


def test_picture_of_the_readme_is_drawn_by_this_code():
    shown = Path(bench.ROOT, "docs", "speed.svg").read_text("utf-8")
    assert ElementTree.fromstring(shown).find("{*}title").text == picture.TITLE
    assert all(bar.name in shown for bar in BARS)


def archive(folder):
    """What a registry has of a package."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as members:
        for name in PLOT.wanted:
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(name)
            members.addfile(member, io.BytesIO(name.encode()))
    folder.mkdir(parents=True)
    (folder / "plot-0.6.17.tgz").write_bytes(content.getvalue())
    return content.getvalue()


def unpacked(content, kept):
    assets.unpack(PLOT, content, kept)
    return [(kept / "@observablehq" / "plot" / name).read_text() for name in PLOT.wanted]


def test_scoped_package_comes_from_the_registry(tmp_path, monkeypatch):
    content = archive(tmp_path / "@observablehq" / "plot" / "-")
    handler = functools.partial(browser.Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as registry:
        thread = threading.Thread(target=registry.serve_forever)
        thread.start()
        monkeypatch.setattr(assets, "REGISTRY", f"http://127.0.0.1:{registry.server_port}")
        monkeypatch.setattr(assets.shutil, "which", lambda name: None)
        try:
            assert assets.download(PLOT) == content
        finally:
            registry.shutdown()
            thread.join()
    assert unpacked(content, tmp_path / "kept") == list(PLOT.wanted)


def test_scoped_package_comes_from_npm(tmp_path, monkeypatch):
    """npm writes the scope into the file's name; one that does as it does, but asks nobody."""
    content = archive(tmp_path / "made")
    made, npm = tmp_path / "made" / "plot-0.6.17.tgz", tmp_path / "npm"
    asked = 'for last; do :; done\n[ "$last" = @observablehq/plot@0.6.17 ]'
    npm.write_text(f"#!/bin/sh\n{asked} && cp {made} observablehq-plot-0.6.17.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert assets.download(PLOT) == content
