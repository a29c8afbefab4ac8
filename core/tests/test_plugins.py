"""Finding plugins, choosing among what they offer, and the words for each way in which that can fail."""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from charonia.backend import Backend
from charonia.default_scheduler import DefaultScheduler
from charonia.errors import PluginError
from charonia.frontend import Frontend
from charonia.frontend_offer import FrontendOffer, FrontendOption
from charonia.hookspecs import hookimpl
from charonia.plugin_discovery import PluginRecord
from charonia.plugins import Plugins
from charonia.repository import LocalStorage
from charonia.trace_file import TraceFile
from installed import ASKER, BACKENDS, CORE, IMPLEMENTATION, Extra, offering, refusal, state_of

# -- what works


def test_core_offers_its_own_through_the_same_hooks():
    """Without any plugin there are the default scheduler, the local storage and files of traces, and they are in the list."""
    plugins = Plugins(entry_points=())
    assert plugins.scheduler("default", asker=ASKER) is DefaultScheduler
    assert plugins.storage("file", asker=ASKER) is LocalStorage
    assert plugins.trace_writer("triton") is TraceFile
    assert plugins.records() == [
        PluginRecord(
            "scheduler",
            "default",
            "defaults",
            "charonia",
            CORE,
            "ok",
            "",
            "charonia.default_scheduler:DefaultScheduler",
        ),
        PluginRecord("storage", "file", "defaults", "charonia", CORE, "ok", "", "charonia.repository:LocalStorage"),
        PluginRecord("trace_writer", "triton", "defaults", "charonia", CORE, "ok", "", "charonia.trace_file:TraceFile"),
    ]


def test_installed_plugins_are_found_by_default():
    """Without anything said, the entry points of this environment are looked at."""
    assert "file" in Plugins().names("storage")
    found = {entry.name for entry in importlib.metadata.entry_points(group="charonia")}
    assert {record.plugin for record in Plugins().records()} == {"defaults", *found}


def test_implementation_is_imported_at_its_first_use(site):
    """The list needs the light module only; the class comes when it is asked for, and is the same each time."""
    site.install("acme", "acme", offering(acme="acme_heavy:Acme"), modules={"acme_heavy": IMPLEMENTATION})
    plugins = site.plugins()
    assert plugins.names("backend") == ["acme"]
    assert "acme_heavy" not in sys.modules
    found = plugins.backend("acme", asker=ASKER)
    assert issubclass(found, Backend)
    assert plugins.backend("acme", asker=ASKER) is found is sys.modules["acme_heavy"].Acme


def test_record_tells_where_an_offer_comes_from(site):
    """The list has the entry point, the distribution, its version and the import path."""
    site.install("acme-dist", "acme", offering(acme="acme_heavy:Acme"), version="1.2.0")
    assert site.plugins().records()[0] == PluginRecord(
        "backend", "acme", "acme", "acme-dist", "1.2.0", "ok", "", "acme_heavy:Acme"
    )


def test_several_threads_import_once(site):
    """Models that load side by side get one class, whoever is first."""
    counting = "import acme_count\nacme_count.imports += 1\n" + IMPLEMENTATION
    site.install(
        "acme", "acme", offering(acme="acme_heavy:Acme"), modules={"acme_heavy": counting, "acme_count": "imports = 0"}
    )
    plugins = site.plugins()
    together = threading.Barrier(4)

    def ask():
        together.wait(30)
        return plugins.backend("acme", asker=ASKER)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(ask) for _ in range(4)]
        assert len({future.result(30) for future in futures}) == 1
    assert sys.modules["acme_count"].imports == 1


def test_object_can_be_a_plugin():
    """A program that embeds the server passes in objects, without any distribution."""
    plugins = Plugins(entry_points=(), extra=[Extra()])
    assert plugins.backend("fine", asker=ASKER).__name__ == "Fine"
    assert plugins.records()[0] == PluginRecord("backend", "fine", "Extra", "", "", "ok", "", "installed:Fine")


def test_two_tables_share_nothing(site):
    """What breaks in one server's plugins is not broken in another's."""
    site.install("acme", "acme", offering(acme="acme_absent:Acme"))
    first, second = site.plugins(), site.plugins()
    refusal(first, "acme")
    assert state_of(first, "acme")[0] == "broken"
    assert state_of(second, "acme")[0] == "ok"


# -- the six ways to fail


@pytest.mark.parametrize("name", ["backend-onnx", "charonia-backend-onnx", "Charonia_Backend.ONNX"])
def test_disabled_plugin_is_not_imported(site, name):
    """A plugin is switched off by its entry point's or its distribution's name, however that is spelt."""
    module = site.install("charonia-backend-onnx", "backend-onnx", offering(onnxruntime="x:Y"))
    plugins = site.plugins(disabled=[name])
    assert module not in sys.modules
    assert state_of(plugins, "backend-onnx") == ("disabled", f"switched off by --disable-plugin {name}")
    assert refusal(plugins) == (
        f'{ASKER} needs the backend "onnxruntime", which comes from charonia-backend-onnx, which is switched off by '
        f"--disable-plugin {name}"
    )


def test_disabling_what_is_not_there_is_told(caplog):
    """A misspelt name would leave the plugin on, so that it is told."""
    with caplog.at_level(logging.WARNING):
        Plugins(entry_points=(), disabled=["backend-onx"])
    assert caplog.messages == ["--disable-plugin backend-onx: no plugin of this name is installed"]


def two_claimants(site):
    heavy = {"onnx_heavy": IMPLEMENTATION, "acme_heavy": IMPLEMENTATION}
    site.install("charonia-backend-onnx", "backend-onnx", offering(onnxruntime="onnx_heavy:Acme"), modules=heavy)
    site.install("acme-onnx", "acme", offering(onnxruntime="acme_heavy:Acme"))


def test_name_claimed_twice_is_nobodys(site):
    """Nobody wins by the order of installation: both are named, and how to choose."""
    two_claimants(site)
    plugins = site.plugins()
    claim = "provided by acme-onnx and by charonia-backend-onnx: choose one with plugins.backend.onnxruntime in the server's config"
    assert refusal(plugins) == f'{ASKER} needs the backend "onnxruntime", which is {claim}'
    assert state_of(plugins, "acme") == state_of(plugins, "backend-onnx") == ("conflict", claim)
    assert plugins.names("backend") == []


@pytest.mark.parametrize(("choice", "module"), [("acme-onnx", "acme_heavy"), ("backend-onnx", "onnx_heavy")])
def test_choice_settles_a_clash(site, choice, module):
    """The server's config names the distribution, or the plugin, that serves the name; the other one is put aside."""
    two_claimants(site)
    plugins = site.plugins(choices={"backend.onnxruntime": choice})
    assert plugins.backend("onnxruntime", asker=ASKER).__module__ == module
    assert sorted(record.state for record in plugins.records() if record.kind == "backend") == ["disabled", "ok"]


def test_choice_of_somebody_else_is_an_error(site):
    """A choice that names none of the claimants is told, with those that there are."""
    two_claimants(site)
    assert refusal(site.plugins(choices={"backend.onnxruntime": "emca"})) == (
        f'{ASKER} needs the backend "onnxruntime", which is provided by acme-onnx and by charonia-backend-onnx, but '
        'plugins.backend.onnxruntime in the server\'s config chooses "emca": name one of these'
    )


def test_name_of_the_core_is_claimed_like_any_other(site):
    """A plugin cannot quietly take the place of what the core brings."""
    site.install("acme", "acme", BACKENDS.replace("backends", "schedulers").format(offers={"default": "a:B"}))
    assert "provided by charonia and by acme" in refusal(site.plugins(), "default", "scheduler")


@pytest.mark.parametrize("key", ["onnxruntime", "backends.onnxruntime", "backend."])
def test_choice_has_a_kind_and_a_name(key):
    """A choice that cannot mean anything is refused at once."""
    with pytest.raises(
        PluginError, match=r"expected plugins\.<kind>\.<name>, where the kind is one of backend, scheduler"
    ):
        Plugins(entry_points=(), choices={key: "acme"})


def test_plugin_for_another_major_version_is_not_imported(site):
    """What a plugin's own metadata asks for is checked before it is imported."""
    module = site.install(
        "charonia-backend-onnx", "backend-onnx", offering(onnxruntime="x:Y"), version="3.0", requires=["charonia<3,>=2"]
    )
    plugins = site.plugins()
    told = f"asks for charonia>=2,<3, this is {CORE}: pip install -U charonia charonia-backend-onnx"
    assert module not in sys.modules
    assert state_of(plugins, "backend-onnx") == ("incompatible", told)
    assert refusal(plugins) == f'{ASKER} needs the backend "onnxruntime", but charonia-backend-onnx 3.0 {told}'


@pytest.mark.parametrize(
    "requires",
    [[], ["charonia"], ["Charonia>=0.1"], ["numpy>=999"], ['charonia>=9; extra == "x"'], ["charonia[http]>=0.1"]],
)
def test_plugin_that_fits_is_taken(site, requires):
    """Only what the metadata asks of the core, without extras, decides."""
    site.install("acme", "acme", offering(acme="a:B"), requires=requires)
    assert site.plugins().names("backend") == ["acme"]


def test_metadata_that_cannot_be_read_is_a_record(site):
    """A plugin with a requirement that is none is refused by name."""
    site.install("acme", "acme", offering(acme="a:B"), requires=["charonia >=<"])
    state, reason = state_of(site.plugins(), "acme")
    assert state == "incompatible"
    assert reason.startswith("has metadata that cannot be read: ")


# -- plugins that do not keep to the specification


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "offers nothing: mark the functions that implement its hooks with charonia.hookspecs.hookimpl"),
        (
            offering(a="b:C").replace("charonia_backends", "charonia_backend"),
            'implements the hook "charonia_backend", which this charonia does not have: did you mean "charonia_backends"?',
        ),
        (
            offering(a="b:C").replace("charonia_backends", "charonia_teapots"),
            'implements the hook "charonia_teapots", which this charonia does not have: it may need a newer charonia',
        ),
        (
            offering(a="b:C").replace("def charonia_backends()", "def charonia_backends(server)"),
            "has a hook whose arguments are unknown; it may need a newer charonia: ",
        ),
        (BACKENDS.format(offers="1 / 0"), "failed to tell what it offers: ZeroDivisionError: division by zero"),
        (BACKENDS.format(offers=["acme"]), "gave ['acme'] from charonia_backends, which must give a mapping"),
        (offering(acme=7), "gave 'acme': 7 from charonia_backends, which must give str: str"),
        (BACKENDS.format(offers={"": "a:B"}), "gave '': 'a:B' from charonia_backends"),
        (offering(acme="acme.Backend"), 'gave the import path "acme.Backend" for backend "acme", which must look like'),
        (
            offering(http="a:B").replace("backends", "frontends"),
            "gave 'http': 'a:B' from charonia_frontends, which must give str: FrontendOffer",
        ),
    ],
)
def test_plugin_that_breaks_the_rules_is_a_record(site, source, reason):
    """Whatever a plugin's hooks do wrong is told in the list, and nothing of that plugin is used."""
    site.install("acme", "acme", source)
    plugins = site.plugins()
    state, told = state_of(plugins, "acme")
    assert state == "broken"
    assert told.startswith(reason)
    assert plugins.names("backend") == plugins.names("frontend") == []


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("", "module 'acme_heavy' has no attribute 'Acme'"),
        ("Acme = 3", "acme_heavy:Acme is no charonia.backend.Backend"),
        ("class Acme: pass", "acme_heavy:Acme is no charonia.backend.Backend"),
    ],
)
def test_implementation_must_be_what_it_is_offered_as(site, content, cause):
    """A path that leads to nothing, or to something else, is a broken plugin."""
    site.install("acme", "acme", offering(acme="acme_heavy:Acme"), modules={"acme_heavy": content})
    assert cause in refusal(site.plugins(), "acme")


# -- frontends


class Quiet(Frontend):
    async def start(self):
        return ()

    async def stop(self, grace_seconds):
        pass


def frontend_plugin(*names):
    class Offering:
        @hookimpl
        def charonia_frontends(self):
            options = (FrontendOption("port", 8000, "The port to listen on."),)
            return {name: FrontendOffer("tests_quiet:Quiet", options) for name in names}

    return Offering()


@pytest.fixture
def quiet(monkeypatch):
    module = type(sys)("tests_quiet")
    module.Quiet = Quiet
    monkeypatch.setitem(sys.modules, "tests_quiet", module)


def test_frontends_tell_their_options_without_an_import():
    """The command line learns all options from the offers; the class need not even be there."""
    offers = Plugins(entry_points=(), extra=[frontend_plugin("web")]).frontends()
    assert [(name, [option.name for option in offer.options]) for name, offer in offers.items()] == [("web", ["port"])]


def test_frontend_class_is_given(quiet):
    """A frontend is imported by name; one that is not there is explained."""
    plugins = Plugins(entry_points=(), extra=[frontend_plugin("web")])
    assert plugins.frontend("web", Frontend) is Quiet
    with pytest.raises(
        PluginError, match=r'^the server needs the frontend "http": pip install charonia-frontend-http '
    ):
        plugins.frontend("http", Frontend)


def test_option_claimed_twice_keeps_both_frontends_out():
    """Two frontends with an option of the same name cannot both be meant by it."""
    plugins = Plugins(entry_points=(), extra=[frontend_plugin("web"), frontend_plugin("net")])
    assert plugins.frontends() == {}
    with pytest.raises(PluginError) as caught:
        plugins.frontend("web", Frontend)
    assert str(caught.value) == (
        'the server needs the frontend "web", which is kept out, since its option "port" is claimed by Offering and by Offering: '
        "switch one off with --disable-plugin"
    )
