"""A TLS client for tests: sends a request for each line on its input, and prints a line about it.

    tls_client.py CERTIFICATES

A line is "PORT NAME [version=1.2] [alpn=h2,http/1.1] [own=client] [resume=1]". The answer is the first
name in the certificate of the server and the body of the response, or "failed: reason".
"""

import socket
import ssl
import sys


def ask(port, name, context, session):
    with socket.create_connection(("127.0.0.1", port), 20) as plain:
        with context.wrap_socket(plain, server_hostname=name, session=session) as secure:
            secure.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while piece := secure.recv(65536):
                answer += piece
            body = answer.partition(b"\r\n\r\n")[2].decode()
            return f"{secure.getpeercert()['subjectAltName'][0][1]} {body}", secure.session


def answer(folder, port, name, *options):
    settings = dict(option.split("=", 1) for option in options)
    context = ssl.create_default_context(cafile=f"{folder}/authority.pem")
    if "version" in settings:
        version = ssl.TLSVersion.TLSv1_2 if settings["version"] == "1.2" else ssl.TLSVersion.TLSv1_3
        context.minimum_version = context.maximum_version = version
    if "alpn" in settings:
        context.set_alpn_protocols(settings["alpn"].split(","))
    if "own" in settings:
        own = settings["own"]
        context.load_cert_chain(f"{folder}/{own}.pem", f"{folder}/{own}.key")
    try:
        said, session = ask(int(port), name, context, None)
        if "resume" in settings:
            said, _ = ask(int(port), name, context, session)
        return said
    except OSError as error:
        return f"failed: {error}"


for line in sys.stdin:
    print(answer(sys.argv[1], *line.split()), flush=True)
