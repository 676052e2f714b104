"""The pages of a board: valid links, escaped text, and the same scores as the runs and `evals compare`."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urldefrag
from xml.etree import ElementTree

import msgspec
import pytest
from msgspec import structs
from msgspec.structs import replace

pytest.importorskip("jinja2", reason="the extra `board` is not installed")

import evals
from evals.board import decisions
from evals.board.ingest import ingest
from evals.board.results import EntryResult
from evals.board.site.comparison import compare
from evals.board.site.contents import load, url_name
from evals.board.site.feeds import FORMAT
from evals.board.site.write import write
from evals.errors import UsageError
from evals.records.store import write_card
from evals.validation import read_struct
from tests.support import boards
from tests.support.command import evals as run_command
from tests.support.error_messages import raises
from tests.support.paths import ROOT
from tests.support.workflows import actionlint

ATOM = "{http://www.w3.org/2005/Atom}"
DECISION = '[[decision]]\nentry = "{entry}"\nkind = "{kind}"\nby = "me"\ndate = 2026-11-29\nreason = "asked & answered"\n{more}'


class Links(HTMLParser):
    """The addresses of a page, and its inline scripts, styles and event handlers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.addresses += [named[name] or "" for name in ("href", "src") if name in named]
        if (
            tag == "style"
            or (tag == "script" and "src" not in named)
            or any(name.startswith("on") for name in named)
        ):
            self.inline.append(tag)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    data = boards.write_data(folder)
    boards.write_board(folder / "board")
    for number, (model, accuracy) in enumerate(
        {"acme/weak": 0.3, "acme/strong": 0.6, "zeta/strong": 0.62}.items()
    ):
        run = boards.run(
            folder / str(number), data, boards.answers(data, accuracy, number), run=f"run-{number}"
        )
        boards.submit(folder / "board", run, model)
    assert {result.status for result in ingest(folder / "board")} == {"accepted"}
    return folder / "board"


@pytest.fixture
def site(board: Path, tmp_path: Path) -> Path:
    write(board, tmp_path / "site")
    return tmp_path / "site"


def test_every_link_leads_to_a_file(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) == 4 + 1 + 3 * 3
    for page in pages:
        links = Links(page.read_text())
        assert not links.inline, page
        for address in links.addresses:
            target, _ = urldefrag(address)
            assert "//" not in target, address
            assert not target or (page.parent / target).resolve().is_file(), (page, address)


def test_scores_equal_those_of_the_runs(site: Path, board: Path) -> None:
    document = json.loads((site / "data" / "board.json").read_text())
    assert document["format"] == FORMAT
    numbers = {number["entry"]: number for number in document["numbers"]}
    headlines = {
        entrant.name: entrant.results["mmlu-pro", "strict"].headline for entrant in load(board).entrants
    }
    assert {name: number["value"] for name, number in numbers.items()} == {
        name: headline.value for name, headline in headlines.items() if headline
    }
    assert "acme/strong (v1)" in (site / "index.html").read_text()
    rows = list(csv.DictReader(io.StringIO((site / "data" / "board.csv").read_text())))
    assert [float(row["value"]) for row in rows] == [number["value"] for number in document["numbers"]]


def test_groups_follow_the_paired_comparison(site: Path) -> None:
    numbers = {
        number["entry"]: number
        for number in json.loads((site / "data" / "board.json").read_text())["numbers"]
    }
    weak, strong, similar = (numbers[f"{name}@v1"] for name in ("acme-weak", "acme-strong", "zeta-strong"))
    assert set(strong["groups"]) & set(similar["groups"])
    assert not set(weak["groups"]) & set(strong["groups"])
    assert (weak["rank_low"], weak["rank_high"]) == (3, 3)
    assert (strong["rank_low"], strong["rank_high"]) == (1, 2)


@pytest.mark.parametrize(
    "changes", [{"version": "0"}, {"data_sha256": "0" * 64}, {"judge": "server:x#judge"}]
)
def test_scores_of_other_versions_data_or_judges_are_not_compared(
    board: Path, changes: dict[str, str]
) -> None:
    first, *others = load(board).entrants
    key = next(iter(first.results))
    results = {entrant.name: entrant.results[key] for entrant in others}
    results[first.name] = structs.replace(first.results[key], **changes)
    comparison = compare(results, {})
    assert (comparison.ranks, "different versions" in comparison.reason) == ({}, True)


def test_differences_equal_those_of_evals_compare(site: Path, board: Path) -> None:
    column = load(board).columns[0]
    difference, reverse = (
        column.comparison.between(*pair)
        for pair in [("acme-weak@v1", "acme-strong@v1"), ("acme-strong@v1", "acme-weak@v1")]
    )
    assert difference is not None
    assert reverse is not None
    assert difference.value == -reverse.value
    assert difference.low == -reverse.high  # type: ignore[operator]
    runs = [evals.runs(board.parent / str(number))[0] for number in (0, 1)]
    (row,) = (pair for pair in evals.compare(*runs).pairs if not pair.group and pair.metric == "accuracy")
    assert difference.value == pytest.approx(row.difference)


def test_the_exported_data_match_the_schema(site: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="NOT VALIDATED: jsonschema is not installed")
    schema = json.loads((site / "data" / "schema.json").read_text())
    jsonschema.validate(json.loads((site / "data" / "board.json").read_text()), schema)


def test_the_result_of_an_entry_matches_the_schema(site: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="NOT VALIDATED: jsonschema is not installed")
    schema = json.loads((site / "data" / "entry.schema.json").read_text())
    jsonschema.validate(json.loads((site / "results" / "acme-weak@v1.json").read_text()), schema)


def test_pages_of_the_sample_board_state_that_it_has_no_benchmark_scores(tmp_path: Path) -> None:
    write(ROOT / "results" / "board", tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text()
    assert "science-evals/careful (v1)" in page
    assert "no benchmark scores" in page


def test_the_feed_is_valid_atom(site: Path) -> None:
    feed = ElementTree.fromstring((site / "feed.atom").read_bytes())
    assert feed.tag == f"{ATOM}feed"
    for element in (feed, *feed.findall(f"{ATOM}entry")):
        assert all(element.findtext(f"{ATOM}{name}") for name in ("id", "title", "updated"))
    assert len(feed.findall(f"{ATOM}entry")) == 3


def test_badges_are_well_formed_svg(site: Path) -> None:
    badges = list((site / "badges").glob("*.svg"))
    assert len(badges) == 3
    assert all("%" in "".join(ElementTree.fromstring(badge.read_bytes()).itertext()) for badge in badges)


def test_citations_are_written_as_cff_and_bibtex(site: Path) -> None:
    assert (site / "CITATION.cff").read_text().startswith("cff-version: 1.2.0")
    text = (site / "cite" / "acme-weak@v1.bib").read_text()
    assert re.fullmatch(r"@misc\{\w+,\n(  \w+ = \{.*\},\n)+\}\n", text)


def test_the_citation_of_a_board_without_entries_states_no_year(tmp_path: Path) -> None:
    boards.write_board(tmp_path / "board")
    write(tmp_path / "board", tmp_path / "site")
    assert "year" not in (tmp_path / "site" / "board.bib").read_text()


def test_pages_are_deterministic(site: Path, board: Path, tmp_path: Path) -> None:
    write(board, tmp_path / "again")
    names = [path.relative_to(site) for path in site.rglob("*") if path.is_file()]
    assert all((site / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_a_withdrawn_entry_keeps_its_page_but_is_not_ranked(board: Path, site: Path, tmp_path: Path) -> None:
    changed_board = tmp_path / "board"
    shutil.copytree(board, changed_board)
    (changed_board / decisions.NAME).write_text(
        DECISION.format(entry="acme-strong@v1", kind="withdrawn", more="")
    )
    names = {path.name for path in site.rglob("*.html")}
    write(changed_board, site)
    page = (site / "models" / "acme-strong@v1.html").read_text()
    assert "withdrawn" in page
    assert "asked &amp; answered" in page
    assert "acme/strong" not in (site / "suites" / "mmlu-pro@strict.html").read_text()
    assert {path.name for path in site.rglob("*.html")} == names
    assert "withdrawn: asked &amp; answered" in (site / "feed.atom").read_text()
    assert "withdrawn" in (site / "about.html").read_text()


def test_a_disputed_entry_is_ranked_and_marked(board: Path, tmp_path: Path) -> None:
    changed_board = tmp_path / "board"
    shutil.copytree(board, changed_board)
    (changed_board / decisions.NAME).write_text(
        DECISION.format(entry="acme-strong@v1", kind="disputed", more="")
    )
    write(changed_board, tmp_path / "site")
    assert "disputed" in (tmp_path / "site" / "suites" / "mmlu-pro@strict.html").read_text()


def test_a_folder_with_other_files_is_not_overwritten(board: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with raises(UsageError):
        write(board, tmp_path)


def test_pages_can_be_written_from_a_results_folder(tmp_path: Path) -> None:
    data = boards.write_data(tmp_path)
    hostile = "<script>alert(1)</script>/../../x"
    for seed, name in enumerate(["plain", hostile]):
        run = boards.run(tmp_path / "results", data, boards.answers(data, 0.5, seed))
        card = json.loads((run.path / "card.json").read_text())
        card["model"] = name
        (run.path / "card.json").write_text(json.dumps(card))
    outcome = run_command("board", "site", tmp_path / "results", "--out", tmp_path / "site")
    assert outcome.status == 0, outcome.err
    for page in (tmp_path / "site").rglob("*.html"):
        assert "<script>alert" not in page.read_text()
        assert page.resolve().is_relative_to(tmp_path / "site")
    assert "&lt;script&gt;" in (tmp_path / "site" / "index.html").read_text()


def test_a_results_folder_shows_the_newest_run_that_has_ended(tmp_path: Path) -> None:
    data = boards.write_data(tmp_path)
    older, newer, running = (
        boards.run(tmp_path / "results", data, boards.answers(data, 0.5, n), run=f"run-{n}", seed=n)
        for n in range(3)
    )
    write_card(
        running.path, replace(running.card, status="running")
    )  # e.g. a copy of a run that has not been scored yet
    write_card(older.path, replace(older.card, started=1.0))  # its card is the newest, as after `evals score`
    (entrant,) = load(tmp_path / "results").entrants
    assert [result.run for result in entrant.results.values()] == [newer.card.run]


def test_a_folder_without_complete_runs_is_an_error(tmp_path: Path) -> None:
    run_command("board", "site", tmp_path, "--out", tmp_path / "site").assert_usage_error()
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("text", ["", "...", "../x", "a/b", "é", "x" * 500, "con:a", "con-a"])
def test_url_names_are_safe_file_names(text: str) -> None:
    name = url_name(text)
    assert re.fullmatch(r"[A-Za-z0-9_+@-][A-Za-z0-9._+@-]{0,130}", name)


def test_url_names_of_different_models_differ() -> None:
    names = ("llama3:8b", "llama3-8b", "llama3/8b", "llama3-8b-", "x" * 500, "x" * 501, "x" * 120)
    assert len(set(map(url_name, names))) == len(names)


def test_pages_with_many_models_are_small(tmp_path: Path) -> None:
    boards.write_results(tmp_path / "board", models=12, suites=4, items=200)
    paths = write(tmp_path / "board", tmp_path / "site")
    sizes = [len(gzip.compress(path.read_bytes())) for path in paths if path.suffix == ".html"]
    assert max(sizes) < 100_000
    assert len(paths) == len(set(paths))


@pytest.mark.slow
def test_workflows_of_a_new_board_pass_actionlint(tmp_path: Path) -> None:
    lint = actionlint()
    run_command("board", "init", tmp_path / "board", "mmlu-pro")
    for path in (tmp_path / "board" / ".github" / "workflows").iterdir():
        assert lint(path) == [], path.name


def test_a_challenge_is_shown_with_the_score(board: Path, tmp_path: Path) -> None:
    changed_board = tmp_path / "board"
    shutil.copytree(board, changed_board)
    hostile = "\x1b[31m<script>alert(1)</script> =SUM(A1)"
    boards.challenge(changed_board, "acme-strong@v1", verdict="different", reason=hostile, reader=hostile)
    boards.challenge(changed_board, "zeta-strong@v1", verdict="close")
    boards.challenge(changed_board, "acme-weak@v1", alpha=0.5)
    list(ingest(changed_board))
    site = tmp_path / "site"
    write(changed_board, site)
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert "<script>alert" not in text
        assert "\x1b" not in text
        assert not Links(text).inline
    index = (site / "index.html").read_text()
    assert index.count('aria-label="challenge: different"') == 1
    assert index.count('aria-label="challenged, close"') == 1
    assert 'aria-label="challenged"' not in index
    suite = (site / "suites" / "mmlu-pro@strict.html").read_text()
    assert "recomputed; challenge: different" in suite
    assert "acme/strong (v1): different (&lt;script&gt;" in suite
    numbers = {
        number["entry"]: number
        for number in json.loads((site / "data" / "board.json").read_text())["numbers"]
    }
    assert {name: (number["level"], number["challenge"]) for name, number in numbers.items()} == {
        "acme-strong@v1": ("recomputed", "different"),
        "zeta-strong@v1": ("challenged", "close"),
        "acme-weak@v1": ("recomputed", ""),
    }
    assert numbers["acme-strong@v1"]["rank_low"] == 1, "a challenge does not change the rank"
    pages = {name: (site / "runs" / f"{name}--mmlu-pro@strict.html").read_text() for name in numbers}
    assert "alpha is 0.5; the board allows at most 0.01" in pages["acme-weak@v1"]
    assert "Level: challenged, close. Promise: none." in pages["zeta-strong@v1"]
    badges = {name: (site / "badges" / f"{name}--mmlu-pro@strict.svg").read_text() for name in numbers}
    assert [name for name, text in badges.items() if "different" in text] == ["acme-strong@v1"]
    assert "(challenged, close)" in (site / "feed.atom").read_text()


def test_a_promise_is_shown_with_the_score(tmp_path: Path) -> None:
    boards.write_results(tmp_path / "board", models=4, suites=1, items=50)
    write(tmp_path / "board", tmp_path / "site")
    suite = (tmp_path / "site" / "suites" / "suite-0@strict.html").read_text()
    for state, mark in {"kept": "promise kept", "broken": "promise broken", "none": ""}.items():
        assert f'<td class="text">{state}</td>' in suite
        assert not mark or f'aria-label="{mark}"' in suite
    run = (tmp_path / "site" / "runs" / "organisation-2-model-2@v1--suite-0@strict.html").read_text()
    assert "Promise: broken." in run
    assert "broken: seed is 1, not 0" in run
    numbers = json.loads((tmp_path / "site" / "data" / "board.json").read_text())["numbers"]
    assert sorted(number["promise"] for number in numbers) == ["broken", "kept", "none", "none"]


def test_a_board_without_promises_and_challenges_has_no_marks(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert 'class="legend"' not in text
        assert 'class="marks"' not in text
        assert ">promise<" not in text


def test_a_challenge_in_the_folder_of_a_run_is_shown(board: Path, tmp_path: Path) -> None:
    data = boards.write_data(tmp_path)
    run = boards.run(tmp_path / "results", data, boards.answers(data, 0.5, 1))
    outcome = json.loads(boards.challenge(board, "acme-weak@v1").read_text()) | {"run": run.card.run}
    shutil.rmtree(board / "challenges")
    for run_id, statement in ((run.card.run, "Level: challenged."), ("another", "does not count")):
        (run.path / "challenge.json").write_text(json.dumps(outcome | {"run": run_id}))
        write(tmp_path / "results", tmp_path / "site")
        (page,) = (tmp_path / "site" / "runs").glob("*.html")
        assert statement in page.read_text()
        assert str(tmp_path) not in page.read_text()


def test_a_score_without_a_headline_has_no_number_on_any_page(tmp_path: Path) -> None:
    board = tmp_path / "board"
    boards.write_results(board, models=2, suites=1, items=50)
    path = board / "results" / "organisation-0-model-0@v1.json"
    result = read_struct(path, EntryResult)
    (suite,) = result.suites
    other_value = (
        read_struct(board / "results" / "organisation-1-model-1@v1.json", EntryResult)
        .suites[0]
        .headline.value
    )
    path.write_bytes(
        msgspec.json.encode(replace(result, suites=(replace(suite, estimates=()),)).with_content_hash())
    )
    write(board, tmp_path / "site")
    numbers = json.loads((tmp_path / "site" / "data" / "board.json").read_text())["numbers"]
    assert {number["entry"]: number["value"] for number in numbers} == {
        "organisation-0-model-0@v1": None,
        "organisation-1-model-1@v1": other_value,
    }
    badge = ElementTree.parse(tmp_path / "site" / "badges" / "organisation-0-model-0@v1--suite-0@strict.svg")
    assert badge.findtext("{http://www.w3.org/2000/svg}title") == "suite-0 (strict): -"
