"""The host of WSGI applications (PEP 3333)."""
