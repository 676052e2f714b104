"""The notebook runs as it stands, in a kernel of its own and an empty folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.paths import ROOT


@pytest.mark.slow
def test_the_tour_runs_from_an_empty_folder(tmp_path: Path) -> None:
    notebook = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    done = client.execute()
    texts = [
        "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/html", ""))
        for cell in done.cells
        for output in cell.get("outputs", [])
    ]
    shown = "\n".join(texts)
    assert "careless" in shown
    assert "baseline" in shown
    assert "truncated" in shown
    assert len(list(tmp_path.glob("tour/*/*/*/card.json"))) == 8
