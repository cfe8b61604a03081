# SPDX-License-Identifier: MIT
"""The models and their mutants, where Spin or Relacy is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[1] / "models" / "run.py"


@pytest.mark.stress
@pytest.mark.timeout(1500)
def test_models_hold_and_mutants_fail():
    done = subprocess.run([sys.executable, str(RUN)], capture_output=True, text=True, timeout=1480)
    if done.returncode == 77:
        pytest.skip(done.stdout.strip() or done.stderr.strip())
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
