"""The application on bjoern, which has no command."""

import sys

import bjoern
from wsgi_app import app

if __name__ == "__main__":
    bjoern.run(app, "127.0.0.1", int(sys.argv[1]), listen_backlog=4096)
