"""From the environment to checked ``Settings``, or to one error that names every problem."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from guard.core.sizing import Given as GivenSizes
from guard.core.sizing import derive
from guard.errors import BadSetting, SettingsError
from guard.settings.forms import Unfit, kind_of
from guard.settings.machine import usable_cores
from guard.settings.masking import shown
from guard.settings.model import Settings, specs
from guard.settings.rules import SIZES, broken
from guard.settings.sources import Source, collect
from guard.settings.values import convert

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from guard.settings.model import Spec
    from guard.settings.sources import Given, Inputs

__all__ = ["Loaded", "Source", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Checked settings and where each comes from. Immutable.

    Attributes:
        settings: the settings.
        sources: each field's source, in the order of the table.
    """

    settings: Settings
    sources: Mapping[str, Source]


def load(
    environ: Mapping[str, str] | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    cores: int | None = None,
) -> Loaded:
    """Return the checked settings.

    A later source wins: default, the file that ``GUARD_CONFIG_FILE`` names, environment,
    overrides. An empty text is as good as not given. ``GUARD_TEST_*`` names are left alone.

    Args:
        environ: the environment; the process's own where None.
        overrides: values by field name, given in code: of the field's type, or texts.
        cores: processors to size for, >= 1; those that the process may use where None.

    Raises:
        SettingsError: some settings can't be used; lists every one. No password is in it.
    """
    inputs = collect(os.environ if environ is None else environ, overrides or {})
    problems = inputs.problems
    values, bad = _convert(inputs)
    sources = {field: _source(field, inputs) for field in specs()}
    sizes = {field: values[field] for field in SIZES if field in values}
    for field, spec in specs().items():
        values.setdefault(field, _DEFAULTS[spec.env])
    url = "" if "database_url" in bad else values["database_url"]
    found = derive(kind_of(url), usable_cores() if cores is None else cores, GivenSizes(**sizes))
    values.update({field: getattr(found, field) for field in SIZES if field not in bad})
    problems.extend(broken(values, bad))
    if problems:
        raise SettingsError(problems)
    return Loaded(Settings(**values), MappingProxyType(sources))


_DEFAULTS = {each.metadata["spec"].env: each.default for each in fields(Settings)}


def _source(field: str, inputs: Inputs) -> Source:
    if field in inputs.values:
        return inputs.values[field].source
    return Source.DERIVED if specs()[field].derived else Source.DEFAULT


def _convert(inputs: Inputs) -> tuple[dict[str, Any], Collection[str]]:
    values: dict[str, Any] = {}
    bad = set(inputs.unreadable)
    for field, spec in specs().items():
        given = inputs.values.get(field)
        if given is None:
            continue
        try:
            values[field] = convert(field, spec, given.raw)
        except Unfit as unfit:
            bad.add(field)
            inputs.problems.append(_bad(spec, given, unfit))
    return values, bad


def _text(raw: object) -> str:
    try:
        return str(raw)
    except ValueError:  # a whole number of more digits than Python writes
        return f"a {type(raw).__name__}"


def _bad(spec: Spec, given: Given, unfit: Unfit) -> BadSetting:
    text = shown(_text(given.raw), secret=spec.secret)
    hint = ", ".join(part for part in (unfit.hint, given.where) if part)
    return BadSetting(spec.env, text, unfit.allowed, hint)
