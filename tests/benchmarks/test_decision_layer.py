"""The layer beside cvxpylayers, in its tiny preset: both decide alike."""

import pytest

from benchmarks import decision_layer


@pytest.mark.extra
# cvxpylayers 1.2 hands NumPy tensors in a way that NumPy 2 calls deprecated
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_both_decide_alike(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cvxpylayers")
    pytest.importorskip("diffcp")
    decision_layer.main(["--preset", "tiny"])
    _, _, row = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["3", "4"]
    assert float(cells[-1]) <= 1e-3
