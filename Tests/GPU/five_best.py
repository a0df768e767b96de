"""Compares the five best classes of two runs of `hgnet predict --top-k 5 --json` on the same pictures.

    five_best.py EXPECTED FOUND

Classes may change places only where the scores are within a thousandth: no arithmetic in float16 tells these apart.
"""

import json
import sys

ALIKE = 1e-3


def main():
    expected, found = (json.load(open(path)) for path in sys.argv[1:])
    assert len(expected) == len(found) > 0
    moved = 0
    for one, other in zip(expected, found):
        assert one["file_name"] == other["file_name"]
        scores = dict(zip(one["class_ids"], one["scores"]))
        same = one["class_ids"] == other["class_ids"]
        moved += not same
        for place, (index, score) in enumerate(zip(other["class_ids"], other["scores"])):
            # One that is not among the five best was at most as good as the last of them.
            if index != one["class_ids"][place] and abs(scores.get(index, score) - one["scores"][place]) > ALIKE:
                sys.exit(f"five_best: {one['file_name']}: expected {one['class_ids']}, found {other['class_ids']}")
    print(f"five_best: the same classes for {len(expected)} pictures, {moved} of them in another order of equals")


main()
