import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "convolution_by_hand.py"


def test_the_example_walks_to_the_gradients_of_torch(capsys):
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out
    assert "dL/dK agrees: True" in printed
    assert "dL/dX agrees: True" in printed
    assert "The patches U = unfold(X), one per column, each read row by row, 9 × 4" in printed
