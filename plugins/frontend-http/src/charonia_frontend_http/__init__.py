"""HTTP/REST for the Charonia inference server. This module only tells where things are; aiohttp is imported with the frontend."""

from __future__ import annotations

from charonia.frontend_offer import FrontendOffer, FrontendOption
from charonia.hookspecs import hookimpl

OPTIONS = (
    FrontendOption("allow-http", default=True, help="Serve HTTP/REST."),
    FrontendOption("http-address", "127.0.0.1", "The address to listen on; 0.0.0.0 is every network of this machine."),
    FrontendOption("http-port", 8000, "The port to listen on; 0 takes a free one."),
    FrontendOption("reuse-http-port", default=False, help="Let several servers share the port (SO_REUSEPORT)."),
    FrontendOption("http-max-input-size", 67_108_864, "The largest JSON document, or JSON or raw tensor, in bytes."),
    FrontendOption(
        "http-max-body-size", 2_147_483_648, "The largest body of a request with its binary tensors, in bytes."
    ),
    FrontendOption("http-max-header-size", 65_536, "The longest line in the head of a request, in bytes."),
    FrontendOption(
        "http-cors-allow-origin",
        "",
        "The origins whose pages may read answers, with commas between them; * is every one.",
    ),
    FrontendOption(
        "http-restricted-api",
        "",
        "Keep parts of the protocol for requests with a header, as <category>[,<category>...]:<header>=<value>. "
        "May come several times.",
        repeatable=True,
    ),
    FrontendOption(
        "http-header-forward-pattern",
        "",
        "Pass headers whose names this regular expression matches on to the model, as parameters of the request.",
    ),
    FrontendOption(
        "http-server-timing",
        default=False,
        help="Tell in each answer how long queue and execution took, in the header Server-Timing.",
    ),
    FrontendOption("http-use-ssl", default=False, help="Speak TLS."),
    FrontendOption("http-server-cert", "", "The file with the server's certificate chain, in PEM."),
    FrontendOption("http-server-key", "", "The file with the server's private key, in PEM."),
)


@hookimpl
def charonia_frontends() -> dict[str, FrontendOffer]:
    """Offer the protocol over HTTP/1.1."""
    return {"http": FrontendOffer("charonia_frontend_http.frontend:HttpFrontend", OPTIONS)}
