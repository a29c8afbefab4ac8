"""The OpenAPI document: it is valid, its paths are there, and its schemas and examples are those of the models that serve."""

from __future__ import annotations

import asyncio
import json

import pytest
from charonia.http_message import HttpRequest, RequestHead, settled
from charonia.testing.builders import model_config, write_model
from charonia_frontend_http.application import HttpApplication
from charonia_frontend_http.routes import _TABLE, Routes
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

DATATYPES = ["BOOL", "UINT8", "INT8", "UINT64", "INT64", "FP16", "BF16", "FP32", "FP64", "BYTES"]
JSON = "application/json"


@pytest.fixture
def model_repository(model_repository):
    """Add a model for each datatype, one with two versions and a strange name, and others that are out of the ordinary."""
    for datatype in DATATYPES:
        tensors = {"inputs": [("X", datatype, [-1, 2])], "outputs": [("Y", datatype, [-1, 2])]}
        write_model(model_repository, model_config(f"takes-{datatype}", **tensors))
    versions = model_config("a {b}%/ü".replace("/", "+"))
    versions.version_policy.all.SetInParent()
    write_model(model_repository, versions, {"1/x": "", "2/x": ""})
    write_model(model_repository, model_config("countdown", decoupled=True))
    huge = {"inputs": [("X", "FP32", [3, 224, 224])], "outputs": [("Y", "FP32", [3, 224, 224])]}
    write_model(model_repository, model_config("huge", **huge))
    optional = model_config("optional", inputs=[("A", "INT32", [1]), ("B", "INT32", [1])], max_batch_size=0)
    optional.input[1].optional = True
    write_model(model_repository, optional)
    return model_repository


@pytest.fixture
async def ask(running):
    """Send requests to an application on the test's loop."""
    application = HttpApplication(running, running.mailboxes.of(asyncio.get_running_loop()), 1 << 20)

    async def send(method, target, body=b""):
        return await settled(application.handle(HttpRequest(RequestHead(method, target, {}), body)))

    return send


@pytest.fixture
async def document(ask):
    """Read the document."""
    response = await ask("GET", "/v2/openapi.json")
    assert (response.status, response.content_type) == (200, JSON)
    return json.loads(response.body)


def operation(document, path):
    """Give the body's schema, its example and the schema of the answer of an operation."""
    told = document["paths"][path]["post"]
    body = told["requestBody"]["content"][JSON]
    return body["schema"], body.get("example"), told["responses"]["200"]["content"][JSON]["schema"]


async def test_document_is_valid(document):
    """It is OpenAPI 3.1, and so is each schema in it JSON Schema."""
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "charonia"


async def test_every_path_is_there(document):
    """Each path leads to an endpoint that takes the method, with the model's own name however strange it is."""
    routes = Routes()
    for path, methods in document["paths"].items():
        for method in methods:
            route = routes.find(path)
            assert route.takes(method.upper()), path
    names = {routes.find(path).model for path in document["paths"] if path.endswith("/infer")}
    assert {"m", "a {b}%+ü", "optional"} <= names
    assert "/v2/models/a%20%7Bb%7D%25%2B%C3%BC/versions/1/predict" in document["paths"]
    assert "/v2/models/m/versions/1/predict" not in document["paths"]


async def test_every_endpoint_is_described(document):
    """Nothing that clients can ask is left out but the descriptions themselves."""
    routes = Routes()
    described = {
        (method, routes.find(path).endpoint) for path in document["paths"] for method in document["paths"][path]
    }
    there = {(method.lower(), endpoint) for methods, _, endpoint in _TABLE for method in methods.split(", ")}
    descriptions = {("get", endpoint) for endpoint in ("openapi", "docs_page", "docs_style", "docs_script")}
    assert described == there - descriptions


async def test_groups_are_the_models(document):
    """Every operation is in a group, each group is listed, and no two operations share an id."""
    operations = [told for methods in document["paths"].values() for told in methods.values()]
    assert {told["tags"][0] for told in operations} == {tag["name"] for tag in document["tags"]}
    identifiers = [told["operationId"] for told in operations]
    assert len(set(identifiers)) == len(identifiers)


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("endpoint", ["predict", "infer", "generate"])
async def test_examples_are_answered_as_described(document, ask, datatype, endpoint):
    """The example fits its schema, the model answers it, and the answer fits the schema of answers."""
    path = f"/v2/models/takes-{datatype}/{endpoint}"
    schema, example, answer_schema = operation(document, path)
    if datatype in {"FP16", "BF16"} and endpoint != "predict":
        assert example is None  # the protocol has no JSON for them
        return
    Draft202012Validator(schema).validate(example)
    response = await ask("POST", path, json.dumps(example).encode())
    assert response.status == 200, response.body
    Draft202012Validator(answer_schema).validate(json.loads(response.body))


@pytest.mark.parametrize(
    ("endpoint", "wrong"),
    [
        ("predict", {"X": []}),
        ("predict", {"X": [[[1, 2]]] * 9}),
        ("predict", {"X": [[[1, 2, 3]]]}),
        ("predict", {"X": [[[1, 128]]]}),
        ("predict", {"X": [[[1, 0.5]]]}),
        ("predict", {}),
        ("predict", {"X": [[[1, 2]]], "Z": 1}),
        ("infer", {}),
        ("infer", {"inputs": []}),
        ("infer", {"inputs": [{"name": "Z", "datatype": "INT8", "shape": [1, 1, 2], "data": [1, 2]}]}),
        ("infer", {"inputs": [{"name": "X", "datatype": "INT16", "shape": [1, 1, 2], "data": [1, 2]}]}),
        ("infer", {"inputs": [{"name": "X", "datatype": "INT8", "shape": [9, 1, 2], "data": [1, 2] * 9}]}),
        ("infer", {"inputs": [{"name": "X", "datatype": "INT8", "shape": [1, 2], "data": [1, 2]}]}),
    ],
)
async def test_schemas_refuse_what_the_model_refuses(document, ask, endpoint, wrong):
    """Batch, shape, datatype and names are in the schema as they are in the model."""
    path = f"/v2/models/takes-INT8/{endpoint}"
    schema, _, _ = operation(document, path)
    assert not Draft202012Validator(schema).is_valid(wrong)
    assert (await ask("POST", path, json.dumps(wrong).encode())).status == 400


async def test_optional_inputs_may_be_left_out(document, ask):
    """What a model does not need is not required, and not in the example."""
    schema, example, _ = operation(document, "/v2/models/optional/predict")
    assert (schema["required"], example) == (["A"], {"A": [0]})
    assert (await ask("POST", "/v2/models/optional/predict", json.dumps(example).encode())).status == 200


async def test_large_tensors_have_no_example(document):
    """Nobody is helped by a page of zeros."""
    assert operation(document, "/v2/models/huge/predict")[1] is None
    assert operation(document, "/v2/models/huge/infer")[1] is None
    assert operation(document, "/v2/models/m/infer")[1] is not None


async def test_decoupled_models_are_asked_over_a_stream(document):
    """An endpoint that would refuse the model is not described for it."""
    paths = {path for path in document["paths"] if path.startswith("/v2/models/countdown/")}
    assert "/v2/models/countdown/generate_stream" in paths
    answers = document["paths"]["/v2/models/countdown/infer"]["post"]["responses"]["200"]["content"]
    assert list(answers) == ["text/event-stream"]
    assert not paths & {"/v2/models/countdown/predict", "/v2/models/countdown/generate"}


@pytest.mark.parametrize(
    ("method", "path", "schema"),
    [
        ("GET", "/v2", "ServerMetadata"),
        ("GET", "/v2/models/m", "ModelMetadata"),
        ("GET", "/v2/models/stats", "Statistics"),
        ("POST", "/v2/repository/index", "RepositoryIndex"),
        ("GET", "/v2/models/m/versions/9", "Error"),
    ],
)
async def test_shared_schemas_are_true(document, ask, method, path, schema):
    """What the server tells about itself is as described."""
    response = await ask(method, path)
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": document["components"]})
    validator.validate(json.loads(response.body))


async def test_document_follows_the_models(running, ask):
    """A model that is unloaded is not in the document any more."""
    await asyncio.to_thread(running.unload, "m")
    response = await ask("GET", "/v2/openapi.json")
    paths = json.loads(response.body)["paths"]
    assert "/v2/models/m" not in paths
    assert "/v2/models/slow" in paths
