"""Opens files whose names say whether policy lets them be opened, and checks that it was so.

ask.py FOLDER TASKS OPENS: each task opens OPENS files. Prints a summary; ends with 1 if anything was not as it must be.
"""

import errno
import os
import random
import sys
import time


def task(folder, number, opens):
    """Returns what was wrong, and the longest wait in seconds."""
    chance = random.Random(number)
    wrong, longest = [], 0.0
    for turn in range(opens):
        name = chance.choice(["allow", "deny"]) + f"-{chance.randrange(10)}"
        began = time.monotonic()
        try:
            with open(os.path.join(folder, name)) as file:
                seen = file.read().strip()
        except OSError as error:
            seen = errno.errorcode.get(error.errno, str(error.errno))
        longest = max(longest, time.monotonic() - began)
        expected = name if name.startswith("allow") else "EPERM"
        if seen != expected:
            wrong.append(f"task {number} turn {turn}: {name} gave {seen}")
    return wrong, longest


def main():
    folder, tasks, opens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    began = time.monotonic()
    children = []
    for number in range(tasks):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            wrong, longest = task(folder, number, opens)
            os.write(writer, ("\n".join([f"{longest:.3f}", *wrong[:20]])).encode())
            os._exit(1 if wrong else 0)
        os.close(writer)
        children.append((child, reader))
    failed, longest = False, 0.0
    for child, reader in children:
        with os.fdopen(reader) as said:
            first, *wrong = said.read().split("\n")
        _, status = os.waitpid(child, 0)
        longest = max(longest, float(first or "inf"))
        failed = failed or status != 0
        for line in wrong:
            print(line)
    seconds = time.monotonic() - began
    print(f"{tasks * opens} held opens by {tasks} tasks in {seconds:.1f} s, the longest {longest:.1f} s")
    sys.exit(1 if failed else 0)


main()
