"""What a model in a process of its own wants of the server: loads and unloads, whether models are ready, and metrics."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils

from charonia_backend_custom.activity import Activity, busy_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from charonia_backend_custom.host import ServerHost
    from charonia_backend_custom.process.link import Link
    from charonia_backend_custom.process.messages import HostWish

__all__ = ["Wishes"]

_SLOW = {"load_model", "unload_model"}


class Wishes:
    """Grants a process what it wants. Used by the thread that reads what that says; `join` by whoever has ended it.

    Args:
        host: what the server does for the model.
        link: the line to the process.
        model: the model's name.
        instance: the instance's name.
        execution: what the server knows the process's executions by.
    """

    def __init__(self, host: ServerHost, link: Link, model: str, instance: str, execution: object) -> None:
        self._host = host
        self._link = link
        self._idle = Activity(model, instance)
        self._busy = Activity(model, instance, execution)
        self._thread_name = f"charonia-wish-{instance}"
        self._helpers: list[threading.Thread] = []

    def answer(self, number: int, wish: HostWish) -> None:
        """Grant what the process waits for; what takes time, on a thread of its own."""
        if wish.method not in _SLOW:
            self._answer(number, wish)
            return
        helper = threading.Thread(target=self._answer, args=(number, wish), name=self._thread_name, daemon=True)
        self._helpers = [thread for thread in self._helpers if thread.is_alive()] + [helper]
        helper.start()

    def _answer(self, number: int, wish: HostWish) -> None:
        try:
            self._link.answer(number, self.grant(wish))
        except pb_utils.TritonModelException as error:
            self._link.answer(number, error=error)
        except Exception as error:  # noqa: BLE001 - the border of the process: whatever it asked for wrongly is its own error
            self._link.answer(number, error=pb_utils.TritonModelException(f"{type(error).__name__}: {error}"))

    def grant(self, wish: HostWish) -> Any:
        """Do what the process wants, and give what comes of it."""
        host, metrics = self._host, self._host.metrics
        methods: dict[str, Callable[..., Any]] = {
            "load_model": host.load_model,
            "unload_model": host.unload_model,
            "is_model_ready": host.is_model_ready,
            "declare": metrics.declare,
            "add": metrics.add,
            "apply": metrics.apply,
            "value": metrics.value,
            "leave": metrics.leave,
        }
        if wish.busy is None:
            return methods[wish.method](*wish.arguments, **wish.keywords)
        with busy_with(self._busy if wish.busy else self._idle):
            return methods[wish.method](*wish.arguments, **wish.keywords)

    def join(self) -> None:
        """Wait until what was begun is done."""
        for helper in self._helpers:
            helper.join()
