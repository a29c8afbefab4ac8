"""gRPC over HTTP/2: calls, their messages, and how they end."""
