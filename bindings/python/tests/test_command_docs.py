"""The page about deployment: its configurations run, and its options are those of the command."""

import os
import re
import shutil
import signal
import socket
import subprocess
import unittest
from pathlib import Path

from command_case import CommandCase
from support import LIMIT, SOURCE, until

from transom._command.arguments import option_names
from transom._command.options import OPTIONS

PAGE = SOURCE.parents[2] / "docs" / "deploy-python.md"


def section(title):
    """Returns a section of the page."""
    return re.search(rf"^#+ {title}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]


def blocks(title, language):
    """Returns the blocks of code in a language in a section."""
    return re.findall(rf"^```{language}\n(.*?)^```", whole_section(title), re.MULTILINE | re.DOTALL)


def whole_section(title):
    """Returns a section up to the next of its level: lines of code may begin as headings do."""
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


TEXT = PAGE.read_text() if PAGE.exists() else ""


def free_port():
    """Returns a port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@unittest.skipUnless(TEXT, "the page is not in the archive of the package")
class TestPage(CommandCase):
    def test_the_options_that_the_page_names_are_those_of_the_command(self):
        for title in ("uvicorn", "gunicorn", "granian"):
            rows = re.findall(r"^\| (?!-)(.+?) \| (.+) \|$", section(title), re.MULTILINE)
            self.assertGreater(len(rows), 20)
            for theirs, ours in rows[1:]:
                with self.subTest(theirs):
                    names = re.findall(r"`(--[a-z-]+)", ours)
                    self.assertLessEqual(set(names), set(option_names()))
                    self.assertTrue(names or ours.startswith("-") or ours == "the same", ours)

    def test_the_table_has_each_option_in_the_words_of_the_help(self):
        rows = [
            f"| `--{each.name}{f' {each.metavar}' if each.metavar else ''}` | {each.help} |".replace(
                f"`--{each.name} {each.metavar}`", f"`--{each.name} {each.metavar}`".replace("|", "\\|")
            )
            for each in OPTIONS
        ]
        table = section("All options")
        self.assertEqual([row for row in rows if row not in table], [])
        self.assertEqual(table.count("\n| `--"), len(OPTIONS))

    def test_the_commands_and_the_file_are_understood(self):
        from transom._command.arguments import parsed
        from transom._command.planning import plan_of

        lines = re.findall(r"^(?:transom|python -m transom) (.*)$", TEXT, re.MULTILINE)
        lines += re.findall(r"^ExecStart=\S+/transom (.*)$", TEXT, re.MULTILINE)
        self.assertGreater(len(lines), 4)
        for line in lines:
            self.assertTrue(plan_of(parsed(line.split()), {}).app)
        words = re.search(r"^CMD \[(.*)\]$", TEXT, re.MULTILINE)[1].replace('"', "").split(", ")
        self.assertTrue(plan_of(parsed(words[1:]), {}).app)

    def test_the_toml_is_understood(self):
        from transom._command.arguments import parsed
        from transom._command.mistake import Mistake
        from transom._command.planning import plan_of

        path = self.write("t.toml", blocks("Options in files and in the environment", "toml")[0])
        try:
            plan = plan_of(parsed(["--config", str(path)]), {})
        except Mistake as mistake:
            self.assertIn("tomli", str(mistake))
            self.skipTest("needs Python 3.11")
        self.assertEqual((plan["workers"], plan["limit"]), (4, {"body": 20 << 20}))

    @unittest.skipUnless(shutil.which("nginx"), "needs nginx")
    def test_it_serves_behind_nginx(self):
        path, port = self.folder / "s.sock", free_port()
        command = self.start("--forwarded-allow-ips", "unix", bind=f"unix:{path}")
        command.wait_for("serves site_app:app")
        own = "access_log off;" + "".join(
            f"{kind}_temp_path {self.folder};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = blocks("Behind nginx", "nginx")[0].replace("unix:/run/shop/shop.sock", f"unix:{path}")
        text = text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("http {", f"http {{ {own}", 1)
        start = f"daemon off; master_process off; pid {self.folder}/pid; error_log stderr;"
        self.proxy(["nginx", "-p", str(self.folder), "-c", str(self.write("n.conf", text)), "-g", start])
        told = self.told(port)
        for part in ("'REMOTE_ADDR': '127.0.0.1'", f"'HTTP_HOST': '127.0.0.1:{port}'"):
            self.assertIn(part, told)

    @unittest.skipUnless(shutil.which("haproxy"), "needs HAProxy")
    def test_it_serves_behind_haproxy(self):
        command = self.start("--proxy-protocol", "127.0.0.1", "--readiness", "/ready")
        inner, port = int(command.wait_for(r"on http://127.0.0.1:(\d+)")[1]), free_port()
        text = blocks("Behind HAProxy", "haproxy")[0].replace(
            "bind 127.0.0.1:80\n", f"bind 127.0.0.1:{port}\n"
        )
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{inner}")
        self.proxy(["haproxy", "-db", "-f", str(self.write("h.cfg", text))])
        told = self.told(port)
        self.assertIn("'REMOTE_ADDR': '127.0.0.1'", told)

    def proxy(self, words):
        """Starts a proxy, which ends with the test."""
        log = (self.folder / "proxy.log").open("w")
        self.addCleanup(log.close)
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

        def end():
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)

        self.addCleanup(end)

    def told(self, port):
        """Returns what the application has been told, once the proxy reaches it."""
        found = []

        def reach():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
                    head = f"GET /environ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
                    client.sendall(head.encode())
                    answer = b"".join(iter(lambda: client.recv(65536), b""))
            except OSError:
                return False
            found[:] = [answer.decode("latin-1")]
            return answer.startswith(b"HTTP/1.1 200")

        self.assertTrue(until(reach), (self.folder / "proxy.log").read_text())
        return found[0]

    @unittest.skipUnless(shutil.which("systemd-analyze"), "needs systemd-analyze")
    def test_systemd_takes_the_units(self):
        program = self.write("transom", "#!/bin/sh\n")
        program.chmod(0o755)
        for text in blocks("systemd", "ini"):
            name = re.match(r"# (\S+)\n", text)[1]
            text = text.replace("/srv/shop/venv/bin/transom", str(program)).replace(
                "/srv/shop", str(self.folder)
            )
            self.write(name, text)
        checked = subprocess.run(
            [
                "systemd-analyze",
                "verify",
                str(self.folder / "shop.service"),
                str(self.folder / "shop.socket"),
            ],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self.folder}:"},
        )
        ours = [line for line in checked.stderr.splitlines() if "shop." in line]
        self.assertEqual((checked.returncode, ours), (0, []), checked.stderr)

    def test_no_path_of_the_page_is_missing(self):
        for link in re.findall(r"\]\(([\w.-]+\.md)", TEXT):
            self.assertTrue(Path(PAGE.parent / link).exists(), link)


if __name__ == "__main__":
    unittest.main()
