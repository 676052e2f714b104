"""Attacks in a real browser: no script runs, no request leaves, no link appears, and nothing covers the page.

Replies, reasoning, answers, replies of judges, ids, groups, options, gold answers and model names contain the attacks. Every
page that shows foreign text is opened; the sample page also with two replies side by side and with replies as received.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import structs

from evals.records.card import Card
from evals.records.files import encode
from evals.records.store import Run, write_card
from evals.report.estimates import summarize
from evals.run.overview import suite_of
from evals.types import Judgement, Message, Prompt, Record, Reply, Sample, Score, Usage
from tests.support import command
from tests.support.dashboard_runs import entry, run
from tests.support.hostile import ATTACKS
from tests.support.pages import free_port, wait_for

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="NOT TESTED IN A BROWSER: no /usr/bin/chromium"),
]


def write_hostile_run(folder: Path, like: Card, name: str, *, shift: int) -> None:
    """Write a run with every attack in every field that may be untrusted, rotated by `shift` fields, so that two runs differ."""
    texts = list(ATTACKS.values())
    path = folder / "mmlu-pro@2" / name / name
    path.mkdir(parents=True)
    samples, records = [], []
    for position, text in enumerate(texts):
        other_text = texts[(position + shift) % len(texts)]
        samples.append(
            Sample(
                id=f"{position} {text}",
                target="AB"[position % 2],
                choices=(text, other_text),
                group=text[:80],
                meta={"x": text},
            )
        )
        score = Score(
            value=float(position % 2 == shift % 2), verdict="right" if position % 2 == shift % 2 else "wrong",
            answer="A" if position % 3 else other_text, why=text, parts={text[:60]: 1.0},
            judged=(Judgement(judge=text, asked="0" * 64, text=text, model=other_text),),
        )  # fmt: skip
        reply = Reply(
            text=f"{other_text}\n{text}", reasoning=text, model=text, usage=Usage(input=1, output=2)
        )
        prompt = Prompt(messages=(Message.user(text),))
        records.append(
            Record(
                sample=f"{position} {text}", repeat=0, prompt=prompt, outcome=reply, scores={"choice": score}
            )
        )
    (path / "samples.jsonl").write_bytes(b"".join(encode(item) + b"\n" for item in samples))
    (path / "records.jsonl").write_bytes(b"".join(encode(item) + b"\n" for item in records))
    written_run = Run(path)
    suite = suite_of(like)
    summary = summarize(
        written_run.compact_records(),
        written_run.gold(),
        suite.metrics,
        scorers=tuple(suite.scorers),
        repeats=1,
    )
    config = structs.replace(like.config, data_sha256="e" * 64)
    model = f"{ATTACKS['image with a handler']} {ATTACKS['Markdown image']} {name}"
    card = structs.replace(
        like, run=name, model=model, served=ATTACKS["script"], config=config, data="local", expected=len(samples),
        estimates=summary.estimates, counts=summary.counts, coverage=1.0,
    )  # fmt: skip
    write_card(path, card)


class Site(NamedTuple):
    """A running dashboard."""

    url: str
    results: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hostile")
    run(folder / "plain", "mmlu-pro", "ANSWER: A", "plain")
    for shift, name in enumerate(("evil-a", "evil-b"), 1):
        write_hostile_run(folder / "results", entry(folder / "plain", "plain").card, name, shift=shift)
    port = free_port()
    server = command.start("dashboard", "--port", port, "--no-browser", cwd=folder)
    try:
        wait_for(port, timeout_s=90)
        yield Site(f"http://localhost:{port}", folder / "results")
    finally:
        server.terminate()
        command.wait(server, timeout_s=20)


class MonitoredPage(NamedTuple):
    """A browser page, its requests to other hosts and its side effects."""

    page: Any
    foreign_requests: list[str]
    """URLs requested from hosts other than the dashboard."""
    side_effects: list[str]
    """Scripts that ran, dialogs, popups and errors."""


@pytest.fixture
def monitor(site: Site) -> Iterator[MonitoredPage]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        monitor = MonitoredPage(page, [], [])
        page.expose_function("owned", lambda *_: monitor.side_effects.append("a script ran"))
        own_prefixes = (site.url, site.url.replace("http", "ws"), "data:", "blob:")
        page.on(
            "request",
            lambda r: None if r.url.startswith(own_prefixes) else monitor.foreign_requests.append(r.url),
        )
        page.on(
            "websocket",
            lambda w: None if w.url.startswith(own_prefixes) else monitor.foreign_requests.append(w.url),
        )
        page.on("dialog", lambda d: (monitor.side_effects.append(f"dialog {d.message}"), d.dismiss()))
        page.on("popup", lambda p: monitor.side_effects.append(f"a page was opened: {p.url}"))
        page.on("pageerror", lambda e: monitor.side_effects.append(str(e)))
        yield monitor
        browser.close()


def wait_until_stable(page: Any) -> None:
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_function(
        "!document.querySelector('[data-testid=stStatusWidget]') && !document.querySelector('[data-testid=stSkeleton]')",
        timeout=60_000,
    )
    page.wait_for_timeout(500)


DOM = """() => ({
    links: [...document.querySelectorAll('a[href], area[href], form[action]')].map(e => e.href || e.action),
    loads: [...document.querySelectorAll('img, iframe, embed, object, video, audio, source, link, use, image')]
        .map(e => e.src || e.href?.baseVal || e.href || e.data || '').filter(Boolean),
    handlers: [...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length,
    frames: document.querySelectorAll('[data-testid=stMain] iframe').length,
    diagrams: document.querySelectorAll('[data-testid=stMain] svg.mermaid, [data-testid=stMain] [id^=mermaid]').length,
    named: document.querySelectorAll('[data-testid=stMain] form:not(.vega-bindings), [data-testid=stMain] [class~=y], [data-testid=stMain] script').length,
    fixed: [...document.querySelectorAll('.katex *')].filter(e => getComputedStyle(e).position === 'fixed').length,
    wide: [...document.querySelectorAll('.katex')].map(e => e.getBoundingClientRect()).filter(r => r.height > 400 || r.width > 1280).length,
    text: document.querySelector('[data-testid=stMain]').innerText,
})"""


def check_harmless(monitor: MonitoredPage, site: Site) -> str:
    """Assert that the page contains nothing active, and return its text."""
    dom = monitor.page.evaluate(DOM)
    assert monitor.side_effects == []
    assert monitor.foreign_requests == []
    for address in (*dom["links"], *dom["loads"]):
        assert address.startswith((site.url, "data:image/", "blob:")), address
    for name in ("handlers", "frames", "diagrams", "named", "fixed", "wide"):
        assert dom[name] == 0, (name, dom[name])
    return str(dom["text"])


@pytest.mark.parametrize("mode", ["differ=true", pytest.param("raw=true", marks=pytest.mark.nightly)])
def test_every_attack_on_the_sample_page_is_shown_as_plain_text(
    site: Site, monitor: MonitoredPage, mode: str
) -> None:
    monitor.page.goto(f"{site.url}/sample?suite=mmlu-pro&run=evil-a&beside=evil-b&{mode}")
    wait_until_stable(monitor.page)
    for position, (name, text) in enumerate(ATTACKS.items()):
        monitor.page.wait_for_function(
            f"document.querySelector('h2')?.innerText.startsWith('{position} ')", timeout=30_000
        )
        wait_until_stable(monitor.page)
        for expander in monitor.page.locator("[data-testid=stExpander] summary").all():
            if expander.evaluate("e => !e.parentElement.open"):
                expander.click()
        visible_text = re.sub(r"\s+", "", check_harmless(monitor, site)).replace("\u2060", "")
        first_line = re.sub(r"\s+", "", next(line for line in text.splitlines() if line.strip()))
        if text.isprintable() and len(first_line) < 400:
            assert first_line in visible_text, name
        if position + 1 < len(ATTACKS):
            monitor.page.get_by_role("button", name="Next").click()


@pytest.mark.parametrize("address", [
    "/?kind=all", "/compare?runs=evil-a&runs=evil-b", "/suite?suite=mmlu-pro&run=evil-a", "/runs?run=evil-a&suite=mmlu-pro",
    "/history", "/science", "/compare?runs=%3Cscript%3Eowned()%3C/script%3E", "/sample?find=%3Cimg%20src%3Dx%20onerror%3Downed()%3E",
])  # fmt: skip
def test_hostile_names_and_addresses_are_harmless_on_every_page(
    site: Site, monitor: MonitoredPage, address: str
) -> None:
    monitor.page.goto(site.url + address)
    wait_until_stable(monitor.page)
    check_harmless(monitor, site)


def test_attacks_in_a_selected_discordant_item_are_harmless(site: Site, monitor: MonitoredPage) -> None:
    monitor.page.goto(f"{site.url}/compare?runs=evil-a&runs=evil-b")
    wait_until_stable(monitor.page)
    grid = monitor.page.locator("[data-testid=stDataFrame]").last
    grid.scroll_into_view_if_needed()
    monitor.page.wait_for_timeout(2_000)
    bounds = grid.bounding_box()
    monitor.page.mouse.click(bounds["x"] + 22, bounds["y"] + 52)  # the first row's check box
    monitor.page.get_by_text("only in this reply").wait_for(timeout=30_000)
    wait_until_stable(monitor.page)
    check_harmless(monitor, site)
