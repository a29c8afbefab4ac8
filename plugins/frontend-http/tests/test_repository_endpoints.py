"""Loading and unloading over HTTP, and the statistics of what is loaded."""

from __future__ import annotations

import base64
import json
from unittest.mock import ANY

import pytest

BODY = {"inputs": [{"name": "X", "shape": [2, 1], "datatype": "FP32", "data": [7, 8]}]}
LOAD = "/v2/repository/models/m/load"
UNLOAD = "/v2/repository/models/m/unload"


@pytest.fixture(params=["explicit"])
async def ask(request, asking):
    """Send requests to an application whose control mode is the parameter."""
    async with asking(model_control_mode=request.param) as ask:
        yield ask


def refused(text, status=400):
    """The answer to a request that is refused."""
    return status, "application/json", {"error": text}


DONE = (200, "application/json", None)


async def test_models_come_and_go(ask):
    """A model serves after it was loaded, and not after it was unloaded; unloading again, or what is not there, is no error."""
    assert (await ask("GET", "/v2/models/m/ready"))[0] == 404
    assert await ask("POST", LOAD) == DONE
    assert await ask("POST", LOAD, {"parameters": {}}) == DONE
    assert (await ask("GET", "/v2/models/m/ready"))[0] == 200
    for body in (None, {}, {"parameters": {"unload_dependents": True}}, {"parameters": {"unload_dependents": "x"}}):
        assert await ask("POST", UNLOAD, body) == DONE
    assert (await ask("GET", "/v2/models/m/ready"))[0] == 400
    assert await ask("POST", "/v2/repository/models/ghost/unload") == DONE


async def test_load_of_nothing_is_told(ask):
    """What is in no repository cannot be loaded, and the answer says where it was looked for."""
    status, _, told = await ask("POST", "/v2/repository/models/ghost/load")
    assert status == 500
    assert told["error"].startswith("failed to load 'ghost', failed to poll from model repository: ")


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ({"parameters": {"foo": "x"}}, refused("unexpected error on creating Triton parameter")),
        ({"parameters": {"config": 5}}, refused("attempt to access JSON non-string as string")),
        ({"parameters": {"file:1/m": None}}, refused("attempt to access JSON non-string as string")),
        ({"parameters": []}, refused("attempt to get members for non-object")),
        ([], refused("attempt to access JSON non-object as object")),
        (b"{", refused("failed to parse the request JSON buffer: Missing a name for object member. at 1")),
    ],
)
async def test_wrong_load_parameters_are_refused(ask, document, answer):
    """A load parameter that there is not, or of the wrong type, is the client's mistake; nothing is loaded."""
    assert await ask("POST", LOAD, document) == answer
    assert (await ask("GET", "/v2/models/m/ready"))[0] == 404


async def test_load_can_bring_a_configuration_and_files(ask):
    """The configuration is JSON, files are base64, in lines or not; an unload ends what they brought."""
    config = json.dumps(
        {
            "backend": "arithmetic",
            "input": [{"name": "X", "data_type": "TYPE_FP32", "dims": [2, 1]}],
            "output": [{"name": "Z", "data_type": "TYPE_FP32", "dims": [2, 1]}],
        }
    )
    content = base64.encodebytes(json.dumps({"addend": 100, "more": "x" * 100}).encode()).decode()
    target = "/v2/repository/models/fresh"
    assert await ask("POST", f"{target}/load", {"parameters": {"config": config, "file:3/model.json": content}}) == DONE
    _, _, told = await ask("POST", "/v2/models/fresh/infer", BODY)
    assert (told["model_version"], told["outputs"][0]["name"], told["outputs"][0]["data"]) == ("3", "Z", [107, 108])
    assert await ask("POST", f"{target}/unload", {"parameters": {"unload_dependents": True}}) == DONE
    assert (await ask("POST", f"{target}/load"))[0] == 500


@pytest.mark.parametrize(
    ("parameters", "status", "text"),
    [
        ({"config": "{"}, 500, "failed to load 'm', failed to poll from model repository"),
        ({"config": '{"bogus": 1}'}, 500, "failed to load 'm', failed to poll from model repository"),
        ({"file:1/model.json": "e30="}, 500, "failed to load 'm', failed to poll from model repository"),
        ({"config": "{}", "file:../x": "e30="}, 400, "Invalid file parameter 'file:../x': "),
        ({"config": "{}", "file:": "e30="}, 400, "Invalid file parameter 'file:': "),
        ({"config": "{}", "file:1/model.json": "?"}, 400, "the load parameter 'file:1/model.json' is no base64"),
    ],
)
async def test_wrong_configurations_and_files_are_refused(ask, parameters, status, text):
    """The answer begins with the reference's words, where it has some; what served goes on serving."""
    assert await ask("POST", LOAD) == DONE
    refused_with, _, told = await ask("POST", LOAD, {"parameters": parameters})
    assert refused_with == status
    assert told["error"].startswith(text)
    assert (await ask("POST", "/v2/models/m/infer", BODY))[0] == 200


async def test_model_names_lead_nowhere(ask):
    """A name with a path in it, which escapes can spell, is refused in the words of the reference's later releases."""
    text = "invalid model name '../m', model name must not contain path traversal characters"
    assert await ask("POST", "/v2/repository/models/..%2Fm/load") == refused(text)


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_repositories_have_no_names(ask, verb):
    """A repository cannot be named in the path."""
    answer = await ask("POST", f"/v2/repository/r1/models/m/{verb}")
    assert answer == refused("'repository_name' specification is not supported", 501)


@pytest.mark.parametrize("ask", ["none"], indirect=True)
@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_clients_load_in_mode_explicit_only(ask, verb):
    """Where all models are loaded at the start, clients can neither load nor unload."""
    answer = await ask("POST", f"/v2/repository/models/m/{verb}")
    assert answer == refused("explicit model load / unload is not allowed if polling is enabled", 503)
    assert (await ask("GET", "/v2/models/m/ready"))[0] == 200


async def test_statistics_have_every_field(ask):
    """Each key of the extension is there before the first request, and the counters count."""
    await ask("POST", LOAD)
    zero = {"count": 0, "ns": 0}
    phases = dict.fromkeys(("compute_input", "compute_infer", "compute_output"), zero)
    status, content_type, told = await ask("GET", "/v2/models/m/stats")
    assert (status, content_type) == (200, "application/json")
    assert told["model_stats"][0].pop("memory_usage") in ([], [{"type": "CPU", "id": 0, "byte_size": ANY}])
    assert told == {
        "model_stats": [
            {
                "name": "m",
                "version": "1",
                "last_inference": 0,
                "inference_count": 0,
                "execution_count": 0,
                "inference_stats": {
                    **dict.fromkeys(("success", "fail", "queue", "cache_hit", "cache_miss"), zero),
                    **phases,
                },
                "response_stats": {},
                "batch_stats": [],
            }
        ]
    }
    assert (await ask("POST", "/v2/models/m/infer", BODY))[0] == 200
    (counted,) = (await ask("GET", "/v2/models/m/versions/1/stats"))[2]["model_stats"]
    assert (counted["inference_count"], counted["execution_count"]) == (2, 1)
    assert counted["inference_stats"]["success"]["count"] == 1
    (batch,) = counted["batch_stats"]
    assert (batch["batch_size"], batch["compute_infer"]["count"]) == (2, 1)
    assert counted["batch_reasons"] == {"unbatched": 1}


async def test_statistics_of_all_models_have_their_own_path(ask):
    """The path for all wins over a model of that name; what does not serve is refused in words of its own."""
    assert (await ask("GET", "/v2/models/stats"))[2] == {"model_stats": []}
    assert await ask("GET", "/v2/models/m/stats") == refused("requested model 'm' is not available")
    await ask("POST", LOAD)
    assert [row["name"] for row in (await ask("GET", "/v2/models/stats"))[2]["model_stats"]] == ["m"]
    answer = await ask("GET", "/v2/models/m/versions/7/stats")
    assert answer == refused("requested model version is not available for model 'm'")
