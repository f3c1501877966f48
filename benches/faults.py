"""Kills the daemon at every failpoint, with and without its children, and counts how often it became whole again.

failpoints: how many there are. passed: kills after which the checker of tests/world found no difference, of 2 for each.
Whatever did not pass is printed. DREY_FAULT_LANES (2) daemons are killed side by side.
"""

import os
import sys

from house import Figures
from world import world_test


def main():
    env = {"DREY_FAULTS": "all", "DREY_FAULT_LANES": os.environ.get("DREY_FAULT_LANES", "2")}
    figures = Figures("faults")
    told, passed = world_test("faults::faults_at_any_place_leave_no_difference", env)
    # "passed: 170 of 172"
    done, _, cases = told["passed"].split()
    figures.tell("failpoints", [int(told["failpoints"])], "places")
    figures.values |= {"passed": int(done), "cases": int(cases)}
    print(f"passed: {done} of {cases}", flush=True)
    figures.write()
    sys.exit(0 if passed else 1)


main()
