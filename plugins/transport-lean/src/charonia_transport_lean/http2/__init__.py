"""HTTP/2 as RFC 9113 has it, for servers."""
