"""The notebook docs/tour.ipynb runs unchanged, in a new kernel and an empty folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.paths import ROOT


@pytest.mark.slow
def test_the_tour_runs_in_an_empty_folder(tmp_path: Path) -> None:
    notebook = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    executed = client.execute()
    texts = [
        "".join(output.get("text", "")) + "".join(output.get("data", {}).get("text/html", ""))
        for cell in executed.cells
        for output in cell.get("outputs", [])
    ]
    output_text = "\n".join(texts)
    assert "careless" in output_text
    assert "baseline" in output_text
    assert "truncated" in output_text
    assert len(list(tmp_path.glob("tour/*/*/*/card.json"))) == 8
