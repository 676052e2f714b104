"""Every page in a real browser, wide and narrow, light and dark: no errors, accessibility faults or requests to other hosts.

Needs Debian's `chromium` and axe-core (`make browser`); screenshots are written to the git-ignored folder `screenshots/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import command
from tests.support.paths import ROOT
from tests.support.sizes import tiers

pytest.importorskip("playwright", reason="NOT TESTED IN A BROWSER: playwright is not installed")
pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from playwright.sync_api import sync_playwright

from tests.support import pages, synthetic_results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not pages.chromium(), reason="NOT TESTED IN A BROWSER: Chromium is not installed"),
    pytest.mark.skipif(
        not pages.AXE.exists(), reason="NOT TESTED IN A BROWSER: `make browser` installs axe-core"
    ),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SYNTHETIC_RUN = "made-00000"
WIDTHS = {"wide": 1440, "narrow": 420}
ADDRESSES = {
    "leaderboard": "/",
    "leaderboard-filtered": "/?kind=science&sample=true&pin=baseline:copy",
    "science": "/science?general=mmlu-pro&science=chembench:4k",
    "compare": "/compare",
    "suite": f"/suite?run={SYNTHETIC_RUN}&suite=mmlu-pro",
    "sample": f"/sample?run={SYNTHETIC_RUN}&suite=mmlu-pro",
    "runs": f"/runs?run={SYNTHETIC_RUN}&effort=latency",
    "history": "/history?model=intern/step",
}
"""Name of the screenshot -> address; the fixture `results` writes the runs that the addresses name."""


def evals(*arguments: object) -> command.Outcome:
    """Run the command in a process of its own, because the browser's event loop occupies this one."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return command.wait(command.start(*arguments, env=env), timeout_s=300)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write synthetic runs and runs with molecules: the bundled items of SMolInstruct, answered by a scripted chemist."""
    folder = synthetic_results.write_all(tmp_path_factory.mktemp("browser") / "results")
    for model in ("scripted:call=tests.support.scripted_chemist:answer", "scripted:<SMILES> CCO </SMILES>"):
        outcome = evals("run", "smolinstruct", "--sample", "-m", model, "--results", folder, "--quiet")
        assert outcome.status in (0, 1), outcome.err
    return folder


@pytest.fixture(scope="module")
def base_url(results: Path) -> Iterator[str]:
    with pages.serve(results) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=pages.chromium(), args=list(pages.FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield context.new_page()
    context.close()


VIEWS = [(width, theme) for width in WIDTHS for theme in ("light", "dark")]
IN_CI = {(name, *VIEWS[number % len(VIEWS)]) for number, name in enumerate(ADDRESSES)}
"""Views tested in CI: each page once, each view with two pages."""


@pytest.mark.parametrize(
    ("name", "width", "theme"),
    tiers([(name, *view) for name in ADDRESSES for view in VIEWS], slow=IN_CI.__contains__),
)
def test_a_page_renders_without_errors_or_accessibility_faults(
    browser: Any, base_url: str, name: str, width: str, theme: str
) -> None:
    context = browser.new_context(viewport={"width": WIDTHS[width], "height": 900}, color_scheme=theme)
    page = context.new_page()
    effects = pages.record_side_effects(page, base_url)
    page.goto(base_url + ADDRESSES[name])
    pages.wait_until_stable(page)
    pages.screenshot(page, f"{name}-{width}-{theme}")
    assert page.locator('[data-testid="stException"]').count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= WIDTHS[width]
    assert pages.accessibility_faults(page) == []
    assert effects == pages.SideEffects([], [])
    context.close()


def click_score(page: Any, row: int, column: float = 330) -> None:
    """Click a score of the leaderboard; rows are 35 pixels high, and the first two are headers."""
    box = page.locator('[data-testid="stDataFrame"] canvas').first.bounding_box()
    page.mouse.click(box["x"] + column, box["y"] + 35 * (row + 2) + 17)
    page.wait_for_selector("text=bounds")
    pages.wait_until_stable(page)


def test_two_clicks_lead_from_a_score_to_a_wrong_molecule_and_back_keeps_the_filter(
    page: Any, base_url: str
) -> None:
    effects = pages.record_side_effects(page, base_url)
    page.goto(
        f"{base_url}/?kind=science&sample=true&rank=smolinstruct%3ANC-I2S+%C2%B7+strict+%C2%B7+sample+items"
    )
    pages.wait_until_stable(page)
    click_score(page, 0)
    page.get_by_text("Wrong samples").click()
    page.wait_for_url("**/sample?**")
    pages.wait_until_stable(page)
    assert re.search(r"verdict=wrong&run=\d{8}T\d{6}-\w+&suite=smolinstruct%3ANC-I2S", page.url)
    assert page.locator('[data-testid="stImage"] img').count() >= 2  # the gold molecule and the model's
    pages.screenshot(page, "molecule-wide-light")
    page.go_back()
    page.wait_for_url(re.compile(r"/\?.*kind=science"))
    pages.wait_until_stable(page)
    assert page.get_by_role("radio", name="science").get_attribute("aria-checked") == "true"
    assert effects == pages.SideEffects([], [])


def test_each_sample_adds_one_entry_to_the_browser_history(page: Any, base_url: str) -> None:
    page.goto(f"{base_url}/sample?run={SYNTHETIC_RUN}&suite=mmlu-pro")
    pages.wait_until_stable(page)
    initial_length = page.evaluate("() => history.length")
    for visits in (1, 2):
        page.keyboard.press("n")
        page.wait_for_timeout(300)
        pages.wait_until_stable(page)
        assert page.evaluate("() => history.length") == initial_length + visits
    assert page.title() == "Sample · science-evals"


def test_a_filter_is_stored_in_the_address_and_restored_from_it(page: Any, base_url: str) -> None:
    page.goto(base_url)
    pages.wait_until_stable(page)
    page.get_by_role("radio", name="science").click()
    page.wait_for_url("**kind=science**")
    pages.wait_until_stable(page)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    pages.wait_until_stable(page)
    assert page.get_by_role("radio", name="science").get_attribute("aria-checked") == "true"


def test_the_table_can_be_downloaded_in_each_format(page: Any, base_url: str, tmp_path: Path) -> None:
    page.goto(base_url)
    pages.wait_until_stable(page)
    for name, signature in (("CSV", b"model,"), ("Parquet", b"PAR1"), ("PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        path = tmp_path / name
        download.value.save_as(path)
        assert path.read_bytes().startswith(signature)
        pages.wait_until_stable(page)


def test_the_keyboard_reaches_the_pages_and_the_filters(page: Any, base_url: str) -> None:
    page.goto(base_url)
    pages.wait_until_stable(page)
    focused = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        focused.add(
            page.evaluate("() => document.activeElement.innerText || document.activeElement.ariaLabel || ''")
        )
    text = "\n".join(focused)
    assert all(word in text for word in ("History", "science", "More", "CSV"))


def test_the_exported_page_works_offline_and_can_be_sorted(page: Any, results: Path, tmp_path: Path) -> None:
    outcome = evals("dashboard", "--results", results, "--export", tmp_path)
    assert outcome.status == 0, outcome.err
    effects = pages.record_side_effects(page, "file://")
    for width in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"file://{tmp_path}/index.html")
        assert page.locator("table").count() >= 3
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.screenshot(path=pages.SCREENSHOTS / "export-narrow-light.png", full_page=True)
    table = page.locator("table").first
    names = table.locator("tbody th").all_inner_texts()
    for _ in range(2):
        table.locator("thead button").first.click()
    assert table.locator("tbody th").all_inner_texts() == sorted(names, key=str.lower)
    assert table.locator("th[aria-sort=ascending]").count() == 1
    page.locator("td a").first.click()
    assert page.locator("h2").count() > 1
    assert effects == pages.SideEffects([], [])
