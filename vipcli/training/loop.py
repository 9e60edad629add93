"""The training loop: learns from batches, logs, judges, writes checkpoints and the model. Prints nothing."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch

from vipcli.engine import is_out_of_memory
from vipcli.errors import OutputError, UsageError, VipError, quote
from vipcli.training.adapters import add_adapters
from vipcli.training.assembling import Prepared, load_heads, load_model
from vipcli.training.checkpoints import read_checkpoint, write_checkpoint
from vipcli.training.drawing import draw_batches
from vipcli.training.events import Event, Finished, Judged, Logged, Noted, Saved, Started, Stepped, Stopped
from vipcli.training.judging import draw_held_out, judge, to_device
from vipcli.training.learner import Learner
from vipcli.training.logs import Log, read_log
from vipcli.training.looking import Words
from vipcli.training.optimizing import Diverged, Learning, rate_at
from vipcli.training.plotting import can_plot, plot
from vipcli.training.runs import Run
from vipcli.training.writing import write_heads, write_model

__all__ = ["train"]

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or it warns in every process that draws samples


def train(
    prepared: Prepared, *, resume: bool = False, stop: Callable[[], bool] = lambda: False
) -> Generator[Event, None, None]:
    """Train as `prepared`; everything is written into ``settings.output``.

    resume: go on where a run there stands; False: raise where there is one. stop: asked before every step; once it is
    true, a checkpoint is written and `Stopped` comes last. In several processes of `accelerate` each makes the same
    calls, and only the first one writes. Raises `VipError` with one sentence; the last checkpoint stays whole.
    """
    accelerator = _accelerator()
    facts = {**prepared.facts, "processes": accelerator.num_processes}  # which say how much a step is
    run = Run(prepared.settings, resume=resume, facts=facts)
    with ExitStack() as stack:
        stack.enter_context(_in_one_sentence(run))
        if accelerator.is_main_process:
            stack.enter_context(run)
        yield from _Training(prepared, accelerator, run, stop).events(stack)


def _accelerator() -> Any:
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    # Precision is that of the weights, and accumulation counts tokens: both are done here. The tower's last layer may
    # have nothing to learn from.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(mixed_precision="no", gradient_accumulation_steps=1, kwargs_handlers=[unused])
    kind = accelerator.distributed_type.value
    if kind not in ("NO", "MULTI_CPU", "MULTI_GPU", "MULTI_NPU", "MULTI_XPU"):
        raise UsageError(
            f"accelerate's {kind} splits a model, and vip train only copies it: configure data parallelism"
        )
    return accelerator


class _Training:
    """A training in one process: where it stands."""

    def __init__(self, prepared: Prepared, accelerator: Any, run: Run, stop: Callable[[], bool]) -> None:
        its = prepared.settings.train
        self._prepared, self._its, self._run, self._stop = prepared, its, run, stop
        self._accelerator = accelerator
        self._world, self._rank = accelerator.num_processes, accelerator.process_index
        self._main, self._device = accelerator.is_main_process, accelerator.device
        model = load_model(prepared)
        self._parameters = sum(parameter.numel() for parameter in model.parameters())
        self._heads = load_heads(prepared, model.config)
        if its.stage == "lora":
            add_adapters(model, prepared.settings.lora)
        if its.compile and self._device.type == "cpu":
            # Compiled, plain attention takes half as long as torch's flash attention of a CPU, whose way back in 16
            # bits is slow: 1.35 times as many steps of `tiny`'s tower, 1.2 times as many of all of it.
            model.set_attn_implementation("eager")
        if its.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        size = model.get_input_embeddings().weight.shape[0]
        words = None if self._heads is None else Words.of(prepared.encoder.token, size)
        self._learner = Learner(model, self._heads, its, prepared.encoder.table, words).to(self._device)
        self._learning = Learning(model, self._heads, its)
        self._step, self._before = 0, 0.0  # seconds of the calls before this one
        self._sums: dict[str, torch.Tensor] = {}
        self._summed = 0  # steps that `_sums` are of
        if run.checkpoint.is_file():
            self._restore()
        self._wrapped = accelerator.prepare(self._learner)
        self._held_out: list[Any] | None = None
        self._judged: dict[str, float] = {}

    def _restore(self) -> None:
        state = read_checkpoint(self._run.checkpoint)
        try:
            self._learning.restore(state["learning"])
        except (LookupError, RuntimeError, ValueError, TypeError):
            raise UsageError(
                f"{quote(str(self._run.checkpoint))} has not the weights that this model has; delete it to begin again"
            ) from None
        self._step, self._before = state["step"], state.get("seconds", 0.0)
        if self._step > self._its.steps:
            raise UsageError(
                f"--resume: {quote(str(self._run.folder))} has {self._step:,} steps behind it, and train.steps is "
                f"{self._its.steps:,}: it can't be less"
            )
        if self._main:  # the sums are those of all processes
            self._sums = {name: torch.tensor(value) for name, value in state.get("sums", {}).items()}
            self._sums = {name: value.to(self._device) for name, value in self._sums.items()}
        self._summed = state.get("summed", 0)

    def events(self, stack: ExitStack) -> Iterator[Event]:
        its, prepared = self._its, self._prepared
        self._log = stack.enter_context(Log(self._run.log, self._step)) if self._main else None
        self._judged = self._last_judged()
        learners = zip(self._learning.names, self._learning.masters, strict=True)
        learning = sum(one.numel() for name, one in learners if not name.startswith("heads."))
        samples, held = (tuple(source.count for source in some) for some in (prepared.sources, prepared.held_out))
        yield Started(self._step, its.steps, learning, self._parameters, str(self._device), samples, held)
        if self._main and not can_plot():
            yield Noted("no loss.png and accuracy.png, since matplotlib isn't there: pip install matplotlib")
        self._learner.train()
        self._began, self._first = time.monotonic(), self._step
        since, shown = self._began, self._step
        watches = its.stage != "vision"  # which reads no conversations
        drawn = draw_batches(prepared, stack, self._step, self._world, self._rank, pinned=self._device.type == "cuda")
        while self._step < its.steps:
            batches = [next(drawn) for _ in range(its.accumulate)]
            tokens, stopped = self._agree(batches)
            if watches and any(batch["cut"].any() for batch in batches):
                watches = False
                room = prepared.encoder.limit
                advice = "raise train.length" if room == its.length else "the model has room for no more"
                yield Noted(f"some conversations have more than {room} tokens and lose their end: {advice}")
            if stopped:
                self._save()
                yield Stopped(self._step, self._run.checkpoint)
                return
            loss = self._learn(batches, tokens)
            now = time.monotonic()
            speed = (self._step - shown) * its.batch * its.accumulate * self._world / max(now - since, 1e-9)
            left = (its.steps - self._step) * (now - self._began) / (self._step - self._first)
            rate = its.rate * rate_at(self._step - 1, its)
            yield Stepped(self._step, loss, rate, speed, left)
            if self._is_time(its.log_every):
                figures = self._means()
                logged = Logged(self._step, self._before + now - self._began, left, rate, speed, figures)
                since, shown = now, self._step
                self._write_row({"seconds": round(logged.seconds, 1), "rate": rate, **figures})
                yield logged
            if its.judged and self._is_time(its.judge_every) and (judged := self._judge()):
                self._judged = judged
                self._write_row({f"judged_{name}": value for name, value in judged.items()})
                if self._main and can_plot():
                    plot(read_log(self._run.log), self._run.folder)
                yield Judged(self._step, judged)
            if self._is_time(its.save_every):
                self._save()
                yield Saved(self._step, self._run.checkpoint)
        if self._agree([])[1]:  # while it was judged for the last time
            self._save()
            yield Stopped(self._step, self._run.checkpoint)
            return
        seconds = self._before + time.monotonic() - self._began
        if self._main:
            self._finish(seconds)
        self._accelerator.wait_for_everyone()
        yield Finished(self._step, seconds, self._run.model, self._judged)

    def _is_time(self, every: int) -> bool:
        return self._step % every == 0 or self._step == self._its.steps

    def _agree(self, batches: list[dict[str, Any]]) -> tuple[float, bool]:
        """How many tokens the answers of this step have in all processes, and whether one was asked to stop."""
        tokens = sum(map(_told, batches))
        if self._world == 1:
            return tokens, self._stop()
        both = torch.tensor([tokens, float(self._stop())], dtype=torch.float64, device=self._device)
        total, stopped = self._accelerator.reduce(both, "sum").tolist()
        return total, stopped > 0

    def _learn(self, batches: list[dict[str, Any]], tokens: float) -> float:
        """Take one step; returns its loss in this process."""
        step = self._step
        torch.manual_seed(hash((self._its.seed, step, self._rank)) % 2**63)  # of dropout
        loss = torch.zeros((), device=self._device)
        for number, batch in enumerate(batches, 1):
            # Gradients are averaged over the processes.
            share = _told(batch) / tokens * self._world if tokens else 0.0
            is_last = number == len(batches)
            with nullcontext() if is_last else self._accelerator.no_sync(self._wrapped):
                one, figures = self._wrapped(to_device(batch, self._device), share, len(batches))
                self._accelerator.backward(one)
            loss = loss + one.detach()
            for name, value in figures.items():
                self._add(name, value.float() / len(batches))
        try:
            self._learning.step(step)
        except Diverged:
            raise VipError(self._diverged(step + 1)) from None
        self._add("loss", loss)
        self._step += 1
        self._summed += 1
        return float(loss)

    def _diverged(self, step: int) -> str:
        has = self._run.checkpoint.is_file()
        kept = f"; {quote(str(self._run.checkpoint))} is from before it" if has else ""
        return (
            f"step {step} diverged: its gradients aren't finite{kept}. Begin again in another output folder, with a "
            'lower train.rate, a longer train.warmup or precision = "float32"'
        )

    def _add(self, name: str, value: torch.Tensor) -> None:
        before = self._sums.get(name)
        self._sums[name] = value if before is None else before + value

    def _totals(self) -> dict[str, float]:
        """The sums over all processes."""
        if self._world == 1:
            return {name: float(value) for name, value in self._sums.items()}
        from accelerate.utils import gather_object

        totals: dict[str, float] = {}
        for some in gather_object([{name: float(value) for name, value in self._sums.items()}]):
            for name, value in some.items():
                totals[name] = totals.get(name, 0.0) + value
        return totals

    def _means(self) -> dict[str, float]:
        count = self._summed * self._world
        totals = self._totals()
        self._sums, self._summed = {}, 0
        return {name: round(totals[name] / count, 5) for name in ("loss", *(n for n in totals if n != "loss"))}

    def _judge(self) -> dict[str, float]:
        """Figures of the held-out samples, shared out among the processes."""
        if self._held_out is None:
            its, prepared = self._its, self._prepared
            drawn = draw_held_out(prepared.held_out, prepared.encoder, its.judged, its.seed)
            self._held_out = drawn[self._rank :: self._world]
        with self._learning.averaged():
            sums = judge(self._learner, self._prepared.encoder, self._held_out, self._its.batch, self._device)
        several = [sums]
        if self._world > 1:
            from accelerate.utils import gather_object

            several = gather_object([sums])
        names = dict.fromkeys(name for some in several for name in some)
        found = {}
        for name in names:
            parts = [some[name] for some in several if name in some]
            found[name] = round(sum(part[0] for part in parts) / max(sum(part[1] for part in parts), 1e-9), 5)
        return found

    def _last_judged(self) -> dict[str, float]:
        rows = [row for row in read_log(self._run.log) if any(name.startswith("judged_") for name in row)]
        last = rows[-1] if rows else {}
        return {name.removeprefix("judged_"): value for name, value in last.items() if name.startswith("judged_")}

    def _write_row(self, row: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write({"step": self._step, **row})

    def _save(self) -> None:
        sums = self._totals()
        if self._main:
            state = {"step": self._step, "learning": self._learning.state(), "sums": sums, "summed": self._summed}
            write_checkpoint(self._run.checkpoint, {**state, "seconds": self._before + time.monotonic() - self._began})
        self._accelerator.wait_for_everyone()

    def _finish(self, seconds: float) -> None:
        learnt = self._learning.result()
        heads = {name.removeprefix("heads."): learnt.pop(name) for name in list(learnt) if name.startswith("heads.")}
        if heads:
            write_heads(heads, self._run.folder / "heads.safetensors")
        write_model(self._prepared, learnt, self._run.model, self._judged, seconds)
        if can_plot():
            plot(read_log(self._run.log), self._run.folder)


def _told(batch: dict[str, Any]) -> int:
    """How many tokens a batch's answers have."""
    return int((batch["labels"] >= 0).sum())


@contextmanager
def _in_one_sentence(run: Run) -> Iterator[None]:
    """Make a `VipError` of what a machine may lack: memory, room on the disk, a worker that it has killed."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if (sentence := _sentence(error, quote(str(run.folder)))) is None:
            raise
        kept = "; what was written is whole, and --resume goes on from there" if run.checkpoint.is_file() else ""
        raise (OutputError if isinstance(error, OSError) else VipError)(sentence + kept) from error


def _sentence(error: Exception, folder: str) -> str | None:
    """What a user can do about a fault of the machine; None where it is another fault."""
    text = str(error)
    if isinstance(error, OSError):
        known = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
        shape = (errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY)  # somebody else was at it
        if error.errno not in known + shape:
            return None
        about = f" ({quote(str(error.filename))})" if error.errno in shape and error.filename else ""
        return f"{folder} can't be written: {error.strerror}{about}"
    if "DataLoader worker (pid" in text:
        return "a process that draws samples has died, most likely for lack of memory: lower train.workers"
    if is_out_of_memory(error):
        return (
            "out of memory: lower train.batch and raise train.accumulate as much, set train.gradient_checkpointing = "
            'true, train.precision = "bfloat16" or a shorter train.length, or take stage = "lora"'
        )
    return None
