"""The HTTP clients that ask: each with the same function for a request."""

import httpx
import requests
import urllib3

#: How long a client waits for an answer, in seconds.
LIMIT = 60


class Reply:
    """What a client has got."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body
        self.text = body.decode("utf-8", "replace")


class Requests:
    """The client of `requests`, with its cookies."""

    def __init__(self, url):
        self.url = url
        self.session = requests.Session()

    def ask(self, method, path, body=None, headers=None, follow=False):
        answer = self.session.request(
            method, self.url + path, data=body, headers=headers, allow_redirects=follow, timeout=LIMIT
        )
        return Reply(answer.status_code, answer.headers, answer.content)

    def send_form(self, path, fields, files):
        answer = self.session.post(self.url + path, data=fields, files=files, timeout=LIMIT)
        return Reply(answer.status_code, answer.headers, answer.content)

    def pieces(self, path):
        with self.session.get(self.url + path, stream=True, timeout=LIMIT) as answer:
            yield from answer.iter_content(None)

    def cookies(self):
        return self.session.cookies.get_dict()

    def close(self):
        self.session.close()


class Httpx:
    """The client of `httpx`, with its cookies."""

    def __init__(self, url):
        self.client = httpx.Client(base_url=url, timeout=LIMIT)

    def ask(self, method, path, body=None, headers=None, follow=False):
        answer = self.client.request(method, path, content=body, headers=headers, follow_redirects=follow)
        return Reply(answer.status_code, answer.headers, answer.content)

    def send_form(self, path, fields, files):
        answer = self.client.post(path, data=fields, files=files)
        return Reply(answer.status_code, answer.headers, answer.content)

    def pieces(self, path):
        with self.client.stream("GET", path) as answer:
            yield from answer.iter_bytes()

    def cookies(self):
        return dict(self.client.cookies)

    def close(self):
        self.client.close()


class Urllib3:
    """The client of `urllib3`, which keeps no cookies."""

    def __init__(self, url):
        self.url = url
        self.pool = urllib3.PoolManager(timeout=LIMIT, retries=urllib3.Retry(connect=0, read=0, redirect=5))

    def ask(self, method, path, body=None, headers=None, follow=False):
        answer = self.pool.request(method, self.url + path, body=body, headers=headers, redirect=follow)
        return Reply(answer.status, answer.headers, answer.data)

    def send_form(self, path, fields, files):
        answer = self.pool.request("POST", self.url + path, fields={**fields, **files})
        return Reply(answer.status, answer.headers, answer.data)

    def pieces(self, path):
        answer = self.pool.request("GET", self.url + path, preload_content=False)
        yield from answer.stream(None)
        answer.release_conn()

    def cookies(self):
        return None

    def close(self):
        self.pool.clear()


CLIENTS = {"requests": Requests, "httpx": Httpx, "urllib3": Urllib3}
