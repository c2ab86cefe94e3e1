"""bjoern with the WSGI application."""

import bjoern
from common import BACKLOG, port
from wsgi_app import app

if __name__ == "__main__":
    bjoern.run(app, "127.0.0.1", port(), listen_backlog=BACKLOG)
