"""Transom from Python: an upload that is written to a file while it comes."""

import sys
from pathlib import Path

from transom import FormLimits, Server

port, folder = int(sys.argv[1]), Path(sys.argv[2])
app = Server(workers=1)
limits = FormLimits(folder=folder)


@app.post("/upload", stream=True, max_body=2**30)
def upload(request):
    (path := folder / "saved-python").unlink(missing_ok=True)
    file = request.form(limits).files["file"]
    file.save_to(path)
    return str(file.size)


app.run(f"127.0.0.1:{port}")
