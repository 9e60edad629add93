"""``vip eval`` asks a model: answers go into a journal as those of ``vip batch``, and what they come to beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vipcli.cli import console
from vipcli.cli.batch.engines import batch_size_of, check_workers, open_engine_for_batch, weights_of
from vipcli.cli.batch.progress import show_progress
from vipcli.cli.batch.stopping import stoppable
from vipcli.cli.eval.judged import Judging, check_judging
from vipcli.cli.eval.outputs import write_all
from vipcli.cli.inputs import make_folder, open_wanted, prompt_style_of, server_address
from vipcli.config import load_settings
from vipcli.errors import UsageError, quote

if TYPE_CHECKING:
    from vipcli.evaluation import Plan

__all__ = ["Answerer", "ask_plan"]


@dataclass(frozen=True)
class Answerer:
    """What answers, as the flags say. placing: those of `vipcli.open_engine`."""

    model: str | None
    engine: str | None
    workers: int | None
    placing: Mapping[str, str | None]
    batch_size: str
    system: str | None
    prompt_style: str | None


def ask_plan(
    plan: Plan, answerer: Answerer, judging: Judging | None, output: Path, *, quiet: bool, verbose: bool
) -> int:
    """Ask everything that the journal in `output` lacks, and write what it all comes to. Returns the exit code."""
    from vipcli.batch import Facts, Journal, Workers, cores
    from vipcli.engine import resolve
    from vipcli.evaluation import ask, scored
    from vipcli.evaluation.captions import need_pycocoevalcap

    settings = load_settings()
    at_once = batch_size_of(answerer.batch_size)
    server = server_address(answerer.engine, answerer.model, settings)
    check_workers(answerer.workers, server)
    style: dict[str, Any] = {
        "system": answerer.system,
        "prompt_style": prompt_style_of(settings, answerer.prompt_style),
    }
    with console.status("reading the data", quiet=quiet):
        rules = plan.contents.rules  # what is missing is said before a model is loaded
    if not rules:
        raise UsageError(f"{plan.task.name}: there is no question in its data")
    check_judging(judging, rules, plan.task.name)
    if "caption" in rules:
        need_pycocoevalcap()
    usual = {"device": settings.device, "dtype": settings.dtype}
    given = {flag: value for flag, value in answerer.placing.items() if value is not None}
    name = server or answerer.model or settings.model
    with stoppable() as stopped:
        remote = None
        if server is not None:
            remote = open_wanted(server, answerer.model, settings, given, quiet=quiet, verbose=verbose)
        what = {
            "task": plan.task.name,
            "split": plan.reading.split,
            "data": plan.reading.folder and str(plan.reading.folder.resolve()),
            "style": plan.reading.style and plan.reading.style.name,
            "max_new_tokens": plan.task.max_new_tokens,
            "model": remote.name if remote else resolve(name).name,
            "weights": weights_of(name),
            "dtype": given.get("dtype") or settings.dtype,
            "load_in": given.get("load_in"),
            **style,
        }
        job = {key: str(value) for key, value in what.items()}
        path = output / "answers.jsonl"
        journal = Journal(path, job)
        journal.check()
        with _folder(output), Workers(min(8, cores())) as pool:  # they start while the model is loaded
            engine = remote or open_engine_for_batch(
                name, answerer.workers, {**usual, **given}, quiet=quiet, verbose=verbose
            )
            facts = Facts(side=engine.side, patch=engine.patch, special_tokens=frozenset(engine.special_tokens))
            options = {"fit": plan.task.fit, "max_new_tokens": plan.task.max_new_tokens}
            asked = ask(plan, engine, journal, path, pool, facts, at_once=at_once, options=options, **style)
            try:
                with journal, closing(asked):
                    failed = show_progress(asked, rules.total, path, quiet=quiet)
                    lines = list(scored(plan, path))
                    about = {**what, **options, **_placed(server, answerer, {**usual, **given})}
                    about |= {"prompt": "answers.jsonl has the prompt of every question", "temperature": 0.0}
                    unjudged = write_all(plan, lines, judging, output, pool, facts, about, quiet=quiet)
            except KeyboardInterrupt:
                where = quote(str(output))
                console.note(f"vip: stopped; what was answered is in {where}, and the same command goes on from there")
                return stopped.code
    return 3 if failed or unjudged else 0


@contextmanager
def _folder(output: Path) -> Iterator[None]:
    """Make the folder; where nothing comes into it, as for a model that can't be loaded, take it away again."""
    there = output.is_dir()
    make_folder("--output", output)
    try:
        yield
    finally:
        if not there:
            with suppress(OSError):  # it has something
                output.rmdir()


def _placed(server: str | None, answerer: Answerer, placing: Mapping[str, Any]) -> dict[str, Any]:
    """What answered where, for the manifest: sums in another order may end in another word."""
    if server is not None:
        return {"server": server, "batch_size": answerer.batch_size}
    from vipcli.engine import choose_device

    chosen = {} if placing.get("device_map") else {"device": str(choose_device(placing["device"]))}
    return {**placing, **chosen, "workers": answerer.workers or 1, "batch_size": answerer.batch_size}
