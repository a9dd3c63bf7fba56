"""Trackio: a local database and a dashboard, with no account.

Lightning has no logger for it. Trackio's own run prints lines, starts threads, finds a run again by its name alone,
and answers its errors by warnings: here its database is called directly.
"""

import logging
import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src.run import databases
from src.run.status import State
from src.run.stores import About, StoreLogger
from src.support.errors import UserError

log = logging.getLogger(__name__)
LEVELS = {State.INTERRUPTED: "warn"}  # of the alert that marks a run which did not finish; other states are errors


def trackio_logger(
    project: str, dir: str, about: About, name: str | None = None, group: str | None = None
) -> StoreLogger:
    """A logger with a Trackio run, which a resumed run continues.

    Args:
        project: the Trackio project.
        dir: the folder of Trackio's database and media.
        about: the run.
        name: the user's name for the run, else its title.
        group: the user's group, else the sweep.
    """
    store = open_store(project, dir, about, name, group)
    log.info("Trackio: in %s", os.path.relpath(dir))
    return StoreLogger(store, about)


def open_store(project: str, dir: str, about: About, name: str | None = None, group: str | None = None) -> "Record":
    """The Trackio run that the run's folder names, or a new one. The arguments are those of `trackio_logger`."""
    storage = import_storage(Path(dir).absolute())
    storage.validate_project_name(project)
    run_id, run_name = known_run(about.folder.trackio_id)
    if about.is_recorded and not storage.get_project_db_path(project).is_file():
        raise UserError(f"Trackio does not know the run: {dir} is not where it was recorded")
    if run_id is None:
        run_id, run_name = uuid.uuid4().hex, (name or about.title).replace("/", "_")  # also a folder of media
        about.folder.trackio_id.write_text(f"{run_id}\n{run_name}\n")
    if about.last is not None:
        databases.rewind_trackio(storage.get_project_db_path(project), run_id, int(about.last["images_seen"]))
    facts = {"_Username": None, "_Created": now(), "_Group": group or about.sweep}
    return Record(storage, project, run_id, run_name, None if about.is_recorded else about.options | facts)


def import_storage(folder: Path) -> Any:
    """Trackio's access to its database in a folder. Raises UserError where it has been imported with another folder."""
    before = os.environ.get("TRACKIO_DIR")
    os.environ["TRACKIO_DIR"] = str(folder)  # read when Trackio is imported
    try:
        from trackio.sqlite_storage import SQLiteStorage
        from trackio.utils import TRACKIO_DIR
    finally:
        os.environ.pop("TRACKIO_DIR")
        if before is not None:
            os.environ["TRACKIO_DIR"] = before
    if folder != TRACKIO_DIR:
        raise UserError(f"logger.trackio.dir={folder}: this process has imported trackio with {TRACKIO_DIR} already")
    return SQLiteStorage


def known_run(file: Path) -> tuple[str | None, str]:
    """The id and the name in a file; no id where it is missing or damaged."""
    lines = file.read_text().splitlines() if file.is_file() else []
    return (lines[0], lines[1]) if len(lines) == 2 and lines[0].isalnum() and lines[1] else (None, "")


def now() -> str:
    """The time as Trackio writes it."""
    return datetime.now(UTC).isoformat()


class Record:
    """A Trackio run; its configuration is sent with the first numbers."""

    def __init__(self, storage: Any, project: str, run_id: str, name: str, config: dict[str, Any] | None) -> None:
        self.client, self.project, self.run_id, self.name = storage, project, run_id, name
        self.config = config

    def log(self, numbers: Mapping[str, Any], step: int) -> None:
        """Add numbers at a step."""
        self.client.bulk_log(
            self.project,
            self.name,
            [dict(numbers)],
            [step],
            config=self.config,
            log_ids=[uuid.uuid4().hex],
            run_id=self.run_id,
        )
        self.config = None

    def log_figures(self, figures: Mapping[str, Path], step: int) -> None:
        """Copy figures to Trackio's folder, and add them at a step; its player of videos can't play GIFs."""
        from trackio.media import TrackioImage

        media = {name: TrackioImage(str(path)) for name, path in figures.items()}
        for image in media.values():
            image._save(self.project, self.name, step)
        if media:
            self.log({name: image._to_dict() for name, image in media.items()}, step)

    def flush(self) -> None:
        """Do nothing: all calls write at once."""

    def end(self, state: State, step: int) -> None:
        """Add an alert to a run that has not finished, since Trackio's runs have no state."""
        if state != State.FINISHED:
            self.client.bulk_alert(
                self.project, self.name, [f"the run is {state}"], [None], [LEVELS.get(state, "error")], [step],
                run_id=self.run_id,
            )  # fmt: skip

    def close(self) -> None:
        """Do nothing: each call opens the database and closes it."""
