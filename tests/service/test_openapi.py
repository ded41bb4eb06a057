from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

if TYPE_CHECKING:
    from service_client import Service

BOUNDED = settings(
    max_examples=20, deadline=None, derandomize=True, database=None,
    phases=[Phase.generate], suppress_health_check=list(HealthCheck),
)  # fmt: skip
NO_PARAMETERS = {"/counting-warriors", "/livez", "/readyz"}
OPERATIONS = [
    ("POST", "/warrior"), ("GET", "/warrior"), ("GET", "/warrior/{id}"),
    ("GET", "/counting-warriors"), ("GET", "/livez"), ("GET", "/readyz"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=" ".join)
@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.name.lower())
def test_the_service_keeps_its_description(
    service: Service, method: str, path: str, mode: GenerationMode
) -> None:
    described = schemathesis.openapi.from_wsgi("/openapi.json", service.app)
    operation = described[path][method]
    if mode is GenerationMode.NEGATIVE and path in NO_PARAMETERS:
        return

    keys: set[str] = set()

    @BOUNDED
    @given(operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        # That a key serves one warrior only is more than a schema can say.
        key = case.headers.get("Idempotency-Key")
        if key in keys:
            case.headers["Idempotency-Key"] = str(uuid4())
        keys.add(key)
        case.call_and_validate()

    check()


def test_every_operation_is_described(service: Service) -> None:
    described = service.send("GET", "/openapi.json").get_json()["paths"]
    rules = {
        re.sub(r"<uuid:\w+>", "{id}", rule.rule): {
            method.lower() for method in rule.methods or () if method not in {"HEAD", "OPTIONS"}
        }
        for rule in service.app.url_map.iter_rules()
        if rule.rule != "/openapi.json"
    }
    rules["/warrior"] = {"get", "post"}  # two rules in the map
    assert {path: set(operations) for path, operations in described.items()} == rules
