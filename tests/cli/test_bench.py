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


TINY = ["bench", "--limit", "16", "--repeats", "3", "--threads", "1"]


def test_bench_prints_tables_and_leaves_its_files(tmp_path, capsys):
    out = tmp_path / "result"
    assert run([*TINY, "--model", "mlp-bottleneck", "--batch-size", "4,8", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    for words in (
        "reference-loop",
        "pil-loop",
        "exact",
        "mlp-bottleneck",
        "does not replace the transforms",
        "best",
    ):
        assert words in printed.out
    assert "round 3 of 3" in printed.err
    names = {path.name for path in out.iterdir()}
    assert names == {"bench.json", "bench.csv", "bench.md", "bench.png"}
    assert run([*TINY, "--out", str(out)]) == 2
    assert "already there" in capsys.readouterr().err


def test_bench_as_json_is_one_document_and_compares_with_itself(tmp_path, capsys):
    assert run([*TINY, "--json", "--out", str(tmp_path / "a")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "nnkit.bench/1"
    assert document["best"]["class"] == "exact"
    saved = str(tmp_path / "a")
    assert run(["bench", "compare", saved, f"{saved}/bench.json", "--fail-above", "50%", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["regressions"] == 0
    assert {cell["verdict"] for cell in compared["cells"]} == {"no difference"}


def test_a_regression_beyond_the_gate_exits_4_with_its_interval(tmp_path, capsys):
    assert run([*TINY, "--json", "--out", str(tmp_path / "a")]) == 0
    document = json.loads(capsys.readouterr().out)
    for arm in document["arms"][1:]:
        for cell in arm["cells"]:
            cell["samples_s"] = [100 * sample for sample in cell["samples_s"]]
    slower = tmp_path / "slower.json"
    slower.write_text(json.dumps(document))
    assert run(["bench", "compare", str(tmp_path / "a"), str(slower), "--fail-above", "20%"]) == 4
    printed = capsys.readouterr()
    assert "regression: slower" in printed.out
    assert "95 %" in printed.err


def test_bench_dry_run_shows_where_the_preset_set_what(capsys):
    assert run(["bench", "--preset", "report-sweep", "--batch-size", "64", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "preset report-sweep" in printed
    assert "option --batch-size" in printed


def test_bench_writes_nothing_after_a_mistake(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["bench", "--model", "separabel"]) == 2
    assert 'did you mean "separable"' in capsys.readouterr().err
    assert run(["bench", "--preset", "report-gird"]) == 2
    assert run(["bench", "compare", "no.json", "no.json"]) == 2
    assert run(["bench", "compare", "no.json", "no.json", "--fail-above", "5"]) == 2
    assert list(tmp_path.iterdir()) == []
