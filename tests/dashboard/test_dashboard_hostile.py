"""Twenty-eight attacks in a real browser: nothing runs, nothing leaves, no link is made, the page stays in place.

The attacks stand in replies, reasoning, answers, judge's words, ids, groups, options, gold answers and model names; every
page that shows foreign text is opened on them, and the sample page with its replies as received and side by side too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import structs
from test_dashboard_command import free_port, wait_for

from evals.records.card import Card
from evals.records.store import Run, write_card
from evals.report.estimates import summarize
from evals.run.overview import suite_of
from evals.types import Judgement, Message, Prompt, Record, Reply, Sample, Score, Usage
from tests.support import command
from tests.support.dashboard_runs import entry, run
from tests.support.hostile import ATTACKS

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


def hostile_run(folder: Path, like: Card, name: str, *, turn: int) -> None:
    """A run in which every attack stands in every field that may be foreign."""
    texts = list(ATTACKS.values())
    path = folder / "mmlu-pro@2" / name / name
    path.mkdir(parents=True)
    samples, records = [], []
    for place, text in enumerate(texts):
        other = texts[(place + turn) % len(texts)]
        samples.append(
            Sample(
                id=f"{place} {text}",
                target="AB"[place % 2],
                choices=(text, other),
                group=text[:80],
                meta={"x": text},
            )
        )
        score = Score(
            value=float(place % 2 == turn % 2), verdict="right" if place % 2 == turn % 2 else "wrong",
            answer="A" if place % 3 else other, why=text, parts={text[:60]: 1.0},
            judged=(Judgement(judge=text, asked="0" * 64, text=text, model=other),),
        )  # fmt: skip
        reply = Reply(text=f"{other}\n{text}", reasoning=text, model=text, usage=Usage(input=1, output=2))
        prompt = Prompt(messages=(Message.user(text),))
        records.append(
            Record(sample=f"{place} {text}", repeat=0, prompt=prompt, outcome=reply, scores={"choice": score})
        )
    from evals.records.files import encode

    (path / "samples.jsonl").write_bytes(b"".join(encode(one) + b"\n" for one in samples))
    (path / "records.jsonl").write_bytes(b"".join(encode(one) + b"\n" for one in records))
    one = Run(path)
    suite = suite_of(like)
    found = summarize(one.briefs(), one.gold(), suite.metrics, scorers=tuple(suite.scorers), repeats=1)
    config = structs.replace(like.config, data_sha256="e" * 64)
    model = f"{ATTACKS['image with a handler']} {ATTACKS['Markdown image']} {name}"
    card = structs.replace(
        like, run=name, model=model, served=ATTACKS["script"], config=config, data="local", expected=len(samples),
        estimates=found.estimates, counts=found.counts, coverage=1.0,
    )  # fmt: skip
    write_card(path, card)


class Site(NamedTuple):
    """A dashboard that runs."""

    url: str
    results: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hostile")
    run(folder / "plain", "mmlu-pro", "ANSWER: A", "plain")
    for turn, name in enumerate(("evil-a", "evil-b"), 1):
        hostile_run(folder / "results", entry(folder / "plain", "plain").card, name, turn=turn)
    port = free_port()
    served = command.start("dashboard", "--port", port, "--no-browser", cwd=folder)
    try:
        wait_for(port, timeout_s=90)
        yield Site(f"http://localhost:{port}", folder / "results")
    finally:
        served.terminate()
        command.wait(served, timeout_s=20)


class Watched(NamedTuple):
    """A page of a browser in which everything that goes wrong is noted."""

    page: Any
    left: list[str]
    """Requests to anywhere but the dashboard."""
    acted: list[str]
    """Scripts that ran, dialogs, pages opened, errors."""


@pytest.fixture
def watched(site: Site) -> Iterator[Watched]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        found = Watched(page, [], [])
        page.expose_function("owned", lambda *_: found.acted.append("a script ran"))
        ours = (site.url, site.url.replace("http", "ws"), "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(ours) else found.left.append(r.url))
        page.on("websocket", lambda w: None if w.url.startswith(ours) else found.left.append(w.url))
        page.on("dialog", lambda d: (found.acted.append(f"dialog {d.message}"), d.dismiss()))
        page.on("popup", lambda p: found.acted.append(f"a page was opened: {p.url}"))
        page.on("pageerror", lambda e: found.acted.append(str(e)))
        yield found
        browser.close()


def settle(page: Any) -> None:
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


def harmless(watched: Watched, site: Site) -> str:
    """Check what the page has become; gives its words."""
    found = watched.page.evaluate(DOM)
    assert watched.acted == []
    assert watched.left == []
    for address in (*found["links"], *found["loads"]):
        assert address.startswith((site.url, "data:image/", "blob:")), address
    for name in ("handlers", "frames", "diagrams", "named", "fixed", "wide"):
        assert found[name] == 0, (name, found[name])
    return str(found["text"])


@pytest.mark.parametrize("mode", ["differ=true", pytest.param("raw=true", marks=pytest.mark.nightly)])
def test_every_attack_on_the_sample_page_is_only_words(site: Site, watched: Watched, mode: str) -> None:
    watched.page.goto(f"{site.url}/sample?suite=mmlu-pro&run=evil-a&beside=evil-b&{mode}")
    settle(watched.page)
    for place, (name, text) in enumerate(ATTACKS.items()):
        watched.page.wait_for_function(
            f"document.querySelector('h2')?.innerText.startsWith('{place} ')", timeout=30_000
        )
        settle(watched.page)
        for box in watched.page.locator("[data-testid=stExpander] summary").all():
            if box.evaluate("e => !e.parentElement.open"):
                box.click()
        words = re.sub(r"\s+", "", harmless(watched, site)).replace("\u2060", "")
        first = re.sub(r"\s+", "", next(line for line in text.splitlines() if line.strip()))
        if text.isprintable() and len(first) < 400:
            assert first in words, name
        if place + 1 < len(ATTACKS):
            watched.page.get_by_role("button", name="Next").click()


@pytest.mark.parametrize("where", [
    "/?kind=all", "/compare?runs=evil-a&runs=evil-b", "/suite?suite=mmlu-pro&run=evil-a", "/runs?run=evil-a&suite=mmlu-pro",
    "/history", "/science", "/compare?runs=%3Cscript%3Eowned()%3C/script%3E", "/sample?find=%3Cimg%20src%3Dx%20onerror%3Downed()%3E",
])  # fmt: skip
def test_no_page_does_what_foreign_names_say(site: Site, watched: Watched, where: str) -> None:
    watched.page.goto(site.url + where)
    settle(watched.page)
    harmless(watched, site)


def test_a_flip_opened_from_its_row_is_only_words(site: Site, watched: Watched) -> None:
    watched.page.goto(f"{site.url}/compare?runs=evil-a&runs=evil-b")
    settle(watched.page)
    grid = watched.page.locator("[data-testid=stDataFrame]").last
    grid.scroll_into_view_if_needed()
    watched.page.wait_for_timeout(2_000)
    box = grid.bounding_box()
    watched.page.mouse.click(box["x"] + 22, box["y"] + 52)  # the first row's mark
    watched.page.get_by_text("only in this reply").wait_for(timeout=30_000)
    settle(watched.page)
    harmless(watched, site)
