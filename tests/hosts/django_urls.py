"""The addresses of the site."""

import os

from django.conf import settings
from django.contrib import admin
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django_site import digest


def echo(request, name):
    return JsonResponse(
        {
            "method": request.method,
            "name": name,
            "query": request.GET.getlist("a"),
            "body": digest([request.body]),
            "x": request.headers.get("X-Test"),
            "url": request.build_absolute_uri(),
        }
    )


def upload(request):
    file = request.FILES["upload"]
    return JsonResponse({"name": file.name, "size": file.size, "hash": digest(file.chunks())})


def read(request):
    return HttpResponse(digest(iter(lambda: request.read(50_000), b"")))


def stream(request):
    return StreamingHttpResponse((f"{number}," for number in range(20)), content_type="text/plain")


def file(request):
    folder = os.path.dirname(settings.DATABASES["default"]["NAME"])
    return FileResponse(open(os.path.join(folder, "file.bin"), "rb"))


def redirect(request):
    response = HttpResponseRedirect("/to/?a=b")
    response.set_cookie("first", "1")
    response.set_cookie("second", "two words")
    return response


def fails(request):
    raise LookupError("on purpose")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("echo/<str:name>/", csrf_exempt(echo)),
    path("upload/", csrf_exempt(upload)),
    path("read/", csrf_exempt(read)),
    path("stream/", stream),
    path("file/", file),
    path("from/", redirect),
    path("to/", lambda request: JsonResponse({"cookies": request.COOKIES, "a": request.GET["a"]})),
    path("fails/", fails),
    path("empty/", lambda request: HttpResponse(status=204)),
]
