"""Messages go over one connection, with the head of the first, for as long as it is open; what that is, `requests` finds."""

from __future__ import annotations

from base64 import b64encode

import pytest
import requests
from charonia.tls import TlsFiles
from charonia_trace_opentelemetry.posting import PostingSession
from charonia_trace_opentelemetry.senders import sender
from listener import Listener, Tunnel
from opentelemetry.sdk.trace.export import SpanExportResult


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    """Have the environment name neither proxies nor certificates."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def listener():
    """Give what listens."""
    with Listener() as listening:
        yield listening


def post(url, *messages, **named):
    """Post messages, and give the last answer."""
    with PostingSession() as session:
        for session.message in messages:
            answer = session.post(url, **({"timeout": 60} | named))
    return answer


@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
def test_messages_go_over_one_connection_and_have_the_same_head(listener, coding):
    """Only the first of them is posted by `requests`, which a collector cannot tell."""
    headers = {"key": "value", "Content-Type": "application/x-protobuf"}
    answer = post(
        f"http://{listener.address}/v1/traces?a=b",
        b"first",
        b"second" * 100_000,
        b"third",
        headers=headers if coding is None else {**headers, "Content-Encoding": coding},
    )
    assert (answer.status_code, answer.reason, answer.ok) == (200, "OK", True)
    (number, target, head, _), *others = listener.got
    assert (head["Host"], head["key"]) == (listener.address, "value")
    assert [(number, target, head)] * 2 == [other[:3] for other in others]
    assert [body for *_, body in listener.got] == [b"first", b"second" * 100_000, b"third"]


def test_a_connection_that_the_collector_has_closed_is_opened_anew(listener):
    """Collectors do so with those which are idle for long."""
    listener.answers = [(200, {}, b""), (200, {"Connection": "close"}, b"")]
    post(f"http://{listener.address}/", b"first", b"second", b"third")
    assert [(number, body) for number, *_, body in listener.got] == [(1, b"first"), (1, b"second"), (2, b"third")]


@pytest.mark.parametrize("before", [0, 1])
def test_an_answer_in_chunks_is_one(listener, before):
    """However long it is."""
    chunked = (200, {"Transfer-Encoding": "chunked"}, b"2\r\nok\r\n0\r\n\r\n")
    listener.answers = [(200, {}, b"")] * before + [chunked]
    assert post(f"http://{listener.address}/", *[b"message"] * (before + 2)).ok
    assert [body for *_, body in listener.got] == [b"message"] * (before + 2)


def test_an_answer_without_content_keeps_the_connection(listener):
    """It has no length either."""
    listener.answers = [(204, {}, b"")] * 3
    post(f"http://{listener.address}/", b"first", b"second", b"third")
    assert [number for number, *_ in listener.got] == [1, 1, 1]


@pytest.mark.parametrize("before", [0, 1])
def test_what_a_collector_says_is_told(listener, before):
    """Status, reason, header fields whatever their case, and text: to the first message and to one of those that follow."""
    listener.answers = [(200, {}, b"")] * before + [(503, {"Retry-After": "7"}, b"later")]
    answer = post(f"http://{listener.address}/", *[b"message"] * (before + 1))
    assert (answer.status_code, answer.reason, answer.text) == (503, "Service Unavailable", "later")
    assert answer.headers["retry-after"] == "7"
    assert not answer.ok


@pytest.mark.parametrize("before", [0, 1])
def test_no_answer_is_an_error_that_exporters_know(listener, before):
    """They try again at once, for which there is another connection."""
    with PostingSession() as session:
        session.message = b"message"
        for _ in range(before):
            session.post(f"http://{listener.address}/", timeout=60)
        listener.silent = 1
        with pytest.raises(requests.ConnectionError):
            session.post(f"http://{listener.address}/", timeout=60)
        assert session.post(f"http://{listener.address}/", timeout=60).ok
    assert [number for number, *_ in listener.got] == [1] * (before + 1) + [2]


def test_an_answer_is_waited_for_as_long_as_exporters_say(listener):
    """Also where the connection is open already."""
    with PostingSession() as session:
        session.message = b"message"
        session.post(f"http://{listener.address}/", timeout=60)
        listener.may_answer.clear()
        with pytest.raises(requests.Timeout):
            session.post(f"http://{listener.address}/", timeout=0.01)
        listener.may_answer.set()


def test_redirects_are_followed_each_time(listener):
    """Where an exporter wants that, no message goes by the way of another's redirection."""
    listener.answers = [(307, {"Location": "/there"}, b""), (200, {}, b"")] * 2
    post(f"http://{listener.address}/here", b"first", b"second")
    assert [(target, body) for _, target, _, body in listener.got] == [
        ("/here", b"first"),
        ("/there", b"first"),
        ("/here", b"second"),
        ("/there", b"second"),
    ]


@pytest.mark.parametrize("before", [0, 1])
def test_an_answer_that_leads_elsewhere_is_no_success(listener, before):
    """Exporters do not follow it, and would take it for one; whoever reads the log is told where to, and no login."""
    listener.answers = [(200, {}, b"")] * before + [(307, {"Location": "/there"}, b"")]
    url = f"http://me:secret@{listener.address}/here"
    with PostingSession() as session:
        for _ in range(before):
            session.post(url, timeout=60)
        with pytest.raises(
            requests.TooManyRedirects, match=f"^http://{listener.address}/here leads to /there: give that"
        ):
            session.post(url, timeout=60, allow_redirects=False)
        assert session.post(url, timeout=60).ok
    assert [number for number, *_ in listener.got] == [1] * (before + 2)


def test_the_way_is_looked_for_again_when_the_collector_has_moved(listener):
    """It says so by its answer to one of those that follow; where an exporter follows, those behind that one reach it."""
    listener.answers = [(200, {}, b""), *[(307, {"Location": "/there"}, b"")] * 2, (200, {}, b"")]
    with PostingSession() as session:
        session.post(f"http://{listener.address}/here", timeout=60)
        with pytest.raises(requests.TooManyRedirects):
            session.post(f"http://{listener.address}/here", timeout=60)
        assert session.post(f"http://{listener.address}/here", timeout=60).ok
    assert [target for _, target, *_ in listener.got] == ["/here", "/here", "/here", "/there"]


def test_a_login_from_netrc_is_sent_with_each_message(listener, monkeypatch, tmp_path):
    """It is looked for once."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("NETRC", str(file))
    post(f"http://{listener.address}/", b"first", b"second")
    assert [head["Authorization"] for _, _, head, _ in listener.got] == ["Basic bWU6c2VjcmV0"] * 2


def test_the_login_is_looked_for_again_when_it_was_refused(listener, monkeypatch, tmp_path):
    """Whoever gives the collector another password writes it into the file, and starts no server anew."""
    file = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(file))
    listener.answers = [(200, {}, b""), (401, {}, b"")]
    with PostingSession() as session:
        for password in ("old", "new", "new"):
            file.write_text(f"machine 127.0.0.1 login me password {password}")
            session.post(f"http://{listener.address}/", timeout=60)
    old, new = (f"Basic {b64encode(login).decode()}" for login in (b"me:old", b"me:new"))
    assert [head["Authorization"] for _, _, head, _ in listener.got] == [old, old, new]


def test_messages_go_through_a_proxy(listener, monkeypatch):
    """One that the environment names, which is told where they shall go, and who sends them."""
    monkeypatch.setenv("http_proxy", f"http://me:secret@{listener.address}")
    post("http://collector.test/v1/traces", b"first", b"second")
    (first, second) = listener.got
    assert first[1] == "http://collector.test/v1/traces"
    assert first[2]["Proxy-Authorization"] == "Basic bWU6c2VjcmV0"
    assert first[2]["Host"] == "collector.test"
    assert first[:3] == second[:3]


def test_certificates_are_those_of_the_environment(certificate, make_certificate, monkeypatch):
    """The collector has to be vouched for, and so has the server where the collector wants it."""
    client = make_certificate("client")
    mutual = TlsFiles(certificate.certificate, certificate.key, roots=client.certificate, mutual=True)
    with Listener(mutual.context(["http/1.1"])) as listening:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", certificate.certificate)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", client.certificate)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", client.key)
        sending = sender(f"https://{listening.address}/v1/traces")
        for message in (b"first", b"second"):
            assert sending.send(message) is SpanExportResult.SUCCESS
        sending.close()
    assert [(number, body) for number, *_, body in listening.got] == [(1, b"first"), (1, b"second")]


def test_a_collector_that_nobody_vouches_for_gets_nothing(listener, certificate):
    """As with `requests` itself, and as exporters know it."""
    with Listener(certificate.context(["http/1.1"])) as listening, pytest.raises(requests.exceptions.SSLError):
        post(f"https://{listening.address}/v1/traces", b"message")
    assert listening.got == []


def test_messages_go_through_a_tunnel(listener, certificate, monkeypatch):
    """With TLS, a proxy of the environment is asked for a way to the collector, and does not see what goes there."""
    with Listener(certificate.context(["http/1.1"])) as listening, Tunnel() as tunnel:
        monkeypatch.setenv("https_proxy", f"http://{tunnel.address}")
        post(f"https://{listening.address}/v1/traces", b"first", b"second", verify=certificate.certificate)
    assert tunnel.asked == [listening.address]
    assert [got[:2] for got in listening.got] == [(1, "/v1/traces")] * 2


def test_a_collector_that_closes_before_it_answers_gets_the_message_again(listener):
    """The exporter sends it once more, at once."""
    sending = sender(f"http://{listener.address}/")
    assert sending.send(b"first") is SpanExportResult.SUCCESS
    listener.silent = 1
    assert sending.send(b"second") is SpanExportResult.SUCCESS
    sending.close()
    assert [(number, body) for number, *_, body in listener.got] == [(1, b"first"), (1, b"second"), (2, b"second")]
