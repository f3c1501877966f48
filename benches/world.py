"""Runs one test of tests/world with more to do than it has every day, and gives back the figures that it prints."""

import os
import subprocess
import sys

from house import ROOT


def world_test(name, env):
    """`name: value` lines as a dictionary, and whether the test passed. All other lines are shown as they come."""
    command = ["cargo", "test", "--locked", "--quiet", "--test", "world", "--", "--exact", name, "--nocapture"]
    running = subprocess.Popen(command, cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, text=True)
    told = {}
    for line in running.stdout:
        label, colon, value = line.strip().partition(": ")
        if colon and label.replace("_", "").isalpha():
            told[label] = value
        else:
            print(line, end="", file=sys.stderr, flush=True)
    passed = running.wait() == 0
    if not told:
        sys.exit(f"{name}: told nothing")
    return told, passed
