"""The one driver of a study.

    take over the trials an earlier driver left open
    until every trial is finished, or a stop is asked for:
        while a slot is free: start the next segment; when every open trajectory is busy, let a waiting trial continue,
            or ask for one more
        end the trials that somebody has asked to stop
        wait for an event; tell the trials whose view it completes, and let those that have reached a rung wait
        stop when the budget is spent
    confirm the winner: the same loop over the best settings, under other seeds
    write the report

Only the driver writes to Optuna's storage and to tracking. Everything a segment gives is in the trajectory store before
the driver hears of it, so a driver that dies at any moment is replaced by starting another: what is in the store is not
trained again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from deepcolor.atomic import write_atomically
from deepcolor.config.schema import Limit, Setting
from deepcolor.errors import DeepcolorError, ExecutorError, WorkspaceError
from deepcolor.execution.devices import on_gpu
from deepcolor.execution.executor import Event, Executor, Failed, Progress, standing_of
from deepcolor.search.driver.board import Board
from deepcolor.search.driver.confirming import Confirming
from deepcolor.search.driver.ending import Ending
from deepcolor.search.driver.ladder import Ladder
from deepcolor.search.driver.leavings import clear_up
from deepcolor.search.driver.own_pruner import own_pruner
from deepcolor.search.driver.proposals import Proposals
from deepcolor.search.driver.settling import Settling
from deepcolor.search.driver.showing import Showing
from deepcolor.search.driver.stopping import Stopping
from deepcolor.search.driver.trial_stops import TrialStops
from deepcolor.search.driver.warm_start import offer
from deepcolor.search.recording import Projection
from deepcolor.search.rules.budget import Account, exhausted, overspent
from deepcolor.search.rules.completion import has_ended
from deepcolor.search.rules.confirmation import confirmation_of
from deepcolor.search.rules.pruning import Drop
from deepcolor.search.rules.schedule import Ask, next_ask
from deepcolor.search.rules.summary import Report, Snapshot, Summary, Watcher, summarise
from deepcolor.search.study.attendance import Attendance
from deepcolor.search.study.sizes import left_out
from deepcolor.search.study.starts import failure_file
from deepcolor.search.study.stops import trial_stop_file
from deepcolor.search.study.storage import Place, Planned, StoredStudy, StoredTrial, now_ms
from deepcolor.tracking.records import State, Tracker
from deepcolor.training.early_stopping import view_of
from deepcolor.training.remainder import resumable_epochs
from deepcolor.training.trajectory import InitWeights, Segment, Trajectory, TrajectoryPaths

EVENT_WAIT_S = 0.5
LET_GO_S = 10.0
"""Longest wait for tracking when the driver ends because it cannot continue."""
LOOKAHEAD_TRIALS = 64
"""At most this many open trials wait for a busy trajectory while the driver looks for one that is free."""
LOOKAHEAD_TRAJECTORIES = 4
"""Open trajectories per slot, in addition to the one it trains, if everything that will be trained is known."""


@dataclass(frozen=True)
class Places:
    """Where a driver's segments find and leave their files, and how they run."""

    store: Path
    cache: Path
    stop_file: Path
    device: str = "auto"
    checkpoint_every_s: float = 30.0
    system_metrics_every_s: float | None = None
    """See `Segment.system_metrics_every_s`."""
    code: Path | None = None
    """See `Segment.code`."""
    samples: bool = True
    """See `Segment.samples`."""
    forms: Mapping[str, tuple[str, Path]] = field(default_factory=dict)
    """Digest and folder of the data in each form that settings ask for, by `DataSection.form`; others have `cache`."""


class Driver:
    """Owns one study for as long as it runs."""

    def __init__(
        self,
        study: StoredStudy,
        *,
        executor: Executor,
        tracker: Tracker,
        watcher: Watcher,
        projection: Projection,
        places: Places,
        report: Report,
        parent_of: Callable[[Setting], InitWeights | None],
        learn_from: Sequence[StoredStudy] = (),
    ) -> None:
        """Put the parts together; nothing runs yet.

        Args:
            study: The study to drive; its lock is held by the caller.
            executor: Runs the segments.
            tracker: Is shown every trial.
            watcher: Is shown the study as a whole, a few times a second.
            projection: Builds the records for the tracker.
            places: Where files are.
            report: Is written at the end.
            parent_of: Finds and pins the weights a setting starts from.
            learn_from: The studies that the sweep's `warm_start` names.
        """
        self._study = study
        self._sweep = study.sweep
        self._executor = executor
        self._tracker = tracker
        self._watcher = watcher
        self._data_digest = projection.provenance.data_digest
        self._places = places
        self._report = report
        self._parent_of = parent_of
        self._learn_from = learn_from
        self._board = Board(self._sweep, places.store, own_pruner(self._sweep, code=places.code))
        self._ladder = Ladder(study, self._board)
        self._showing = Showing(tracker, projection, self._board)
        self._proposals = Proposals(study, code=places.code)
        self._account = Account(study, on_gpu=on_gpu(places.device))
        self._ending = Ending(places.stop_file)
        self._stopping = Stopping(study)
        self._attendance = Attendance(places.stop_file.parent, held=study.held)
        self._settling = Settling(
            study,
            board=self._board,
            ladder=self._ladder,
            showing=self._showing,
            watcher=watcher,
            ending=self._ending,
            store=places.store,
        )
        self._trial_stops = TrialStops(places.stop_file.parent, board=self._board, settling=self._settling)
        self._importing = threading.Thread(target=report.prepare, name="deepcolor-report")
        self._trajectories: dict[int, Trajectory] = {}
        """Of the trial that is being started, so that it is worked out once."""
        self._learnt_from = 0
        self._search_spent: Limit | None = None
        self._confirming: Confirming | None = None
        self._board.to_confirm = self._sweep.search.confirm.trainings if self._sweep.search.confirm else 0

    def run(self) -> Summary:
        """Train until every trial is finished or a stop is asked for, and return a summary.

        Raises:
            WorkspaceError: A segment could not write to the store; all trials can be continued.
        """
        try:
            return self._run()
        except Exception:  # not `Interrupted`: at once, as the user asked
            self._let_go()
            raise

    def request_stop(self) -> None:
        """End every running segment after its epoch, with a checkpoint. Safe to call from a signal handler."""
        self._ending.ask()

    def snapshot(self) -> Snapshot:
        """Say where the study stands."""
        return replace(self._settling.snapshot(), workers=standing_of(self._executor))

    # --- the loop

    def _run(self) -> Summary:
        self._ending.clear()
        self._attendance.clear()
        self._take_over()
        try:
            while self._step() or self._confirm():
                self._watcher.update(self.snapshot())
        except ExecutorError:
            # A signal sent to all processes of a job, as schedulers do, ends those that are just starting.
            if not self._ending.asked:
                raise
        finally:
            self._ending.clear()
            self._attendance.clear()
        if self._ending.failure is not None:
            raise WorkspaceError(self._ending.failure)
        return self._conclude()

    def _let_go(self) -> None:
        """Show open trials as waiting, as far as tracking can still be written to."""
        # A failure here must not hide the one that ended the driver; the next start adds what is missing.
        for open_ in self._board.open.values():
            with suppress(Exception):
                self._showing.trial(open_.trial, "waiting")
        with suppress(Exception):
            trials = [*self._board.finished.values(), *(open_.trial for open_ in self._board.open.values())]
            self._showing.study(sorted(trials, key=lambda t: t.number), state="interrupted", ended_ms=now_ms())
            self._tracker.flush(LET_GO_S)

    def _step(self) -> bool:
        self._check_budget()
        self._trial_stops.heed()
        if not self._ending.due:
            self._fill()
        self._attendance.say([ask.number for ask in self._board.busy.values()])
        if not self._board.busy:
            return False
        for event in self._executor.events(EVENT_WAIT_S):
            self._handle(event)
        return True

    def _check_budget(self) -> None:
        spent, budget = self._account.spent(trained_now=self._board.trained), self._sweep.search.budget
        searching = self._confirming is None
        if searching and not self._ending.due:
            self._ending.spend(self._stopping.reached(complete=self._board.complete))
        if budget.limited and not self._ending.due:
            trials = self._board.trials() if searching else ()
            self._ending.spend(
                exhausted(budget, spent=spent, trials=trials) if searching else overspent(budget, spent=spent)
            )

    def _fill(self) -> None:
        board = self._board
        while len(board.busy) < self._executor.slots:
            asks = board.asks()
            ask = next_ask(asks, board.busy, left_s=board.left_s() if self._knows_all else {})
            if ask is not None:
                self._submit(ask)
            elif not (self._move(more=True) or self._start_trial(waiting=len(asks)) or self._move(more=False)):
                return
        self._look_ahead()

    @property
    def _knows_all(self) -> bool:
        """Whether everything that will be trained is known from the start, and is trained to its end."""
        search = self._sweep.search
        return search.sampler == "grid" and search.pruner.name == "none" and self._confirming is None

    def _look_ahead(self) -> None:
        """Open a few more trajectories per slot, so that the longest of all, begun or not, comes next."""
        while self._knows_all and len(self._board.idle()) < LOOKAHEAD_TRAJECTORIES * self._executor.slots:
            if not self._start_trial(waiting=0):
                return

    def _handle(self, event: Event) -> None:
        board = self._board
        if isinstance(event, Progress):
            board.put_progress(event.digest, event.rows)
            self._showing.training(event.digest)
            return
        if isinstance(event, Failed):
            seen = len(board.seen(event.digest))
            ask = board.give_up(event.digest)
            self._account.segment_fails(event.digest)
            if event.store_failed:
                self._ending.fail(event.reason)
            else:
                self._keep_details(ask.number, event.details)
                self._settling.fail(ask.number, event.reason, epochs=seen)
            return
        outcome = event.outcome
        ask = board.end(event.digest, outcome.history)
        self._account.segment_ends(event.digest, device=outcome.device, train_s=outcome.train_s)
        board.trained_now += outcome.trained_epochs
        for open_ in board.on(event.digest):
            self._settling.settle(open_, host=outcome.host, device=outcome.device)
        self._trial_stops.heed(number=ask.number)
        if ask.result and outcome.view is not None and ask.number in board.open:
            # Asking for the same segment again would give the same result, forever.
            self._settling.fail(ask.number, f"its result cannot be read ({outcome.result})")
        self._showing.training(event.digest)

    def _keep_details(self, number: int, details: str) -> None:
        """Write down where in the code a training failed, for whoever has to find out why."""
        if details:
            with suppress(OSError):  # A full disk shows elsewhere, too; the reason itself is kept with the trial.
                write_atomically(failure_file(self._places.stop_file.parent, number), details.encode())

    # --- starting trials

    def _take_over(self) -> None:
        trials = self._study.trials()
        clear_up((self._places.stop_file.parent, self._report.folder), self._places.store, trials)
        for trial in trials:
            if trial.finished:
                self._board.close(trial)
        self._study.put_retried(frozenset(trial.number for trial in trials if trial.state == "failed"))
        self._learnt_from = offer(
            self._study, self._learn_from, trajectory_of=lambda setting: self._trajectory(setting).digest
        )
        self._showing.study(trials)
        for trial in self._board.finished.values():
            self._showing.trial(trial)
        self._proposals.take_over(trials)
        for trial in trials:
            if not trial.finished and trial.confirms is None:
                self._resume(trial)

    def _resume(self, trial: StoredTrial) -> None:
        if self._sweep.space.is_whole(trial.params):
            self._open_trial(trial)
        else:
            # The driver died while the sampler was writing the parameters; the sampler draws another trial instead.
            self._settling.fail(trial.number, "its start was interrupted", counts=False)

    def _start_trial(self, *, waiting: int) -> bool:
        """Ask for one more trial; False if the study has them all, or enough of them wait for a busy trajectory."""
        if waiting >= LOOKAHEAD_TRIALS + self._executor.slots and not self._knows_all:
            return False
        confirming = self._confirming
        if confirming:
            trial = confirming.next(planned=self._planned)
        else:
            trial = self._proposals.next(started=self._board.started, planned=self._planned)
        if trial is not None:
            self._open_trial(trial)
        return trial is not None

    def _move(self, *, more: bool) -> bool:
        """Let a trial that waits at a rung continue, or end it; False if all have to wait."""
        move = self._ladder.move(more=more)
        if move is None:
            return False
        open_ = self._board.open[move.number]
        if isinstance(move, Drop):
            self._settling.end(open_)
        elif open_.ask.trajectory not in self._board.busy:
            self._settling.settle(open_)
        return True

    def _open_trial(self, trial: StoredTrial) -> None:
        try:
            trajectory = self._trajectories.pop(trial.number, None) or self._trajectory(trial.setting(self._sweep))
        except (DeepcolorError, ValidationError) as error:
            self._settling.fail(trial.number, " ".join(str(error).split()))
            return
        digest = trajectory.digest
        if trial.place is None or trial.place.trajectory != digest or self._has_lost(trial, digest):
            # Its setting means another training than when it was placed (other numbers, or other weights to start
            # from), or the epochs up to its rung are gone: they are trained again.
            trial = self._study.place(trial.number, self._place(trajectory))
        open_ = self._ladder.enter(trial, trajectory)
        self._board.put(open_)
        if digest not in self._board.busy:
            self._settling.settle(open_)

    def _has_lost(self, trial: StoredTrial, digest: str) -> bool:
        """Whether the store no longer holds the epochs that a trial has reached: its files were damaged."""
        return max(trial.reached, default=0) > len(self._board.history(digest))

    def _planned(self, trial: StoredTrial) -> Planned | None:
        """What is stored with a new trial, so that its start is one step; None if it cannot be trained."""
        try:
            trajectory = self._trajectory(trial.setting(self._sweep))
        except (DeepcolorError, ValidationError):
            return None  # It fails once it is stored.
        self._trajectories = {trial.number: trajectory}
        return Planned(self._place(trajectory), self._ladder.first_target(trial, trajectory))

    def _place(self, trajectory: Trajectory) -> Place:
        """Where a training is, and how much of it there is."""
        setting, history = trajectory.setting, self._board.history(trajectory.digest)
        epochs = setting.training.epochs
        view = view_of(history, epochs=epochs, patience=setting.patience, objective=trajectory.objective)
        paths = TrajectoryPaths(self._places.store, trajectory.digest)
        return Place(
            trajectory=trajectory.digest,
            in_store_epochs=len(history),
            data=trajectory.data_digest if trajectory.data_digest != self._data_digest else None,
            parent=trajectory.init.ref if trajectory.init else None,
            epochs=epochs,
            resumed_epochs=resumable_epochs(paths, view, setting.final_metrics) if history else 0,
        )

    def _data(self, setting: Setting) -> tuple[str, Path]:
        """Digest and folder of what a setting trains on."""
        return self._places.forms.get(setting.data.form, (self._data_digest, self._places.cache))

    def _trajectory(self, setting: Setting) -> Trajectory:
        return Trajectory(
            setting=setting,
            data_digest=self._data(setting)[0],
            init=self._parent_of(setting),
            objective=self._sweep.objective,
        )

    def _submit(self, ask: Ask) -> None:
        self._executor.submit(
            Segment(
                trajectory=self._board.open[ask.number].trajectory,
                to_epoch=ask.epochs,
                patience=ask.patience,
                store=self._places.store,
                cache=self._data(self._board.open[ask.number].trajectory.setting)[1],
                device=self._places.device,
                checkpoint_every_s=self._places.checkpoint_every_s,
                system_metrics_every_s=self._places.system_metrics_every_s,
                stop_file=self._places.stop_file,
                trial_stop_file=trial_stop_file(self._places.stop_file.parent, ask.number),
                code=self._places.code,
                result=ask.result,
                samples=self._places.samples,
            )
        )
        self._board.start(ask)
        self._account.segment_starts(ask.trajectory)
        self._showing.training(ask.trajectory)
        if self._importing.ident is None:
            # The report at the end would wait for these imports; now the driver waits for the workers anyway.
            self._importing.start()

    def _confirm(self) -> bool:
        """Begin to confirm the winner once the search has ended; False if there is nothing to confirm."""
        spent = overspent(self._sweep.search.budget, spent=self._account.spent(trained_now=self._board.trained))
        stays_ended = self._ending.asked or self._ending.failure is not None or spent is not None
        if self._sweep.search.confirm is None or self._confirming is not None or stays_ended:
            return False
        self._settling.end_waiting()
        self._search_spent = self._ending.revoke()
        confirming = self._confirming = Confirming(self._study, self._study.trials())
        self._board.confirming, self._board.to_confirm = True, confirming.trainings
        for trial in confirming.dropped:
            self._settling.fail(trial.number, "its setting is no longer one of the best")
        for trial in confirming.open:
            self._open_trial(trial)
        return True

    # --- the end

    def _conclude(self) -> Summary:
        board, started = self._board, self._board.started
        unfinished = board.searching > 0 or self._proposals.left(started=started)
        limit = self._search_spent if self._confirming else self._ending.spent
        stopped_by = limit if unfinished else None
        if limit is None and not self._ending.asked and self._proposals.held_back(started=started):
            stopped_by = "trials"
        self._account.close(trained_now=board.trained_now)
        if not self._ending.asked:
            self._settling.end_waiting()
        trials, spent = self._study.trials(), self._study.spent
        for trial in trials:
            if not trial.finished:
                self._showing.trial(trial)
        summary = summarise(
            self._study.name,
            trials,
            interrupted=self._ending.asked and not has_ended(self._study, trials),
            trained_now=board.trained_now,
            wall_s=time.monotonic() - board.started_at,
            epoch_s=board.epoch_s(),
            stopped_by=stopped_by,
            stopped_why=(self._study.stopped or "") if stopped_by == "regret" else "",
            learnt_from=self._learnt_from,
            confirmation=confirmation_of(self._sweep, trials, spent=spent),
            left_out=str(left_out(self._sweep) or ""),
        )
        self._showing.front(self._board.finished)
        if self._importing.is_alive():
            self._importing.join()  # A module that another thread is importing may be incomplete.
        self._report.write(self._study, summary)
        ended = max((trial.ended_ms or 0 for trial in trials), default=now_ms())
        state: State = "interrupted" if summary.state == "interrupted" else "complete"
        self._showing.study(trials, summary, state=state, ended_ms=ended)
        return summary
