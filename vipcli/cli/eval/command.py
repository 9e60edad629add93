"""``vip eval``: a benchmark -> figures with their intervals, and every answer to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vipcli.cli.options import (
    BatchSizeFlag,
    DeviceFlag,
    DeviceMapFlag,
    DtypeFlag,
    EngineFlag,
    LoadInFlag,
    ModelFlag,
    PromptStyleFlag,
    SystemFlag,
)
from vipcli.errors import UsageError

__all__ = ["add_to", "evaluate"]

_TASK, _SCORING, _OUTPUT = "Task", "Scoring", "Output"
_OF_ANSWERING = frozenset(
    ("model", "engine", "workers", "device", "dtype", "device_map", "load_in", "batch_size", "system", "prompt_style")
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("eval")(evaluate)


def evaluate(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="A task, or a .jsonl file of questions with answers", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", "-d", metavar="DIR", help="Where the task's files lie", rich_help_panel=_TASK, show_default=False
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="vip-bench: bbox, human; refcocog: val, test",
            rich_help_panel=_TASK,
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="N questions, always the same", rich_help_panel=_TASK)
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(metavar="KIND@COLOR", help="Mark regions like this: arrow@blue,width=5", rich_help_panel=_TASK),
    ] = None,
    styles: Annotated[
        bool, typer.Option("--styles", help="Again with every kind, color, width", rich_help_panel=_TASK)
    ] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Again with markers left out, and moved", rich_help_panel=_TASK)
    ] = False,
    judge: Annotated[
        str | None,
        typer.Option(metavar="URL|none", help="A server that judges; none: leave unscored", rich_help_panel=_SCORING),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which of its models", rich_help_panel=_SCORING)
    ] = None,
    judge_runs: Annotated[
        int, typer.Option(metavar="N", help="So many times each (the paper: 5)", rich_help_panel=_SCORING)
    ] = 1,
    score: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Score these answers: {id: answer}", rich_help_panel=_SCORING),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="A B", help="Two RESULTS folders, item by item", rich_help_panel=_SCORING),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="RESULTS", help="A folder for all of it", rich_help_panel=_OUTPUT),
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="At most so many tokens, not as the task has it", rich_help_panel="Answer"),
    ] = None,
    system: SystemFlag = None,
    prompt_style: PromptStyleFlag = None,
    model: ModelFlag = None,
    engine: EngineFlag = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes with a model each", rich_help_panel="Model")
    ] = None,
    device: DeviceFlag = None,
    dtype: DtypeFlag = None,
    device_map: DeviceMapFlag = None,
    load_in: LoadInFlag = None,
    batch_size: BatchSizeFlag = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="Errors and figures only", rich_help_panel=_OUTPUT)] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Model and timings on stderr", rich_help_panel=_OUTPUT)
    ] = False,
) -> int:
    """Measure a model on the paper's benchmarks, on synthetic scenes, or on questions of your own.

    \b
    vip eval synthetic --limit 200 -o results/
    vip eval vip-bench --data ViP-Bench/ --judge none -o results/
    vip eval mine.jsonl -m 7b --control -o results/
    vip eval --compare results-a/ results-b/

    Tasks: vip-bench, vp-bench, visual7w, pointqa-twice, vcr-qa, vcr-qar, refcocog-caption, synthetic.
    RESULTS gets every answer (a journal: the same command goes on where it stopped), the figures with 95 % intervals
    as JSON and Markdown, a page to look at, and a manifest to repeat it by.
    """
    from vipcli.cli.eval.comparing import show_comparison
    from vipcli.cli.eval.given import score_given
    from vipcli.cli.eval.judged import judging_of
    from vipcli.cli.eval.planning import plan_of

    if output == "":  # as a path that is the current folder
        raise UsageError("--output: the path is empty")
    folder = None if output is None else Path(output)
    sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if compare is not None:
        if beside := [name for name in given if name not in ("compare", "output", "quiet", "verbose")]:
            other = "TASK" if beside[0] == "task" else _flag(beside[0])
            raise UsageError(f"--compare A B goes alone: it reads two RESULTS folders of vip eval; leave {other} out")
        return show_comparison(*compare, folder)
    if task is None:
        raise UsageError("no task: name one, like vip eval synthetic -o results/ (see vip eval --help)")
    if folder is None:
        raise UsageError("no output: name a folder for the results, like -o results/")
    plan = plan_of(task, data, split, limit, style, max_new_tokens, styles=styles, control=control)
    judging = judging_of(judge, judge_model, judge_runs)
    if score is not None:
        if beside := [name for name in given if name in _OF_ANSWERING]:
            raise UsageError(f"--score: nothing is asked, since the answers are there; leave {_flag(beside[0])} out")
        return score_given(plan, score, judging, folder, quiet=quiet)
    from vipcli.cli.eval.asking import Answerer, ask_plan

    placing = {"device": device, "dtype": dtype, "device_map": device_map, "load_in": load_in}
    answerer = Answerer(model, engine, workers, placing, batch_size, system, prompt_style)
    return ask_plan(plan, answerer, judging, folder, quiet=quiet, verbose=verbose)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
