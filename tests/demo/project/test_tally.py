"""Holds the program to what it says."""

import subprocess
import unittest


def tally(text):
    return subprocess.run(["./tally"], input=text, capture_output=True, text=True, check=True).stdout


class Tally(unittest.TestCase):
    def test_counts_lines_words_and_bytes(self):
        self.assertEqual(tally("two words\nand more\n"), "2 lines, 4 words, 19 bytes\n")

    def test_counts_nothing_in_nothing(self):
        self.assertEqual(tally(""), "0 lines, 0 words, 0 bytes\n")


if __name__ == "__main__":
    unittest.main()
