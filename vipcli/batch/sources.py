"""Where items come from: folders, lists of files, manifests, annotations, request files. Each can be read again."""

from __future__ import annotations

import fnmatch
import heapq
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from vipcli.batch.asking import Asking, asked, check_template, fill
from vipcli.batch.items import BadItem, Item, MarkerText
from vipcli.batch.manifests import check_columns, read_csv, read_jsonl, read_lines
from vipcli.batch.places import placed
from vipcli.batch.recall import Recall
from vipcli.batch.requests import begin_with_request, is_request_file, read_requests
from vipcli.errors import UsageError, quote
from vipcli.images import PICTURE_SUFFIXES
from vipcli.markers.formats import AnnotatedPicture, Format, Problem, Rle, recognise
from vipcli.prompt import expand

__all__ = ["Source", "check_not_empty", "open_source"]

_LISTS = frozenset([".csv", ".json", ".jsonl", ".ndjson", ".txt", ".xml", ".yaml", ".yml"])


@dataclass(frozen=True, eq=False)
class Source:
    """Items that can be read again and again, in the same order.

    name: what a user calls it. path: the file or folder; None for several, or standard input. form: the format of
    annotations. requests: it is a file of OpenAI requests. read_rest: `read` but for the items that are known by their
    lines, where that can be.
    """

    name: str
    path: Path | None
    read: Callable[[], Iterator[Item | BadItem]]
    form: Format | None = None
    requests: bool = False
    read_rest: Callable[[Recall], Iterator[Item | BadItem]] | None = None

    def items(self, sample: int | None = None, recall: Recall | None = None) -> Iterator[Item | BadItem]:
        """All items, or a `sample` of so many: always the same ones, spread over the whole.

        recall: knows what may be left out.
        """
        if sample is None:
            yield from self.read() if recall is None or self.read_rest is None else self.read_rest(recall)
            return
        ids = heapq.nsmallest(
            sample, ((blake2b(item.id.encode("utf-8", "replace")).digest(), item.id) for item in self.read())
        )
        wanted = {name for _, name in ids}
        yield from (item for item in self.read() if item.id in wanted)


def open_source(
    names: Sequence[str],
    asking: Asking,
    *,
    recursive: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    images: str | None = None,
) -> Source:
    """The source that the command line names.

    names: one folder, manifest, annotation file, request file or ``-`` (paths or JSON lines on standard input), or
    pictures. recursive, include, exclude: which pictures of a folder. images: where the pictures of a list or of
    annotations lie. Raises `UsageError` where it can't be one, or can't be asked like that.
    """
    if any(not name for name in names):
        raise UsageError("SOURCE: the path is empty")
    if images is not None and not os.path.isdir(images):
        raise UsageError(f"--images {quote(images)}: there is no such folder")
    name, folder = names[0], None if images is None else Path(images)
    if len(names) > 1 or _is_picture(name):
        source = _of_pictures(names, asking)
    elif name == "-":
        source = _of_stdin(folder, asking)
    else:
        source = _of_path(name, asking, folder, _Choice(recursive, include, exclude))
    is_folder = source.form is None and source.path is not None and source.path.is_dir()
    shown = quote(name) if len(names) == 1 else source.name
    for flag, given in (("--recursive", recursive), ("--include", include), ("--exclude", exclude)):
        if given and not is_folder:
            raise UsageError(f"{flag} goes with a folder of pictures, not with {shown}")
    if images is not None and (is_folder or len(names) > 1 or _is_picture(name)):
        raise UsageError(f"--images goes with a list or annotations, not with {shown}")
    if asking.question is not None and _has_doubtful_names(asking, source):
        check_template(source.items())
    return source


def check_not_empty(source: Source, *, chosen: bool, recursive: bool) -> None:
    """Raise `UsageError` where `source` has no items. chosen: whether globs choose among its pictures.

    Annotations, which may be large, aren't read only for that.
    """
    if source.form is not None or next(source.items(), None) is not None:
        return
    sentence = f"{quote(source.name)} holds nothing to ask about"
    if source.path is not None and source.path.is_dir():
        globs = " that --include and --exclude let through" if chosen else ""
        deeper = "" if recursive else " (--recursive looks into the folders in it)"
        sentence = f"{quote(source.name)} holds no picture{globs}{deeper}"
    raise UsageError(sentence)


@dataclass(frozen=True)
class _Choice:
    """Which pictures of a folder."""

    recursive: bool
    include: Sequence[str]
    exclude: Sequence[str]


def _of_pictures(names: Sequence[str], asking: Asking) -> Source:
    for one in names:
        if not _is_picture(one) and (one == "-" or os.path.isdir(one) or Path(one).suffix.lower() in _LISTS):
            raise UsageError(f"{quote(one)}: is no picture; what isn't a picture is a SOURCE of its own")
    _check_question(asking, "a picture")
    return Source(f"{len(names)} pictures", None, lambda: _pictures(names, asking))


def _of_stdin(folder: Path | None, asking: Asking) -> Source:
    lines, name = _stdin_lines(), "standard input"
    if begin_with_request(lines):
        return _requests(name, None, lambda: read_requests(lines, name, folder, asking), asking)
    if next((line.lstrip().startswith("{") for line in lines if line.strip()), False):
        return _json_lines(name, None, lambda: lines, name, folder, asking)
    _check_question(asking, "a list of pictures")
    return Source(name, None, lambda: _listed(lines, folder, asking))


def _of_path(name: str, asking: Asking, folder: Path | None, choice: _Choice) -> Source:
    path = Path(name)
    if not os.path.exists(path):
        raise UsageError(f"there is no {quote(name)}: SOURCE is a folder, a manifest, annotations or pictures")
    if not os.path.isdir(path) and not os.path.isfile(path):
        raise UsageError(f"{quote(name)}: is a pipe or a device, which can't be read twice; for standard input write -")
    if form := recognise(path):
        _check_question(asking, f"{quote(name)} ({form.name})", annotated=True)
        return Source(name, path, lambda: _annotated(form.read(path, folder), asking), form)
    if os.path.isdir(path):
        _check_question(asking, quote(name))
        return Source(name, path, lambda: _folder(path, asking, choice))
    base = folder or path.parent
    if is_request_file(path):
        return _requests(name, path, lambda: read_requests(read_lines(path), path.name, base, asking), asking)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        check_columns(path, asking)
        return Source(name, path, lambda: read_csv(path, base, asking))
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(name, path, lambda: read_lines(path), path.name, base, asking)
    if suffix == ".txt":
        _check_question(asking, quote(name))
        return Source(name, path, lambda: _listed(read_lines(path), base, asking))
    raise UsageError(
        f"{quote(name)} is no source that vip knows: use a folder, pictures, a .jsonl, .csv or .txt list, or the "
        "annotations of COCO, YOLO, VOC, LabelMe, CVAT or Label Studio"
    )


def _json_lines(
    name: str,
    path: Path | None,
    lines: Callable[[], Iterable[str]],
    called: str,
    base: Path | None,
    asking: Asking,
) -> Source:
    def read(recall: Recall | None = None) -> Iterator[Item | BadItem]:
        return read_jsonl(lines(), called, base, asking, recall)

    return Source(name, path, read, read_rest=read)


def _has_doubtful_names(asking: Asking, source: Source) -> bool:
    """Whether the template may have a name that no item has. Annotations aren't read for what each of them says."""
    known = {"id": ""} | ({"name": ""} if asking.markers else {})
    if source.form is not None:
        known["name"] = ""
        known |= {} if asking.each is False else {"label": "", "region": ""}
    try:
        fill(asking.question or "", known)
    except UsageError:
        return source.path is None or source.path.suffix.lower() != ".csv"  # whose header has been looked at
    return False


def _requests(name: str, path: Path | None, read: Callable[[], Iterator[Item | BadItem]], asking: Asking) -> Source:
    if asking.question is not None or asking.each:
        raise UsageError(f"{quote(name)} has the questions of its requests: leave -q and --each out")
    return Source(name, path, read, requests=True)


def _check_question(asking: Asking, name: str, *, annotated: bool = False) -> None:
    """Raise `UsageError` where there is no question, or it names a marker where none can be."""
    if asking.question is None:
        raise UsageError(f'{name} has no questions of its own: give one, like -q "What is this?"')
    if not annotated and not asking.markers:
        expand(asking.question, {})


def _is_picture(name: str) -> bool:
    if name.lower().startswith(("http://", "https://")):
        return True
    return Path(name).suffix.lower() in PICTURE_SUFFIXES and not os.path.isdir(name)


def _pictures(names: Iterable[str], asking: Asking, base: Path | None = None) -> Iterator[Item | BadItem]:
    for name in names:
        yield from asked(Item(name, placed(name, base), "", where=name), asking)


def _folder(folder: Path, asking: Asking, choice: _Choice) -> Iterator[Item | BadItem]:
    for name in _names(folder, choice.recursive):
        if isinstance(name, BadItem):
            yield name
            continue
        if Path(name).suffix.lower() not in PICTURE_SUFFIXES:
            continue
        if choice.include and not any(_matches(name, pattern) for pattern in choice.include):
            continue
        if any(_matches(name, pattern) for pattern in choice.exclude):
            continue
        yield from asked(Item(name, str(folder / name), "", where=name), asking)


def _names(folder: Path, recursive: bool) -> Iterator[str | BadItem]:
    """The files of a folder and, after them, of those below it, sorted, as paths relative to `folder`; no hidden ones.

    Links to folders aren't followed. Raises `UsageError` where `folder` itself can't be read.
    """
    waiting = [""]
    while waiting:
        below = waiting.pop()
        try:
            with os.scandir(folder / below) as found:
                entries = sorted((one for one in found if not one.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            sentence = f"the folder can't be read: {error.strerror}"
            if not below:
                raise UsageError(f"{quote(str(folder))}: {sentence}") from error
            yield BadItem(below, below, sentence)
            continue
        yield from (below + entry.name for entry in entries if not os.path.isdir(entry.path))
        if recursive:
            deeper = [f"{below}{entry.name}/" for entry in entries if entry.is_dir(follow_symlinks=False)]
            waiting += reversed(deeper)


def _matches(name: str, pattern: str) -> bool:
    """Whether a glob is the path's, or, without a slash, the file name's."""
    return fnmatch.fnmatch(name if "/" in pattern else os.path.basename(name), pattern)


def _listed(lines: Iterable[str], base: Path | None, asking: Asking) -> Iterator[Item | BadItem]:
    """A picture a line; empty lines and those that begin with # are left out."""
    names = (line.strip() for line in lines)
    yield from _pictures((name for name in names if name and not name.startswith("#")), asking, base)


def _annotated(pictures: Iterator[AnnotatedPicture | Problem], asking: Asking) -> Iterator[Item | BadItem]:
    """One item for each region or, with ``--all``, for each picture that has any."""
    for picture in pictures:
        if isinstance(picture, Problem):
            yield BadItem(picture.id, picture.where, picture.sentence)
            continue
        item = Item(picture.id, picture.path, "", size=picture.size, where=picture.where)
        if asking.each is False:
            if picture.regions:
                markers = tuple(_marker(region.marker) for region in picture.regions)
                yield from asked(replace(item, markers=markers, region=(picture.id, None)), asking)
            continue
        for region in picture.regions:
            own = {"label": region.label, "region": region.id}
            values = region.attributes | {name: value for name, value in own.items() if value is not None}
            one = replace(
                item,
                id=f"{picture.id}#{region.id}",
                markers=(_marker(region.marker),),
                region=(picture.id, region.id),
                fields=values,
            )
            yield from asked(one, replace(asking, each=None))


def _marker(marker: str | Rle) -> MarkerText | Rle:
    return MarkerText(marker) if isinstance(marker, str) else marker


def _stdin_lines() -> list[str]:
    stdin = getattr(sys.stdin, "buffer", None)
    if stdin is None or stdin.isatty():
        raise UsageError(
            "standard input is no pipe or file: pipe a list of pictures, as in: find . -name '*.jpg' | vip batch - ..."
        )
    return list(io.StringIO(stdin.read().decode("utf-8-sig", "surrogateescape"), newline=""))
