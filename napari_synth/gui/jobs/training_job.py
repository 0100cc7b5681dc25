"""A training in a thread: it can be paused, stopped with its best weights, left with a checkpoint, and cancelled."""

from __future__ import annotations

from napari_synth.core.progress import CancelToken, ProgressCallback
from napari_synth.gui.jobs.train import Learnt, Teller, TrainRequest, train
from napari_synth.gui.jobs.worker import Job
from napari_synth.training.control import TrainingControl


class TrainingJob(Job):
    """A job that trains.

    Parameters
    ----------
    request : TrainRequest
    """

    def __init__(self, request: TrainRequest) -> None:
        self.control = TrainingControl()
        self._request = request
        self._teller: Teller | None = None
        super().__init__(self._train, "Training", self.control)

    def heard(self) -> None:
        """Say that the last progress has been drawn: more may come."""
        if self._teller is not None:
            self._teller.heard()

    def leave(self) -> None:
        """End with a checkpoint where a step was done, so that the training can be gone on with; at once where none was."""
        if self._teller is not None and self._teller.has_begun:
            self.control.leave()
        else:
            self.cancel()

    def _train(self, progress: ProgressCallback, cancel: CancelToken) -> Learnt:
        self._teller = Teller(progress, self.control)
        return train(self._request, self.control, self._teller, progress, cancel)
