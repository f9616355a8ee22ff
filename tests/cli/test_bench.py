from nnkit.cli.main import run

SMALL = ["bench", "ops", "--size", "6", "--batch-size", "1", "--repeats", "2", "--device", "cpu"]


def test_an_image_smaller_than_the_kernel_is_a_mistake_of_the_user(capsys):
    assert run(["bench", "ops", "--size", "2"]) == 2
    assert "sizes=[2]" in capsys.readouterr().err


TINY = ["bench", "--limit", "16", "--repeats", "3", "--threads", "1"]


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


def test_a_folder_that_is_taken_is_refused_before_anything_is_timed(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    assert run(["bench", "--out", str(tmp_path)]) == 2
    assert "already there" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
