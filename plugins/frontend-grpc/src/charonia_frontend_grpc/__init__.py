"""gRPC for the Charonia inference server. This module only tells where things are; grpcio is imported with the frontend."""

from __future__ import annotations

from charonia.frontend_offer import FrontendOffer, FrontendOption
from charonia.hookspecs import hookimpl

OPTIONS = (
    FrontendOption("allow-grpc", default=True, help="Serve gRPC."),
    FrontendOption("grpc-address", "127.0.0.1", "The address to listen on; 0.0.0.0 is every network of this machine."),
    FrontendOption("grpc-port", 8001, "The port to listen on; 0 takes a free one."),
    FrontendOption("reuse-grpc-port", default=False, help="Let several servers share the port (SO_REUSEPORT)."),
    FrontendOption("grpc-max-message-size", 2_147_483_647, "The largest message that a client may send, in bytes."),
    FrontendOption(
        "grpc-restricted-protocol",
        "",
        "Keep parts of the protocol for calls with metadata, as <category>[,<category>...]:<key>=<value>. "
        "May come several times.",
        repeatable=True,
    ),
    FrontendOption(
        "grpc-header-forward-pattern",
        "",
        "Pass metadata whose names this regular expression matches on to the model, as parameters of the request.",
    ),
    FrontendOption("grpc-use-ssl", default=False, help="Speak TLS."),
    FrontendOption("grpc-use-ssl-mutual", default=False, help="Speak TLS, and ask clients for their certificate."),
    FrontendOption("grpc-server-cert", "", "The file with the server's certificate chain, in PEM."),
    FrontendOption("grpc-server-key", "", "The file with the server's private key, in PEM."),
    FrontendOption("grpc-root-cert", "", "The file with the certificates that vouch for clients, in PEM."),
    FrontendOption(
        "grpc-infer-response-compression-level", "none", "How answers are compressed: none, low, medium or high."
    ),
    FrontendOption("grpc-keepalive-time", 7_200_000, "How long a connection may be silent before a ping, in ms."),
    FrontendOption("grpc-keepalive-timeout", 20_000, "How long a ping may go without an answer, in ms."),
    FrontendOption("grpc-keepalive-permit-without-calls", default=False, help="Ping connections without calls, too."),
    FrontendOption("grpc-http2-max-pings-without-data", 2, "How many pings may follow each other without data."),
    FrontendOption(
        "grpc-http2-min-recv-ping-interval-without-data", 300_000, "How often clients may ping without data, in ms."
    ),
    FrontendOption("grpc-http2-max-ping-strikes", 2, "How many pings too early end a client's connection; 0: none."),
    FrontendOption("grpc-max-connection-age", 0, "How old a connection may become, in ms; 0 is any age."),
    FrontendOption("grpc-max-connection-age-grace", 0, "How long calls may outlive that age, in ms; 0 is for ever."),
)


@hookimpl
def charonia_frontends() -> dict[str, FrontendOffer]:
    """Offer the protocol over gRPC."""
    return {"grpc": FrontendOffer("charonia_frontend_grpc.frontend:GrpcFrontend", OPTIONS)}
