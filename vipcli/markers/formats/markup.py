"""XML, read with the place of everything and changed in that place alone, so that all else stays byte for byte.

A document type is refused before anything of it is read: an entity of a few lines can stand for gigabytes.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from xml.parsers import expat

from vipcli.errors import UsageError

__all__ = ["Document", "Edit", "Element", "attribute_set", "edited", "escaped", "inserted", "parse_xml"]

_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_QUOTED_OR_END = re.compile(rb"""["'>]""")
_DEEPEST = 100
_NO_CHARSETS = ("punycode", "idna")  # of Python's, and they take a time that grows with the square of the length


@dataclass
class Element:
    """An element: its attributes in order, its own text, and where it stands.

    line: from 1. start, opened, close: offsets in `Document.data` of its start tag, of what follows that tag, and of
    its end tag; of an empty one (``<a/>``) `close` is `opened`.
    """

    tag: str
    attributes: dict[str, str]
    line: int
    start: int
    opened: int
    close: int = 0
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def first(self, tag: str) -> Element | None:
        """Its first child called `tag`."""
        return next((child for child in self.children if child.tag == tag), None)

    def all(self, tag: str) -> list[Element]:
        """Its children called `tag`."""
        return [child for child in self.children if child.tag == tag]

    def says(self, tag: str) -> str | None:
        """The stripped text of its first child called `tag`; None where there is none or it is empty."""
        child = self.first(tag)
        return (child.text.strip() or None) if child else None


@dataclass(frozen=True)
class Document:
    """A file's elements, its bytes as UTF-8, and the encoding that it is written in."""

    root: Element
    data: bytes
    encoding: str

    def end(self, element: Element) -> int:
        """The offset in `data` behind an element's end."""
        return element.close if self.empty(element) else self.data.index(b">", element.close) + 1

    def empty(self, element: Element) -> bool:
        """Whether an element is one tag (``<a/>``)."""
        return self.data[element.opened - 2 : element.opened] == b"/>"


Edit = tuple[int, int, str]
"""What stands in `Document.data` from one offset to another, and the XML that takes its place."""


def parse_xml(data: bytes) -> Document:
    """Read XML. Raises `UsageError` where it isn't whole, has a document type or is nested absurdly."""
    encoding = _encoding(data)
    try:
        if codecs.lookup(encoding).name in _NO_CHARSETS:
            raise LookupError(encoding)
        utf8 = data.decode(encoding).encode("utf-8")
    except (UnicodeError, LookupError):
        raise UsageError(f"isn't text in the encoding {encoding}") from None
    parser = expat.ParserCreate("utf-8")  # whatever the declaration says
    parser.buffer_text, parser.buffer_size = True, 1 << 20
    stack: list[Element] = []
    texts: list[list[str]] = []
    roots: list[Element] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        at = parser.CurrentByteIndex
        element = Element(tag, attributes, parser.CurrentLineNumber, at, _after_tag(utf8, at))
        if len(stack) == _DEEPEST:
            raise UsageError(f"is nested more than {_DEEPEST} levels deep in line {element.line}")
        (stack[-1].children if stack else roots).append(element)
        stack.append(element)
        texts.append([])

    def end(_tag: str) -> None:
        element = stack.pop()
        element.text = "".join(texts.pop())
        empty = utf8[element.opened - 2 : element.opened] == b"/>"
        element.close = element.opened if empty else parser.CurrentByteIndex

    def text(characters: str) -> None:
        texts[-1].append(characters)

    def refuse(*_: object) -> None:
        raise UsageError("has a document type (<!DOCTYPE ...>), which may hide anything; remove that line")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(utf8, True)
    except expat.ExpatError as error:
        raise UsageError(f"isn't whole XML: {expat.ErrorString(error.code)} in line {error.lineno}") from None
    return Document(roots[0], utf8, encoding)


def escaped(text: str) -> str:
    """`text` as XML content or as an attribute's value; what XML 1.0 can't hold becomes U+FFFD."""
    text = _FORBIDDEN.sub("\ufffd", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("\r", "&#13;")


def inserted(document: Document, parent: Element, xml: str) -> list[Edit]:
    """The edits that put `xml` behind all else in `parent`, on a line of its own where `parent` has one."""
    data = document.data
    newline = data.rfind(b"\n", 0, parent.start)
    before = data[newline + 1 : parent.start]
    own_line = newline >= 0 and not before.strip()
    indent = before.decode() if own_line else ""
    line = f"\n{indent}  {xml}" if own_line else xml
    if document.empty(parent):
        end = f"\n{indent}</{parent.tag}>" if own_line else f"</{parent.tag}>"
        return [(parent.opened - 2, parent.opened, f">{line}{end}")]
    content = data[parent.opened : parent.close].rstrip()
    at = parent.opened + len(content)
    end = f"\n{indent}" if own_line and b"\n" not in data[at : parent.close] else ""
    return [(at, at, line + end)]


def attribute_set(document: Document, element: Element, name: str, value: str) -> Edit:
    """The edit that gives an element's attribute a value, whether it is there or not."""
    spelled = f'{name}="{escaped(value)}"'.replace("\n", "&#10;").replace("\t", "&#9;")
    for there in _ATTRIBUTE.finditer(document.data, element.start + 1 + len(element.tag.encode()), element.opened):
        if there[1] == name.encode():
            return there.start(1), there.end(), spelled
    at = element.opened - (2 if document.empty(element) else 1)
    return at, at, f" {spelled}"


def edited(document: Document, edits: list[Edit]) -> bytes:
    """The document with `edits` in place, in its own encoding; a character that this lacks becomes a reference."""
    parts, at = [], 0
    for start, end, xml in sorted(edits):
        parts += [document.data[at:start], xml.encode("utf-8")]
        at = end
    text = b"".join([*parts, document.data[at:]]).decode("utf-8")
    return text.encode(document.encoding, errors="xmlcharrefreplace")


def _encoding(data: bytes) -> str:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return name
    declared = _DECLARED.match(data)
    return declared[1].decode("ascii", errors="replace") if declared else "utf-8"


def _after_tag(data: bytes, at: int) -> int:
    """Where the start tag at `at` ends; a ``>`` between quotes isn't its end."""
    while True:
        found = _QUOTED_OR_END.search(data, at)
        if found is None:  # expat will say what is wrong
            return len(data)
        if found[0] == b">":
            return found.end()
        at = data.find(found[0], found.end()) + 1 or len(data)
