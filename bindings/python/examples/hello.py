"""Hello, with a parameter: python3 hello.py, then curl http://127.0.0.1:8080/hello/you"""

from transom import Server

app = Server()


@app.get("/hello/{name}")
def hello(request):
    return f"hello {request.params['name']}\n"


if __name__ == "__main__":
    app.run("127.0.0.1:8080")
