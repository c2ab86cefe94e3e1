"""A site of Django with asynchronous views, asked on each server. A process of its own: it is set up once."""

import asyncio
import hashlib
import threading

import django
import httpx
from asgi_servers import SERVERS
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

BODY = bytes(range(256)) * 12_000
#: How long a wait may last, in seconds.
LIMIT = 60

ended = threading.Event()


async def stream(request):
    async def pieces():
        for number in range(20):
            yield f"{number},"
            await asyncio.sleep(0)

    return StreamingHttpResponse(pieces())


async def endless(request):
    async def pieces():
        try:
            while True:
                yield "x" * 1000
                await asyncio.sleep(0.001)
        finally:
            # Either the wait is cancelled, or the generator is closed because nothing could be sent.
            ended.set()

    return StreamingHttpResponse(pieces())


@csrf_exempt
async def echo(request):
    body = hashlib.sha256(request.body).hexdigest()
    return JsonResponse({"path": request.path, "a": request.GET.getlist("a"), "body": body})


urlpatterns = [
    path("stream/", stream),
    path("endless/", endless),
    path("caf\xe9/echo/", echo),
    path("plain/", lambda request: HttpResponse("plain")),
]


def check(client):
    """Asks the site, and raises `AssertionError` for a wrong answer."""
    assert client.get("/stream/").text == "".join(f"{number}," for number in range(20))
    told = client.post("/caf%C3%A9/echo/?a=1&a=2", content=BODY).json()
    assert told == {"path": "/caf\xe9/echo/", "a": ["1", "2"], "body": hashlib.sha256(BODY).hexdigest()}, told
    assert client.get("/plain/").text == "plain"
    assert client.head("/stream/").content == b""
    assert client.get("/plain").status_code == 301
    assert client.get("/none/").status_code == 404
    ended.clear()
    with client.stream("GET", "/endless/") as answer:
        next(answer.iter_bytes())
    assert ended.wait(LIMIT), "the client has left, and the stream goes on"


if __name__ == "__main__":
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="test",
        LOGGING_CONFIG=None,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        DATA_UPLOAD_MAX_MEMORY_SIZE=2**26,
    )
    django.setup()
    for name, serve in SERVERS.items():
        with serve(get_asgi_application()) as url, httpx.Client(base_url=url, timeout=LIMIT) as client:
            check(client)
        print(f"{name}: ok")
