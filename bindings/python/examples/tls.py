"""HTTPS with a redirect from HTTP: python3 tls.py site.pem site.key"""

import sys

from transom import Server, Tls

app = Server()


@app.get("/")
def hello(request):
    return f"hello by {request.scheme}, {request.tls.version}\n"


if __name__ == "__main__":
    # The files are read again, at most once a minute, when they have changed.
    tls = Tls(sys.argv[1], sys.argv[2], watch=60)
    app.run("127.0.0.1:8443", tls=tls, redirect="127.0.0.1:8080")
