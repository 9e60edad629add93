"""Pascal VOC: an XML file for every picture, with its ``object``s.

Format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/ and, for ``attributes``, what CVAT and Datumaro write
(``datumaro/plugins/data_formats/voc``). An object's ``bndbox`` becomes a ``box``, its numbers as they are: VOC itself
counts pixels from 1, most tools from 0, and no file says which. Objects have no ids: theirs are their numbers, from 1.
A picture's id is its XML file's path below the folder, without the suffix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vipcli.errors import UsageError, quote
from vipcli.markers.formats.markup import Document, Edit, Element, edited, escaped, inserted, parse_xml
from vipcli.markers.formats.reading import file_bytes, find_picture, head_of, marker, number, size_of, walk
from vipcli.markers.formats.values import AnnotatedPicture, Answers, Format, Problem, Region
from vipcli.markers.formats.writing import write_copy, write_folder

__all__ = ["VOC"]

_ROOT = re.compile(r"<annotation[\s>]")
_YES_NO = ("difficult", "truncated", "occluded")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _recognises(path: Path) -> bool:
    files = islice(walk(_folder(path), {".xml"}, deep=False), 5) if os.path.isdir(path) else [path]
    return any(file.suffix.lower() == ".xml" and _ROOT.search(head_of(file)) for file in files)


def _read(path: Path, pictures: Path | None) -> Iterator[AnnotatedPicture | Problem]:
    if not os.path.isdir(path):
        try:
            document = _load(path)
        except UsageError as error:
            raise UsageError(f"{quote(str(path))}: {error}") from None
        yield from _picture(path, path.stem, quote(path.name), document.root, pictures)
        return
    folder = _folder(path)
    for file in walk(folder, {".xml"}):
        key, where = _key(file, folder), quote(file.relative_to(path).as_posix(), 200)
        try:
            document = _load(file)
        except UsageError as error:
            yield Problem(key, where, f"it {error}")
        else:
            yield from _picture(file, key, where, document.root, pictures)


def _annotate(path: Path, answers: Answers, output: Path) -> None:
    """The answer to an object, or to the picture, goes to the attribute ``answer`` in its ``attributes``.

    Of a folder the XML files alone are written, not the pictures.
    """
    if not os.path.isdir(path):
        try:
            data = _answered(path, path.stem, answers)
        except UsageError as error:
            raise UsageError(f"{quote(str(path))}: {error}") from None
        write_copy(data, path, output)
        return
    folder = _folder(path)

    def changed(file: Path) -> bytes:
        return _answered(file, _key(file, folder), answers)

    write_folder(path, walk(folder, {".xml"}), changed, output)


def _folder(path: Path) -> Path:
    return path / "Annotations" if os.path.isdir(path / "Annotations") else path


def _key(file: Path, folder: Path) -> str:
    return os.path.splitext(file.relative_to(folder).as_posix())[0]


def _load(file: Path) -> Document:
    document = parse_xml(file_bytes(file))
    if document.root.tag != "annotation":
        raise UsageError(f"isn't Pascal VOC: it begins with <{quote(document.root.tag, 40)}>, not with <annotation>")
    return document


def _picture(
    file: Path, key: str, where: str, root: Element, pictures: Path | None
) -> Iterator[AnnotatedPicture | Problem]:
    size = root.first("size")
    regions = []
    for count, element in enumerate(root.all("object"), 1):
        try:
            regions.append(_region(str(count), element))
        except UsageError as error:
            yield Problem(f"{key}/object {count}", f"{where}, object {count} (line {element.line})", f"{error}")
    name = root.says("filename") or f"{file.stem}.jpg"
    also = [f"{file.stem}.jpg", *filter(None, [root.says("path")])]
    above = file.parent.parent
    folders = [file.parent, above / "JPEGImages", above / "images", above]
    if file.parent.name == "Annotations":
        folders = [above / "JPEGImages", above / "images", file.parent]
    yield AnnotatedPicture(
        key,
        find_picture(name, folders, pictures, also),
        tuple(regions),
        size_of(size.says("width"), size.says("height")) if size else None,
        where,
    )


def _region(key: str, element: Element) -> Region:
    box = element.first("bndbox")
    if box is None:
        raise UsageError("it has no bndbox, and VOC's other shapes have no marker")
    x1, y1, x2, y2 = (number(box.says(corner), f"its {corner}") for corner in _CORNERS)
    attributes: dict[str, str | bool] = {}
    for name in ("pose", *_YES_NO):
        value = element.says(name)
        if value is not None:
            attributes[name] = value == "1" if name in _YES_NO and value in ("0", "1") else value
    for attribute in _attributes(element):
        name = attribute.says("name") or ""
        if name:
            attributes[name] = attribute.says("value") or ""
    return Region(key, marker("box", (x1, y1, x2, y2)), element.says("name"), dict(attributes))


def _attributes(element: Element) -> list[Element]:
    attributes = element.first("attributes")
    return attributes.all("attribute") if attributes else []


def _answered(file: Path, key: str, answers: Answers) -> bytes:
    document = _load(file)
    edits = _edits(document, document.root, answers(key, None))
    for count, element in enumerate(document.root.all("object"), 1):
        edits += _edits(document, element, answers(key, str(count)))
    return edited(document, edits)


def _edits(document: Document, element: Element, answer: str | None) -> list[Edit]:
    """What puts an answer into an element: into the attribute that is there, else into a new one."""
    if answer is None:
        return []
    value = f"<value>{escaped(answer)}</value>"
    for attribute in _attributes(element):
        old = attribute.first("value") if attribute.says("name") == "answer" else None
        if old is not None:
            return [(old.start, document.end(old), value)]
    xml = f"<attribute><name>answer</name>{value}</attribute>"
    attributes = element.first("attributes")
    if attributes is not None:
        return inserted(document, attributes, xml)
    return inserted(document, element, f"<attributes>{xml}</attributes>")


VOC = Format("voc", _recognises, _read, _annotate)
