"""The line of a panel that says where runs compute."""

from __future__ import annotations

from functools import partial

from qtpy.QtWidgets import QLabel, QWidget

from napari_synth.core.device import Device
from napari_synth.core.errors import SynthError
from napari_synth.gui.jobs.restore import find_device
from napari_synth.gui.jobs.worker import Job
from napari_synth.gui.settings import RunSettings


class DeviceBadge(QLabel):
    """The device and the precision, with the reason for them as its tooltip."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Device: looking…", parent)
        self._job: Job | None = None
        self.setToolTip("Where runs compute; set it in File > Preferences > napari-synth")

    def look_for(self, settings: RunSettings) -> None:
        """Look for the device in a thread: loading torch takes seconds."""
        self._job = job = Job(partial(find_device, settings), "Looking for devices")
        job.returned.connect(self.show_device)
        job.failed.connect(self._on_none)
        job.start()

    def cancel(self) -> None:
        """Look no more."""
        if self._job is not None:
            self._job.cancel()

    def show_device(self, device: Device) -> None:
        """Show a device."""
        self.setText(f"{device.title} · {device.precision}")
        self.setToolTip(f"{device.title}: {device.reason}. Set it in File > Preferences > napari-synth.")

    def _on_none(self, error: SynthError) -> None:
        self.setText("No device")
        self.setToolTip(str(error))
