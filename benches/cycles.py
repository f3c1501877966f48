"""Environments that are made and destroyed, DREY_CYCLES (100) of them, by a release build: what is left of them.

Containers, networks, volumes, images, folders and rows of work are compared by the checker of tests/world, which fails
on any; descriptors and memory are the daemon's before and after.
"""

import os
import sys

from house import Figures
from world import world_test


def main():
    env = {"DREY_CYCLES": os.environ.get("DREY_CYCLES", "100"), "DREY_BINARY": sys.argv[1]}
    figures = Figures("cycles")
    told, passed = world_test("cycles::cycles_of_environments_leave_no_thing_no_row_of_work_and_no_descriptor", env)
    units = {"rss_before_mb": "MB", "rss_after_mb": "MB", "rss_growth_percent": "%"}
    for name in ("cycles", "descriptors_before", "descriptors_after", *units):
        figures.tell(name, [float(told[name])], units.get(name, ""))
    figures.write()
    sys.exit(0 if passed else 1)


main()
