"""Consumers of Channels: `django_channels.py` talks to them, in a process of its own."""

import subprocess
import sys
import unittest
from pathlib import Path

from asgi_servers import SERVERS


class TestDjangoChannels(unittest.TestCase):
    def test_the_consumers_answer_on_each_server(self):
        program = Path(__file__).with_name("django_channels.py")
        ended = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=240)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(ended.stdout.splitlines(), [f"{name}: ok" for name in SERVERS])


if __name__ == "__main__":
    unittest.main()
