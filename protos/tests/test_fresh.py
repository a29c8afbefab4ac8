"""The committed files are what the sources say."""

import importlib.util
from pathlib import Path

PROTOS = Path(__file__).parent.parent
PACKAGE = PROTOS / "src" / "charonia_protos"


def test_committed_files_equal_a_fresh_generation(tmp_path):
    """Whoever changes a source runs `make protos`: a fresh generation gives the committed bytes."""
    spec = importlib.util.spec_from_file_location("generate", PROTOS / "generate.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    written = generator.generate(tmp_path)
    assert {path.name for path in written} == {"descriptors.binpb", "grpc_service_pb2.pyi", "model_config_pb2.pyi"}
    stale = [path.name for path in written if path.read_bytes() != (PACKAGE / path.name).read_bytes()]
    assert not stale, f"{stale} are older than the sources: run make protos"
