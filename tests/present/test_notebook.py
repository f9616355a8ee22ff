"""What a notebook shows of a result: its tables as HTML, and its figures within the page."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

import nnkit
from nnkit.api import Result
from nnkit.present import notebook
from nnkit.present.text import count
from nnkit.results.bench import BenchResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.evaluate import EvaluateResult
from nnkit.results.train_seeds import TrainSeedsResult
from present.conftest import Trained


class Page(HTMLParser):
    """The cells of each table, the paragraphs, the images; and whether every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.paragraphs: list[str] = []
        self.images: list[bytes] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            source = dict(attrs)["src"] or ""
            self.images.append(base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True))
        elif tag != "br":
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data.strip()
        elif "p" in self.open:
            self.paragraphs[-1] += data
        else:
            assert not data.strip()


def shown(result: Result) -> Page:
    text = result._repr_html_()
    assert text is not None
    page = Page(text)
    assert page.open == []
    return page


def test_a_run_is_its_tables_and_its_figures(trained: Trained) -> None:
    result = trained.result
    page = shown(result)
    facts = dict(page.tables[0])  # type: ignore[arg-type]
    assert facts["run"] == str(result.run_dir)
    assert facts["parameters"] == count(result.parameters)
    assert page.tables[1][0] == ["split", "loss", "accuracy", "macro F1"]
    assert result.test is not None
    assert page.tables[1][3][2] == f"{100 * float(str(result.test['accuracy'])):.2f} %"
    assert page.images == [path.read_bytes() for path in sorted(trained.folder.glob("*.png"))]


def test_wide_tables_are_whole_and_text_stands_in_paragraphs(
    benchmarked: BenchResult,
    compared: ComparePoolingResult,
    several: TrainSeedsResult,
    evaluated: EvaluateResult,
) -> None:
    page = shown(benchmarked)
    assert [row[0] for row in page.tables[1][1:]][: len(benchmarked.arms)] == [
        a.name for a in benchmarked.arms
    ]
    assert any("times the images/s of reference-loop" in text for text in page.paragraphs)
    assert compared.winner is None or compared.winner in str(shown(compared).tables)
    assert [row[0] for row in shown(several).tables[1]][1:2] == [str(several.runs[0].seed)]
    classes = [row[0] for row in shown(evaluated).tables[1][1:]]
    assert classes == list(evaluated.class_names)
    assert shown(evaluated).images == []


def test_every_result_of_a_public_function_has_tables() -> None:
    page = shown(nnkit.count_params(["varres-net:width=4", "mnist-convnet"]))
    assert [row[0] for row in page.tables[0][1:]] == ["varres-net:width=4", "mnist-convnet"]
    names = {each.__name__ for each in notebook.TABLES}
    returned = {
        name
        for function in (nnkit.train, nnkit.evaluate, nnkit.count_params, nnkit.compare_pooling, nnkit.bench)
        for name in re.findall(r"\w+Result", str(function.__annotations__["return"]))
    }
    assert returned <= names


def test_text_of_others_is_escaped(trained: Trained) -> None:
    hostile = trained.result.model_copy(update={"dataset": "<script>alert(1)</script>"})
    assert "<script>" not in (hostile._repr_html_() or "")


def test_the_printed_table_is_as_before(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    from nnkit.present.train import train_table

    before = train_table(trained.result)
    trained.result._repr_html_()
    assert train_table(trained.result) == before
    assert "<" not in before
