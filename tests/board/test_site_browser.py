"""The pages of a board in a real browser, narrow and wide, light and dark: accessibility, layout shifts, sorting, filters."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cpu_time import assert_cpu_time

pytest.importorskip("playwright", reason="NOT TESTED IN A BROWSER: playwright is not installed")
pytest.importorskip("jinja2", reason="the extra `board` is not installed")

from playwright.sync_api import sync_playwright

from evals.board.site.write import write
from tests.support import boards, pages
from tests.support.workflows import BROWSER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not pages.chromium(), reason="NOT TESTED IN A BROWSER: Chromium is not installed"),
    pytest.mark.skipif(
        not pages.AXE.exists(), reason="NOT TESTED IN A BROWSER: `make browser` installs axe-core"
    ),
]
PAGE_PATTERNS = ("index", "suites", "models", "about", "suites/*", "models/*", "compare/*", "runs/*")
LAYOUT_SHIFT = """() => new Promise(resolve => {
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
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=pages.chromium(), args=list(pages.FLAGS))
        yield instance
        instance.close()


def first_page(site: Path, pattern: str) -> Path:
    return sorted(site.glob(f"{pattern}.html"))[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("pattern", PAGE_PATTERNS)
def test_a_page_has_no_errors_layout_shifts_or_accessibility_faults(
    site: Path, browser: Any, pattern: str, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    effects = pages.record_side_effects(page, "file://")
    page.goto(first_page(site, pattern).as_uri())
    assert page.evaluate(LAYOUT_SHIFT) < 0.01
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    assert (effects.errors, effects.external_urls) == ([], [])
    context.close()
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(first_page(site, pattern).as_uri())
    assert pages.accessibility_faults(page) == []
    context.close()


def test_rows_can_be_sorted_and_filtered(site: Path, browser: Any) -> None:
    page = browser.new_page()
    page.goto(first_page(site, "index").as_uri())
    read_values = "() => [...document.querySelectorAll('table.sortable tbody tr')].map(row => +row.cells[1].dataset.value)"
    initial_values = page.evaluate(read_values)
    assert initial_values == sorted(initial_values, reverse=True)
    page.click("thead th:nth-child(2) button")
    assert page.evaluate(read_values) == sorted(initial_values)
    page.fill("input[name=text]", "model-3")
    assert page.locator("tbody tr:visible").count() == 1
    assert page.inner_text("[role=status]") == "1 row"
    page.close()


def test_pages_are_readable_without_javascript(site: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(first_page(site, "index").as_uri())
    assert page.locator("tbody tr:visible").count() == 8
    assert not page.locator("form.filters").is_visible()
    page.click("tbody th a")
    assert "Model card" in page.content()
    context.close()


def test_html_is_valid(site: Path) -> None:
    program = BROWSER / "node_modules" / ".bin" / "html-validate"
    if not program.exists():
        pytest.skip("NOT VALIDATED: `make browser` installs html-validate")
    (site / ".htmlvalidate.json").write_text(
        json.dumps({"extends": ["html-validate:standard"], "rules": {"no-trailing-whitespace": "off"}})
    )
    files = [str(first_page(site, pattern)) for pattern in PAGE_PATTERNS]
    process = subprocess.run(
        [program, "--formatter", "text", *files], cwd=site, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stdout


@pytest.mark.alone
def test_pages_of_a_hundred_models_on_twenty_suites_are_written_within_30_s(tmp_path: Path) -> None:
    boards.write_results(tmp_path / "board", models=100, suites=20, items=500)
    assert_cpu_time(30, lambda: write(tmp_path / "board", tmp_path / "site"))
