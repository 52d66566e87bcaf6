"""The training loop: take a step, log, evaluate, checkpoint; at the end, finish."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence

from torch import Tensor

from avatarl.runs.result import Result
from avatarl.training.checkpoint import write_checkpoint
from avatarl.training.endings import Diverged, Interrupted, Paused
from avatarl.training.learner import Learner
from avatarl.training.monitors import Monitors
from avatarl.training.recording import Recording

# Takes one step of each learner, described where the flag says so; returns facts of each.
TakeStep = Callable[[list[Learner], bool], list[dict[str, Tensor]]]


def train(
    trainers: Sequence[Trainer], take_step: TakeStep, stop: Callable[[], bool]
) -> list[Result | Exception]:
    """Take runs to their ends, step by step together; what goes wrong with one ends it alone.

    Args:
        trainers: Each at a step of its own.
        take_step: Moves all learners on by one step.
        stop: Asked between two steps; True suspends all runs.

    Returns:
        A result, :class:`Interrupted`, or what went wrong, for each run.
    """
    outcomes: dict[Trainer, Result | Exception] = {}

    def fail(trainer: Trainer, error: Exception) -> None:
        outcomes[trainer] = error
        trainer.recording.failure(error)

    def attend(trainer: Trainer, act: Callable[[], Result | None]) -> None:
        try:
            with trainer.recording.run_log.attended():
                result = act()
            if result is not None:
                outcomes[trainer] = result
        except Exception as error:
            fail(trainer, error)

    try:
        while going := [trainer for trainer in trainers if trainer not in outcomes]:
            if ended := [one for one in going if one.learner.ended]:
                for trainer in ended:
                    attend(trainer, trainer.finish)
            elif resting := [one for one in going if one.rests]:
                for trainer in resting:
                    attend(trainer, trainer.pause)
            elif stop():
                for trainer in going:
                    attend(trainer, trainer.suspend)
            else:
                described = any(one.logs_after(one.learner.step + 1) for one in going)
                try:
                    facts = take_step([trainer.learner for trainer in going], described)
                except Exception as error:
                    for trainer in going:
                        fail(trainer, error)
                    continue
                for trainer, own in zip(going, facts, strict=True):
                    attend(trainer, functools.partial(trainer.after_step, own))
        return [outcomes[trainer] for trainer in trainers]
    finally:
        for trainer in trainers:
            trainer.recording.close()


class Trainer:
    """What a run does between its steps, from where it was left to where it ends.

    Args:
        learner: Takes the steps.
        recording: Where everything is written down.
        monitors: Look at the learner.
        pause_at: The step at which the run is put down; None: it goes on to its end.
    """

    def __init__(
        self,
        learner: Learner,
        recording: Recording,
        monitors: Monitors,
        pause_at: int | None = None,
    ) -> None:
        self.learner, self.state, self.settings = learner, learner.state, learner.config.trainer
        self.recording, self.monitors, self._pause_at = recording, monitors, pause_at
        self._first, self._elapsed_before = self.state.step, self.state.elapsed_s
        self._begun = self._saved = time.monotonic()

    @property
    def rests(self) -> bool:
        """Whether it has come to where it is put down."""
        return self._pause_at is not None and self.state.step >= self._pause_at

    def logs_after(self, step: int) -> bool:
        """Whether a step is logged."""
        return self._due(self.settings.log_every, step)

    def _due(self, every: int, step: int) -> bool:
        return step % every == 0 or step == self.learner.steps

    def after_step(self, facts: dict[str, Tensor]) -> None:
        """Log, evaluate and save what is due after the step that was just taken.

        Raises:
            Diverged: Loss or gradient is no longer finite, and the run may not go back.
            Stopped: An alarm asks for it.
        """
        step = self.state.step
        self.state.norms.append(facts["grad_norm"])
        self.state.means.add(facts)
        self._tick()
        if self.logs_after(step):
            try:
                self.monitors.log(facts)
            except Diverged as error:
                self.monitors.roll_back(error)
                self.checkpoint()
                return
        self.monitors.measure_sparsity()
        if self._due(self.settings.eval_every, step):
            self.monitors.evaluate()
        rate = (step - self._first) / max(1e-9, self._tick())
        self.recording.progress(rate, logged=self.logs_after(step))
        waited = time.monotonic() - self._saved
        if self.logs_after(step) and waited >= self.settings.checkpoint_every_s:
            self.checkpoint()

    def finish(self) -> Result:
        """Measure on all held-out text, write the result, close."""
        reliability = self.monitors.finish()
        self.checkpoint()
        result = self.recording.result(reliability)
        self.recording.write_progress("done")
        self.recording.close("done")
        return result

    def suspend(self) -> None:
        """Leave a checkpoint to go on from, and raise :class:`Interrupted`."""
        self.checkpoint()
        self.recording.write_progress("interrupted")
        raise Interrupted(self.recording.folder.path, self.state.step)

    def pause(self) -> None:
        """Put the run down with a checkpoint, and raise :class:`Paused`."""
        self.checkpoint()
        self.recording.write_progress("paused")
        self.recording.folder.write_paused(self.state.step)
        raise Paused(self.recording.folder.path, self.state.step)

    def checkpoint(self) -> None:
        """Save the state."""
        write_checkpoint(self.recording.folder, self.state.state_dict())
        self.recording.folder.prune(self.settings.keep_checkpoints)
        self._saved = time.monotonic()

    def _tick(self) -> float:
        """Bring the run's time up to date, and return the seconds of this attempt."""
        seconds = time.monotonic() - self._begun
        self.state.elapsed_s = self._elapsed_before + seconds
        return seconds
