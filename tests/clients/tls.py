#!/usr/bin/env python3
"""TLS with real clients: curl, openssl s_client, Python's ssl, Java and headless Chromium.

    tests/clients/tls.py --binary target/debug/examples/tls-server [--only TEXT]

Each check runs against the server in each of the three models. Java and Chromium are left out, with
a line that says so, if they are not on the machine. What a TLS scanner looks for is in scan.py.
"""

import argparse
import base64
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import scan
from programs import program

HERE = Path(__file__).resolve().parent
CERTIFICATES = HERE.parent / "certificates"
MODELS = ("event", "threads", "sequential")
PATIENCE = 30.0
# The deadline of a handshake, in milliseconds.
HANDSHAKE = 2500
# What curl says if the server refuses a handshake, by version and alert.
REFUSED = (35, 56, 60, 98)
SIZES = (0, 1, 16383, 16384, 16385, 61441, 1_000_000)
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Server:
    """The example tls-server in one model, with a folder of its own."""

    def __init__(self, binary: str, model: str, folder: Path) -> None:
        self.model, self.folder = model, folder
        shutil.copytree(CERTIFICATES, folder, dirs_exist_ok=True)
        self.install("localhost")
        self.ports: dict[str, int] = {}
        command = [binary, str(folder), model, str(HANDSHAKE)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Server":
        while len(self.ports) < 6:
            name, port = self.line().split()
            self.ports[name] = int(port)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, f"{self.model}: the server ends with a failure"

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"{self.model}: the server has ended"
        return line

    def install(self, name: str) -> None:
        for kind in ("pem", "key"):
            shutil.copy(CERTIFICATES / f"{name}.{kind}", self.folder / f"site.{kind}")

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)
        assert self.line() == "reloaded\n"

    def file(self, name: str) -> str:
        return str(self.folder / name)


def holds(condition: bool, told: object) -> None:
    """An assertion that also holds under -O, and shows what was found."""
    if not condition:
        raise AssertionError(str(told)[-3000:])


def curl(server: Server, port: str, path: str, *options: str, tls: bool = True) -> tuple[int, str]:
    """Returns the exit status and the output."""
    number = server.ports[port]
    scheme = "https" if tls else "http"
    command = [program("curl"), "--silent", "--noproxy", "*", "--max-time", "20"]
    command += ["--resolve", f"*:{number}:127.0.0.1", "--cacert", server.file("authority.pem")]
    address = path if path.startswith("http") else f"{scheme}://localhost:{number}{path}"
    done = subprocess.run([*command, *options, address], stdout=subprocess.PIPE, timeout=PATIENCE)
    return done.returncode, done.stdout.decode()


def own(server: Server, name: str, key: str | None = None) -> list[str]:
    return ["--cert", server.file(f"{name}.pem"), "--key", server.file(f"{key or name}.key")]


def curl_versions(server: Server) -> None:
    for options, told in (
        ([], "https TLSv1.3 name=localhost alpn=http/1.1"),
        (["--tls-max", "1.2"], "https TLSv1.2 name=localhost alpn=http/1.1"),
        (["--tlsv1.3", "--http1.1"], "https TLSv1.3 name=localhost alpn=http/1.1"),
        (["--no-alpn"], "https TLSv1.3 name=localhost alpn=none"),
    ):
        status, output = curl(server, "main", "/", *options)
        holds(status == 0 and output.startswith(told), (options, status, output))
    for options in (["--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"], ["--tls-max", "1.0"]):
        status, output = curl(server, "main", "/", *options)
        holds(status == 35, (options, status, output))
    holds(curl(server, "newest", "/", "--tls-max", "1.2")[0] == 35, "an old version on the newest port")
    holds(curl(server, "newest", "/")[0] == 0, "the newest port")


def curl_trust(server: Server) -> None:
    status, output = curl(server, "main", "/", "--cacert", server.file("other-authority.pem"))
    holds(status == 60, (status, output))
    status, output = curl(server, "main", "/", "--insecure", "--cacert", server.file("other-authority.pem"))
    holds(status == 0 and output.startswith("https "), (status, output))
    status, output = curl(server, "main", f"https://www.example.org:{server.ports['main']}/")
    holds(status == 0 and "name=www.example.org" in output, (status, output))
    status, output = curl(server, "main", f"https://example.com:{server.ports['main']}/")
    holds(status == 60, f"a name that no certificate has: {status} {output}")


def curl_client_certificates(server: Server) -> None:
    for version in ("1.2", "1.3"):
        most = ["--tls-max", version]
        status, output = curl(server, "mutual", "/", *most, *own(server, "client"))
        # curl sends the authority too.
        holds(status == 0 and " certificates=2 " in output, (status, output))
        for name in ("expired", "stranger", "revoked"):
            status, output = curl(server, "mutual", "/", *most, *own(server, name))
            holds(status in REFUSED, (version, name, status, output))
        status, output = curl(server, "mutual", "/", *most)
        holds(status in REFUSED, (version, "none", status, output))
        status, output = curl(server, "mutual", "/", *most, *own(server, "client", "stranger"))
        holds(status == 58, f"curl itself finds that the key is another: {status} {output}")
        status, output = curl(server, "optional", "/", *most)
        holds(status == 0 and " certificates=0 " in output, (status, output))
        status, output = curl(server, "optional", "/", *most, *own(server, "client"))
        holds(status == 0 and " certificates=2 " in output, (status, output))
        status, output = curl(server, "optional", "/", *most, *own(server, "stranger"))
        holds(status in REFUSED, (version, "optional stranger", status, output))


def curl_bodies(server: Server) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sent, back = Path(folder) / "sent", Path(folder) / "back"
        for size in SIZES:
            sent.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
            for how in (["Expect:"], ["Expect: 100-continue"], ["Transfer-Encoding: chunked"]):
                options = ["-H", *how, "--output", str(back), "-X", "POST", "--data-binary", f"@{sent}"]
                back.write_bytes(b"")
                status, _ = curl(server, "main", "/echo", *options)
                holds(status == 0 and back.read_bytes() == sent.read_bytes(), (size, how, status))
            status, _ = curl(server, "main", f"/size/{size}", "--output", str(back))
            holds(status == 0 and len(back.read_bytes()) == size, (size, status))
        sent.write_bytes(bytes(20_000_000))
        status, output = curl(server, "main", "/count", "-X", "POST", "-T", str(sent))
        holds((status, output) == (0, "20000000"), (status, output))
        status, output = curl(server, "main", "/echo", "-X", "POST", "-T", str(sent), "-w", "%{http_code}")
        holds(status == 0 and output.endswith("413"), (status, output))


def curl_keep_alive(server: Server) -> None:
    address = f"https://localhost:{server.ports['main']}/size/[1-60]"
    write = ["--output", os.devnull, "--write-out", "%{num_connects} %{http_code} %{size_download}\n"]
    status, output = curl(server, "main", address, *write)
    lines = [line.split() for line in output.splitlines()]
    holds(status == 0 and [line[1:] for line in lines] == [["200", str(n)] for n in range(1, 61)], output)
    made = sum(int(line[0]) for line in lines)
    # One client at a time is served: a connection ends if another waits.
    holds(made == 1 or server.model == "sequential", f"{made} connections")


def curl_on_wrong_ports(server: Server) -> None:
    status, output = curl(server, "main", "/", tls=False)
    holds(status == 0 and "https" in output, (status, output))
    status, output = curl(server, "plain", "/")
    holds(status == 35, (status, output))
    status, output = curl(server, "plain", "/", tls=False)
    holds((status, output) == (0, "http"), (status, output))
    write = ["--output", os.devnull, "--write-out", "%{http_code} %{redirect_url}"]
    status, output = curl(server, "redirect", "/page?a=b", *write, tls=False)
    holds((status, output) == (0, "308 https://localhost/page?a=b"), (status, output))
    status, output = curl(server, "main", "/page", "--head", "-X", "GET")
    holds(status == 0 and "strict-transport-security: max-age=60" in output.lower(), (status, output))


def s_client(server: Server, port: str, *options: str, said: bytes = REQUEST) -> tuple[int, str]:
    command = [program("openssl"), "s_client", "-connect", f"127.0.0.1:{server.ports[port]}"]
    command += ["-CAfile", server.file("authority.pem"), "-verify_return_error"]
    if said == REQUEST:
        command.append("-ign_eof")
    done = subprocess.run(
        [*command, *options], input=said, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE
    )
    return done.returncode, done.stdout.decode(errors="replace")


def s_client_versions(server: Server) -> None:
    for options, told in (
        (["-tls1_3"], "https TLSv1.3 name=none alpn=none"),
        (["-no_tls1_3"], "https TLSv1.2 name=none alpn=none"),
        (["-servername", "example.org"], "https TLSv1.3 name=example.org alpn=none"),
        (["-alpn", "h2,http/1.1"], "https TLSv1.3 name=none alpn=http/1.1"),
    ):
        _, output = s_client(server, "main", *options)
        holds(told in output and "Verify return code: 0 (ok)" in output, output)
        holds("Secure Renegotiation IS supported" in output or "TLSv1.3" in told, output)
    for options in (["-tls1"], ["-tls1_1"]):
        status, output = s_client(server, "main", *options, "-cipher", "ALL:@SECLEVEL=0")
        # Without the extensions of newer versions, there is another reason too.
        holds(
            status != 0 and ("alert protocol version" in output or "alert handshake failure" in output),
            output,
        )


def s_client_alpn_mismatch(server: Server) -> None:
    for version in ("-tls1_2", "-tls1_3"):
        status, output = s_client(server, "main", version, "-alpn", "h2,spdy/1")
        holds(status != 0 and "no application protocol" in output, output)


def s_client_certificates(server: Server) -> None:
    output = s_client(server, "main", "-servername", "www.example.org")[1]
    holds(re.search(r"subject=\s*CN\s*=\s*example\.org", output) is not None, output)
    # A client that verifies no ECDSA gets the certificate with RSA.
    output = s_client(server, "main", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256", "-tls1_2")[1]
    holds("RSA" in output and "https TLSv1.2" in output, output)
    output = s_client(
        server, "mutual", "-cert", server.file("client.pem"), "-key", server.file("client.key")
    )[1]
    # openssl sends the authority too.
    holds("Acceptable client certificate CA names" in output and " certificates=2 " in output, output)
    for name, alert in (("expired", "expired"), ("stranger", "unknown ca"), ("revoked", "revoked")):
        options = ["-cert", server.file(f"{name}.pem"), "-key", server.file(f"{name}.key")]
        output = s_client(server, "mutual", *options)[1]
        holds(alert in output and "https TLS" not in output, output)
    output = s_client(server, "mutual")[1]
    holds("certificate required" in output, output)


def s_client_resumption(server: Server) -> None:
    output = s_client(server, "main", "-tls1_2", "-reconnect", said=b"")[1]
    holds(output.count("Reused, TLSv1.2") == 5, output)
    for version in ("-tls1_2", "-tls1_3"):
        with tempfile.TemporaryDirectory() as folder:
            session = f"{folder}/session"
            output = s_client(server, "main", version, "-sess_out", session)[1]
            holds("resumed=false" in output, output)
            output = s_client(server, "main", version, "-sess_in", session)[1]
            holds("resumed=true" in output and "Reused, " in output, output)
            # A ticket of another listener is no error, and resumes nothing.
            other = "newest" if version == "-tls1_3" else "optional"
            output = s_client(server, other, version, "-sess_in", session)[1]
            holds("resumed=false" in output, output)


def s_client_renegotiation(server: Server) -> None:
    command = [program("openssl"), "s_client", "-connect", f"127.0.0.1:{server.ports['main']}", "-tls1_2"]
    client = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert client.stdin
    assert client.stdout
    output = b""
    # It asks for a new handshake at an R at the beginning of a line.
    while b"Verify return code" not in output:
        more = os.read(client.stdout.fileno(), 65536)
        holds(bool(more), output)
        output += more
    client.stdin.write(b"R\n")
    client.stdin.flush()
    rest, _ = client.communicate(timeout=PATIENCE)
    holds(b"RENEGOTIATING" in rest and b"no renegotiation" in rest, output + rest)


def s_client_close(server: Server) -> None:
    for version in ("-tls1_2", "-tls1_3"):
        output = s_client(server, "main", version, "-msg")[1]
        told = [line for line in output.splitlines() if "close_notify" in line]
        holds(bool(told) and told[0].startswith("<<<"), output)


def context(server: Server, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=server.file("authority.pem"))
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def connect(server: Server, made: ssl.SSLContext, port: str = "main", **options: object) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", server.ports[port]), PATIENCE)
    return made.wrap_socket(plain, server_hostname="localhost", **options)  # type: ignore[arg-type]


def read_all(stream: ssl.SSLSocket) -> bytes:
    return b"".join(iter(lambda: stream.recv(65536), b""))


def python_versions(server: Server) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        made = context(server, version)
        made.set_alpn_protocols(["h2", "http/1.1"])
        with connect(server, made) as stream:
            holds(stream.selected_alpn_protocol() == "http/1.1", stream.selected_alpn_protocol())
            stream.sendall(REQUEST)
            holds(b" alpn=http/1.1 resumed=false" in read_all(stream), "the facts")
            # The server has sent its close_notify, or this would be an error.
            stream.unwrap().close()
        made.set_alpn_protocols(["h2"])
        try:
            connect(server, made).close()
            raise AssertionError("a protocol was agreed on")
        except ssl.SSLError as error:
            holds("no application protocol" in str(error).lower().replace("_", " "), error)


def python_resumption(server: Server) -> None:
    made = context(server, ssl.TLSVersion.TLSv1_2)
    with connect(server, made) as first:
        session = first.session
        first.sendall(REQUEST)
        read_all(first)
    with connect(server, made, session=session) as second:
        second.sendall(REQUEST)
        holds(b"resumed=true" in read_all(second) and bool(second.session_reused), "it is not resumed")


def python_keep_alive(server: Server) -> None:
    made = context(server)
    client = http.client.HTTPSConnection("localhost", server.ports["main"], timeout=PATIENCE, context=made)
    for size in SIZES:
        body = os.urandom(size)
        client.request("POST", "/echo", body)
        holds(client.getresponse().read() == body, f"an echo of {size} bytes")
        client.request("POST", "/count", iter([body[:5], body[5:]]), encode_chunked=True)
        holds(client.getresponse().read() == str(size).encode(), f"{size} bytes in chunks")
    client.close()


def python_expects(server: Server) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
    with connect(server, context(server)) as stream:
        stream.sendall(head + b"Connection: close\r\n\r\n")
        holds(stream.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n", "it is not told to go on")
        stream.sendall(b"hello")
        holds(read_all(stream).endswith(b"\r\n\r\nhello"), "the echo")


def python_closes_first(server: Server) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with connect(server, context(server, version)) as idle:
            idle.sendall(REQUEST.replace(b"Connection: close\r\n", b""))
            holds(idle.recv(65536).startswith(b"HTTP/1.1 200 "), "the answer")
            idle.unwrap().close()


def leaves_in_the_handshake(server: Server) -> None:
    hello = scan.hello(0x0303, [0x1301, 0xC02B], scan.extensions(versions=[0x0304]))
    for sent in (b"", hello[:1], hello[:40], hello):
        for resets in (False, True):
            plain = socket.create_connection(("127.0.0.1", server.ports["main"]), PATIENCE)
            plain.sendall(sent)
            if resets:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            plain.close()
    holds(curl(server, "main", "/")[0] == 0, "the next client")


def is_silent(server: Server) -> None:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.ports["main"]), PATIENCE) as plain:
        plain.sendall(b"\x16\x03\x01")
        holds(plain.recv(1) == b"", "the server closes")
    took = time.monotonic() - begun
    holds(took > HANDSHAKE / 1000 - 0.2, f"closed after {took:.1f} s")


def scanned(server: Server) -> None:
    scan.check(server.ports["main"])


def java(servers: list[Server]) -> None:
    folder = servers[0].folder
    pair = ["-in", f"{folder}/client.pem", "-inkey", f"{folder}/client.key"]
    made = [program("openssl"), "pkcs12", "-export", *pair, "-out", f"{folder}/client.p12"]
    subprocess.run([*made, "-passout", "pass:secret"], check=True)
    command = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", str(HERE / "TlsClient.java")]
    command += [f"{folder}/authority.pem", f"{folder}/client.p12"]
    command += [str(server.ports[port]) for server in servers for port in ("main", "mutual")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    holds((done.returncode, done.stdout) == (0, b"good\n"), done.stdout.decode())


def chromium(server: Server) -> None:
    """A page over TLS posts to its server. Chromium trusts the key of the certificate."""
    openssl = [program("openssl"), "x509", "-in", server.file("localhost.pem"), "-noout", "-pubkey"]
    key = subprocess.run(openssl, stdout=subprocess.PIPE, check=True).stdout
    der = base64.b64decode(b"".join(key.splitlines()[1:-1]))
    pin = base64.b64encode(hashlib.sha256(der).digest()).decode()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
        command += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
        command += ["--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"]
        command += [f"--user-data-dir={profile}", f"--ignore-certificate-errors-spki-list={pin}"]
        command += ["--timeout=20000", "--dump-dom", f"https://localhost:{server.ports['main']}/page"]
        done = subprocess.run(command, capture_output=True, timeout=60)
    holds(b"echo of 100000 by https:" in done.stdout, done.stdout + done.stderr)


def reload_under_load(server: Server) -> None:
    """New certificates while clients come and go and others stay: no request fails."""
    is_over = threading.Event()
    seen: set[bytes] = set()
    made = context(server)

    def load(is_kept: bool) -> int:
        count = 0
        client: http.client.HTTPSConnection | None = None
        while not is_over.is_set():
            if client is None:
                port = server.ports["main"]
                client = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE, context=made)
                client.connect()
                seen.add(client.sock.getpeercert(binary_form=True))
            client.request("GET", "/size/20000")
            holds(len(client.getresponse().read()) == 20_000, "an answer under load")
            count += 1
            if not is_kept:
                client.close()
                client = None
        return count

    kept = server.model != "sequential"
    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load, is_kept) for is_kept in (False, False, kept, kept)]
        try:
            for name in ["renewed", "localhost"] * 5:
                server.install(name)
                server.reload()
                time.sleep(0.15)
        finally:
            is_over.set()
        count = sum(each.result(PATIENCE) for each in loads)
    holds(count > 40, f"only {count} requests")
    holds(len(seen) == 2, f"{len(seen)} certificates were seen")


CHECKS: list[Callable[[Server], None]] = [
    curl_versions,
    curl_trust,
    curl_client_certificates,
    curl_bodies,
    curl_keep_alive,
    curl_on_wrong_ports,
    s_client_versions,
    s_client_alpn_mismatch,
    s_client_certificates,
    s_client_resumption,
    s_client_renegotiation,
    s_client_close,
    python_versions,
    python_resumption,
    python_keep_alive,
    python_expects,
    python_closes_first,
    leaves_in_the_handshake,
    is_silent,
    scanned,
    chromium,
    reload_under_load,
]


@dataclass(frozen=True)
class Job:
    name: str
    run: Callable[[], None]


def jobs(server: Server, only: str) -> Iterator[Job]:
    for check in CHECKS:
        if check is scanned and server.model != "event":
            # What is negotiated does not depend on the model.
            continue
        if check is chromium and not shutil.which("chromium"):
            print("left out: chromium is not installed")
            continue
        name = f"{server.model}: {check.__name__}"
        if only in name:
            yield Job(name, lambda check=check: check(server))  # type: ignore[misc]


def run(these: list[Job]) -> list[str]:
    """Runs jobs in a row. Returns the names of those that failed."""
    failed = []
    for job in these:
        begun = time.monotonic()
        try:
            job.run()
        except Exception as error:
            print(f"FAILED {job.name}: {type(error).__name__}: {error}", flush=True)
            failed.append(job.name)
        else:
            print(f"{job.name}: {time.monotonic() - begun:.1f} s", flush=True)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--binary", required=True, help="the example tls-server")
    parser.add_argument("--only", default="", help="what is tried has this in its name")
    args = parser.parse_args()
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = [stack.enter_context(Server(args.binary, model, folder / model)) for model in MODELS]
        with ThreadPoolExecutor(len(servers)) as pool:
            rows = [pool.submit(run, list(jobs(server, args.only))) for server in servers]
            failed = [name for row in rows for name in row.result()]
        if args.only in "java":
            if shutil.which("java"):
                failed += run([Job("java, each model", lambda: java(servers))])
            else:
                print("left out: java is not installed")
    print(f"{len(failed)} checks failed, {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
