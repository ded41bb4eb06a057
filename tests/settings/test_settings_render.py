from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard import metrics
from guard.__main__ import DOCUMENTS
from guard.settings import load
from guard.settings.model import specs
from guard.settings.render import as_json, env_example, markdown, table

ROOT = Path(__file__).parents[2]
SECRET = {
    "GUARD_DATABASE_URL": "postgresql://u:hunter2@h/db",
    "GUARD_DATABASE_READ_URL": "postgresql://u:hunter2@r/db",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_generated_files_are_up_to_date(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == DOCUMENTS[name](), "python -m guard docs writes it anew"


def test_the_table_is_aligned_and_complete() -> None:
    lines = table(load({"GUARD_MODE": "shadow"}, cores=2)).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [spec.env for spec in specs().values()]
    column = lines[0].index("SOURCE")
    assert all(line[column - 1] == " " and line[column] != " " for line in lines)
    assert any(line.split() == ["GUARD_MODE", "shadow", "environment"] for line in lines)
    assert any(line.split() == ["GUARD_WORKERS", "2", "derived"] for line in lines)


def test_no_password_is_shown() -> None:
    loaded = load(SECRET)
    for text in (table(loaded), as_json(loaded)):
        assert "hunter2" not in text
        assert "postgresql://u:***@h/db" in text


def test_json_has_typed_values_and_the_texts_to_set_them() -> None:
    document = json.loads(as_json(load({"GUARD_DEADLINE": "2m"}, cores=2)))
    assert document["GUARD_DEADLINE"] == {
        "field": "deadline_s", "value": 120.0, "text": "2m", "unit": "seconds",
        "source": "environment", "reload": "live",
    }  # fmt: skip
    assert document["GUARD_EXEMPT_PATHS"]["value"] == ["/livez", "/readyz", "/metrics"]
    assert document["GUARD_MODE"]["value"] == "enforce"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"GUARD_DATABASE_URL": "duckdb:///a", "GUARD_EXEMPT_PATHS": ",", "GUARD_READ_ROUTES": ","},
        {"GUARD_DEADLINE": "1.5s", "GUARD_READ_ROUTES": "POST /a,PUT /b*", "GUARD_THREADS": "100"},
    ],
)
def test_what_is_printed_can_be_set_and_gives_the_same(environ: dict[str, str]) -> None:
    loaded = load(environ, cores=2)
    document = json.loads(as_json(loaded))
    again = load({name: entry["text"] for name, entry in document.items()}, cores=1)
    assert again.settings == loaded.settings


def test_a_file_name_that_is_no_text_can_be_shown() -> None:
    loaded = load({"GUARD_DATABASE_URL": "duckdb:///a\udcff.duckdb"})
    assert "a\\udcff.duckdb" in table(loaded)


def test_the_page_has_one_row_per_setting() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    names = [spec.env for spec in specs().values()]
    derived = [spec.env for spec in specs().values() if spec.derived]
    assert [row.split("`")[1] for row in rows] == names + derived
    assert all(row.count(" | ") == 7 for row in rows[: len(names)])


def test_the_example_file_changes_nothing_with_all_lines_in_force(tmp_path: Path) -> None:
    text = env_example()
    file = tmp_path / "example.env"
    lines = [
        line[1:] if line.startswith("#") and line[1:2] not in {" ", ""} else line
        for line in text.splitlines()
    ]
    assert sum(not line.startswith("#") and "=" in line for line in lines) == len(specs())
    file.write_text("\n".join(lines))
    assert load({"GUARD_CONFIG_FILE": str(file)}).settings == load({}).settings
    file.write_text(text)
    assert load({"GUARD_CONFIG_FILE": str(file)}).settings == load({}).settings


def test_every_setting_is_explained_and_names_a_metric_that_exists() -> None:
    known = {metric.name for metric in metrics.ALL}
    for spec in specs().values():
        assert spec.help.endswith((".", ").", "GET /visit.")), spec.env
        assert not spec.watch or spec.watch in known, spec.env
