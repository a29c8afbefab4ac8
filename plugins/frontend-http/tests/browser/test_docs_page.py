"""The page that describes the server, in a real browser: what a reader sees, fills in and sends."""

from __future__ import annotations

import json
import re

import pytest
from charonia.serving import serve_in_thread
from charonia.testing.builders import model_config, write_model

STRANGE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def model_repository(model_repository):
    """Add a model whose name is markup, and one with two inputs."""
    write_model(model_repository, model_config(STRANGE.replace("/", "")))
    pair = {"inputs": [("A", "FP32", [2]), ("B", "BYTES", [1])], "outputs": [("C", "FP32", [2]), ("D", "BYTES", [1])]}
    write_model(model_repository, model_config("pair", **pair))
    write_model(model_repository, model_config("countdown", decoupled=True, max_batch_size=0))
    return model_repository


@pytest.fixture
async def tab(running, browse):
    """Open the page of a running server in a browser."""
    with serve_in_thread(running, {"http-port": 0}) as (url,):
        async with browse() as tab:
            await tab.open(f"{url}/docs")
            await tab.wait_for("document.querySelectorAll('.operation').length > 20")
            yield tab
            assert tab.messages == []
            assert {re.match(r"\w+:(//[^/]+)?", target)[0] for target in tab.requested} <= {url, "data:"}


OPEN = """[...document.querySelectorAll(".operation")].find((view) => view.querySelector(".path").textContent === %s)"""


async def opened(tab, path):
    """Open an operation, and give an expression for its view."""
    view = f"({OPEN % json.dumps(path)})"
    await tab.value(f"{view}.open = true")
    await tab.wait_for(f"{view}.querySelector('.schema pre').textContent")
    return view


async def sent(tab, view):
    """Press the button, and give the status line and what is shown of the answer."""
    await tab.value(f"{view}.querySelector('.send').click()")
    await tab.wait_for(f"!{view}.querySelector('.answer').hidden && !{view}.querySelector('.send').disabled")
    return (
        await tab.value(f"{view}.querySelector('.status').textContent"),
        await tab.value(f"{view}.querySelector('.content').textContent"),
    )


async def test_browser_tries_predict_and_infer(tab):
    """A reader opens an operation, finds an example that works, sends it, and sees the answer."""
    for endpoint, answer in (("predict", {"C": [[0, 0]], "D": [["text"]]}), ("infer", None)):
        view = await opened(tab, f"/v2/models/pair/{endpoint}")
        status, content = await sent(tab, view)
        assert status.startswith("200 OK"), (status, content)
        if answer:
            assert json.loads(content) == answer
        else:
            assert [output["data"] for output in json.loads(content)["outputs"]] == [[0, 0], ["text"]]


async def test_browser_shows_errors(tab):
    """What is wrong with a request is shown as the server tells it."""
    view = await opened(tab, "/v2/models/m/predict")
    await tab.value(f"""{view}.querySelector('textarea').value = '{{"X": [["a"]]}}'""")
    status, content = await sent(tab, view)
    assert status.startswith("400 Bad Request")
    assert "input 'X' of model 'm': cannot make a FP32 tensor" in json.loads(content)["error"]


async def test_browser_shows_events(tab):
    """A model with any number of responses is asked for events, and all of them are shown."""
    view = await opened(tab, "/v2/models/countdown/infer")
    example = json.loads(await tab.value(f"{view}.querySelector('textarea').value"))
    example["inputs"][0]["data"][0] = 2
    await tab.value(f"{view}.querySelector('textarea').value = {json.dumps(json.dumps(example))}")
    status, content = await sent(tab, view)
    assert status.startswith("200 OK")
    assert content.count("data: ") == 2


async def test_browser_sends_forms(tab):
    """Another kind of body has another form: a field and a file for each input."""
    view = await opened(tab, "/v2/models/pair/predict")
    await tab.value(
        f"""(() => {{
            const view = {view};
            const select = view.querySelector(".choices select");
            select.value = "multipart/form-data";
            select.dispatchEvent(new Event("change"));
            view.querySelector("input[name=A]").value = "[[1, 2]]";
            view.querySelector("input[name=B]").value = "it's raw";
        }})()"""
    )
    status, content = await sent(tab, view)
    assert status.startswith("200 OK"), content
    assert json.loads(content) == {"C": [[1, 2]], "D": [["it's raw"]]}
    curl = await tab.value(f"{view}.querySelector('.curl').textContent")
    assert "--form-string 'B=it'\\''s raw'" in curl


async def test_browser_takes_names_as_text(tab):
    """A model's name that is markup is shown, not obeyed."""
    titles = await tab.value("[...document.querySelectorAll('h2')].map((title) => title.textContent)")
    assert f"model {STRANGE}" in titles
    assert await tab.value("document.querySelectorAll('img').length") == 0


async def test_browser_filters(tab):
    """What does not match the filter is hidden, groups that have nothing left included."""
    await tab.value("""(() => {
        const filter = document.getElementById("filter");
        filter.value = "pair/PREDICT";
        filter.dispatchEvent(new Event("input"));
    })()""")
    shown = "[...document.querySelectorAll('.operation')].filter((view) => view.checkVisibility()).length"
    assert await tab.value(shown) == 1
