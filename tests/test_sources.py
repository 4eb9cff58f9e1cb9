"""Conventions turned into checks on the sources."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = [
    "config",
    "gridmap",
    "fieldops",
    "insight",
    "realtime",
    "mobile_api",
    "command_center",
    "map_services",
    "devstack",
]
SOURCES = [path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts]


def test_only_lifecycle_writes_status_and_version() -> None:
    offenders = []
    for path in SOURCES:
        if path.name == "lifecycle.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AugAssign | ast.AnnAssign):
                targets = [node.target]
            for target in targets:
                if isinstance(target, ast.Attribute) and target.attr in {"status", "version"}:
                    # Responses and errors carry a `status` of their own.
                    if isinstance(target.value, ast.Name) and target.value.id == "self":
                        continue
                    offenders.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "update"
                and {"status", "version"} & {keyword.arg for keyword in node.keywords}
            ):
                offenders.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert offenders == []


def test_nothing_listens_to_post_save() -> None:
    assert [str(path) for path in SOURCES if re.search(r"\bpost_save\b", path.read_text())] == []


def test_migrations_import_no_code_of_the_project() -> None:
    pattern = re.compile(
        r"^\s*(from|import) (gridmap|fieldops|realtime|mobile_api|command_center|map_services)\b", re.M
    )
    migrations = [path for room in ROOMS for path in (ROOT / room).rglob("migrations/*.py")]
    assert migrations
    assert [str(path) for path in migrations if pattern.search(path.read_text())] == []


def test_no_interface_takes_a_position_without_its_system() -> None:
    """Every serializer that takes x and y; what files and commands declare is tested where they are read."""
    import uuid_utils.compat as uuid
    from rest_framework import serializers

    import command_center.api
    import mobile_api.serializers

    found = []
    for module in (mobile_api.serializers, command_center.api):
        for kind in vars(module).values():
            if not (isinstance(kind, type) and issubclass(kind, serializers.Serializer)):
                continue
            if kind.__module__ != module.__name__ or not kind.__name__.endswith(("In", "Mixin")):
                continue
            fields = kind().fields
            if not {"x", "lon", "longitude"} & set(fields):
                continue
            found.append(kind.__name__)
            assert "system" in fields, kind
            given = kind(
                data={"x": 109.9, "y": 40.6, "id": str(uuid.uuid7()), "resolved": True, "found": "confirmed"}
            )
            assert not given.is_valid()
            assert {"system", "non_field_errors"} & set(given.errors), (kind, given.errors)
    assert {"PositionMixin", "ReportIn", "ConfirmIn", "PlaceIn"} <= set(found)


def test_the_tests_that_the_documents_name_exist() -> None:
    named = {
        (file, test)
        for page in (ROOT / "docs").rglob("*.md")
        for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
    }
    assert len(named) > 15
    missing = [
        f"{file}::{test}" for file, test in sorted(named) if f"def {test}(" not in (ROOT / file).read_text()
    ]
    assert missing == []


def test_no_test_imports_another_test() -> None:
    """What several share stands in `tests/doing.py`, or in a plain module of their package; fixtures in a `conftest.py`."""
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for module in {node.module or "", *(f"{node.module}.{name.name}" for name in node.names)}
        if module.startswith("tests.") and re.search(r"\.(test_\w+|conftest)$", module)
    ]
    assert offenders == []
