from __future__ import annotations

import pytest

from guard.core.vocabulary import Lane
from service.lanes import BODY_MAX_BYTES, classify

ID = "5f0c1d7e-9a43-4b6e-8d52-0c3ab7e61f94"


@pytest.mark.parametrize(
    ("method", "path", "query", "length", "lane"),
    [
        ("POST", "/warrior", "", "10", Lane.WRITE),
        ("POST", "/warrior", "t=a", "", Lane.WRITE),
        ("POST", "/warrior", "", str(BODY_MAX_BYTES), Lane.WRITE),
        ("POST", "/warrior", "", str(BODY_MAX_BYTES + 1), None),
        ("POST", "/warrior", "", "9" * 5000, None),
        ("POST", "/warrior", "", "nonsense", Lane.WRITE),
        ("GET", "/warrior", "t=a", "", Lane.READ),
        ("HEAD", "/warrior", "t=a", "", Lane.READ),
        ("GET", "/warrior", "", "", None),
        ("GET", "/warrior", "t=", "", None),
        ("GET", "/warrior", "t=" + "a" * 101, "", None),
        ("PUT", "/warrior", "t=a", "", None),
        ("OPTIONS", "/warrior", "t=a", "", None),
        ("GET", f"/warrior/{ID}", "", "", Lane.READ),
        ("HEAD", f"/warrior/{ID.upper()}", "", "", Lane.READ),
        ("GET", f"/warrior/{ID}\n", "", "", None),
        ("GET", f"/warrior/{ID}/", "", "", None),
        ("GET", "/warrior/1", "", "", None),
        ("DELETE", f"/warrior/{ID}", "", "", None),
        ("GET", "/counting-warriors", "", "", Lane.READ),
        ("POST", "/counting-warriors", "", "", None),
        ("GET", "/openapi.json", "", "", None),
        ("GET", "/nothing", "", "", None),
        ("POST", "/nothing", "", "", None),
        ("GET", "", "", "", None),
    ],
)
def test_classify(method: str, path: str, query: str, length: str, lane: Lane | None) -> None:
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": length,
    }
    assert classify(environ) is lane
