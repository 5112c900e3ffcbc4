"""Which options a service is to have: a release's tables and the site file's, filled in.

Three kinds.  Of the site's identity (driver, pool, user, secret): always as the site says.
Recommended: where nobody says anything; what an operator chose stays.  Asked for in
[options.SERVICE.SECTION]: passed through as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fabfile.core.contract import BadInput, Json
from fabfile.model import option_values
from fabfile.model.option_values import BOOLEAN, LIST, NUMBER, TEXT
from fabfile.model.site import Site
from fabfile.resources import in_force
from fabfile.resources.in_force import Options, same

Value = bool | int | str | list[int | str]
At = tuple[str, str]
"""(section, option)."""
OF_SITE, ADVISED = "as the site says", "recommended, where nobody says it"
AT_FIRST, ASKED = "where nobody names stores yet", "as [options] says"
"""Why an option is wanted."""


@dataclass(frozen=True)
class Option:
    """What an option is to be: its value, and the type as which it is compared.

    said: what the tables have of it, each with its reason; '+x' adds x to a list.
    """

    value: str
    kind: str
    recommended: bool = False
    said: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def equals(self, found: str | None) -> bool:
        """Whether a value that is in force means the same."""
        return option_values.equal(self.kind, found, self.value)


@dataclass(frozen=True)
class Part:
    """What a file has of one binding, as a backend's section.

    words: what the release's templates leave open; tables: of identity, the weakest first;
    at_first: weaker still, of a file that does not name such a thing yet.
    """

    words: Mapping[str, str]
    tables: Sequence[Json]
    at_first: Sequence[Json] = ()


@dataclass(frozen=True)
class File:
    """One service's file on a host: what it is made of.

    name: the service's table in the site file; data: the release's; now: what is in force; disks:
    whether Nova keeps its own disks on RBD there.
    """

    site: Site
    name: str
    data: Json
    parts: Sequence[Part]
    now: Options
    disks: bool = False


def wanted(file: File) -> dict[At, Option]:
    """{(section, option): what it is to be}.

    Raises BadInput for what is asked for and decided elsewhere in the site file.
    """
    found: dict[At, Option] = {}
    for part in file.parts:
        found |= _recommended(file, part.words)
    for part in file.parts:
        for table in part.at_first:
            found |= _filled(file, part.words, table, found, AT_FIRST)
        for table in part.tables:
            found |= _filled(file, part.words, table, found, OF_SITE)
    for at, option in _asked(file):
        decided = found.get(at)
        if decided and not decided.recommended and not option.equals(decided.value):
            raise BadInput(
                subject=f"options.{file.name}.{'.'.join(at)}",
                expected=f"{decided.value}, as the rest of the site file has it",
                found=option.value,
                advice="say it where it belongs (docs/own-cloud.md), and take it out here",
            )
        found[at] = option
    return found


def missing(file: File, found: Mapping[At, Option]) -> list[At]:
    """Those that are not in force, defaults included."""
    has = {**file.now, **_defaults(file)}
    return [at for at, option in found.items() if not option.equals(has.get((same(at[0]), at[1])))]


def _recommended(file: File, words: Mapping[str, str]) -> Iterator[tuple[At, Option]]:
    """What nobody says, and what the site file itself names."""
    advised = file.site.recommended
    for section, options in _of_advice(file).items():
        for key, entry in options.items():
            at, template = (section.format(**words), key), entry["value"]
            named = template == "{direct_url}" and _names_url(file.site)
            absent = (same(at[0]), key) not in file.now
            if named or (advised and (absent or entry.get("identity"))):
                value = template.format(**words)
                kind = option_values.kind_of(template)
                yield at, Option(value, kind, absent, ((value, OF_SITE if named else ADVISED),))


def _of_advice(file: File) -> Json:
    """The table of what is recommended here."""
    if file.name == "nova" and file.disks:
        return file.data.get("recommended_ephemeral", {})
    if file.name == "nova" and file.now.get(("libvirt", "images_type")) == "rbd":
        return {}  # the user there is that of disks which the site file knows nothing of
    return file.data.get("recommended", {})


def _names_url(site: Site) -> bool:
    return "show_image_direct_url" in site.glance.model_fields_set


def _filled(
    file: File, words: Mapping[str, str], table: Json, found: Mapping[At, Option], why: str
) -> dict[At, Option]:
    filled = {}
    for section, options in table.items():
        for key, template in options.items():
            at = (section.format(**words), key)
            value = template.format(**words)
            said: tuple[tuple[str, str], ...] = ((value, why),)
            if value.startswith("+"):
                have = found[at].value if at in found else file.now.get((same(at[0]), key), "")
                said = (*(found[at].said if at in found else ()), *_added(value, have, why))
                for item in option_values.items(value[1:]):
                    have = option_values.with_item(have, item)
                value = have
            filled[at] = Option(value, option_values.kind_of(template), said=said)
    return filled


def _added(template: str, have: str, why: str) -> Iterator[tuple[str, str]]:
    """What '+a,b' adds to a list that has something."""
    there = option_values.items(have)
    if new := [one for one in option_values.items(template[1:]) if one not in there]:
        yield "+" + ",".join(new), why


def _asked(file: File) -> Iterator[tuple[At, Option]]:
    """[options.NAME.SECTION] of the site file; references count as what they stand for."""
    asked = [tables for name, tables in file.site.options.items() if name == file.name]
    for section, options in (one for tables in asked for one in tables.items()):
        for key, value in options.items():
            kind, text = _as_text(value)
            there = file.now.get((same(section), key))
            if there is not None and there == in_force.filled(file.now, section, text):
                text = there
            yield (section, key), Option(text, kind, said=((text, ASKED),))


def _as_text(value: Value) -> tuple[str, str]:
    """(type, text) of a value of the site file."""
    if isinstance(value, bool):
        return BOOLEAN, str(value).lower()
    if isinstance(value, list):
        return LIST, ",".join(map(str, value))
    return (NUMBER if isinstance(value, int) else TEXT), str(value)


def as_table(name: str, found: Mapping[str, str]) -> dict[str, Json]:
    """Options as a release's table has them: what stands in them is no word to be filled in."""
    plain = {key: value for key, value in found.items() if not value.startswith("+")}
    return {name: {k: v.replace("{", "{{").replace("}", "}}") for k, v in plain.items()}}


def _defaults(file: File) -> dict[At, str]:
    """What options are that a section does not name, or has as ''; an absent section has none."""
    there = {section for section, _ in file.now}
    return {
        (same(section.format(**words)), key): template.format(**words)
        for words in (part.words for part in file.parts)
        for section, options in file.data.get("defaults", {}).items()
        if same(section.format(**words)) in there
        for key, template in options.items()
        if not file.now.get((same(section.format(**words)), key))
    }


def reason(data: Json, key: str) -> str:
    """Why an option is recommended; '' for one that is not."""
    tables = (data.get("recommended", {}), data.get("recommended_ephemeral", {}))
    sections = [options for table in tables for options in table.values()]
    return next((str(options[key]["why"]) for options in sections if key in options), "")
