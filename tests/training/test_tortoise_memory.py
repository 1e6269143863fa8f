"""What is counted of the memory that text-to-codes takes is what the process takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "memory_of_steps.py"
N_LAYERS = 8  # of the script's network
CASES = {
    "whole": ({"batch_size": 8}, 0),
    "half recomputed": ({"batch_size": 8}, 4),
    "recomputed": ({"batch_size": 8}, N_LAYERS),
    "few": ({"batch_size": 2}, N_LAYERS),
    "in parts": ({"batch_size": 8, "batch_parts": 2}, N_LAYERS),
    "bfloat16": ({"batch_size": 8, "precision": "bf16-mixed"}, 0),
    "bfloat16 recomputed": ({"batch_size": 8, "precision": "bf16-mixed"}, N_LAYERS),
    "LoRA": ({"batch_size": 8, "lora": {}}, 0),
    "LoRA recomputed": ({"batch_size": 8, "lora": {}}, N_LAYERS),
}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="only Linux tells what a process takes")
@pytest.mark.parametrize("case", CASES)
def test_a_step_takes_what_is_counted_within_three_tenths(case, environment):
    training, n_recomputed = CASES[case]
    order = {"training": training, "n_recomputed": n_recomputed}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(order)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(case, found)

    assert found["counted"] == pytest.approx(found["measured"], rel=0.3), found
    if n_recomputed == N_LAYERS:
        assert found["planned"] == pytest.approx(found["measured"], rel=0.3), found
