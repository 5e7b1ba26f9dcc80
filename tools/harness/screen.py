"""What people see while Spark works."""

import sys
import time


class Screen:
    """One line that moves on a terminal, a few that stay in a log."""

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.shown = None

    def progress(self, what, done, total, begun):
        """Shows how far the step is."""
        percent = 100 * done // max(total, 1)
        if self.live:
            bar = "#" * (percent // 4)
            print(f"\r  {what:34} [{bar:25}] {percent:3} %  {time.monotonic() - begun:5.0f} s", end="", flush=True)
        elif self.shown is None or self.shown[0] != what or percent >= self.shown[1] + 50:
            print(f"  {what:34} {percent:3} %  {time.monotonic() - begun:5.0f} s", flush=True)
            self.shown = (what, percent)

    def say(self, text):
        """Ends the moving line with a line that stays."""
        print(("\r\x1b[K" if self.live else "") + text, flush=True)
