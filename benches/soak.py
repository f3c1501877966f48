"""Ten branches, random pushes, merges and deletions, kills, engine restarts, stops; then the checker of tests/world.

DREY_SOAK: seconds (900). DREY_SOAK_SEED: the choices of an earlier run.
"""

import os
import sys

from house import Figures
from world import world_test


def main():
    env = {"DREY_SOAK": os.environ.get("DREY_SOAK", "900")}
    figures = Figures("soak")
    told, passed = world_test("soak::soak_of_pushes_kills_and_restarts_leaves_no_difference", env)
    figures.values["seconds"] = int(env["DREY_SOAK"])
    for name in ("seed", "pushes", "kills", "engine_restarts", "stops", "differences"):
        figures.tell(name, [int(told[name])], "")
    figures.write()
    sys.exit(0 if passed else 1)


main()
