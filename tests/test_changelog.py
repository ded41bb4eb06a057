"""Change notes follow their naming rule, so that a release can gather them."""

import re
from pathlib import Path

NOTES = Path(__file__).parent.parent / "changelog.d"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\.(added|changed|fixed|removed|security)\.md")


def test_every_change_note_has_a_name_with_its_kind_and_says_something():
    notes = [note for note in NOTES.iterdir() if note.name != "README.md"]
    assert notes
    for note in notes:
        assert NAME.fullmatch(note.name), note.name
        assert note.read_text(encoding="utf-8").strip(), note.name
