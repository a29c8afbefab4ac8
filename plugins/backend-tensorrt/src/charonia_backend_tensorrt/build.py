"""Plans from ONNX models: parsing, the profiles of shapes, building."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charonia.errors import InvalidArgumentError, UnavailableError, UnsupportedError

from charonia_backend_tensorrt import cuda
from charonia_backend_tensorrt.library import Library
from charonia_backend_tensorrt.shapes import batch_profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from charonia_backend_tensorrt.tensors import Span

__all__ = ["BuildOptions", "build"]


@dataclass(frozen=True)
class BuildOptions:
    """What a plan is to be like.

    Attributes:
        max_batch_size: the greatest batch, where no profile is given and nothing but the first dimension varies.
        profiles: what inputs may look like, by name.
        flags: names of the library's `BuilderFlag`s.
        capabilities: the compute capabilities of the GPUs that shall run it, such as "8.6"; this machine's GPU if none.
        workspace: how many bytes of the GPU's memory an operator may use to be quick; 0 is the library's own choice.
        plugins: shared libraries of plugins that the model needs.
    """

    max_batch_size: int = 8
    profiles: Sequence[Mapping[str, Span]] = ()
    flags: Sequence[str] = ()
    capabilities: Sequence[str] = ()
    workspace: int = 0
    plugins: Sequence[str] = ()


def build(library: Library, model: Path, options: BuildOptions) -> bytes:
    """Make a plan from an ONNX model. It takes seconds to hours, and a GPU unless TensorRT for RTX is told for which one.

    Args:
        library: what makes the plan, and will run it.
        model: the file.
        options: what the plan is to be like.

    Raises:
        InvalidArgumentError: an option does not fit the model or the library.
        UnsupportedError: the library cannot read the model, or cannot make a plan of it.
        UnavailableError: it takes a GPU, and there is none.
        PluginError: the library is not installed.
    """
    _require_what_it_is_made_for(library, options.capabilities)
    for plugin in options.plugins:
        library.load_plugins(plugin)
    builder = library.module.Builder(library.logger)
    network = builder.create_network(0)
    parser = _parse(library, network, model)  # which must live as long as the network: it has its weights
    config = builder.create_builder_config()
    _set_flags(library, config, options)
    _set_capabilities(library, config, options.capabilities)
    _set_profiles(builder, network, config, options)
    with library.complaints() as complaints:
        plan = builder.build_serialized_network(network, config)
    del parser
    if plan is None:
        raise UnsupportedError(f"{library} {library.version} cannot make a plan of '{model}': {'; '.join(complaints)}")
    return bytes(plan)


def _require_what_it_is_made_for(library: Library, capabilities: Sequence[str]) -> None:
    if library is Library.TENSORRT and capabilities:
        raise InvalidArgumentError(
            f"{library} makes plans for the GPU of this machine: leave --compute-capability out, or use {Library.RTX}"
        )
    if capabilities:
        return
    try:
        cuda.require_gpus()
    except UnavailableError as error:
        if library is Library.TENSORRT:
            raise
        raise UnavailableError(f"{error}; or say with --compute-capability which GPUs will run the plan") from error


def _parse(library: Library, network: Any, model: Path) -> Any:
    parser = library.module.OnnxParser(network, library.logger)
    with library.complaints() as complaints:
        done = parser.parse_from_file(str(model))
    if not done:
        errors = map(parser.get_error, range(parser.num_errors))
        lines = [_told(each.desc(), each.node_operator()) for each in errors] or complaints
        told = "; ".join(" ".join(line.split()) for line in lines)
        raise UnsupportedError(f"{library} {library.version} cannot read '{model}' as an ONNX model: {told}")
    return parser


def _told(error: str, operator: str) -> str:
    return f"{error} (operator {operator})" if operator else error


def _set_flags(library: Library, config: Any, options: BuildOptions) -> None:
    flags = library.module.BuilderFlag.__members__
    for name in options.flags:
        if name.upper() not in flags:
            raise InvalidArgumentError(
                f"{library} {library.version} has no flag '{name}': expected one of {', '.join(sorted(flags))}"
            )
        config.set_flag(flags[name.upper()])
    if options.workspace:
        config.set_memory_pool_limit(library.module.MemoryPoolType.WORKSPACE, options.workspace)


def _set_capabilities(library: Library, config: Any, capabilities: Sequence[str]) -> None:
    if not capabilities:
        return
    known = {
        name: value for name, value in library.module.ComputeCapability.__members__.items() if name.startswith("SM")
    }
    config.num_compute_capabilities = len(capabilities)
    for index, text in enumerate(capabilities):
        name = f"SM{text.replace('.', '')}"
        if name not in known:
            written = ", ".join(f"{each[2:-1]}.{each[-1]}" for each in known)
            raise InvalidArgumentError(
                f"{library} {library.version} makes no plans for the compute capability '{text}': expected one of {written}"
            )
        config.set_compute_capability(known[name], index)


def _set_profiles(builder: Any, network: Any, config: Any, options: BuildOptions) -> None:
    inputs = {tensor.name: tensor for tensor in map(network.get_input, range(network.num_inputs))}
    varying = {name: tuple(tensor.shape) for name, tensor in inputs.items() if -1 in tensor.shape}
    bound = varying.keys() | {name for name, tensor in inputs.items() if tensor.is_shape_tensor}
    wanted = options.profiles or ([batch_profile(varying, options.max_batch_size)] if bound else [])
    for spans in wanted:
        _check_profile(spans, inputs, bound)
        profile = builder.create_optimization_profile()
        for name, span in spans.items():
            set_span = profile.set_shape_input if inputs[name].is_shape_tensor else profile.set_shape
            set_span(name, span.least, span.best, span.most)
        if config.add_optimization_profile(profile) < 0:
            raise InvalidArgumentError(f"the profile {dict(spans)} contradicts the model's inputs")


def _check_profile(spans: Mapping[str, Span], inputs: Mapping[str, Any], bound: set[str]) -> None:
    strange, missing = sorted(spans.keys() - inputs.keys()), sorted(bound - spans.keys())
    if strange:
        raise InvalidArgumentError(
            f"the profile names {', '.join(strange)}, but the model's inputs are {', '.join(inputs)}"
        )
    if missing:
        raise InvalidArgumentError(
            f"a profile must say something about each input that varies: add {', '.join(missing)}"
        )
    for name, span in spans.items():
        shape = tuple(inputs[name].shape)
        if inputs[name].is_shape_tensor:
            continue
        sizes = zip(shape, span.least, span.most, strict=False)
        if len(shape) != len(span.least) or any(size != -1 and {size} != {low, high} for size, low, high in sizes):
            raise InvalidArgumentError(f"the profile's shapes for {name} do not fit the model's {list(shape)}")
