"""ASGI 3 applications: a host that calls them for requests, and runs their lifespan."""
