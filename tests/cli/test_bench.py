import json

from nnkit.cli.main import run

SMALL = ["bench", "ops", "--size", "6", "--batch-size", "1", "--repeats", "2", "--device", "cpu"]


def test_bench_ops_prints_a_table_and_leaves_a_figure_with_its_data(tmp_path, capsys):
    assert run([*SMALL, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "× torch" in printed
    assert (tmp_path / "bench-ops.png").read_bytes().startswith(b"\x89PNG")
    rows = (tmp_path / "bench-ops.csv").read_text().splitlines()
    assert len(rows) == 1 + 5


def test_bench_ops_as_json_is_one_document(capsys):
    assert run([*SMALL, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "nnkit.bench-ops/1"
    assert {cell["name"] for cell in document["cells"]} == {"naive", "unfold", "torch"}


def test_an_image_smaller_than_the_kernel_is_a_mistake_of_the_user(capsys):
    assert run(["bench", "ops", "--size", "2"]) == 2
    assert "sizes=[2]" in capsys.readouterr().err
