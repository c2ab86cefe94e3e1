"""Applications of Django and Starlette with the responses that servers get wrong."""

from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        ROOT_URLCONF="setups_app",
        SECRET_KEY="test",
    )

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import re_path
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PIECES = ["one,", "", "two,", "three"]


def d_twice(request):
    response = HttpResponse("twice")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def d_path(request, name):
    return JsonResponse({"path": request.path, "query": request.META["QUERY_STRING"]})


def d_body(request):
    return HttpResponse(str(len(request.body)))


urlpatterns = [
    re_path("^text$", lambda request: HttpResponse("hello", content_type="text/plain")),
    re_path("^stream$", lambda request: StreamingHttpResponse(iter(PIECES))),
    re_path("^204$", lambda request: HttpResponse(status=204)),
    re_path("^304$", lambda request: HttpResponse(status=304, headers={"ETag": '"1"'})),
    re_path("^twice$", d_twice),
    re_path("^body$", d_body),
    re_path("^(path/.*)$", d_path),
]


async def s_stream(request):
    async def pieces():
        for piece in PIECES:
            yield piece

    return StreamingResponse(pieces())


async def s_twice(request):
    response = PlainTextResponse("twice")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


async def s_path(request):
    return JSONResponse({"path": request.url.path, "query": request.url.query})


async def s_body(request):
    return PlainTextResponse(str(len(await request.body())))


starlette = Starlette(
    routes=[
        Route("/text", lambda request: PlainTextResponse("hello")),
        Route("/stream", s_stream),
        Route("/204", lambda request: Response(status_code=204)),
        Route("/304", lambda request: Response(status_code=304, headers={"etag": '"1"'})),
        Route("/twice", s_twice),
        Route("/body", s_body, methods=["POST"]),
        Route("/path/{name:path}", s_path),
    ]
)
django_wsgi = get_wsgi_application()
django_asgi = get_asgi_application()
