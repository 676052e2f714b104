"""The pages of a board in a real browser: axe, layout shifts, requests, sorting and filters, at 360 and 1440 pixels, light and dark."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="NOT TESTED IN A BROWSER: playwright is not installed")
pytest.importorskip("jinja2", reason="the extra `board` is not installed")

from playwright.sync_api import sync_playwright

from evals.board.site.write import write
from tests.support import boards, pages
from tests.support.workflows import BROWSER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not pages.chromium(), reason="NOT TESTED IN A BROWSER: there is no chromium"),
    pytest.mark.skipif(not pages.AXE.exists(), reason="NOT TESTED IN A BROWSER: make browser"),
]
KINDS = ("index", "suites", "models", "about", "suites/*", "models/*", "compare/*", "runs/*")
SHIFT = """() => new Promise(resolve => {
  let sum = 0;
  new PerformanceObserver(list => list.getEntries().forEach(e => { sum += e.value })).observe({type: "layout-shift", buffered: true});
  setTimeout(() => resolve(sum), 300);
})"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    boards.write_results(folder / "board", models=8, suites=5, items=100)
    (folder / "board" / "decisions.toml").write_text(
        '[[decision]]\nentry = "organisation-1-model-1@v1"\nkind = "disputed"\nby = "me"\ndate = 2026-11-29\nreason = "why"\n'
    )
    write(folder / "board", folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=pages.chromium(), args=list(pages.FLAGS))
        yield opened
        opened.close()


def page_of(site: Path, kind: str) -> Path:
    return sorted(site.glob(f"{kind}.html"))[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_no_barrier(site: Path, browser: Any, kind: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    seen = pages.record_side_effects(page, "file://")
    page.goto(page_of(site, kind).as_uri())
    assert page.evaluate(SHIFT) < 0.01
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert (seen.errors, seen.foreign) == ([], [])
    context.close()
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(page_of(site, kind).as_uri())
    assert pages.accessibility_faults(page) == []
    context.close()


def test_sorting_and_filters(site: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto(page_of(site, "index").as_uri())
    values = "() => [...document.querySelectorAll('table.sortable tbody tr')].map(row => +row.cells[1].dataset.value)"
    before = page.evaluate(values)
    assert before == sorted(before, reverse=True)
    page.click("thead th:nth-child(2) button")
    assert page.evaluate(values) == sorted(before)
    page.fill("input[name=text]", "model-3")
    assert page.locator("tbody tr:visible").count() == 1
    assert page.inner_text("[role=status]") == "1 rows"
    page.close()


def test_without_javascript_everything_can_be_read(site: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_of(site, "index").as_uri())
    assert page.locator("tbody tr:visible").count() == 8
    assert not page.locator("form.filters").is_visible()
    page.click("tbody th a")
    assert "Model card" in page.content()
    context.close()


def test_html_is_valid(site: Path) -> None:
    program = BROWSER / "node_modules" / ".bin" / "html-validate"
    if not program.exists():
        pytest.skip("NOT VALIDATED: make browser")
    (site / ".htmlvalidate.json").write_text(
        json.dumps({"extends": ["html-validate:standard"], "rules": {"no-trailing-whitespace": "off"}})
    )
    files = [str(page_of(site, kind)) for kind in KINDS]
    done = subprocess.run(
        [program, "--formatter", "text", *files], cwd=site, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.alone
def test_a_hundred_models_on_twenty_suites_take_seconds(tmp_path: Path) -> None:
    boards.write_results(tmp_path / "board", models=100, suites=20, items=500)
    began = time.process_time()
    written = write(tmp_path / "board", tmp_path / "site")
    seconds = time.process_time() - began
    print(f"{len(written)} files in {seconds:.1f} s of CPU")
    assert seconds < 30
